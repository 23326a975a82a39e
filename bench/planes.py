"""The cases of images: pooling, and norms by channel."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from functools import partial

import numpy as np

from case import Arguments, Case
from forwardpass.reference.arrays import make

# (batch, channels, height, width), kernel, stride, padding: stems, stages and blocks of ResNets,
# DenseNets and U-Nets; the last is a mean over the whole plane.
POOLED = (
    ((1, 64, 112, 112), 3, 2, 1),
    ((1, 64, 56, 56), 2, 2, 0),
    ((1, 256, 56, 56), 2, 2, 0),
    ((8, 32, 28, 28), 2, 2, 0),
    ((1, 256, 14, 14), 3, 1, 1),
    ((1, 16, 300, 300), 5, 3, 2),
)
GLOBAL = (((1, 2048, 7, 7), 7, 7, 0), ((1, 64, 56, 56), 56, 56, 0))
NORMED = ((1, 64, 112, 112), (1, 256, 56, 56), (1, 512, 14, 14), (8, 64, 28, 28))
GROUPS_OF_CHANNELS = 32


def _label(shape: tuple[int, ...]) -> str:
    return "x".join(map(str, shape))


def _pool_arguments(
    op: str, shape: tuple[int, ...], kernel: int, stride: int, padding: int
) -> Arguments:
    windows = {"kernel_size": kernel, "stride": stride, "padding": padding}
    return {"input": make(f"{op}/input", shape), **windows}


def pooling(op: str) -> Iterator[Case]:
    for shape, kernel, stride, padding in (*POOLED, *(GLOBAL if op == "avg_pool2d" else ())):
        out = [(n + 2 * padding - kernel) // stride + 1 for n in shape[2:]]
        moved = 4.0 * shape[0] * shape[1] * (shape[2] * shape[3] + out[0] * out[1])
        name = f"{_label(shape)}k{kernel}s{stride}p{padding}"
        build = partial(_pool_arguments, op, shape, kernel, stride, padding)
        yield Case(op, name, op, build, moved, quick=shape == (1, 64, 112, 112))


def _norm_arguments(op: str, shape: tuple[int, ...]) -> Arguments:
    call: Arguments = {"input": make(f"{op}/input", shape)}
    if op == "group_norm":
        call["num_groups"] = GROUPS_OF_CHANNELS
    else:
        call["running_mean"] = make(f"{op}/mean", shape[1:2])
        call["running_var"] = np.abs(make(f"{op}/var", shape[1:2])) + np.float32(0.1)
    for name in ("weight", "bias"):
        call[name] = make(f"{op}/{name}", shape[1:2])
    return {**call, "eps": 1e-5}


def norm(op: str) -> Iterator[Case]:
    for shape in (*NORMED, *(((64, 256),) if op == "batch_norm" else ())):
        moved = 8.0 * float(np.prod(shape))
        build = partial(_norm_arguments, op, shape)
        yield Case(op, _label(shape), op, build, moved, quick=shape == (1, 256, 56, 56))


GROUPS: dict[str, Callable[[], Iterator[Case]]] = {
    **{op: partial(pooling, op) for op in ("max_pool2d", "avg_pool2d")},
    **{op: partial(norm, op) for op in ("batch_norm", "group_norm")},
}
