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


def _maximum(a: Array, b: Array) -> Array:
    """a > b ? a : b, NaN wins: not np.maximum, in which one of two zeros wins by the processor."""
    return np.where((a > b) | (a != a), a, b)


def _minimum(a: Array, b: Array) -> Array:
    return np.where((a < b) | (a != a), a, b)


def _rsqrt(x: Array) -> Array:
    return np.divide(np.float32(1), np.sqrt(x))


def _sign(x: Array) -> Array:
    return np.where(x != x, x * 0, np.sign(x)) if x.dtype.kind == "f" else np.sign(x)


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
    ("reciprocal", lambda x: np.divide(np.float32(1), x), "1 / x"),
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
    np.where,
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
    def power(base: Array, e: Array) -> Array:
        if base.ndim and e.ndim and base.shape != e.shape:
            base, e = np.broadcast_arrays(base, e)
        return _core.pow(base, e)

    return power, x, exponent


# --- kernels of ours: sums ---


def _as_rows(dims: tuple[int, ...]) -> Callable[[Array], tuple[Array, int, tuple[int, ...]]]:
    """The dimensions to sum over as one, in memory order: (array, its dimension, shape left)."""

    def rows(x: Array) -> tuple[Array, int, tuple[int, ...]]:
        over = sorted(d % x.ndim for d in dims) if dims else list(range(x.ndim))
        keep = tuple(n for d, n in enumerate(x.shape) if d not in over)
        if over != list(range(over[0], over[-1] + 1)):  # apart: to the end
            x = x.transpose(*(d for d in range(x.ndim) if d not in over), *over)
            over = list(range(len(keep), x.ndim))
        n = math.prod(x.shape[d] for d in over)
        return x.reshape(*x.shape[: over[0]], n, *x.shape[over[-1] + 1 :]), over[0], keep

    return rows


def _kept(shape: tuple[int, ...], dims: tuple[int, ...]) -> tuple[int, ...]:
    over = {d % len(shape) for d in dims} if dims else set(range(len(shape)))
    return tuple(1 if d in over else n for d, n in enumerate(shape))


def _reduction(
    run: Callable[[Array, int], Array], x: Any, dims: tuple[int, ...], keep: bool
) -> tuple[Any, ...]:
    rows = _as_rows(dims)

    def reduce(array: Array) -> Array:
        if array.ndim == 0:
            return run(array.reshape(1), 0)
        flat, dim, _ = rows(array)
        result = run(flat, dim)
        return result.reshape(_kept(array.shape, dims)) if keep else result

    return reduce, x


@op("sum", "the sum over dimensions", x="array", dims="ints", keep="bool", float="bool")
def _sum(packs: Packs, x: Any, dims: tuple[int, ...], keep: bool, float: bool) -> tuple[Any, ...]:
    if float:
        return _reduction(_core.sum, x, dims, keep)
    return _reduction(
        lambda a, d: np.asarray(a.sum(axis=d, dtype=np.int64)), x, dims, keep
    )  # exact


@op("mean", "the mean over dimensions", x="array", dims="ints", keep="bool")
def _mean(packs: Packs, x: Any, dims: tuple[int, ...], keep: bool) -> tuple[Any, ...]:
    return _reduction(_core.mean, x, dims, keep)


@op("var", "the variance over dimensions", x="array", dims="ints", correction="int", keep="bool")
def _var(
    packs: Packs, x: Any, dims: tuple[int, ...], correction: int, keep: bool
) -> tuple[Any, ...]:
    return _reduction(lambda a, d: _core.var(a, d, correction), x, dims, keep)


@op(
    "extreme",
    "the largest or smallest over dimensions",
    x="array",
    dims="ints",
    largest="bool",
    keep="bool",
)
def _extreme(
    packs: Packs, x: Any, dims: tuple[int, ...], largest: bool, keep: bool
) -> tuple[Any, ...]:
    axes = dims or None

    def extreme(array: Array) -> Array:
        result = (np.max if largest else np.min)(array, axis=axes, keepdims=keep)
        return np.asarray(result if array.dtype.kind == "b" else result + array.dtype.type(0))

    return extreme, x  # + 0: a zero is +0, whichever of two the processor took


@op(
    "arg_extreme",
    "where the first largest or smallest is",
    x="array",
    dim="int?",
    largest="bool",
    keep="bool",
)
def _arg_extreme(
    packs: Packs, x: Any, dim: int | None, largest: bool, keep: bool
) -> tuple[Any, ...]:
    pick = np.argmax if largest else np.argmin

    def where(array: Array) -> Array:
        at = np.asarray(pick(array, axis=dim), dtype=np.int64)
        return np.expand_dims(at, dim) if keep and dim is not None else at

    return where, x


@op("logical", "whether all, or any, are not 0", x="array", dims="ints", every="bool", keep="bool")
def _logical(
    packs: Packs, x: Any, dims: tuple[int, ...], every: bool, keep: bool
) -> tuple[Any, ...]:
    run = np.all if every else np.any
    return (lambda array: np.asarray(run(array, axis=dims or None, keepdims=keep))), x


@op("cumsum", "running sums, in double, each rounded once", x="array", dim="int", float="bool")
def _cumsum(packs: Packs, x: Any, dim: int, float: bool) -> tuple[Any, ...]:
    def running(array: Array) -> Array:
        if array.ndim == 0:
            return array.copy()
        # accumulate has one order by definition, unlike sum
        total = np.add.accumulate(array, axis=dim, dtype=np.float64 if float else np.int64)
        return total.astype(np.float32) if float else total

    return running, x
