"""The cases of attention: sizes around tiles, vectors and blocks of 256 keys; masks; limits."""

from __future__ import annotations

from collections.abc import Iterator
from functools import partial
from typing import Any

import numpy as np

from .cases import Arguments, Case, Namer

# (batch, heads, key heads, queries, keys, width, value width)
SIZES = (
    *((1, 1, 1, n, n, 8, 8) for n in (1, 2, 5, 6, 7, 8, 9, 15, 16, 17, 31, 33, 63, 64, 65, 97)),
    *((1, 2, 1, 3, n, 16, 16) for n in (1, 15, 16, 17, 64, 65, 255, 256, 257, 300, 513, 770)),
    *((1, 1, 1, 11, n, 16, 16) for n in (1, 15, 16, 17, 64, 65, 255, 256, 257, 300, 513, 770)),
    *((1, 1, 1, rows, 40, n, 20) for rows in (3, 11) for n in (1, 3, 7, 8, 15, 17, 33, 64, 100)),
    *((1, 1, 1, rows, 40, 20, n) for rows in (3, 11) for n in (1, 3, 15, 16, 17, 33, 64, 65, 130)),
    *((2, 6, g, rows, 70, 12, 24) for rows in (1, 2, 5) for g in (1, 2, 3, 6)),
    *((1, 9, 3, 1, 300, 64, 64), (1, 2, 2, 130, 130, 64, 64), (1, 3, 1, 100, 600, 32, 32)),
    *((1, 12, 4, 128, 128, 64, 64), (1, 8, 8, 200, 333, 32, 80)),
    *((0, 2, 1, 3, 4, 5, 6), (2, 0, 0, 3, 4, 5, 6), (2, 2, 1, 0, 4, 5, 6)),
    *((2, 2, 1, 3, 0, 5, 6), (2, 2, 1, 3, 4, 0, 6), (2, 2, 1, 3, 4, 5, 0)),
)


def _call(new: Namer, size: tuple[int, ...], kind: str) -> Arguments:
    batch, heads, kv_heads, queries, keys, width, value_width = size
    new.call += 1
    return {
        "query": new("query", (batch, heads, queries, width), kind),
        "key": new("key", (batch, kv_heads, keys, width), kind),
        "value": new("value", (batch, kv_heads, keys, value_width), kind),
    }


def _plain(name: str, kind: str) -> Iterator[Arguments]:
    new = Namer(name)
    for size in SIZES if kind in ("unit", "span") else SIZES[::3]:
        call = _call(new, size, kind)
        if new.call % 3 == 0:
            call["scale"] = (0.5, 1.0, -0.3)[new.call % 9 // 3]
        yield call


def _causal(name: str, kind: str) -> Iterator[Arguments]:
    new = Namer(name)
    for size in SIZES if kind == "unit" else SIZES[::3]:
        call = _call(new, size, kind)
        queries, keys = size[3:5]
        for offset in {0, max(keys - queries, 0), keys // 2}:
            yield {**call, "causal": True, "offset": offset}


def _masked(name: str, kind: str) -> Iterator[Arguments]:
    """Float masks of every broadcast shape, a third of them -inf; rows that see nothing."""
    new = Namer(name)
    for size in (s for s in SIZES if s[3] * s[4] <= 4000):
        call = _call(new, size, kind)
        batch, heads, _, queries, keys, *_ = size
        shapes: tuple[tuple[int, ...], ...] = ((queries, keys), (keys,), (batch, 1, 1, keys))
        shapes += ((heads, queries, 1), ())
        mask: Any = new("mask", shapes[new.call % len(shapes)]) * np.float32(4)
        mask = np.where(mask < -1.3, np.float32(-np.inf), mask).astype(np.float32)
        if mask.ndim == 2 and len(mask) > 2:
            mask[1] = -np.inf
        yield {**call, "mask": mask, "causal": new.call % 4 == 0, "offset": new.call % 5}


def attention() -> list[Case]:
    made = ((_plain, "plain"), (_causal, "causal"), (_masked, "masked"))
    cases = []
    for kind in ("unit", "span", "sprinkled", "special"):
        for calls, what in made:
            name = f"attention/{what}/{kind}"
            cases.append(Case(name, partial(calls, name, kind), kind in ("unit", "span")))
    return cases
