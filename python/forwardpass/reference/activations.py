"""Activations with parameters or two inputs, in float64, each with its bound.

elu       alpha (e^x - 1) below 0: expm1's 2 ULP, at most 4 u, and one product.
hardtanh  exact.
softplus  z = x beta rounds once unless beta is 1: e^-|z| moves by u |z|, and exp and ln(1 + e) add
          3 u and 4 u of the second term; the sum and the quotient round once each. Subnormal
          exponentials: 1.5 2^-149.
glu       sigmoid's 2.5 ULP, at most 5 u, or 2.5 times 2^-149; one product.
swiglu    silu's bound; one product.
prelu     as leaky_relu.
"""

from __future__ import annotations

from typing import Any

import numpy as np

from .bounds import ETA, F64, UNIT, Bounded, float64, grow, rounded
from .elementwise import ULPS, unary


def _f32(value: Any) -> float:
    return float(np.float32(value))


def elu(input: Any, alpha: float = 1.0) -> Bounded:
    with np.errstate(all="ignore"):
        x, a = float64(input), _f32(alpha)
        below = a * np.expm1(np.minimum(x, 0.0))
        relative = grow(ULPS["expm1"] * 2 * UNIT, UNIT)
        tolerance = np.abs(below) * relative + (2 * abs(a) + 1) * 2.0**-149
        return np.where(x > 0, x, below), np.where(x > 0, 0.0, tolerance)


def hardtanh(input: Any, min_val: float = -1.0, max_val: float = 1.0) -> Bounded:
    with np.errstate(all="ignore"):
        value = np.clip(float64(input), _f32(min_val), _f32(max_val))
        return value, np.zeros_like(value)


def softplus(input: Any, beta: float = 1.0, threshold: float = 20.0) -> Bounded:
    with np.errstate(all="ignore"):
        x, b, t = float64(input), _f32(beta), _f32(threshold)
        exact = x * b
        z = float64(exact.astype(np.float32))  # which side of the threshold: as rounded
        small = np.log1p(np.exp(-np.abs(exact)))
        moved = np.expm1(UNIT * np.abs(exact)) if b != 1 else 0.0
        error = small * grow(moved, 3 * UNIT, 4 * UNIT) + 2.0**-148
        value = np.maximum(exact, 0.0) + small
        error = error + (UNIT * np.maximum(exact, 0.0) if b != 1 else 0.0)
        value, error = rounded(value, error)
        value, error = rounded(value / b, error / abs(b), underflow=True)
        return np.where(z > t, x, value), np.where(z > t, 0.0, error)


def _gated(value: F64, error: F64, other: F64) -> Bounded:
    return rounded(value * other, error * np.abs(other), underflow=True)


def glu(input: Any, dim: int = -1) -> Bounded:
    """a sigmoid(b), a and b the halves of `dim`."""
    with np.errstate(all="ignore"):
        a, b = np.split(np.asarray(input), 2, axis=dim)
        return _gated(*unary("sigmoid", b), float64(a))


def swiglu(gate: Any, up: Any) -> Bounded:
    """silu(gate) up."""
    with np.errstate(all="ignore"):
        return _gated(*unary("silu", gate), float64(up))


def prelu(input: Any, weight: Any) -> Bounded:
    """x where positive, else x times the weight of its channel (dimension 1)."""
    with np.errstate(all="ignore"):
        x, w = float64(input), float64(weight)
        w = w.reshape(-1, *(1,) * (x.ndim - 2)) if w.size > 1 else w.reshape(())
        value = np.where(x > 0, x, x * w)
        return value, np.where(x > 0, 0.0, UNIT * np.abs(value) + ETA)
