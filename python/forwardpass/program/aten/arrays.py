"""ATen ops that join and make arrays."""

from __future__ import annotations

import math
from typing import TYPE_CHECKING, Any

import numpy as np

from ..ir import Size
from .table import ATEN, Convert, aten, dim_of
from .views import expanded, flattened, reshaped

if TYPE_CHECKING:
    from ..torch_converter import Converter, T


# --- joins, copies, new arrays ---


@aten("cat", "concat", "concatenate")
def _cat(c: Converter, out: T, a: dict[str, Any]) -> Any:
    xs = [x for x in a["tensors"] if x.shape != (0,)]  # torch skips those
    if len(xs) == 1:
        return xs[0]
    xs = [c.array(x, out.dtype) for x in xs]
    return c.emit("cat", out.shape, out.dtype, xs=xs, dim=dim_of(a["dim"], out))


@aten("stack")
def _stack(c: Converter, out: T, a: dict[str, Any]) -> Any:
    xs = [c.array(x, out.dtype) for x in a["tensors"]]
    return c.emit("stack", out.shape, out.dtype, xs=xs, dim=dim_of(a["dim"], out))


@aten("repeat", "tile")
def _repeat(c: Converter, out: T, a: dict[str, Any]) -> Any:
    times = a["repeats"] if "repeats" in a else a["dims"]
    if all(t == 1 for t in times):
        return reshaped(c, a["self"], out.shape)
    return c.emit("repeat", out.shape, out.dtype, x=a["self"], times=times)


@aten("repeat_interleave.self_int")
def _repeat_each(c: Converter, out: T, a: dict[str, Any]) -> Any:
    x, dim = a["self"], a["dim"]
    if dim is None:
        x, dim = flattened(c, x), 0
    dim = dim_of(dim, x)
    return c.emit("repeat_each", out.shape, out.dtype, x=x, times=a["repeats"], dim=dim)


def _padding(mode: str) -> Convert:
    def pad(c: Converter, out: T, a: dict[str, Any]) -> Any:
        kind = mode or a["mode"]
        widths = a.get("pad", a.get("padding"))
        value = a.get("value") or 0
        return c.emit("pad", out.shape, out.dtype, x=a["self"], pad=widths, mode=kind, value=value)

    return pad


aten("constant_pad_nd")(_padding("constant"))
aten("pad")(_padding(""))
aten("reflection_pad1d", "reflection_pad2d")(_padding("reflect"))
aten("replication_pad1d", "replication_pad2d")(_padding("replicate"))


def filled(c: Converter, out: T, value: Any) -> T:
    fixed = all(isinstance(n, int) for n in out.shape) and not isinstance(value, Size)
    if fixed and math.prod(out.shape) <= 1:
        return c.constant(np.full(out.shape, value, out.dtype))
    return c.emit("full", out.shape, out.dtype, shape=list(out.shape), value=value, dtype=out.dtype)


@aten("full", "full_like", "new_full", "scalar_tensor", "fill.Scalar")
def _full(c: Converter, out: T, a: dict[str, Any]) -> Any:
    value = a.get("fill_value", a.get("value", a.get("s")))
    return filled(c, out, value)


@aten("zeros", "zeros_like", "new_zeros", "zero", "empty.memory_format", "empty_like", "new_empty")
def _zeros(c: Converter, out: T, a: dict[str, Any]) -> Any:
    return filled(c, out, False if out.dtype == "bool" else 0)


@aten("ones", "ones_like", "new_ones")
def _ones(c: Converter, out: T, a: dict[str, Any]) -> Any:
    return filled(c, out, True if out.dtype == "bool" else 1)


@aten("arange", "arange.start", "arange.start_step")
def _arange(c: Converter, out: T, a: dict[str, Any]) -> Any:
    start, step = a.get("start", 0), a.get("step", 1)
    return c.emit(
        "arange", out.shape, out.dtype, start=start, stop=a["end"], step=step, dtype=out.dtype
    )


def _triangle(upper: bool) -> Convert:
    def convert(c: Converter, out: T, a: dict[str, Any]) -> Any:
        return c.like("triangle", out, x=a["self"], diagonal=a["diagonal"], upper=upper)

    return convert


aten("tril")(_triangle(False))
aten("triu")(_triangle(True))


@aten(
    "to.dtype",
    "to.dtype_layout",
    "_to_copy",
    "type_as",
    "to.device",
    "to.other",
    "to",
    "prims.convert_element_type",
)
def _cast(c: Converter, out: T, a: dict[str, Any]) -> Any:
    return c.array(a["self"], out.dtype)


ATEN["prims.convert_element_type.default"] = lambda c, out, a: c.array(a["a"], out.dtype)


@aten("copy")
def _copy(c: Converter, out: T, a: dict[str, Any]) -> Any:
    return expanded(c, c.array(a["src"], out.dtype), out.shape)
