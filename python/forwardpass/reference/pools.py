"""Pooling in float64, with its bounds.

max       exact. A NaN in a window is its result.
avg       Down, then along: an element passes at most rows - 1 + columns additions, the first from
          +0 exact, and the quotient: gamma(rows + columns) of the mean of magnitudes, and eta.
"""

from __future__ import annotations

import itertools
from typing import Any

import numpy as np

from .bounds import ETA, F64, SLACK, Bounded, float64, gamma


def pair(value: Any) -> tuple[int, int]:
    values = tuple(value) if isinstance(value, (tuple, list)) else (value,)
    return int(values[0]), int(values[-1])


def windows(
    n: int, taps: int, stride: int, pad: int, dilation: int, ceil: bool
) -> list[tuple[list[int], int]]:
    """For each output: the positions inside, and how many count with the padding."""
    span = n + 2 * pad - dilation * (taps - 1) - 1
    count = (-(-span // stride) if ceil else span // stride) + 1
    if ceil and (count - 1) * stride >= n + pad:
        count -= 1
    found = []
    for i in range(count):
        start = i * stride - pad
        inside = [start + t * dilation for t in range(taps) if 0 <= start + t * dilation < n]
        found.append((inside, min(start + taps, n + pad) - start))
    return found


def adaptive_windows(n: int, count: int) -> list[tuple[list[int], int]]:
    found = []
    for i in range(count):
        inside = list(range(i * n // count, -(-(i + 1) * n // count)))
        found.append((inside, len(inside)))
    return found


def _axes(x: F64, kernel: Any, stride: Any, pad: Any, dilation: Any, ceil: bool) -> Any:
    steps = kernel if stride is None else stride
    parts = zip(pair(kernel), pair(steps), pair(pad), pair(dilation), strict=True)
    return [windows(n, *numbers, ceil) for n, numbers in zip(x.shape[-2:], parts, strict=True)]


def max_pool2d(
    input: Any,
    kernel_size: Any,
    stride: Any = None,
    padding: Any = 0,
    dilation: Any = 1,
    ceil_mode: bool = False,
) -> Bounded:
    x = float64(input)
    rows, cols = _axes(x, kernel_size, stride, padding, dilation, ceil_mode)
    value = np.full((*x.shape[:-2], len(rows), len(cols)), -np.inf)
    for (i, (r, _)), (j, (c, _)) in itertools.product(enumerate(rows), enumerate(cols)):
        if r and c:
            value[..., i, j] = x[..., r, :][..., c].max(axis=(-2, -1))
    return value, np.zeros_like(value)


def _average(x: F64, rows: Any, cols: Any, include_pad: bool, divisor: int | None) -> Bounded:
    value = np.zeros((*x.shape[:-2], len(rows), len(cols)))
    tolerance = np.zeros_like(value)
    with np.errstate(all="ignore"):
        for (i, (r, down)), (j, (c, along)) in itertools.product(enumerate(rows), enumerate(cols)):
            count = divisor or (down * along if include_pad else max(len(r) * len(c), 1))
            part = x[..., r, :][..., c]
            value[..., i, j] = part.sum(axis=(-2, -1)) / count
            size = np.abs(part).sum(axis=(-2, -1)) / abs(count)
            tolerance[..., i, j] = (gamma(len(r) + len(c)) * size + ETA) * SLACK
    return value, tolerance


def avg_pool2d(
    input: Any,
    kernel_size: Any,
    stride: Any = None,
    padding: Any = 0,
    ceil_mode: bool = False,
    count_include_pad: bool = True,
    divisor_override: int | None = None,
) -> Bounded:
    x = float64(input)
    rows, cols = _axes(x, kernel_size, stride, padding, 1, ceil_mode)
    return _average(x, rows, cols, count_include_pad, divisor_override)


def adaptive_avg_pool2d(input: Any, output_size: Any) -> Bounded:
    x = float64(input)
    sizes = pair(output_size)
    rows, cols = (adaptive_windows(n, m) for n, m in zip(x.shape[-2:], sizes, strict=True))
    return _average(x, rows, cols, False, None)
