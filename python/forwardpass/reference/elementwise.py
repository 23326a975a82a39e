"""Element-wise operators in float64, each with its bound.

Where a bound is in ULP it is of the exact result, subnormal spacing (2^-149) included; infinities
and NaN follow torch. Bounds in ULP (docs/numerics.md): exp 1.5; expm1, log, log1p 2; erf, tanh,
sigmoid 2.5; gelu 4 for x >= -5; gelu_tanh 4 for x >= -1. The rest is derived here:

silu      max(x, 0) - |x| / (1 + e^|x|). The exponential is good to 4 u, the sum with 1 and the
          quotient round once each: 6 u for x < 0, where the difference only changes the sign. For
          x > 0 the quotient is e^-x of the result and its e^|x| counts with weight 1/(1 + e^-x):
          at most 2 + 2, and the difference's rounding. So gamma(6) on both sides.
          Underflow: at most 2^-148 in a factor of |x|, then the last step's eta.
gelu      below -5 relative 1e-5: x Phi(x) with Phi by exp(-x^2/2), whose argument's rounding is
          amplified by x^2/2. Underflow as for silu.
gelu_tanh below -1 relative 2^-22 (1 + |2 u|), u = sqrt(2/pi)(x + 0.044715 x^3): the rounding of
          the argument of exp is amplified by the argument. Underflow as for silu.
relu, relu6  exact.  leaky_relu: one product, u |y| + eta on the negative side.
hardsigmoid  x + 3 and the quotient round once each: gamma(2), and eta; hardswish: one product more.
mish      x p / q. e = exp(-|x|) is good to 3 u. Below 0 e + 2 is good to 2 u, p to 6 u, and p / q,
          whose relative slope in p is 2 / (p + 2), to 8 u; above 0 p to 3 u, q to 5.6 u. With the
          quotient and the product at most 10.6 u: gamma(11). Underflow of e as for silu.
"""

from __future__ import annotations

import math
from collections.abc import Callable
from typing import Any

import numpy as np

from .bounds import ETA, F64, UNIT, Bounded, float64, gamma, ulp

_erf = np.vectorize(math.erf, otypes=[np.float64])
_erfc = np.vectorize(math.erfc, otypes=[np.float64])
_ROOT_HALF = math.sqrt(0.5)

ULPS = {"exp": 1.5, "expm1": 2.0, "log": 2.0, "log1p": 2.0, "erf": 2.5, "tanh": 2.5, "sigmoid": 2.5}

ROUNDINGS = {"hardsigmoid": 2, "hardswish": 3}

# max |f'|: how far an error in the argument can carry. gelu: at sqrt(2), silu: at 2.3994, mish: at
# 1.49, hardswish: just below 3.
LIPSCHITZ = {
    "relu": 1.0,
    "relu6": 1.0,
    "hardsigmoid": 1 / 6,
    "hardswish": 1.5,
    "mish": 1.09,
    "gelu": 1.13,
    "gelu_tanh": 1.13,
    "silu": 1.1,
    "sigmoid": 0.25,
    "tanh": 1.0,
}


def _sigmoid_exact(x: F64) -> F64:
    e = np.exp(-np.abs(x))
    return np.asarray(np.where(x >= 0, 1.0, e) / (1.0 + e))


def _gelu_exact(x: F64) -> F64:
    """x Phi(x) = x erfc(-x / sqrt 2) / 2: no cancellation on either side."""
    return np.asarray(0.5 * x * _erfc(-x * _ROOT_HALF)) if x.size else x


def _mish_exact(x: F64) -> F64:
    e = np.exp(-np.abs(x))
    p = np.where(x < 0, e * (e + 2), 1 + 2 * e)
    return np.asarray(x * (p / (p + np.where(x < 0, 2.0, 2 * e * e))))


def _hardsigmoid_exact(x: F64) -> F64:
    return np.asarray(np.clip(x + 3, 0, 6) / 6)


def _tanh_argument(x: F64) -> F64:
    return np.asarray(math.sqrt(2.0 / math.pi) * (x + 0.044715 * x * x * x))


EXACT: dict[str, Callable[[F64], F64]] = {
    "exp": np.exp,
    "expm1": np.expm1,
    "log": np.log,
    "log1p": np.log1p,
    "erf": lambda x: np.asarray(_erf(x)) if x.size else x,
    "tanh": np.tanh,
    "sigmoid": _sigmoid_exact,
    "relu": lambda x: np.asarray(np.where(x <= 0, 0.0, x)),
    "relu6": lambda x: np.clip(x, 0.0, 6.0),
    "hardsigmoid": _hardsigmoid_exact,
    "hardswish": lambda x: x * _hardsigmoid_exact(x),
    "mish": _mish_exact,
    "silu": lambda x: x * _sigmoid_exact(x),
    "gelu": _gelu_exact,
    "gelu_tanh": lambda x: x * _sigmoid_exact(2.0 * _tanh_argument(x)),
}


def _underflow(x: F64) -> F64:
    return np.asarray(np.abs(x) * 2.0**-148 + ETA)


def _own_bound(name: str, x: F64, value: F64) -> F64:
    """The tolerance of one activation for an exact argument x."""
    if name in ULPS:
        return ULPS[name] * ulp(value)
    size = np.abs(value)
    if name == "silu":
        return np.asarray(gamma(6) * size + _underflow(x))
    if name == "mish":
        return np.asarray(gamma(11) * size + _underflow(x))
    if name in ROUNDINGS:
        return np.asarray(gamma(ROUNDINGS[name]) * size + (np.abs(x) + 1) * ETA * 8)
    if name == "gelu":
        return np.asarray(np.where(x >= -5, 4 * ulp(value), 1e-5 * size + _underflow(x)))
    if name == "gelu_tanh":
        below = 2.0**-22 * (1 + np.abs(2 * _tanh_argument(x))) * size + _underflow(x)
        return np.asarray(np.where(x >= -1, 4 * ulp(value), below))
    return np.zeros_like(value)  # relu, relu6


def unary(name: str, input: Any) -> Bounded:
    """Any one-argument function of this file."""
    with np.errstate(all="ignore"):
        x = float64(input)
        value = np.asarray(EXACT[name](x), dtype=np.float64)
        return value, _own_bound(name, x, value)


def leaky_relu(input: Any, negative_slope: float = 0.01) -> Bounded:
    """x for x > 0, else x times the slope (rounded to float32): one product."""
    with np.errstate(all="ignore"):
        x = float64(input)
        value = np.where(x > 0, x, x * float(np.float32(negative_slope)))
        return value, np.where(x > 0, 0.0, UNIT * np.abs(value) + ETA)


def gelu(input: Any, approximate: str = "none") -> Bounded:
    return unary("gelu_tanh" if approximate == "tanh" else "gelu", input)


def _relative(name: str, x: F64) -> Any:
    """Relative bound of the activation at x; one ULP is at most 2 u of the value."""
    if name in ULPS:
        return ULPS[name] * 2 * UNIT
    if name == "gelu":
        return np.where(x >= -5, 8 * UNIT, 1e-5)
    if name == "gelu_tanh":
        return np.where(x >= -1, 8 * UNIT, 2.0**-22 * (1 + np.abs(2 * _tanh_argument(x))))
    return gamma({"silu": 6, "mish": 11, **ROUNDINGS}.get(name, 0))


def activated(name: str | None, bounded: Bounded, negative_slope: float = 0.01) -> Bounded:
    """An activation behind a value known to within t: L t, plus its own bound at f(value) + L t.

    The argument may lie t further down than value, where gelu's relative bound is larger.
    """
    if name is None:
        return bounded
    value, tolerance = bounded
    if name == "leaky_relu":
        result, _ = leaky_relu(value, negative_slope)
        carried = max(1.0, abs(negative_slope)) * tolerance
        return result, carried + UNIT * (np.abs(result) + carried) + ETA
    result = EXACT[name](value)
    carried = LIPSCHITZ[name] * tolerance
    own = _relative(name, value - tolerance) * (np.abs(result) + carried)
    absolute = 0.0 if name in ("relu", "relu6") else _underflow(value) + 2.5 * 2.0**-149
    return result, carried + own + absolute


def embedding(indices: Any, weight: Any) -> Bounded:
    """A copy of rows: exact."""
    value = float64(weight)[np.asarray(indices)]
    return value, np.zeros_like(value)
