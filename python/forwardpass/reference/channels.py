"""Norms by channel, p-norms and bags of embeddings in float64, with their bounds.

Row sums as in ``rows``: at most ceil(n / 64) + 6 roundings touch a term.
"""

from __future__ import annotations

import itertools
from typing import Any

import numpy as np

from .bounds import ETA, F64, SLACK, UNIT, Bounded, float64, gamma, grow, rounded
from .rows import layer_norm, reciprocal_root, steps


def _by_channel(values: Any, dims: int) -> F64:
    return float64(values).reshape(-1, *(1,) * (dims - 2))


def group_norm(
    input: Any, num_groups: int, weight: Any = None, bias: Any = None, eps: Any = 1e-5
) -> Bounded:
    """layer_norm of each group; then the channel's weight and bias, one rounding."""
    x = np.asarray(input)
    n = x.size // max(1, x.shape[0] * num_groups)
    y, tolerance = layer_norm(x.reshape(x.shape[0], num_groups, n), (n,), None, None, eps)
    y, tolerance = y.reshape(x.shape), tolerance.reshape(x.shape)
    with np.errstate(all="ignore"):
        if weight is not None:
            w = _by_channel(weight, x.ndim)
            y, tolerance = y * w, tolerance * np.abs(w)
        if bias is not None:
            y = y + _by_channel(bias, x.ndim)
        if weight is not None or bias is not None:
            y, tolerance = rounded(y, tolerance, underflow=weight is not None)
    return y, tolerance * SLACK


def batch_norm(
    input: Any,
    running_mean: Any,
    running_var: Any,
    weight: Any = None,
    bias: Any = None,
    eps: Any = 1e-5,
) -> Bounded:
    """y = d s + b in one fma, d = x - mean, s = w / sqrt(var + eps).

    d rounds once; s has 1 / sqrt of a sum rounded once, and a product.
    """
    with np.errstate(all="ignore"):
        x, e = float64(input), float(np.float32(eps))
        mean, var = (_by_channel(a, x.ndim) for a in (running_mean, running_var))
        scale, relative = 1.0 / np.sqrt(var + e), reciprocal_root(UNIT)
        if weight is not None:
            scale, relative = scale * _by_channel(weight, x.ndim), grow(relative, UNIT)
        y = (x - mean) * scale
        tolerance = np.abs(y) * grow(UNIT, relative) + np.abs(x - mean) * ETA
        y = y if bias is None else y + _by_channel(bias, x.ndim)
        return rounded(y, tolerance, underflow=True)


def _norm_bound(x: F64, p: float) -> tuple[F64, Any]:
    """The p-norm along the last dimension and its relative error."""
    n, size = x.shape[-1], np.abs(x)
    sums = gamma(steps(n))
    if p == 2:
        square = (x * x).sum(axis=-1, keepdims=True)
        lost = np.where(square > 0, n * ETA / square, 0.0)
        return np.sqrt(square), grow(0.5 * grow(sums, lost), UNIT)
    if p == 1:
        return size.sum(axis=-1, keepdims=True), sums
    if p == 0:
        return (x != 0).sum(axis=-1, keepdims=True).astype(np.float64), 0.0
    if np.isinf(p):
        far = size.max if p > 0 else size.min
        return far(axis=-1, keepdims=True, initial=0.0 if p > 0 else np.inf), 0.0
    # |x|^p = e^(p ln|x|): ln 4 u, the product u, exp 3 u; then the sum; then the same for the root.
    power = np.where(size > 0, p * np.log(np.where(size > 0, size, 1.0)), 0.0)
    terms = size**p
    each = np.expm1(np.abs(power) * grow(4 * UNIT, UNIT)) + 4 * UNIT
    total = terms.sum(axis=-1, keepdims=True)
    relative = grow((terms * each).sum(axis=-1, keepdims=True) / total, sums)
    logarithm = np.abs(np.log(total))
    moved = relative / (1 - relative) + 4 * UNIT * logarithm
    root = total ** (1 / p)
    return root, grow(np.expm1((moved + 2 * UNIT * logarithm) / abs(p)), 4 * UNIT)


def normalize(input: Any, p: float = 2.0, dim: int = 1, eps: Any = 1e-12) -> Bounded:
    """x / max(norm, eps): the norm's error and the quotient's rounding."""
    with np.errstate(all="ignore"):
        x = np.moveaxis(np.atleast_1d(float64(input)), dim, -1)
        norm, relative = _norm_bound(x, float(np.float32(p)))
        y = x / np.maximum(norm, float(np.float32(eps)))
        y, tolerance = rounded(y, np.abs(y) * relative / (1 - relative), underflow=True)
        return tuple(  # type: ignore[return-value]
            np.moveaxis(a, -1, dim).reshape(np.shape(input)) for a in (y, tolerance * SLACK)
        )


def renorm(input: Any, max_norm: Any, norm_type: Any = 2.0) -> Bounded:
    """Rows with a norm above max_norm times s = max_norm / (norm + 1e-7), each step rounded.

    Where the norm's error lets float32 decide otherwise, both are right: |x| |1 - s| more.
    """
    with np.errstate(all="ignore"):
        x, most = float64(input), float(np.float32(max_norm))
        norm, relative = _norm_bound(np.atleast_1d(x), float(np.float32(norm_type)))
        if x.ndim == 0:
            norm, relative = norm[0], np.broadcast_to(relative, norm.shape)[0]
        scale, moved = most / (norm + float(np.float32(1e-7))), grow(relative, UNIT)
        chosen = np.where(norm > most, scale, 1.0)
        error = np.where(norm > most, np.abs(scale) * grow(moved / (1 - moved), UNIT) + ETA, 0.0)
        unsure = np.abs(norm - most) <= norm * relative
        error = error + np.where(unsure, np.abs(1 - scale) * (1 + 4 * UNIT) + moved, 0.0)
        y, tolerance = rounded(x * chosen, np.abs(x) * error, underflow=True)
        return y, np.where(unsure | (norm > most), tolerance, 0.0) * SLACK


def embedding_bag(
    indices: Any, offsets: Any, weight: Any, mode: str = "mean", per_sample_weights: Any = None
) -> Bounded:
    """One chain of additions, or of fma with the factors, over a bag; a mean divides once."""
    table, ends = float64(weight), np.asarray(offsets)
    value = np.zeros((len(ends) - 1, table.shape[1]))
    tolerance = np.zeros_like(value)
    with np.errstate(all="ignore"):
        for i, (start, stop) in enumerate(itertools.pairwise(ends)):
            rows = table[indices[start:stop]]
            if per_sample_weights is not None:
                rows = rows * float64(per_sample_weights)[start:stop, None]
            count = stop - start
            if mode == "max" or count == 0:
                value[i] = rows.max(axis=0) if count else 0.0
                continue
            total = rows.sum(axis=0)
            error = gamma(int(count)) * np.abs(rows).sum(axis=0) + count * ETA
            if mode == "mean":
                total, error = rounded(total / count, error / count, underflow=True)
            value[i], tolerance[i] = total, error * SLACK
    return value, tolerance
