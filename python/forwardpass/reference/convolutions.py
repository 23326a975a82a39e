"""conv2d and the transposed convolutions in float64; the bound is that of conv1d (``products``).

Every output is one chain over (channel of the group, tap), so n products pass at most n roundings,
n = channels per group times the taps that reach the output: all of them for conv2d, for a
transposed convolution those of the output's phase, at most ceil(kernel / stride) a dimension where
stride and dilation have no common factor; counted here, not estimated.
"""

from __future__ import annotations

import math
from typing import Any

import numpy as np

from .bounds import F64, Bounded, float64
from .products import _chain_bound, _finish


def pair(argument: Any) -> tuple[int, int]:
    """stride and its like: one number for both dimensions, or two."""
    numbers = tuple(argument) if isinstance(argument, (tuple, list)) else (argument,)
    return (int(numbers[0]), int(numbers[-1]))


def pads2(padding: Any, kernel: tuple[int, int], dilation: tuple[int, int]) -> list[Any]:
    """((top, bottom), (left, right)); "same" puts the odd zero at the end, as torch does."""
    if padding == "valid":
        return [(0, 0), (0, 0)]
    if padding == "same":
        totals = [d * (k - 1) for k, d in zip(kernel, dilation, strict=True)]
        return [(t // 2, t - t // 2) for t in totals]
    return [(p, p) for p in pair(padding)]


def _correlate(x: F64, w: F64, stride: Any, dilation: Any, groups: int) -> F64:
    """(B, C, H, W) padded, (O, C / groups, kh, kw) -> (B, O, H', W'): one product a tap."""
    batch, _, *size = x.shape
    outputs, per_group, *kernel = w.shape
    shape = [
        (n - d * (k - 1) - 1) // s + 1
        for n, k, s, d in zip(size, kernel, stride, dilation, strict=True)
    ]
    xg = x.reshape(batch, groups, per_group, *size)
    wg = w.reshape(groups, outputs // groups, per_group, *kernel)
    total = np.zeros((batch, groups, outputs // groups, *shape))
    for i in range(kernel[0]):
        for j in range(kernel[1]):
            rows = slice(
                i * dilation[0], i * dilation[0] + (shape[0] - 1) * stride[0] + 1, stride[0]
            )
            cols = slice(
                j * dilation[1], j * dilation[1] + (shape[1] - 1) * stride[1] + 1, stride[1]
            )
            part = xg[..., rows, cols].reshape(batch, groups, per_group, math.prod(shape))
            total += (wg[..., i, j] @ part).reshape(total.shape)
    return total.reshape(batch, outputs, *shape)


def conv2d(
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
    """One chain over (channel of the group, row and column of the kernel)."""
    with np.errstate(all="ignore"):
        x, w = float64(input), float64(weight)
        step, spread = pair(stride), pair(dilation)
        batched = x if x.ndim == 4 else x[None]
        around = pads2(padding, (w.shape[2], w.shape[3]), spread)
        padded = np.pad(batched, ((0, 0), (0, 0), *around))
        value = _correlate(padded, w, step, spread, groups)
        magnitude = _correlate(np.abs(padded), np.abs(w), step, spread, groups)
        if x.ndim == 3:
            value, magnitude = value[0], magnitude[0]
        n = math.prod(w.shape[1:])
        tolerance = _chain_bound(magnitude, n, 0, n)
        b = None if bias is None else float64(bias)[:, None, None]
        return _finish((value, tolerance), b, activation, negative_slope, residual)


def _scatter(
    x: F64, w: F64, stride: Any, padding: Any, dilation: Any, groups: int, shape: Any
) -> F64:
    """(B, C, H, W), (C, O / groups, kh, kw) -> (B, O, H', W'): each tap added where it lands."""
    batch, channels, rows, cols = x.shape
    per_out = w.shape[1]
    xg = x.reshape(batch, groups, channels // groups, rows * cols)
    wg = w.reshape(groups, channels // groups, per_out, *w.shape[2:])
    span = [
        max((n - 1) * s + d * (k - 1) + 1, m + p)
        for n, s, d, k, m, p in zip(
            (rows, cols), stride, dilation, w.shape[2:], shape, padding, strict=True
        )
    ]
    total = np.zeros((batch, groups, per_out, *span))
    for i in range(w.shape[2]):
        for j in range(w.shape[3]):
            part = np.swapaxes(wg[..., i, j], -1, -2) @ xg
            down = slice(i * dilation[0], i * dilation[0] + (rows - 1) * stride[0] + 1, stride[0])
            along = slice(j * dilation[1], j * dilation[1] + (cols - 1) * stride[1] + 1, stride[1])
            total[..., down, along] += part.reshape(batch, groups, per_out, rows, cols)
    top, left = padding
    cut = total[..., top : top + shape[0], left : left + shape[1]]
    return cut.reshape(batch, groups * per_out, *shape)


def _most_taps(kernel: int, stride: int, dilation: int) -> int:
    """The taps of the phase that has most: those whose offset is equal modulo the stride."""
    return int(np.bincount(np.arange(kernel) * dilation % stride).max())


def conv_transpose2d(
    input: Any,
    weight: Any,
    bias: Any = None,
    stride: Any = 1,
    padding: Any = 0,
    output_padding: Any = 0,
    groups: int = 1,
    dilation: Any = 1,
    activation: str | None = None,
    negative_slope: float = 0.01,
    residual: Any = None,
) -> Bounded:
    """One chain over (channel of the group, row and column of the phase's taps)."""
    with np.errstate(all="ignore"):
        x, w = float64(input), float64(weight)
        step, spread, cut, more = map(pair, (stride, dilation, padding, output_padding))
        batched = x if x.ndim == 4 else x[None]
        shape = [
            (n - 1) * s - 2 * p + d * (k - 1) + extra + 1
            for n, s, p, d, k, extra in zip(
                batched.shape[2:], step, cut, spread, w.shape[2:], more, strict=True
            )
        ]
        value = _scatter(batched, w, step, cut, spread, groups, shape)
        magnitude = _scatter(np.abs(batched), np.abs(w), step, cut, spread, groups, shape)
        if x.ndim == 3:
            value, magnitude = value[0], magnitude[0]
        n = x.shape[-3] // groups
        for k, s, d in zip(w.shape[2:], step, spread, strict=True):
            n *= _most_taps(k, s, d)
        tolerance = _chain_bound(magnitude, n, 0, n)
        b = None if bias is None else float64(bias)[:, None, None]
        return _finish((value, tolerance), b, activation, negative_slope, residual)


def conv_transpose1d(
    input: Any,
    weight: Any,
    bias: Any = None,
    stride: Any = 1,
    padding: Any = 0,
    output_padding: Any = 0,
    groups: int = 1,
    dilation: Any = 1,
    activation: str | None = None,
    negative_slope: float = 0.01,
    residual: Any = None,
) -> Bounded:
    """conv_transpose2d of one row."""
    (s, p, more, d) = (pair(v)[1] for v in (stride, padding, output_padding, dilation))
    row = None if residual is None else np.expand_dims(residual, -2)
    value, tolerance = conv_transpose2d(
        np.expand_dims(input, -2),
        np.expand_dims(weight, -2),
        bias,
        (1, s),
        (0, p),
        (0, more),
        groups,
        (1, d),
        activation,
        negative_slope,
        row,
    )
    return value[..., 0, :], tolerance[..., 0, :]
