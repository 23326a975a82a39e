"""ATen's element-wise ops on one or two arrays, and comparisons."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

import torch

from ..ir import Size
from .table import Convert, aten, is_float, need_float32, unsupported

if TYPE_CHECKING:
    from ..torch_converter import Converter, T


def together(c: Converter, a: Any, b: Any) -> str:
    """The dtype in which torch works on two operands, tensors or numbers."""

    def like(x: Any) -> Any:
        if hasattr(x, "shape"):
            return torch.empty([1] * len(x.shape), dtype=getattr(torch, x.dtype))
        return 1 if isinstance(x, Size) else x

    return str(torch.result_type(like(a), like(b))).removeprefix("torch.")


def _binary(op: str, compares: bool = False, flipped: bool = False) -> Convert:
    def convert(c: Converter, out: T, a: dict[str, Any]) -> Any:
        x, y = a["self"], a["other"]
        dtype = together(c, x, y) if compares else out.dtype
        x, y = c.array(x, dtype), c.array(y, dtype)
        if flipped:
            x, y = y, x
        alpha = a.get("alpha", 1)
        if alpha != 1:
            y = c.like("mul", y, a=y, b=c.array(alpha, dtype))
        return c.emit(op, out.shape, out.dtype, a=x, b=y)

    return convert


for _names, _op in (
    (("add.Tensor", "add.Scalar"), "add"),
    (("sub.Tensor", "sub.Scalar"), "sub"),
    (("mul.Tensor", "mul.Scalar"), "mul"),
    (("maximum", "max.other"), "maximum"),
    (("minimum", "min.other"), "minimum"),
    (("remainder.Tensor", "remainder.Scalar"), "remainder"),
    (("fmod.Tensor", "fmod.Scalar"), "fmod"),
    (("floor_divide", "floor_divide.Scalar"), "floor_divide"),
    (("bitwise_and.Tensor", "bitwise_and.Scalar", "__and__.Tensor", "__and__.Scalar"), "and"),
    (("bitwise_or.Tensor", "bitwise_or.Scalar", "__or__.Tensor", "__or__.Scalar"), "or"),
    (("bitwise_xor.Tensor", "bitwise_xor.Scalar", "__xor__.Tensor"), "xor"),
):
    aten(*_names)(_binary(_op))
aten("rsub.Scalar", "rsub.Tensor")(_binary("sub", flipped=True))
for _name in ("eq", "ne", "lt", "le", "gt", "ge"):
    aten(f"{_name}.Tensor", f"{_name}.Scalar")(_binary(_name, compares=True))


@aten("div.Tensor", "div.Scalar", "div.Tensor_mode", "div.Scalar_mode", "true_divide.Tensor")
def _div(c: Converter, out: T, a: dict[str, Any]) -> Any:
    x, y = c.array(a["self"], out.dtype), c.array(a["other"], out.dtype)
    mode = a.get("rounding_mode")
    if mode == "floor":
        return c.emit("floor_divide", out.shape, out.dtype, a=x, b=y)
    if mode is None or is_float(out):
        z = c.emit("div", out.shape, out.dtype, a=x, b=y)
        return z if mode is None else c.like("trunc", z, x=z)
    rest = c.emit("fmod", out.shape, out.dtype, a=x, b=y)
    whole = c.emit("sub", out.shape, out.dtype, a=x, b=rest)
    return c.emit("floor_divide", out.shape, out.dtype, a=whole, b=y)


for _name in ("and", "or", "xor"):

    def _bools(c: Converter, out: T, a: dict[str, Any], name: str = _name) -> Any:
        x, y = (c.array(a[key], "bool") for key in ("self", "other"))
        return c.emit(name, out.shape, "bool", a=x, b=y)

    aten(f"logical_{_name}")(_bools)


@aten("logical_not", "bitwise_not")
def _not(c: Converter, out: T, a: dict[str, Any]) -> Any:
    return c.emit("not", out.shape, out.dtype, x=c.array(a["self"], out.dtype))


def _unary(op: str, kernel: bool) -> Convert:
    def convert(c: Converter, out: T, a: dict[str, Any]) -> Any:
        if kernel:
            need_float32(out, f"aten.{op}")
        x = a["self"]
        x = c.array(x, out.dtype) if op not in ("isnan", "isinf") else x
        if op in ("relu", "relu6") and not is_float(out):
            raise unsupported(f"aten.{op} of whole numbers")
        return c.emit(op, out.shape, out.dtype, x=x)

    return convert


for _name in (
    "neg",
    "abs",
    "sqrt",
    "rsqrt",
    "reciprocal",
    "floor",
    "ceil",
    "round",
    "trunc",
    "sign",
):
    aten(_name)(_unary(_name, False))
for _name in ("isnan", "isinf"):
    aten(_name)(_unary(_name, False))
for _name in ("exp", "expm1", "log", "log1p", "sin", "cos", "erf", "relu", "relu6", "silu",
              "sigmoid", "tanh", "hardsigmoid", "hardswish", "mish"):  # fmt: skip
    aten(_name)(_unary(_name, True))


@aten("square")
def _square(c: Converter, out: T, a: dict[str, Any]) -> Any:
    return c.like("mul", out, a=a["self"], b=a["self"])


@aten("hardtanh")
def _hardtanh(c: Converter, out: T, a: dict[str, Any]) -> Any:
    return _clamped(c, out, a["self"], a["min_val"], a["max_val"])


@aten("clamp", "clip", "clamp_min", "clamp_max")
def _clamp(c: Converter, out: T, a: dict[str, Any]) -> Any:
    return _clamped(c, out, a["self"], a.get("min"), a.get("max"))


def _clamped(c: Converter, out: T, x: T, low: Any, high: Any) -> Any:
    need_float32(out, "aten.clamp")
    x = c.array(x, out.dtype)
    return c.like("clamp", out, x=x, low=low, high=high, float=is_float(out))


@aten("clamp.Tensor", "clamp_min.Tensor", "clamp_max.Tensor")
def _clamp_by(c: Converter, out: T, a: dict[str, Any]) -> Any:
    x = c.array(a["self"], out.dtype)
    for key, op in (("min", "maximum"), ("max", "minimum")):
        if a.get(key) is not None:
            x = c.emit(op, out.shape, out.dtype, a=x, b=c.array(a[key], out.dtype))
    return x


@aten("pow.Tensor_Scalar", "pow.Tensor_Tensor", "pow.Scalar")
def _pow(c: Converter, out: T, a: dict[str, Any]) -> Any:
    base, e = a["self"], a["exponent"]
    if not is_float(out):
        if e == 2:
            return c.like("mul", out, a=base, b=base)
        raise unsupported("aten.pow of integers")
    if c.is_constant(e) and not e.shape:
        e = c.number(e)
    if isinstance(e, (int, float)):  # as torch does it
        base = c.array(base, out.dtype)
        if e == 1:
            return base
        if e in (0.5, -0.5):
            return c.like("sqrt" if e > 0 else "rsqrt", out, x=base)
        if e == -1:
            return c.like("reciprocal", out, x=base)
        if e in (2, 3, -2):
            y = c.like("mul", out, a=base, b=base)
            y = c.like("mul", out, a=y, b=base) if e == 3 else y
            return c.like("reciprocal", out, x=y) if e == -2 else y
    need_float32(out, "aten.pow")
    return c.like("pow", out, x=c.array(base, out.dtype), exponent=c.array(e, out.dtype))


@aten("where.self", "where.ScalarOther", "where.ScalarSelf", "where.Scalar")
def _where(c: Converter, out: T, a: dict[str, Any]) -> Any:
    condition = c.array(a["condition"], "bool")
    x, y = c.array(a["self"], out.dtype), c.array(a["other"], out.dtype)
    return c.emit("where", out.shape, out.dtype, condition=condition, a=x, b=y)


@aten("masked_fill.Scalar", "masked_fill.Tensor")
def _masked_fill(c: Converter, out: T, a: dict[str, Any]) -> Any:
    x, value = c.array(a["self"], out.dtype), c.array(a["value"], out.dtype)
    return c.emit("where", out.shape, out.dtype, condition=a["mask"], a=value, b=x)


@aten("lerp.Scalar")
def _lerp(c: Converter, out: T, a: dict[str, Any]) -> Any:
    d = c.like("sub", out, a=a["end"], b=a["self"])
    d = c.like("mul", out, a=d, b=c.array(a["weight"], out.dtype))
    return c.like("add", out, a=a["self"], b=d)
