"""The cases of activations with parameters or two inputs; see ``cases``."""

from __future__ import annotations

from collections.abc import Iterator
from functools import partial

import numpy as np

from .arrays import SPECIAL
from .cases import ROWS, Arguments, Case, Namer, elements

LENGTHS = (*range(0, 133), *ROWS[-11:], 1023, 1024, 1025)
LARGE = ((1 << 20, "sweep"), (50000, "span"), (20000, "unit"))


def shaped(op: str, *choices: Arguments) -> list[Case]:
    """One case a choice of parameters."""
    names = [f"{op}/{','.join(str(value) for value in more.values())}" for more in choices]
    return [
        Case(name, partial(elements, name, more)) for name, more in zip(names, choices, strict=True)
    ]


def _halves(name: str) -> Iterator[Arguments]:
    new = Namer(name)
    for n in LENGTHS:
        new.call += 1
        yield {"input": new("input", (3, 2 * n), "span"), "dim": -1}
    for shape, dim in (((6,), 0), ((4, 7), 0), ((2, 6, 5), 1), ((2, 3, 34, 17), -2), ((0, 4), 1)):
        new.call += 1
        yield {"input": new("input", shape, "span"), "dim": dim}
    for count, kind in LARGE:
        new.call += 1
        yield {"input": new("input", (4, count), kind), "dim": 0}


# Infinity times a gate that is 0 in float32 but not in float64 is outside the bounds: bytes alone.
def _special_halves(name: str) -> Iterator[Arguments]:
    yield {"input": Namer(name)("input", (4, 20000), "special"), "dim": 0}
    yield {"input": SPECIAL.view(np.float32).repeat(32).reshape(32, 32), "dim": 1}


def glu() -> list[Case]:
    special = partial(_special_halves, "glu/special")
    return [Case("glu", partial(_halves, "glu")), Case("glu/special", special, finite=False)]


def _pairs(name: str) -> Iterator[Arguments]:
    new = Namer(name)
    for n in LENGTHS:
        new.call += 1
        yield {"gate": new("gate", (n,), "span"), "up": new("up", (n,), "span")}
    for count, kind in LARGE:
        new.call += 1
        yield {"gate": new("gate", (count,), kind), "up": new("up", (count,), kind)}


def _special_pairs(name: str) -> Iterator[Arguments]:
    new = Namer(name)
    yield {"gate": new("gate", (20000,), "special"), "up": new("up", (20000,), "special")}
    values = SPECIAL.view(np.float32)
    yield {"gate": values.repeat(32).reshape(32, 32), "up": np.tile(values, (32, 1))}


def swiglu() -> list[Case]:
    special = partial(_special_pairs, "swiglu/special")
    return [
        Case("swiglu", partial(_pairs, "swiglu")),
        Case("swiglu/special", special, finite=False),
    ]


def _prelu_shapes(n: int) -> tuple[tuple[tuple[int, ...], int], ...]:
    return ((3, n), n), ((2, 3, n), 3), ((n,), 1)


def _prelu_calls(name: str) -> Iterator[Arguments]:
    new = Namer(name)
    shapes: list[tuple[tuple[int, ...], int]] = [((), 1), ((2, 5, 3, 7), 5), ((2, 0, 3), 1)]
    shapes += [(shape, count) for n in LENGTHS[1:] for shape, count in _prelu_shapes(n)]
    for shape, count in shapes:
        new.call += 1
        yield {"input": new("input", shape, "span"), "weight": new("weight", (count,))}
    for kind in ("sweep", "special"):
        new.call += 1
        yield {"input": new("input", (2, 16, 1 << 15), kind), "weight": new("weight", (16,))}


def prelu() -> list[Case]:
    return [Case("prelu", partial(_prelu_calls, "prelu"))]
