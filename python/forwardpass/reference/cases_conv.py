"""The cases of conv2d and the transposed convolutions; see ``cases`` for what matters.

Edges beside those of conv1d: rows of the grid that end within a vector, so that vectors run along
rows, across them over what lies between, or across rows that touch (cpp/ops/conv2d.cpp chooses by
cost); wide and tall inputs that are cut to tiles; phases without a tap, of unequal numbers of taps,
and as many as are interleaved by shuffles (1, 2, 4, 8) or one by one.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator, Sequence
from functools import partial
from typing import Any

from .arrays import uniform
from .cases import Arguments, Case, Namer
from .cases_products import ACTIVATIONS, _choose
from .convolutions import pair

Calls = Callable[[str], Iterator[Arguments]]


def _call(
    new: Namer,
    batch: int,
    channels: tuple[int, int],
    size: Sequence[int],
    kernel: Sequence[int],
    kind: str = "unit",
    transposed: bool = False,
    **more: Any,
) -> Arguments:
    """size and kernel: one number a dimension. A residual is for results of the input's size."""
    new.call += 1
    groups = more.get("groups", 1)
    inner, outer = channels
    call: Arguments = {"input": new("input", (batch, inner, *size), kind)}
    first, second = (inner, outer) if transposed else (outer, inner)
    weight_kind = "unit" if kind == "subnormal" else kind
    call["weight"] = new("weight", (first, second // groups, *kernel), weight_kind)
    call["bias"] = new("bias", (outer,), kind) if new.call % 4 else None
    if more.pop("residual", False):
        call["residual"] = new("residual", (batch, outer, *size), kind)
    return {**call, **more}


def _fits(size: Sequence[int], kernel: Sequence[int], more: Arguments) -> bool:
    """A convolution has an output."""
    around, spread = pair(more.get("padding", 0)), pair(more.get("dilation", 1))
    return all(
        n + 2 * p > d * (k - 1) for n, p, d, k in zip(size, around, spread, kernel, strict=True)
    )


# --- conv2d ---


def _sizes(name: str, kernel: tuple[int, int]) -> Iterator[Arguments]:
    new = Namer(name)
    for cols in (*range(1, 20), 23, 24, 25, 31, 32, 33, 47, 48, 49, 56, 65):
        for rows in (1, 2, 7, 13):
            around = (kernel[0] // 2, kernel[1] // 2)
            yield _call(new, 1, (3, 9), (rows, cols), kernel, padding=around)


def _channels(name: str) -> Iterator[Arguments]:
    new = Namer(name)
    for outputs in (1, 2, 3, 5, 6, 7, 8, 9, 12, 13, 16, 17, 25, 48):
        for inner in (1, 2, 5, 16):
            yield _call(new, 1, (inner, outputs), (11, 14), (3, 3), padding=1)
            yield _call(new, 2, (inner, outputs), (7, 9), (1, 1))


def _strides(name: str) -> Iterator[Arguments]:
    new = Namer(name)
    for stride in (1, 2, 3, 4, (1, 2), (3, 1), (2, 5)):
        for kernel in ((1, 1), (2, 2), (3, 3), (5, 4), (7, 7), (1, 8)):
            for size in ((9, 12), (17, 33), (28, 50)):
                more: Arguments = {"stride": stride, "padding": new.call % 3}
                more["dilation"] = (1, 1, 2, (2, 1))[new.call % 4]
                if _fits(size, kernel, more):
                    yield _call(new, 1, (3, 7), size, kernel, **more)


def _patches(name: str) -> Iterator[Arguments]:
    """Kernel = stride: what a vision transformer begins with."""
    new = Namer(name)
    for patch in (2, 4, 7, 8, 14, 16):
        for outputs, count in ((9, (3, 5)), (24, (4, 14))):
            size = (patch * count[0], patch * count[1] + patch // 2)
            yield _call(new, 2, (3, outputs), size, (patch, patch), stride=patch)


def _named_padding(name: str) -> Iterator[Arguments]:
    new = Namer(name)
    for kernel in ((1, 1), (2, 3), (3, 3), (4, 4), (5, 2)):
        for dilation in (1, 2, (1, 3)):
            for padding in ("same", "valid"):
                more: Arguments = {"padding": padding, "dilation": dilation}
                yield _call(new, 1, (4, 6), (13, 21), kernel, **more)


def _groups(name: str) -> Iterator[Arguments]:
    new = Namer(name)
    for groups, inner, outer in ((2, 1, 1), (2, 3, 5), (3, 2, 8), (4, 8, 9), (8, 2, 1)):
        for kernel in ((1, 1), (3, 3)):
            shape = (groups * inner, groups * outer)
            yield _call(new, 2, shape, (9, 15), kernel, groups=groups, padding=1)
            yield _call(new, 1, shape, (12, 30), kernel, groups=groups, stride=2)


def _depthwise(name: str) -> Iterator[Arguments]:
    new = Namer(name)
    for channels in (1, 2, 7, 16, 33):
        for kernel in (1, 3, 5, 7):
            for size in ((7, 7), (14, 14), (15, 33), (28, 28)):
                shape = (channels, channels * (1 + new.call % 2))
                more: Arguments = {"groups": channels, "padding": kernel // 2}
                yield _call(new, 1, shape, size, (kernel, kernel), **more)
                yield _call(new, 1, shape, size, (kernel, kernel), stride=2, **more)


def _fused(name: str, activation: str | None) -> Iterator[Arguments]:
    new = Namer(name)
    for channels, size, kernel in (
        ((1, 1), (5, 17), (3, 3)),
        ((3, 6), (9, 16), (1, 1)),
        ((4, 9), (14, 14), (2, 4)),
        ((8, 16), (7, 7), (3, 3)),
    ):
        for residual in (False, True):
            more: Arguments = {"activation": activation, "residual": residual, "padding": "same"}
            yield _call(new, 2, channels, size, kernel, "span", **more)


def _odd(name: str) -> Iterator[Arguments]:
    """Unbatched, no batch, no channels, one output, padding alone, one row, one column, large."""
    new = Namer(name)
    unbatched = _call(new, 1, (3, 5), (12, 20), (3, 3))
    yield {**unbatched, "input": unbatched["input"][0]}
    yield _call(new, 0, (3, 5), (12, 20), (3, 3))
    yield _call(new, 1, (0, 5), (4, 6), (3, 3))
    yield _call(new, 1, (3, 5), (12, 20), (12, 20))
    yield _call(new, 1, (2, 5), (1, 1), (3, 3), padding=8, dilation=8)
    yield _call(new, 1, (3, 5), (1, 300), (1, 5), padding=(0, 2))
    yield _call(new, 1, (3, 5), (300, 1), (5, 1), padding=(2, 0))
    yield _call(new, 1, (64, 64), (30, 56), (3, 3), padding=1)
    yield _call(new, 1, (96, 24), (56, 56), (1, 1))
    yield _call(new, 1, (16, 8), (16, 64), (1, 1))  # channels 4096 bytes apart
    yield _call(new, 1, (40, 12), (6, 900), (3, 3), padding=1)  # rows in pieces
    yield _call(new, 1, (256, 24), (14, 14), (3, 3), padding=1)
    yield _call(new, 1, (3, 64), (112, 112), (7, 7), stride=2, padding=3)
    yield _call(new, 1, (96, 96), (56, 56), (3, 3), stride=2, padding=1, groups=96)


def _mixed(name: str, kind: str) -> Iterator[Arguments]:
    new = Namer(name)
    draw = iter(uniform(11, 10000).tolist())
    while new.call < 60:
        groups = _choose(next(draw), (1, 1, 1, 2, 3))
        channels = (
            groups * _choose(next(draw), (1, 2, 4, 5)),
            groups * _choose(next(draw), (1, 3, 8, 9, 17)),
        )
        two = [(1, 2, 3, 4, 5), (1, 2, 3, 4, 5)]
        kernel = tuple(_choose(next(draw), options) for options in two)
        size = tuple(_choose(next(draw), (1, 7, 14, 16, 19, 33)) for _ in range(2))
        more: Arguments = {
            word: tuple(_choose(next(draw), options) for _ in range(2))
            for word, options in (
                ("stride", (1, 1, 2, 3)),
                ("padding", (0, 1, 2)),
                ("dilation", (1, 1, 2)),
            )
        }
        if _fits(size, kernel, more):
            yield _call(new, 2, channels, size, kernel, kind, groups=groups, **more)


def _many(name: str, kind: str) -> Iterator[Arguments]:
    """Channels enough for another kernel: small planes, steps, windows wider than the input."""
    new = Namer(name)
    for channels, size, kernel, more in (
        ((64, 32), (7, 7), (3, 3), {"padding": 1}),
        ((30, 80), (12, 13), (3, 3), {"padding": 4, "dilation": (4, 3)}),
        ((70, 16), (9, 8), (2, 5), {"stride": (2, 3), "padding": (1, 2)}),
        ((40, 16), (3, 2), (7, 7), {"padding": 3}),
        ((3, 48), (32, 48), (16, 16), {"stride": 16}),
        ((520, 64), (5, 5), (1, 1), {}),
        ((1100, 32), (15, 15), (3, 3), {"padding": 1, "stride": 3}),
        ((96, 64), (11, 10), (5, 5), {"padding": 2, "groups": 2}),
    ):
        yield _call(new, 1, channels, size, kernel, kind, **more)


def conv2d() -> list[Case]:
    named: list[tuple[str, Calls]] = []
    for kernel in ((1, 1), (3, 3), (2, 5)):
        label = f"conv2d/size/k{kernel[0]}x{kernel[1]}"
        named.append((label, partial(_sizes, kernel=kernel)))
    for part in (_channels, _strides, _patches, _named_padding, _groups, _depthwise, _odd):
        named.append((f"conv2d/{part.__name__[1:]}", part))
    for activation in ACTIVATIONS:
        label = f"conv2d/fused/{activation or 'none'}"
        named.append((label, partial(_fused, activation=activation)))
    for kind in ("unit", "wide", "subnormal", "sprinkled"):
        named.append((f"conv2d/mixed/{kind}", partial(_mixed, kind=kind)))
    for kind in ("unit", "subnormal", "sprinkled"):
        named.append((f"conv2d/many/{kind}", partial(_many, kind=kind)))
    return [Case(name, partial(calls, name), "sprinkled" not in name) for name, calls in named]


# --- transposed ---


def _transposed_fits(size: Sequence[int], kernel: Sequence[int], more: Arguments) -> bool:
    """The result is not empty, and output_padding is allowed."""
    words = (pair(more.get(w, d)) for w, d in (("stride", 1), ("padding", 0), ("dilation", 1)))
    step, cut, spread = words
    extra = pair(more.get("output_padding", 0))
    dims = len(size)
    return all(
        (n - 1) * s - 2 * p + d * (k - 1) + e + 1 > 0 and e < max(s, d)
        for n, k, s, p, d, e in zip(
            size, kernel, step[-dims:], cut[-dims:], spread[-dims:], extra[-dims:], strict=True
        )
    )


def _upsampled(name: str, dims: int) -> Iterator[Arguments]:
    """Every way to interleave; phases with more, fewer and no taps; a length beside each vector."""
    new = Namer(name)
    for stride in (1, 2, 3, 4, 5, 8, 11):
        for kernel in (1, 2, 3, 4, 7, 8, 16):
            for length in (1, 2, 15, 16, 17, 33, 49, 100) if dims == 1 else (1, 7, 17):
                size = (length,) if dims == 1 else (1 + new.call % 5, length)
                kernels = (kernel,) if dims == 1 else (1 + new.call % 4, kernel)
                more: Arguments = {"stride": stride, "padding": new.call % 3}
                more["dilation"] = (1, 1, 1, 2, 3)[new.call % 5]
                more["output_padding"] = new.call % max(stride, more["dilation"])
                if _transposed_fits(size, kernels, more):
                    yield _call(new, 1, (3, 9), size, kernels, transposed=True, **more)
                else:
                    new.call += 1


def _transposed_channels(name: str, dims: int) -> Iterator[Arguments]:
    new = Namer(name)
    size, kernel = ((37,), (4,)) if dims == 1 else ((6, 19), (4, 3))
    for outputs in (1, 2, 3, 5, 6, 7, 8, 9, 13, 16, 17, 25):
        for inner in (1, 4, 16):
            shape = (inner, outputs)
            yield _call(new, 2, shape, size, kernel, transposed=True, stride=2, padding=1)
            shape = (3 * inner, 3 * outputs)
            more: Arguments = {"groups": 3, "stride": 3}
            yield _call(new, 1, shape, size, kernel, transposed=True, **more)


def _transposed_fused(name: str, dims: int, activation: str | None) -> Iterator[Arguments]:
    new = Namer(name)
    size = (45,) if dims == 1 else (6, 19)
    for channels, kernel, groups in (
        ((1, 1), 3, 1),
        ((4, 9), 5, 1),
        ((8, 16), 1, 1),
        ((6, 6), 3, 6),
    ):
        more: Arguments = {"activation": activation, "padding": kernel // 2, "groups": groups}
        for residual in (False, True):
            kernels = (kernel,) * dims
            yield _call(new, 2, channels, size, kernels, "span", True, residual=residual, **more)
        yield _call(new, 2, channels, size, (kernel,) * dims, "span", True, stride=2, **more)


def _transposed_odd(name: str, dims: int) -> Iterator[Arguments]:
    """Unbatched, no batch, no channels, a stride past the kernel, HiFi-GAN's, large."""
    new = Namer(name)
    size, kernel = ((30,), (4,)) if dims == 1 else ((5, 9), (4, 4))
    unbatched = _call(new, 1, (3, 5), size, kernel, transposed=True, stride=2)
    yield {**unbatched, "input": unbatched["input"][0]}
    yield _call(new, 0, (3, 5), size, kernel, transposed=True)
    yield _call(new, 1, (0, 5), size, kernel, transposed=True, stride=2)
    yield _call(new, 1, (2, 3), size, kernel, transposed=True, stride=40)
    yield _call(new, 1, (2, 3), (1,) * dims, kernel, transposed=True, stride=7, padding=1)
    if dims == 1:
        more: Arguments = {"stride": 8, "padding": 4}
        yield _call(new, 1, (64, 32), (100,), (16,), transposed=True, **more)
        yield _call(new, 1, (32, 16), (1600,), (4,), transposed=True, stride=2, padding=1)
        yield _call(new, 1, (257, 1), (40,), (400,), transposed=True, stride=160)
        yield _call(new, 1, (4, 4), (20000,), (4,), transposed=True, stride=2, padding=1)
    else:
        yield _call(new, 1, (64, 32), (28, 28), (4, 4), transposed=True, stride=2, padding=1)
        yield _call(new, 1, (32, 16), (40, 90), (2, 2), transposed=True, stride=2)
        yield _call(new, 1, (64, 4), (3, 1500), (3, 3), transposed=True, stride=(1, 2))


def _transposed_mixed(name: str, dims: int, kind: str) -> Iterator[Arguments]:
    new = Namer(name)
    draw = iter(uniform(13 + dims, 10000).tolist())
    while new.call < 60:
        groups = _choose(next(draw), (1, 1, 1, 2, 3))
        channels = (
            groups * _choose(next(draw), (1, 2, 4, 5)),
            groups * _choose(next(draw), (1, 3, 8, 9, 17)),
        )
        kernel = tuple(_choose(next(draw), (1, 2, 3, 4, 5)) for _ in range(dims))
        size = tuple(_choose(next(draw), (1, 7, 14, 16, 19, 33)) for _ in range(dims))
        more: Arguments = {
            word: tuple(_choose(next(draw), options) for _ in range(dims))
            for word, options in (
                ("stride", (1, 2, 2, 3, 4)),
                ("padding", (0, 1, 2)),
                ("dilation", (1, 1, 2)),
                ("output_padding", (0, 0, 1)),
            )
        }
        if _transposed_fits(size, kernel, more):
            yield _call(new, 2, channels, size, kernel, kind, True, groups=groups, **more)


def transposed(dims: int) -> list[Case]:
    op = f"conv_transpose{dims}d"
    named: list[tuple[str, Calls]] = [
        (f"{op}/upsampled", partial(_upsampled, dims=dims)),
        (f"{op}/channels", partial(_transposed_channels, dims=dims)),
        (f"{op}/odd", partial(_transposed_odd, dims=dims)),
    ]
    for activation in ACTIVATIONS:
        label = f"{op}/fused/{activation or 'none'}"
        named.append((label, partial(_transposed_fused, dims=dims, activation=activation)))
    for kind in ("unit", "wide", "subnormal", "sprinkled"):
        calls = partial(_transposed_mixed, dims=dims, kind=kind)
        named.append((f"{op}/mixed/{kind}", calls))
    return [Case(name, partial(calls, name), "sprinkled" not in name) for name, calls in named]
