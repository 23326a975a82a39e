"""The cases of pooling; see ``cases``. Edges: 16 outputs, 64 columns (vectors), 8 rows (a tile)."""

from __future__ import annotations

from collections.abc import Iterator
from functools import partial
from typing import Any

from .cases import Arguments, Case, Namer

WIDTHS = (*range(3, 20), 31, 32, 33, 34, 47, 48, 49, 63, 64, 65, 66, 79, 80, 95, 127, 128, 129, 131)
WINDOWS: tuple[Arguments, ...] = (
    {"kernel_size": 2},
    {"kernel_size": 3, "stride": 2, "padding": 1},
    {"kernel_size": 3, "stride": 1, "padding": 1},
    {"kernel_size": (3, 2), "stride": (1, 3), "padding": (0, 1)},
    {"kernel_size": (1, 3), "stride": (2, 2), "ceil_mode": True},
    {"kernel_size": (3, 1), "stride": (1, 4), "padding": (1, 0), "ceil_mode": True},
)
DILATED: tuple[Arguments, ...] = (
    {"kernel_size": 2, "stride": 1, "dilation": 2},
    {"kernel_size": 2, "stride": 2, "dilation": (2, 1), "padding": 1},
    {"kernel_size": (2, 2), "stride": 3, "dilation": (1, 2), "padding": (1, 1), "ceil_mode": True},
)
UNCOUNTED: tuple[Arguments, ...] = (
    {"kernel_size": 3, "stride": 2, "padding": 1, "count_include_pad": False},
    {"kernel_size": 3, "stride": 2, "padding": 1, "ceil_mode": True},
    {"kernel_size": 2, "divisor_override": 3},
    {"kernel_size": 2, "stride": 3, "ceil_mode": True, "divisor_override": -7},
)


def _edges(name: str, windows: tuple[Arguments, ...]) -> Iterator[Arguments]:
    new = Namer(name)
    for more in windows:
        for width in WIDTHS:
            for height in (3, 9, 17):
                new.call += 1
                shape = (2, 3, height, width) if width % 2 else (3, height, width)
                yield {"input": new("input", shape), **more}
    for more in windows[:3]:
        new.call += 1
        yield {"input": new("input", (0, 2, 5, 5)), **more}


def _large(name: str, more: tuple[Arguments, ...]) -> Iterator[Arguments]:
    new = Namer(name)
    for window in more:
        new.call += 1
        yield {"input": new("input", (2, 70, 66, 131)), **window}


def _kind(name: str, kind: str) -> Iterator[Arguments]:
    new = Namer(name)
    for more in WINDOWS:
        for width in (5, 16, 17, 40, 64, 65, 130):
            new.call += 1
            yield {"input": new("input", (2, 2, 9, width), kind), **more}


def _cases(op: str, windows: tuple[Arguments, ...], special: bool) -> list[Case]:
    cases = [Case(f"{op}/edges", partial(_edges, f"{op}/edges", windows))]
    cases += [Case(f"{op}/large", partial(_large, f"{op}/large", windows[:3]))]
    for kind in ("wide", "subnormal", "sprinkled", "special"):
        finite = special or kind in ("wide", "subnormal")
        cases.append(Case(f"{op}/{kind}", partial(_kind, f"{op}/{kind}", kind), finite))
    return cases


def max_pool2d() -> list[Case]:
    return _cases("max_pool2d", WINDOWS + DILATED, special=True)


def avg_pool2d() -> list[Case]:
    return _cases("avg_pool2d", WINDOWS + UNCOUNTED, special=False)


def _adaptive(name: str) -> Iterator[Arguments]:
    new = Namer(name)
    for width in WIDTHS:
        for size in (1, (2, 3), (5, 1), (7, 7), (width, width), (0, 2)):
            new.call += 1
            yield {"input": new("input", (2, 3, width // 2 + 1, width)), "output_size": size}


def _adaptive_large(name: str) -> Iterator[Arguments]:
    new = Namer(name)
    for size in ((60, 128), (97, 131)):
        new.call += 1
        yield {"input": new("input", (60, 66, 131)), "output_size": size}


def adaptive_avg_pool2d() -> list[Case]:
    def case(kind: str, calls: Any) -> Case:
        name = f"adaptive_avg_pool2d/{kind}"
        return Case(name, partial(calls, name))

    return [case("edges", _adaptive), case("large", _adaptive_large)]
