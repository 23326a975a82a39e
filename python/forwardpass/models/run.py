"""`forwardpass run FOLDER --text ...`: a text through a model, as text, a vector or JSON."""

from __future__ import annotations

import argparse
import json
import sys
import time
from collections.abc import Iterable
from typing import Any

import forwardpass as fp

from . import load
from ._generate import TextDecoder
from ._progress import Progress
from ._text import TextEncoder

_BATCH = 64  # texts of a file that an encoder gets at once


def run(options: argparse.Namespace) -> int:
    """The exit status. Raises what load and the model raise."""
    if options.threads:
        fp.set_num_threads(options.threads)
    model = load(options.model)
    if not isinstance(model, (TextEncoder, TextDecoder)):
        raise ValueError(f"{options.model}: this model does not take text")
    if options.text is not None:
        _one(model, options.text, options)
    else:
        _many(model, _lines(options.file), options)
    return 0


def _one(model: Any, text: str, options: argparse.Namespace) -> None:
    if options.json:
        print(json.dumps(_answers(model, [text], options)[0]))
    elif isinstance(model, TextEncoder):
        print(" ".join(f"{value:.9g}" for value in model.encode(text).tolist()))
    else:
        for piece in model.pieces(_generate(model, text, options)):
            print(piece, end="", flush=True)
        print()


def _many(model: Any, texts: list[str], options: argparse.Namespace) -> None:
    """A line of JSON for each text, in their order; the bar is on stderr."""
    size = _BATCH if isinstance(model, TextEncoder) else 1
    with Progress(len(texts), "texts") as bar:
        for first in range(0, len(texts), size):
            part = texts[first : first + size]
            for answer in _answers(model, part, options):
                print(json.dumps(answer), flush=size == 1)
            bar.step(len(part))


def _answers(model: Any, texts: list[str], options: argparse.Namespace) -> list[dict[str, Any]]:
    if isinstance(model, TextEncoder):
        vectors = model.encode(texts).tolist()
        return [{"text": t, "embedding": v} for t, v in zip(texts, vectors, strict=True)]
    found = []
    for text in texts:
        start = time.perf_counter()
        ids = list(_generate(model, text, options))
        seconds = time.perf_counter() - start
        answer = "".join(model.pieces(ids))
        found.append({"text": text, "answer": answer, "ids": ids, "seconds": round(seconds, 4)})
    return found


def _generate(model: Any, text: str, options: argparse.Namespace) -> Iterable[int]:
    prompt = model.chat_prompt([{"role": "user", "content": text}]) if options.chat else text
    tokens: Iterable[int] = model.generate(
        model.tokenizer.encode(prompt).ids,
        options.tokens,
        temperature=options.temperature,
        top_k=options.top_k,
        top_p=options.top_p,
        rng=options.seed,
    )
    return tokens


def _lines(path: str) -> list[str]:
    """The lines of a file that are not empty."""
    if path == "-":
        content = sys.stdin.read()
    else:
        with open(path, encoding="utf-8") as file:
            content = file.read()
    return [line for line in content.splitlines() if line.strip()]
