"""rms_norm, layer_norm, both of sums, softmax and log_softmax in float64, with their bounds.

A row sum has 64 partials by index mod 64 and a tree of depth 6 (+2 +4), so each of n terms passes
at most ceil(n / 64) + 6 roundings; where the terms are added, not fma'd, the first addition (to
+0) is exact: one less. eps is the argument rounded to float32; None is float32's 2^-23.
"""

from __future__ import annotations

import math
from typing import Any

import numpy as np

from .bounds import ETA, F64, SLACK, UNIT, Bounded, float64, gamma, grow, rounded
from .elementwise import ULPS

TREE = 6
DEFAULT_EPS = 2.0**-23


def steps(n: int) -> int:
    return math.ceil(n / 64) + TREE


def _rows(x: F64, normalized_shape: Any) -> tuple[F64, int]:
    shape = (normalized_shape,) if isinstance(normalized_shape, int) else tuple(normalized_shape)
    n = math.prod(shape)
    lead = x.shape[: x.ndim - len(shape)]
    return x.reshape(*lead, n), n


def reciprocal_root(relative: Any) -> Any:
    """1/sqrt of a quantity with that relative error g: g/2 / (1 - g) at most, since the series of
    (1 - g)^(-1/2) - 1 is below that of g/2 (1 + g + ...); then sqrt and division round: gamma(2).
    """
    g = np.minimum(relative, 0.5)
    return np.where(relative < 0.5, grow(0.5 * g / (1 - g), gamma(2)), np.inf)


def rms_norm(input: Any, normalized_shape: Any, weight: Any = None, eps: Any = None) -> Bounded:
    """y = x r w, r = 1 / sqrt(sum(x^2) / n + eps).

    The squares are positive, so their sum has relative error gamma(ceil(n/64) + 6); division and
    + eps add two roundings; underflow of n squares and of the quotient: 2 eta absolute in the mean
    square. Half of it reaches r; x r and times w round once each.
    """
    with np.errstate(all="ignore"):
        x = float64(input)
        rows, n = _rows(x, normalized_shape)
        e = float(np.float32(DEFAULT_EPS if eps is None else eps))
        q = (rows * rows).sum(axis=-1, keepdims=True) / max(n, 1) + e
        relative = grow(gamma(steps(n) + 2), 2 * ETA / q)
        y = rows / np.sqrt(q)
        tolerance = np.abs(y) * grow(reciprocal_root(relative), UNIT) + ETA
        if weight is not None:
            w = float64(weight).reshape(n)
            y, tolerance = rounded(y * w, tolerance * np.abs(w), underflow=True)
        return y.reshape(x.shape), (tolerance * SLACK).reshape(x.shape)


def add_rms_norm(
    input: Any, residual: Any, normalized_shape: Any, weight: Any = None, eps: Any = None
) -> tuple[Bounded, Bounded]:
    """z = x + residual rounded to float32 (so exact as an output), then rms_norm of that z."""
    z, total = _sum(input, residual)
    return rms_norm(z, normalized_shape, weight, eps), total


def _sum(input: Any, residual: Any) -> tuple[Any, Bounded]:
    with np.errstate(all="ignore"):
        z = np.add(np.asarray(input), np.asarray(residual), dtype=np.float32)
    return z, (float64(z), np.zeros(z.shape))


def variance_bound(d: F64, mean_error: F64, variance: F64, n: int) -> F64:
    """How far sum(fma(d', d', .)) / n is from the variance, d' = fl(x - mean').

    d' = d - delta + rho with the mean's error delta and the subtraction's |rho| <= u (|d| +
    |delta|). Because sum(d) = 0, delta enters squared only: sum(d'^2) / n - variance is at most
    delta^2 + 2 mean(|d| |rho|) + 2 delta mean(|rho|) + mean(rho^2). The sum and the division then
    have relative error gamma(ceil(n/64) + 7), and underflow adds 2 eta.
    """
    rho = UNIT * (np.abs(d) + mean_error)

    def average(a: F64) -> F64:
        return np.asarray(a.sum(axis=-1, keepdims=True) / max(n, 1))

    shifted = mean_error**2 + 2 * average(np.abs(d) * rho) + 2 * mean_error * average(rho)
    shifted = shifted + average(rho * rho)
    return np.asarray(shifted + gamma(steps(n) + 1) * (variance + shifted) + 2 * ETA)


def layer_norm(
    input: Any, normalized_shape: Any, weight: Any = None, bias: Any = None, eps: Any = 1e-5
) -> Bounded:
    """t = d r, d = x - mean, r = 1 / sqrt(mean(d^2) + eps); y = t w + b in one fma.

    The mean is off by gamma(ceil(n/64) + 6) mean|x|: where |mean| is large against the spread this
    is what limits the result, as it must (a float32 mean cannot be better than u |mean|). Where
    nothing of the spread is left the bound is |t'| <= sqrt(n), since r' <= 1/sqrt(mean(d'^2)).
    """
    with np.errstate(all="ignore"):
        x = float64(input)
        rows, n = _rows(x, normalized_shape)
        e = float(np.float32(eps))
        mean = rows.sum(axis=-1, keepdims=True) / max(n, 1)
        d = rows - mean
        variance = (d * d).sum(axis=-1, keepdims=True) / max(n, 1)
        size = np.abs(rows).sum(axis=-1, keepdims=True) / max(n, 1)
        mean_error = gamma(steps(n)) * size + ETA
        q = variance + e
        relative = grow(variance_bound(d, mean_error, variance, n) / q, UNIT)
        r, r_error = 1.0 / np.sqrt(q), reciprocal_root(relative)
        d_error = rounded(d, mean_error)[1]
        t = d * r
        t_error = (np.abs(d) * r_error + d_error * (1 + r_error)) * r
        t_error = np.fmin(t_error, np.abs(t) + math.sqrt(n) * (1 + 2.0**-10))
        y, tolerance = rounded(t, t_error, underflow=True)
        if weight is not None:
            w = float64(weight).reshape(n)
            y, tolerance = y * w, tolerance * np.abs(w)
        if bias is not None:
            y = y + float64(bias).reshape(n)
        if weight is not None or bias is not None:
            y, tolerance = rounded(y, tolerance, underflow=weight is not None)
        return y.reshape(x.shape), (tolerance * SLACK).reshape(x.shape)


def add_layer_norm(
    input: Any, residual: Any, normalized_shape: Any, weight: Any = None, bias: Any = None,
    eps: Any = 1e-5,
) -> tuple[Bounded, Bounded]:  # fmt: skip
    """As add_rms_norm, with layer_norm."""
    z, total = _sum(input, residual)
    return layer_norm(z, normalized_shape, weight, bias, eps), total


def softmax(input: Any, dim: int) -> Bounded:
    """y = e (1/s), e = exp(x - max), s = sum(e).

    a = x - max rounds once: e changes by expm1(u |a|); exp adds 1.5 ULP <= 3 u, or 1.5 times 2^-149
    where it is subnormal. The e are positive: s has their errors and gamma(ceil(n/64) + 5), s >= 1.
    1/s and the product round once each. An entry of -inf has e = 0 exactly.
    """
    with np.errstate(all="ignore"):
        x = np.moveaxis(float64(input), dim, -1)
        if x.shape[-1] == 0:
            return np.zeros(np.shape(input)), np.zeros(np.shape(input))
        a = x - x.max(axis=-1, keepdims=True)
        e = np.exp(a)
        moved = np.expm1(UNIT * np.abs(np.where(np.isinf(a), 0.0, a)))
        relative = grow(moved, ULPS["exp"] * 2 * UNIT)
        e_error = np.where(np.isinf(a), 0.0, e * relative + ULPS["exp"] * 2.0**-149)
        s = e.sum(axis=-1, keepdims=True)
        lost = e_error.sum(axis=-1, keepdims=True) / s
        s_relative = grow(lost, gamma(steps(x.shape[-1]) - 1))
        scale = grow(s_relative / (1 - s_relative), gamma(2))
        y = e / s
        tolerance = (y * scale + e_error / s * (1 + scale) + ETA) * SLACK
        return np.moveaxis(y, -1, dim), np.moveaxis(tolerance, -1, dim)


def log_softmax(input: Any, dim: int) -> Bounded:
    """y = a - ln s, a = x - max, s = sum(exp(a)) as in softmax.

    a rounds once. s >= 1 has the relative error of softmax's, which is what ln s is off by; the
    logarithm adds 2 ULP, at most 4 u; the difference rounds once.
    """
    with np.errstate(all="ignore"):
        x = np.moveaxis(np.atleast_1d(float64(input)), dim, -1)
        if x.shape[-1] == 0:
            return np.zeros(np.shape(input)), np.zeros(np.shape(input))
        a = x - x.max(axis=-1, keepdims=True)
        e = np.exp(a)
        size = np.where(np.isinf(a), 0.0, np.abs(a))
        e_error = e * grow(np.expm1(UNIT * size), ULPS["exp"] * 2 * UNIT) + ULPS["exp"] * 2.0**-149
        s = e.sum(axis=-1, keepdims=True)
        relative = grow(e_error.sum(axis=-1, keepdims=True) / s, gamma(steps(x.shape[-1]) - 1))
        log_error = relative / (1 - relative)
        log_error = log_error + 4 * UNIT * (np.log(s) + log_error)
        y, tolerance = rounded(a - np.log(s), UNIT * size + log_error)
        tolerance = np.where(np.isinf(a), 0.0, tolerance) * SLACK
        back = np.moveaxis(y, -1, dim), np.moveaxis(tolerance, -1, dim)
        return back[0].reshape(np.shape(input)), back[1].reshape(np.shape(input))
