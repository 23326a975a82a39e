"""ATen's functions that are made of others, a rounding each."""

from __future__ import annotations

import math
from collections.abc import Callable
from typing import TYPE_CHECKING, Any

from .table import Convert, aten, need_float32

if TYPE_CHECKING:
    from ..torch_converter import Converter, T


class Maker:
    """Writes nodes of one shape and dtype."""

    def __init__(self, c: Converter, out: T) -> None:
        self.c, self.out = c, out

    def one(self, op: str, x: Any) -> T:
        return self.c.like(op, self.out, x=x)

    def two(self, op: str, a: Any, b: Any) -> T:
        array = self.c.array
        return self.c.like(op, self.out, a=array(a, "float32"), b=array(b, "float32"))


def _function(name: str) -> Callable[[Callable[[Maker, Any], Any]], None]:
    """Puts a function of one array into the table."""

    def put(make: Callable[[Maker, Any], Any]) -> None:
        def convert(c: Converter, out: T, a: dict[str, Any]) -> Any:
            need_float32(out, f"aten.{name}")
            return make(Maker(c, out), c.array(a["self"], out.dtype))

        wrapped: Convert = convert
        aten(name)(wrapped)

    return put


@_function("log2")
def _log2(m: Maker, x: T) -> T:
    return m.two("div", m.one("log", x), math.log(2))


@_function("log10")
def _log10(m: Maker, x: T) -> T:
    return m.two("div", m.one("log", x), math.log(10))


@_function("exp2")
def _exp2(m: Maker, x: T) -> T:
    return m.c.like("pow", m.out, x=m.c.array(2.0, "float32"), exponent=x)


@_function("erfc")
def _erfc(m: Maker, x: T) -> T:
    return m.two("sub", 1.0, m.one("erf", x))


@_function("tan")
def _tan(m: Maker, x: T) -> T:
    return m.two("div", m.one("sin", x), m.one("cos", x))


@_function("sinh")
def _sinh(m: Maker, x: T) -> T:
    """(e + e / (e + 1)) / 2, e = exp(|x|) - 1, with the sign of x: nothing cancels"""
    e = m.one("expm1", m.one("abs", x))
    size = m.two("mul", m.two("add", e, m.two("div", e, m.two("add", e, 1.0))), 0.5)
    return m.two("mul", m.one("sign", x), size)


@_function("cosh")
def _cosh(m: Maker, x: T) -> T:
    both = m.two("add", m.one("exp", x), m.one("exp", m.one("neg", x)))
    return m.two("mul", both, 0.5)


@_function("atan")
def _atan(m: Maker, x: T) -> T:
    return m.two("atan2", x, 1.0)


def _leg(m: Maker, x: T) -> T:
    """sqrt((1 - x) (1 + x))"""
    product = m.two("mul", m.two("sub", 1.0, x), m.two("add", 1.0, x))
    return m.one("sqrt", product)


@_function("asin")
def _asin(m: Maker, x: T) -> T:
    return m.two("atan2", x, _leg(m, x))


@_function("acos")
def _acos(m: Maker, x: T) -> T:
    return m.two("atan2", _leg(m, x), x)


@aten("atan2")
def _atan2(c: Converter, out: T, a: dict[str, Any]) -> Any:
    need_float32(out, "aten.atan2")
    return Maker(c, out).two("atan2", a["self"], a["other"])


@aten("hypot")
def _hypot(c: Converter, out: T, a: dict[str, Any]) -> Any:
    need_float32(out, "aten.hypot")
    m = Maker(c, out)
    x, y = (c.like("mul", a[key], a=a[key], b=a[key]) for key in ("self", "other"))
    return m.one("sqrt", m.two("add", x, y))
