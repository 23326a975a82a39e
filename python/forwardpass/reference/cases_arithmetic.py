"""The cases of matmul, sums, sin, cos and pow; see ``cases`` for what a case is."""

from __future__ import annotations

from collections.abc import Iterator
from functools import partial

import numpy as np

from .arrays import SPECIAL
from .cases import ROWS, Arguments, Case, Namer, elements

Leads = tuple[tuple[int, ...], tuple[int, ...]]
LEADS: tuple[Leads, ...] = (((), ()), ((3,), (3,)), ((2, 1), (3,)), ((), (2,)), ((2, 3), (2, 3)))
FEATURES = (1, 4, 5, 16, 17, 32, 33, 47, 64, 65, 130)


def _products(name: str, kind: str) -> Iterator[Arguments]:
    new = Namer(name)
    for n in FEATURES if kind == "unit" else FEATURES[::3]:
        for k in (1, 3, 16, 63, 64, 65, 131):
            for m in (1, 2, 7, 13):
                new.call += 1
                a, b = LEADS[new.call % len(LEADS)]
                # Products of two subnormal numbers are zero: only one of them is.
                second = "unit" if kind == "subnormal" else kind
                x = new("input", (*a, m, k), kind)
                yield {"input": x, "other": new("b", (*b, k, n), second)}


def _large_products(name: str) -> Iterator[Arguments]:
    new = Namer(name)
    for a, b in (
        ((12, 40, 64), (12, 64, 40)),
        ((200, 70), (70, 300)),
        ((1030, 20), (20, 1031)),
        ((2, 0, 5), (2, 5, 3)),
        ((2, 3, 0), (2, 0, 4)),
        ((0, 3, 2), (2, 4)),
        ((3, 2, 2), (2, 0)),
    ):
        new.call += 1
        yield {"input": new("input", a), "other": new("other", b)}


def matmul() -> list[Case]:
    kinds = ("unit", "wide", "subnormal", "sprinkled")
    names = [(f"matmul/{kind}", kind) for kind in kinds]
    cases = [Case(name, partial(_products, name, k), k != "sprinkled") for name, k in names]
    return [*cases, Case("matmul/large", partial(_large_products, "matmul/large"))]


def _rows(name: str, kind: str, corrections: tuple[int, ...]) -> Iterator[Arguments]:
    new = Namer(name)
    shapes: list[tuple[tuple[int, ...], int]] = [((3, n), -1) for n in ROWS if n > 1]
    shapes += [((7, 33), 0), ((3, 65, 5), 1), ((2, 3, 64, 17), -2), ((9,), 0), ((2, 130, 40), 1)]
    shapes += [((2, 1000), 1), ((0, 8), 1), ((3, 5, 0), 1), ((1030, 1029), 1), ((4, 300, 200), 1)]
    if kind == "unit":
        shapes += [((1 << 19, 3), 1), ((5, 2, 100_003), 1)]
    for shape, dim in shapes:
        new.call += 1
        call: Arguments = {"input": new("input", shape, kind), "dim": dim}
        if corrections:
            call["correction"] = corrections[new.call % len(corrections)]
        yield call


def reduction(op: str) -> list[Case]:
    corrections = (1, 0) if op == "var" else ()
    kinds = ("unit", "wide", "shifted", "subnormal", "sprinkled")
    names = [(f"{op}/{kind}", kind) for kind in kinds]
    return [Case(n, partial(_rows, n, k, corrections), k != "sprinkled") for n, k in names]


def function(op: str) -> list[Case]:
    return [Case(op, partial(elements, op, {}))]


EXPONENTS = (0.0, 1.0, 2.0, 3.0, -1.0, 0.5, -0.5, 0.75, 2.5, -7.0, 100.0, float("inf"))


def _powers(name: str) -> Iterator[Arguments]:
    new = Namer(name)
    for exponent in EXPONENTS:
        new.call += 1
        for kind, count in (("span", 5000), ("wide", 5000), ("sweep", 1 << 17), ("special", 2000)):
            yield {"input": new(f"input/{kind}", (count,), kind), "exponent": np.float32(exponent)}
    for base in (0.0, 1.0, 2.0, -2.0, 10000.0, float("nan")):
        new.call += 1
        yield {"input": np.float32(base), "exponent": new("exponent", (40, 50), "span")}
    for kind in ("span", "wide", "special"):
        new.call += 1
        yield {"input": new("input", (20000,), kind), "exponent": new("exponent", (20000,), kind)}
    values = SPECIAL.view(np.float32)
    yield {"input": values.repeat(32).reshape(32, 32), "exponent": np.tile(values, (32, 1))}


def power() -> list[Case]:
    return [Case("pow", partial(_powers, "pow"))]
