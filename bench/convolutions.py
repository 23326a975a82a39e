"""The cases of convolutions over images, and of transposed ones."""

from __future__ import annotations

import math
from collections.abc import Callable, Iterator
from functools import partial

from case import Arguments, Case
from forwardpass.reference.arrays import make

# channels, outputs, kernel, stride, height = width, groups: stems, stages and blocks of ResNets,
# MobileNets and vision transformers.
IMAGES = (
    (64, 64, 3, 1, 56, 1),
    (128, 128, 3, 1, 28, 1),
    (256, 256, 3, 1, 14, 1),
    (512, 512, 3, 1, 7, 1),
    (256, 64, 1, 1, 56, 1),
    (64, 256, 1, 1, 56, 1),
    (512, 2048, 1, 1, 7, 1),
    (256, 512, 1, 2, 56, 1),
    (96, 96, 3, 2, 112, 96),
    (144, 144, 3, 1, 56, 144),
    (96, 96, 7, 1, 56, 96),
    (3, 768, 16, 16, 224, 1),
    (3, 96, 4, 4, 224, 1),
    (32, 64, 5, 2, 56, 1),
    (3, 64, 7, 2, 224, 1),
    (3, 16, 3, 1, 64, 1),
)
# channels, outputs, kernel, stride, padding, length: HiFi-GAN's upsampling of 100 frames.
SIGNALS = (
    (256, 128, 16, 8, 4, 100),
    (128, 64, 16, 8, 4, 800),
    (64, 32, 4, 2, 1, 6400),
    (512, 256, 16, 8, 4, 100),
    (64, 32, 11, 5, 3, 1000),
)
# The same for images: decoders of U-Nets and of masks.
ENLARGED = ((64, 32, 4, 2, 1, 28), (256, 256, 2, 2, 0, 14), (64, 64, 3, 2, 1, 56))


def _arguments(op: str, channels: int, outputs: int, size: tuple[int, ...], k: int) -> Arguments:
    dims = len(size)
    groups = outputs if op == "depthwise" else 1
    first, second = (channels, outputs) if "transpose" in op else (outputs, channels // groups)
    weight = make(f"{op}/weight", (first, second, *(k,) * dims))
    fan_in = (channels if "transpose" in op else second) * k**dims
    weight *= weight.dtype.type(1.0 / math.sqrt(fan_in))
    return {
        "input": make(f"{op}/input", (1, channels, *size)),
        "weight": weight,
        "bias": make(f"{op}/bias", (outputs,)),
    }


def _image(channels: int, outputs: int, k: int, stride: int, size: int, groups: int) -> Case:
    padding = 0 if k == stride else k // 2
    more = {"stride": stride, "padding": padding, "dilation": 1, "groups": groups}
    op = "depthwise" if groups > 1 else "conv2d"
    side = (size + 2 * padding - k) // stride + 1
    shape = f"{channels}-{outputs}k{k}" + (f"s{stride}" if stride > 1 else "")
    shape += (f"g{groups}" if groups > 1 else "") + f"x{size}"
    taps = channels // groups * k * k
    moved = 4.0 * (channels * size**2 + outputs * (taps + 1) + outputs * side**2)

    def build() -> Arguments:
        return {**_arguments(op, channels, outputs, (size, size), k), **more}

    quick = (channels, outputs, k) == (64, 64, 3)
    return Case("conv2d", shape, "conv2d", build, moved, 2.0 * outputs * side**2 * taps, quick)


def conv2d() -> Iterator[Case]:
    for numbers in IMAGES:
        yield _image(*numbers)


def transposed(op: str) -> Iterator[Case]:
    dims = 1 if op == "conv_transpose1d" else 2
    for channels, outputs, k, stride, padding, size in SIGNALS if dims == 1 else ENLARGED:
        more = {"stride": stride, "padding": padding, "output_padding": 0, "groups": 1}
        side = (size - 1) * stride - 2 * padding + k
        shape = f"{channels}-{outputs}k{k}s{stride}" + (f"L{size}" if dims == 1 else f"x{size}")
        taps = outputs * k**dims
        moved = 4.0 * (channels * size**dims + channels * taps + outputs * side**dims)
        make_arrays = partial(_arguments, op, channels, outputs, (size,) * dims, k)

        def build(
            make_arrays: Callable[[], Arguments] = make_arrays, more: Arguments = more
        ) -> Arguments:
            return {**make_arrays(), **more, "dilation": 1}

        flop = 2.0 * channels * size**dims * taps
        yield Case(op, shape, op, build, moved, flop, quick=channels == 128)


GROUPS: dict[str, Callable[[], Iterator[Case]]] = {
    "conv2d": conv2d,
    **{op: partial(transposed, op) for op in ("conv_transpose1d", "conv_transpose2d")},
}
