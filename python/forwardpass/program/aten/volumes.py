"""ATen's pooling of three dimensions: of planes, then along the first of the three; and transposed
convolutions of three, as convolutions of what they spread out.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

import numpy as np

from ..ir import Size
from .convolutions import numbers
from .table import aten, need_float32, unsupported
from .views import reshaped, transposed

if TYPE_CHECKING:
    from ..torch_converter import Converter, T


def _twice(
    c: Converter, x: T, y: T, op: str, args: dict[str, list[Any]], same: dict[str, Any]
) -> T:
    """op over the last two dimensions of five, then over the third; `args` have three each."""
    if len(x.shape) != 5:
        raise unsupported(f"{op} of three dimensions without a batch")
    batch, channels, depth, height, width = x.shape
    down, rows, columns = y.shape[2:]
    size, plane = Size("*", (batch, channels)), Size("*", (rows, columns))

    def pooled(z: T, shape: list[Any], axes: slice) -> T:
        parts = {key: value[axes] for key, value in args.items()}
        return c.emit(op, shape, y.dtype, x=z, **parts, **same)

    z = reshaped(c, x, [size, depth, height, width])
    z = pooled(z, [size, depth, rows, columns], slice(1, 3))
    z = transposed(c, reshaped(c, z, [size, depth, plane]), [0, 2, 1])
    z = pooled(z, [size, plane, down], slice(0, 1))
    return reshaped(c, transposed(c, z, [0, 2, 1]), y.shape)


def _windows(a: dict[str, Any], *more: str) -> dict[str, list[Any]]:
    given = {"kernel": a["kernel_size"], "stride": a["stride"] or a["kernel_size"]}
    given |= {key: a[key] for key in ("padding", *more)}
    return {key: numbers(value, 3) for key, value in given.items()}


@aten("max_pool3d", "max_pool3d_with_indices")
def _max(c: Converter, out: Any, a: dict[str, Any]) -> Any:
    several = not hasattr(out, "value")
    y = c.tensor(None, out[0]) if several else out
    args, same = _windows(a, "dilation"), {"ceil": a["ceil_mode"]}
    z = _twice(c, a["self"], y, "max_pool", args, same)
    return (z, None) if several else z


@aten("avg_pool3d")
def _avg(c: Converter, out: T, a: dict[str, Any]) -> Any:
    if a["divisor_override"] is not None:
        raise unsupported("aten.avg_pool3d.default with divisor_override")
    same = {"ceil": a["ceil_mode"], "count_padding": a["count_include_pad"], "divisor": None}
    return _twice(c, a["self"], out, "avg_pool", _windows(a), same)


@aten("adaptive_avg_pool3d", "_adaptive_avg_pool3d")
def _adaptive_avg(c: Converter, out: T, a: dict[str, Any]) -> Any:
    args = {"size": list(out.shape[-3:])}
    return _twice(c, a["self"], out, "adaptive_pool", args, {"largest": False})


@aten("adaptive_max_pool3d")
def _adaptive_max(c: Converter, out: Any, a: dict[str, Any]) -> Any:
    y = c.tensor(None, out[0])
    args = {"size": list(y.shape[-3:])}
    return _twice(c, a["self"], y, "adaptive_pool", args, {"largest": True}), None


def spread(c: Converter, out: T, a: dict[str, Any]) -> T:
    """Transposed: the input's elements `stride` apart, convolved with the kernel turned round."""
    need_float32(out, "a convolution")
    x, weight, groups = a["input"], a["weight"], a["groups"]
    if not c.is_constant(weight) or len(x.shape) != 5:
        raise unsupported("a transposed convolution of 3 dimensions, weight computed or no batch")
    stride, dilation = numbers(a["stride"], 3), numbers(a["dilation"], 3)
    padding, more = numbers(a["padding"], 3), numbers(a["output_padding"], 3)
    kernel = c.graph.constants[weight.value.name]
    around = [d * (k - 1) - p for d, k, p in zip(dilation, kernel.shape[2:], padding, strict=True)]
    if min(around) < 0:
        raise unsupported("a transposed convolution of 3 dimensions padded beyond its kernel")
    shape = list(x.shape[:2])
    for n, s, m in zip(x.shape[2:], stride, more, strict=True):
        shape.append(Size("+", (Size("*", (Size("+", (n, -1)), s)), 1 + m)))
    zeros = c.emit("full", shape, x.dtype, shape=shape, value=0.0, dtype=x.dtype)
    ends = [Size("+", (Size("*", (Size("+", (n, -1)), s)), 1))
            for n, s in zip(x.shape[2:], stride, strict=True)]  # fmt: skip
    key = [[None, None, None]] * 2 + [[None, e, s] for e, s in zip(ends, stride, strict=True)]
    wide = c.emit("place", shape, x.dtype, x=zeros, key=key, values=x)
    inside, outside = kernel.shape[0] // groups, kernel.shape[1]
    parts = kernel.reshape(groups, inside, outside, *kernel.shape[2:])
    turned = np.flip(parts.swapaxes(1, 2), (3, 4, 5)).reshape(-1, inside, *kernel.shape[2:])
    args = {"stride": [1, 1, 1], "padding": around, "dilation": dilation, "groups": groups}
    flipped = c.constant(np.ascontiguousarray(turned), f"{weight.value.name}.turned")
    return c.emit("conv3d", out.shape, out.dtype, x=wide, weight=flipped, bias=a["bias"], **args)


aten("conv_transpose3d.input")(spread)
