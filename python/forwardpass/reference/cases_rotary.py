"""The cases of rotary embeddings; see ``cases``. Edges: 16 pairs (a vector), 8 (half of two)."""

from __future__ import annotations

from collections.abc import Iterator
from functools import partial

import numpy as np

from .cases import Arguments, Case, Namer

PAIRS = (*range(0, 35), 47, 48, 49, 63, 64, 65, 96, 128)
BASES = tuple(float(np.float32(b)) for b in (10000.0, 500000.0, 1e6, 100.0, 1.0, 1.5, 1e30))


def _tables() -> Iterator[Arguments]:
    for dim in (0, 2, 4, 6, 32, 64, 80, 126, 128, 256):
        for base in BASES:
            for first, count in ((0, 40), (1000, 3), (131071, 2), (2**31 - 3, 3), (7, 0)):
                yield {"first": first, "count": count, "dim": dim, "base": base}
    yield {"first": 0, "count": 4096, "dim": 128, "base": 10000.0}
    yield {"first": 4000, "count": 8000, "dim": 64, "base": 500000.0}


def rotary_table() -> list[Case]:
    return [Case("rotary_table", _tables)]


def _turns(name: str, kind: str) -> Iterator[Arguments]:
    """Rows of every width, whole and in part; tables for all and for each item."""
    new = Namer(name)
    for pairs in PAIRS:
        for rest in (0, 1, 19):
            for interleaved in (False, True):
                new.call += 1
                shape = (3, 2, 5, 2 * pairs + rest) if new.call % 2 else (5, 2 * pairs + rest)
                lead = ((5,), (3, 1, 5), (1, 1, 5), (3, 2, 5))[new.call // 2 % 4]
                lead = lead if len(shape) == 4 else (5,)
                cos, sin = (new(part, (*lead, pairs), kind) for part in ("cos", "sin"))
                x = new("input", shape, kind)
                yield {"input": x, "cos": cos, "sin": sin, "interleaved": interleaved}
    for odd in ((4, 0, 7, 8), (0, 8), (2, 3, 2, 3, 4, 10), (8,)):
        new.call += 1
        table = (*odd[-2:-1], 4)
        cos, sin = new("cos", table, kind), new("sin", table, kind)
        yield {"input": new("input", odd, kind), "cos": cos, "sin": sin}


def _large(name: str) -> Iterator[Arguments]:
    new = Namer(name)
    for shape, pairs in (((2, 6, 300, 64), 32), ((1, 4, 513, 100), 40), ((1, 3, 700, 128), 64)):
        for interleaved in (False, True):
            new.call += 1
            cos, sin = (new(part, (shape[2], pairs)) for part in ("cos", "sin"))
            x = new("input", shape)
            yield {"input": x, "cos": cos, "sin": sin, "interleaved": interleaved}


def rotary_embedding() -> list[Case]:
    kinds = ("unit", "wide", "subnormal", "sprinkled", "special")
    names = [(f"rotary_embedding/{kind}", kind) for kind in kinds]
    cases = [Case(name, partial(_turns, name, k), k not in kinds[3:]) for name, k in names]
    return [*cases, Case("rotary_embedding/large", partial(_large, "rotary_embedding/large"))]
