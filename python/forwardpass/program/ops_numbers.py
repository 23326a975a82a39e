"""Ops on numbers: arithmetic that is rounded once an element, through NumPy; sums and functions,
through our kernels. NumPy's own sum, exp and their like change their bits with the processor.
"""

from __future__ import annotations

import math
from collections.abc import Callable
from typing import Any

import numpy as np

from forwardpass import _core

from .ir import Array
from .ops import Packs, op, plain

# --- one correctly rounded operation an element, or none ---


def _where(condition: Array, a: Array, b: Array, out: Array | None = None) -> Array:
    if out is None:
        return np.where(condition, a, b)
    np.copyto(out, b)
    np.copyto(out, a, where=condition if condition.dtype == np.bool_ else condition != 0)
    return out


def _maximum(a: Array, b: Array, out: Array | None = None) -> Array:
    """a > b ? a : b, NaN wins: not np.maximum, in which one of two zeros wins by the processor."""
    return _where((a > b) | (a != a), a, b, out)


def _minimum(a: Array, b: Array, out: Array | None = None) -> Array:
    return _where((a < b) | (a != a), a, b, out)


def _rsqrt(x: Array, out: Array | None = None) -> Array:
    root = np.sqrt(x, out=out)
    return np.divide(np.float32(1), root, out=out)


def _reciprocal(x: Array, out: Array | None = None) -> Array:
    return np.divide(np.float32(1), x, out=out)


def _sign(x: Array, out: Array | None = None) -> Array:
    result = np.sign(x, out=out)
    return _where(x != x, x * 0, result, out) if x.dtype.kind == "f" else result


_DOUBLE: tuple[tuple[str, Callable[..., Any], str], ...] = (
    ("add", np.add, "a + b"),
    ("sub", np.subtract, "a - b"),
    ("mul", np.multiply, "a b"),
    ("div", np.divide, "a / b"),
    ("maximum", _maximum, "the larger of a and b"),
    ("minimum", _minimum, "the smaller of a and b"),
    ("floor_divide", np.floor_divide, "a / b, rounded down"),
    ("remainder", np.remainder, "a - b floor(a / b)"),
    ("fmod", np.fmod, "a - b trunc(a / b)"),
    ("eq", np.equal, "a == b"),
    ("ne", np.not_equal, "a != b"),
    ("lt", np.less, "a < b"),
    ("le", np.less_equal, "a <= b"),
    ("gt", np.greater, "a > b"),
    ("ge", np.greater_equal, "a >= b"),
    ("and", np.bitwise_and, "a and b, by bits"),
    ("or", np.bitwise_or, "a or b, by bits"),
    ("xor", np.bitwise_xor, "either, by bits"),
)
for _name, _fn, _text in _DOUBLE:
    plain(
        _name,
        _text,
        _fn,
        a="array",
        b="array",
    )

_SINGLE: tuple[tuple[str, Callable[..., Any], str], ...] = (
    ("neg", np.negative, "-x"),
    ("abs", np.abs, "|x|"),
    ("sqrt", np.sqrt, "the square root"),
    ("rsqrt", _rsqrt, "1 / the square root, two roundings"),
    ("reciprocal", _reciprocal, "1 / x"),
    ("floor", np.floor, "rounded down"),
    ("ceil", np.ceil, "rounded up"),
    ("round", np.rint, "rounded to the nearest, ties to even"),
    ("trunc", np.trunc, "rounded towards 0"),
    ("sign", _sign, "-1, 0 or 1"),
    ("not", np.invert, "not x, by bits"),
    ("isnan", np.isnan, "where x is NaN"),
    ("isinf", np.isinf, "where x is infinite"),
)
for _name, _fn, _text in _SINGLE:
    plain(_name, _text, _fn, x="array")

plain(
    "where",
    "a where the condition holds, else b",
    _where,
    condition="array",
    a="array",
    b="array",
)


@op("clamp", "x within [low, high]", x="array", low="number?", high="number?", float="bool")
def _clamp(
    packs: Packs, x: Any, low: float | None, high: float | None, float: bool
) -> tuple[Any, ...]:
    if float:
        bounds = (-math.inf if low is None else low, math.inf if high is None else high)
        if bounds[0] > bounds[1]:  # torch: then high everywhere
            bounds = (bounds[1], bounds[1])
        return _core.hardtanh, x, *bounds
    return np.clip, x, low, high


# --- kernels of ours: functions ---

for _name, _text in (
    ("exp", "e^x"), ("expm1", "e^x - 1"), ("log", "the natural logarithm"), ("log1p", "log(1 + x)"),
    ("sin", "the sine"), ("cos", "the cosine"), ("erf", "the error function"),
    ("relu", "max(x, 0)"),
    ("relu6", "min(max(x, 0), 6)"), ("silu", "x sigmoid(x)"), ("sigmoid", "1 / (1 + e^-x)"),
    ("tanh", "the hyperbolic tangent"), ("hardsigmoid", "min(max(x + 3, 0), 6) / 6"),
    ("hardswish", "x hardsigmoid(x)"), ("mish", "x tanh(softplus(x))"),
):  # fmt: skip
    plain(_name, _text, getattr(_core, _name), x="array")

plain("gelu", "x Phi(x), or its approximation", _core.gelu, x="array", approximate="str")
plain("leaky_relu", "x, or slope x below 0", _core.leaky_relu, x="array", slope="number")
plain("elu", "x, or alpha (e^x - 1) below 0", _core.elu, x="array", alpha="number")
plain(
    "softplus",
    "log(1 + e^(beta x)) / beta",
    _core.softplus,
    x="array",
    beta="number",
    threshold="number",
)
plain("prelu", "x, or weight x below 0", _core.prelu, x="array", weight="array")
plain("glu", "half of x times sigmoid of the other", _core.glu, x="array", dim="int")
plain("swiglu", "silu(gate) up", _core.swiglu, gate="array", up="array")


@op("pow", "x to a power", x="array", exponent="array")
def _pow(packs: Packs, x: Any, exponent: Any) -> tuple[Any, ...]:
    def power(base: Array, e: Array, out: Array | None = None) -> Array:
        if base.ndim and e.ndim and base.shape != e.shape:
            base, e = np.broadcast_arrays(base, e)
        return _core.pow(base, e, out)

    return power, x, exponent
