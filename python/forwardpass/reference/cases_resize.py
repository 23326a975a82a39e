"""The cases of resizing and of outer products; see ``cases``. Edges: 16 columns (a vector)."""

from __future__ import annotations

from collections.abc import Iterator
from functools import partial

import numpy as np

from .cases import Arguments, Case, Namer

SIDES = (1, 2, 3, 5, 15, 16, 17, 31, 32, 33, 47, 48, 49, 63, 64, 65, 80)
SIZES = (1, 2, 3, 4, 7, 15, 16, 17, 31, 32, 33, 48, 63, 64, 65, 100, 129)
SCALES = tuple(float(np.float32(s)) for s in (2.0, 0.5, 1.5, 1.3, 3.0, 0.7, 1.01))


def _products(name: str, kind: str) -> Iterator[Arguments]:
    new = Namer(name)
    for n in SIDES:
        for m in SIDES:
            new.call += 1
            rows = 1 + new.call % 3
            a, b = new("input1", (rows, n), kind), new("input2", (rows, m), kind)
            yield {"input1": a, "input2": b}
    shapes = [(0, 3, 4), (2, 0, 5), (2, 5, 0)]
    for rows, n, m in [*shapes, (300, 40, 70)] if kind == "unit" else shapes:
        new.call += 1
        yield {"input1": new("input1", (rows, n), kind), "input2": new("input2", (rows, m), kind)}


def outer_product() -> list[Case]:
    kinds = ("unit", "wide", "subnormal", "sprinkled", "special")
    names = [(f"outer_product/{kind}", kind) for kind in kinds]
    return [Case(name, partial(_products, name, k), k not in kinds[3:]) for name, k in names]


def _option(op: str, call: int) -> Arguments:
    return {"exact" if op == "resize_nearest" else "align_corners": bool(call % 2)}


def _sized(op: str, name: str, kind: str) -> Iterator[Arguments]:
    """Every pair of widths, with heights that grow, shrink and stay."""
    new = Namer(name)
    for width in SIZES:
        for target in SIZES if kind == "unit" else SIZES[::4]:
            height = 1 + new.call % 5
            for option in (0, 1):
                new.call += 1
                x = new("input", (2, height, width), kind)
                size = {"height": (3, height, 2 * height)[new.call % 3], "width": target}
                yield {"input": x, **size, **_option(op, option)}
    for shape in ((5, 33), (0, 5, 7), (2, 2, 2, 5)):
        new.call += 1
        yield {"input": new("input", shape, kind), "height": 7, "width": 9}


def _scaled(op: str, name: str) -> Iterator[Arguments]:
    """By factors, which count instead of the sizes."""
    new = Namer(name)
    for down in SCALES:
        for along in SCALES:
            for height, width in ((9, 40), (3, 33), (20, 101)):
                new.call += 1
                x = new("input", (2, height, width))
                size = {"height": max(1, int(height * down)), "width": max(1, int(width * along))}
                yield {"input": x, **size, "down": down, "along": along, **_option(op, new.call)}


def _large(op: str, name: str) -> Iterator[Arguments]:
    new = Namer(name)
    for shape, height, width in (((3, 97, 131), 300, 401), ((40, 60, 131), 97, 260)):
        for option in (0, 1):
            new.call += 1
            size = {"height": height, "width": width}
            yield {"input": new("input", shape), **size, **_option(op, option)}


def _resizing(op: str, special: bool) -> list[Case]:
    cases = []
    for kind in ("unit", "wide", "subnormal", "sprinkled", "special"):
        name = f"{op}/{kind}"
        finite = special or kind not in ("sprinkled", "special")
        cases.append(Case(name, partial(_sized, op, name, kind), finite))
    cases += [Case(f"{op}/scaled", partial(_scaled, op, f"{op}/scaled"))]
    return [*cases, Case(f"{op}/large", partial(_large, op, f"{op}/large"))]


def resize_nearest() -> list[Case]:
    return _resizing("resize_nearest", special=True)


def resize_linear() -> list[Case]:
    return _resizing("resize_linear", special=False)
