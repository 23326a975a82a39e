"""matmul, sum, mean, var, sin, cos and pow in float64, with their bounds.

matmul  linear with the second matrix's columns as the weight: its chains and its bound.
sum     a row sum, see ``rows``: gamma(ceil(n / 64) + 5) sum |x|, the first addition being exact.
mean    the quotient rounds once more. var: as in layer_norm, times n / (n - correction).
sin, cos, pow  in double to 2^-32 of the result at worst (arguments of sin and cos beyond 2^31; pow
        to 2^-45), and one rounding: 0.51 ULP.
"""

from __future__ import annotations

import math
from typing import Any

import numpy as np

from .bounds import ETA, SLACK, UNIT, Bounded, float64, gamma, rounded, ulp
from .products import linear
from .rows import steps, variance_bound


def matmul(input: Any, other: Any) -> Bounded:
    """(*, M, K) times (*, K, N), the dimensions in front broadcast."""
    a, b = np.asarray(input), np.asarray(other)
    lead = np.broadcast_shapes(a.shape[:-2], b.shape[:-2])
    count, shape = math.prod(lead), (*lead, a.shape[-2], b.shape[-1])
    if not count:
        return np.zeros(shape), np.zeros(shape)
    a = np.broadcast_to(a, (*lead, *a.shape[-2:])).reshape(count, *a.shape[-2:])
    b = np.broadcast_to(b, (*lead, *b.shape[-2:])).reshape(count, *b.shape[-2:])
    values = [linear(x, y.T) for x, y in zip(a, b, strict=True)]
    return (
        np.stack([value for value, _ in values]).reshape(shape),
        np.stack([tolerance for _, tolerance in values]).reshape(shape),
    )


def total(input: Any, dim: int) -> Bounded:
    """sum: over one dimension."""
    with np.errstate(all="ignore"):
        x = np.atleast_1d(float64(input))
        n = x.shape[dim]
        error = gamma(steps(n) - 1) * np.abs(x).sum(axis=dim) * SLACK
        return np.asarray(x.sum(axis=dim)), np.asarray(error)


def mean(input: Any, dim: int) -> Bounded:
    with np.errstate(all="ignore"):
        value, error = total(input, dim)
        n = np.float64(np.atleast_1d(input).shape[dim])
        return rounded(value / n, error / n, underflow=True)


def var(input: Any, dim: int, correction: int = 1) -> Bounded:
    """The mean of squared differences from the mean, over n - correction."""
    with np.errstate(all="ignore"):
        x = np.moveaxis(np.atleast_1d(float64(input)), dim, -1)
        n = x.shape[-1]
        middle = x.sum(axis=-1, keepdims=True) / n
        d = x - middle
        variance = (d * d).sum(axis=-1, keepdims=True) / n
        size = np.abs(x).sum(axis=-1, keepdims=True) / n
        error = variance_bound(d, gamma(steps(n)) * size + ETA, variance, n)
        scale = np.float64(n) / max(n - correction, 0)
        tolerance = (error * scale + 2 * ETA) * SLACK
        return (variance * scale)[..., 0], tolerance[..., 0]


def _once(value: Any) -> Bounded:
    value = np.asarray(value)
    return value, 0.51 * ulp(value)


def sin(input: Any) -> Bounded:
    with np.errstate(all="ignore"):
        return _once(np.sin(float64(input)))


def cos(input: Any) -> Bounded:
    with np.errstate(all="ignore"):
        return _once(np.cos(float64(input)))


def power(input: Any, exponent: Any) -> Bounded:
    """pow; beyond the range of float32 infinity, or zero."""
    with np.errstate(all="ignore"):
        x, y = np.broadcast_arrays(float64(input), float64(exponent))
        value = np.power(x, y.copy())  # a scalar 0.5 would be a square root: NaN of -inf
        return value, np.where(np.isfinite(value), 0.51 * ulp(value), UNIT)
