"""linear and conv1d in float64, with the bound of a fused multiply-add chain.

A chain c = fma(x, w, c) of n steps from +0, then a tree of d additions: each product passes at
most n + d roundings, so |c - sum x w| <= gamma(n + d) sum |x||w| (Higham, section 3.1), and
each step may underflow once: + n eta (1 + gamma(n + d)).
Then + bias: one rounding; the activation: elementwise.activated; + residual: one rounding.
"""

from __future__ import annotations

import math
from typing import Any

import numpy as np

from .bounds import ETA, F64, SLACK, Bounded, float64, gamma, rounded
from .elementwise import activated


def chains(n: int, k: int) -> int:
    """How many interleaved chains each output of an (n, k) weight is summed in."""
    if n <= 4 and k >= 64:
        return 64
    return 4 if n <= 16 else 2 if n <= 32 else 1


def _chain_bound(magnitude: F64, steps: int, depth: int, products: int) -> F64:
    g = gamma(steps + depth) if products else 0.0
    return np.asarray((g * magnitude + products * ETA * (1 + g)) * SLACK)


def product_bound(magnitude: F64, n: int, k: int) -> F64:
    """The bound of a sum of k products in linear's chains for a weight (n, k)."""
    count = chains(n, k)
    return _chain_bound(magnitude, math.ceil(k / count), count.bit_length() - 1, k)


def _finish(
    bounded: Bounded, bias: F64 | None, activation: str | None, slope: float, residual: Any
) -> Bounded:
    """+ bias, activation, + residual; each rounded on its own."""
    if bias is not None:
        bounded = rounded(bounded[0] + bias, bounded[1])
    bounded = activated(activation, bounded, slope)
    if residual is not None:
        bounded = rounded(bounded[0] + float64(residual), bounded[1])
    return bounded


def linear(
    input: Any,
    weight: Any,
    bias: Any = None,
    activation: str | None = None,
    negative_slope: float = 0.01,
    residual: Any = None,
) -> Bounded:
    """y[m, n] = sum over k of x[m, k] w[n, k], in ``chains(N, K)`` interleaved chains."""
    with np.errstate(all="ignore"):
        x, w = float64(input), float64(weight)
        rows = w if w.ndim == 2 else w[None]
        n, k = rows.shape
        shape = x.shape[:-1] + w.shape[:-1]
        value = np.asarray(x @ rows.T).reshape(shape)
        magnitude = np.asarray(np.abs(x) @ np.abs(rows).T).reshape(shape)
        tolerance = product_bound(magnitude, n, k)
        b = None if bias is None else float64(bias)
        return _finish((value, tolerance), b, activation, negative_slope, residual)


def outer_product(input1: Any, input2: Any) -> Bounded:
    """(R, n) and (R, m) to (R, n m): the products of a row, one rounding each."""
    with np.errstate(all="ignore"):
        a, b = float64(input1), float64(input2)
        value = (a[:, :, None] * b[:, None, :]).reshape(len(a), a.shape[1] * b.shape[1])
        return rounded(value, 0.0, underflow=True)


def one(argument: Any) -> int:
    """stride and its like: an int or a 1-tuple."""
    return int(argument[0]) if isinstance(argument, (tuple, list)) else int(argument)


def pads(padding: Any, kernel: int, dilation: int) -> tuple[int, int]:
    """Zeros on the left and on the right; "same" puts the odd one on the right, as torch does."""
    if padding == "valid":
        return 0, 0
    total = dilation * (kernel - 1)
    if padding == "causal":
        return total, 0
    if padding == "same":
        return total // 2, total - total // 2
    return one(padding), one(padding)


def _correlate(x: F64, w: F64, stride: int, dilation: int, groups: int) -> F64:
    """(B, C, L) padded, (O, C / groups, k) -> (B, O, L'): one matrix product a tap."""
    batch, _, length = x.shape
    outputs, per_group, kernel = w.shape
    size = (length - dilation * (kernel - 1) - 1) // stride + 1
    xg = x.reshape(batch, groups, per_group, length)
    wg = w.reshape(groups, outputs // groups, per_group, kernel)
    total = np.zeros((batch, groups, outputs // groups, size))
    for tap in range(kernel):
        start = tap * dilation
        total += wg[..., tap] @ xg[..., start : start + (size - 1) * stride + 1 : stride]
    return total.reshape(batch, outputs, size)


def conv1d(
    input: Any,
    weight: Any,
    bias: Any = None,
    stride: Any = 1,
    padding: Any = 0,
    dilation: Any = 1,
    groups: int = 1,
    activation: str | None = None,
    negative_slope: float = 0.01,
    residual: Any = None,
) -> Bounded:
    """One chain over (channel of the group, tap); padding takes part as w * (+0): exact."""
    with np.errstate(all="ignore"):
        x, w = float64(input), float64(weight)
        step, spread = one(stride), one(dilation)
        batched = x if x.ndim == 3 else x[None]
        padded = np.pad(batched, ((0, 0), (0, 0), pads(padding, w.shape[2], spread)))
        value = _correlate(padded, w, step, spread, groups)
        magnitude = _correlate(np.abs(padded), np.abs(w), step, spread, groups)
        if x.ndim == 2:
            value, magnitude = value[0], magnitude[0]
        n = w.shape[1] * w.shape[2]
        tolerance = _chain_bound(magnitude, n, 0, n)
        b = None if bias is None else float64(bias)[:, None]
        return _finish((value, tolerance), b, activation, negative_slope, residual)
