"""ATen's products."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

from .table import aten, need_float32, unsupported
from .views import transposed

if TYPE_CHECKING:
    from ..torch_converter import Converter, T


PLAIN = {"activation": None, "slope": 0.01, "residual": None}


def turned(c: Converter, x: T) -> T:
    """The transpose of a matrix; of a constant, a constant."""
    if c.is_constant(x):
        name = f"{x.value.name}.T"
        if name in c.graph.constants:
            shape = c.graph.constants[name].shape
            return type(x)(type(x.value)(name), shape, x.dtype)
        return c.constant(c.graph.constants[x.value.name].T.copy(), name)
    return transposed(c, x, [1, 0])


@aten("linear")
def _linear(c: Converter, out: T, a: dict[str, Any]) -> Any:
    return linear(c, out, a["input"], a["weight"], a["bias"])


def linear(c: Converter, out: T, x: T, weight: T, bias: T | None) -> T:
    need_float32(out, "aten.linear")
    if len(weight.shape) != 2 or len(x.shape) == 0:
        raise unsupported("aten.linear.default with a weight of one dimension")
    return c.emit("linear", out.shape, out.dtype, x=x, weight=weight, bias=bias, **PLAIN)


@aten("addmm")
def _addmm(c: Converter, out: T, a: dict[str, Any]) -> Any:
    bias = a["self"]
    if a["beta"] == a["alpha"] == 1 and len(bias.shape) == 1 and bias.shape[0] == out.shape[1]:
        return linear(c, out, a["mat1"], turned(c, a["mat2"]), bias)
    y = product(c, out, a["mat1"], a["mat2"])
    return _scaled_sum(c, out, y, a)


def _scaled_sum(c: Converter, out: T, y: T, a: dict[str, Any]) -> T:
    """beta self + alpha y"""
    x = a["self"]
    if a["alpha"] != 1:
        y = c.like("mul", y, a=y, b=c.array(a["alpha"], out.dtype))
    if a["beta"] != 1:
        x = c.like("mul", x, a=x, b=c.array(a["beta"], out.dtype))
    return c.emit("add", out.shape, out.dtype, a=x, b=y)


@aten("baddbmm")
def _baddbmm(c: Converter, out: T, a: dict[str, Any]) -> Any:
    return _scaled_sum(c, out, product(c, out, a["batch1"], a["batch2"]), a)


def product(c: Converter, out: T, x: T, y: T) -> T:
    need_float32(out, "aten.matmul")
    if c.is_constant(y) and len(y.shape) == 2:
        return linear(c, out, x, turned(c, y), None)
    return c.emit("matmul", out.shape, out.dtype, a=x, b=y)


@aten("mm", "bmm", "matmul")
def _matmul(c: Converter, out: T, a: dict[str, Any]) -> Any:
    x: Any = a["self"]
    y: Any = a.get("mat2", a.get("other"))
    if len(x.shape) >= 2 and len(y.shape) >= 2:
        return product(c, out, x, y)
    need_float32(out, "aten.matmul")
    return c.emit("dot", out.shape, out.dtype, a=x, b=y)


@aten("mv", "dot")
def _dot(c: Converter, out: T, a: dict[str, Any]) -> Any:
    need_float32(out, "aten.dot")
    return c.emit("dot", out.shape, out.dtype, a=a["self"], b=a.get("vec", a.get("tensor")))
