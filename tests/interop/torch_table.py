"""Writes docs/torch-cases.md: how many of torch's own cases pass, function by function.

    python tests/interop/torch_table.py            rewrite it
    python tests/interop/torch_table.py --check    say whether it is out of date, exit 1 if so

Needs torch 2.13 and expecttest.
"""

from __future__ import annotations

import sys
from pathlib import Path

TABLE = Path(__file__).resolve().parents[2] / "docs" / "torch-cases.md"
HEAD = """# torch's own test cases

Written by `python tests/interop/torch_table.py`; `pytest tests/interop` fails where a case does.

*Cases* are the float32 sample inputs of `torch.testing._internal` in torch 2.13 (`op_db` for
functions, `module_db` in evaluation mode for layers, whose weights go through `state_dict`, and
whose `repr` and keys are compared too). *Errors* are its error inputs: calls that must raise.
Results agree to 1e-5 of an element or of the largest of its output; indices are equal. A skipped
case is one that asks for what is not here, and the reason is the argument's value.

| | cases | pass | errors | raise | skipped |
|---|---:|---:|---:|---:|---|
"""


def label(name: str) -> str:
    return name if "." in name or name[0].islower() else f"nn.{name}"


def row(name: str) -> str:
    from interop import torch_cases

    r = torch_cases.counts(name)
    skips = ", ".join(f"{count}: {reason}" for reason, count in sorted(r.skips.items()))
    errors = f"{r.errors} | {r.raised}" if r.errors else "– | –"
    return f"| `{label(name)}` | {r.cases} | {r.passed} | {errors} | {skips} |"


def text() -> str:
    from interop import torch_cases

    names = (*torch_cases.FUNCTIONS, *torch_cases.MODULES)
    return HEAD + "\n".join(map(row, names)) + "\n"


def main() -> int:
    sys.path.insert(0, str(Path(__file__).resolve().parents[1]))
    now = text()
    if "--check" not in sys.argv[1:]:
        TABLE.write_text(now, encoding="utf-8")
        return 0
    stale = not TABLE.exists() or TABLE.read_text(encoding="utf-8") != now
    if stale:
        print(f"{TABLE}: out of date; run python tests/interop/torch_table.py")
    return int(stale)


if __name__ == "__main__":
    sys.exit(main())
