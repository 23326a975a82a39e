"""The cases: for every operator, sizes on both sides of every tile edge and every special value.

A case is a named list of calls whose arrays come from ``arrays``; names are what seeds them, so a
case may be added or removed without changing another's hash. ``finite`` says that its results lie
in the domain of the tolerances; the other cases are for equal bytes only.

Edges: 16 (a vector), 48 and 64 (a tile's width), 6, 8 and 2 (a tile's height), and the rule for the
number of chains: N at 4|5, 16|17, 32|33 and K at 63|64.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass
from functools import partial
from typing import Any

import numpy as np

from .arrays import SPECIAL, make, make_indices
from .bounds import F32

Arguments = dict[str, Any]
LENGTHS = (*range(1, 36), 47, 48, 49, 62, 63, 64, 65, 66, 79, 80, 81, 95, 96, 97, 111, 112, 113)
ROWS = (*LENGTHS, *range(123, 134), 191, 192, 193, 255, 256, 257, 319, 383, 385, 511, 512, 513)


@dataclass(frozen=True)
class Case:
    """One line of the table of hashes."""

    name: str
    calls: Callable[[], Iterator[Arguments]]
    finite: bool = True


class Namer:
    """Gives each array of a case its own name: "<case>/<call>/<argument>"."""

    def __init__(self, case: str) -> None:
        self.case = case
        self.call = 0

    def __call__(self, argument: str, shape: Sequence[int], kind: str = "unit") -> F32:
        return make(f"{self.case}/{self.call}/{argument}", shape, kind)


def _row_shapes() -> Iterator[tuple[int, int]]:
    yield from ((3, n) for n in ROWS)
    yield from ((1, 768), (2, 1000), (5, 1024), (2, 4099), (0, 8), (1030, 1029))


def _norm_calls(name: str, kind: str, op: str) -> Iterator[Arguments]:
    new = Namer(name)
    for rows, n in _row_shapes() if kind == "unit" else ((3, n) for n in ROWS):
        new.call += 1
        call: Arguments = {"input": new("input", (rows, n), kind)}
        if op.startswith("add"):
            call["residual"] = new("residual", (rows, n), kind)
        call["normalized_shape"] = (n,)
        call["weight"] = new("weight", (n,)) if new.call % 4 else None
        if op.endswith("layer_norm"):
            call["bias"] = new("bias", (n,)) if new.call % 3 else None
            call["eps"] = (1e-5, 1e-6, 0.1)[new.call % 3]
        else:
            call["eps"] = (None, 1e-5, 1e-6)[new.call % 3]
        yield call


def _norm_trailing(name: str, op: str) -> Iterator[Arguments]:
    """Several normalised dimensions, none in front, and leading ones of every number."""
    new = Namer(name)
    for shape, trailing in (((6,), 1), ((4, 5), 2), ((2, 3, 7, 9), 2), ((2, 3, 7, 9), 1)):
        new.call += 1
        normalized = shape[len(shape) - trailing :]
        call: Arguments = {"input": new("input", shape), "normalized_shape": normalized}
        if op.startswith("add"):
            call["residual"] = new("residual", shape)
        call["weight"] = new("weight", normalized)
        yield call


def _norm(op: str, kinds: Sequence[str]) -> list[Case]:
    cases = [
        Case(f"{op}/{kind}", partial(_norm_calls, f"{op}/{kind}", kind, op), kind != "sprinkled")
        for kind in kinds
    ]
    return [*cases, Case(f"{op}/trailing", partial(_norm_trailing, f"{op}/trailing", op))]


def rms_norm() -> list[Case]:
    return _norm("rms_norm", ("unit", "wide", "subnormal", "sprinkled"))


def add_rms_norm() -> list[Case]:
    return _norm("add_rms_norm", ("unit", "wide", "sprinkled"))


def add_layer_norm() -> list[Case]:
    return _norm("add_layer_norm", ("unit", "sprinkled"))


def layer_norm() -> list[Case]:
    return _norm("layer_norm", ("unit", "wide", "shifted", "subnormal", "sprinkled"))


def _softmax_calls(name: str, kind: str) -> Iterator[Arguments]:
    new = Namer(name)
    for rows, n in _row_shapes() if kind == "span" else ((3, n) for n in ROWS):
        new.call += 1
        yield {"input": new("input", (rows, n), kind), "dim": -1}
    for shape, dim in (((7, 33), 0), ((3, 65, 5), 1), ((2, 3, 64, 17), -2), ((9,), 0)):
        new.call += 1
        yield {"input": new("input", shape, kind), "dim": dim}


def softmax(op: str) -> list[Case]:
    kinds = ("span", "wide", "subnormal", "sprinkled", "special")
    return [
        Case(f"{op}/{k}", partial(_softmax_calls, f"{op}/{k}", k), k not in kinds[3:])
        for k in kinds
    ]


def elements(name: str, more: Arguments) -> Iterator[Arguments]:
    """Every length past two tiles; all exponents; the range where functions bend; specials."""
    new = Namer(name)
    for n in (*range(0, 133), *ROWS[-11:], 1023, 1024, 1025):
        new.call += 1
        yield {"input": new("input", (n,), "span"), **more}
    for count, kind in ((1 << 20, "sweep"), (50000, "span"), (20000, "unit"), (20000, "special")):
        new.call += 1
        yield {"input": new("input", (count,), kind), **more}
    yield {"input": SPECIAL.view(np.float32).reshape(2, 16), **more}
    yield {"input": np.array(0.5, dtype=np.float32), **more}


def unary(op: str) -> list[Case]:
    return [Case(op, partial(elements, op, {}))]


def leaky_relu() -> list[Case]:
    slopes = (0.01, 0.2, -0.5, 3.0)
    names = [f"leaky_relu/{slope}" for slope in slopes]
    return [
        Case(name, partial(elements, name, {"negative_slope": slope}))
        for name, slope in zip(names, slopes, strict=True)
    ]


def gelu() -> list[Case]:
    return [
        Case(f"gelu/{form}", partial(elements, f"gelu/{form}", {"approximate": form}))
        for form in ("none", "tanh")
    ]


def _embedding_calls(name: str) -> Iterator[Arguments]:
    new = Namer(name)
    for dim in (0, 1, 2, 15, 16, 17, 31, 33, 48, 64, 65, 100, 128, 1000):
        for shape in ((), (0,), (1,), (7,), (3, 5), (1100,) if dim == 1000 else (40,)):
            new.call += 1
            indices = make_indices(f"{name}/{new.call}/indices", shape, 30)
            yield {"indices": indices, "weight": new("weight", (30, dim), "bits")}


def embedding() -> list[Case]:
    return [Case("embedding", partial(_embedding_calls, "embedding"))]
