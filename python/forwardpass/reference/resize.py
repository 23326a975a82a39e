"""Resizing in float64, with its bounds.

nearest   copies. Which element is defined by float32 steps (docs/numerics.md), so the positions are
          computed in float32 here too, and the values are exact.
linear    v = p a + q b along one dimension after the other, at the position t of the output:

          t float32    step, (i + 0.5), their product and the difference round: the error is at most
                       d = gamma(2) |step (i + 0.5)| + u (|t| + d), and 0 where the size is kept
          in v         the interpolated line is continuous, so d moves it by at most d times the
                       steepest slope within d of t; p = 1 - q rounds: u |a|; two products and a
                       sum: gamma(2) (p |a| + q |b|) + 2 eta
"""

from __future__ import annotations

from typing import Any

import numpy as np
import numpy.typing as npt

from .bounds import ETA, F64, SLACK, UNIT, Bounded, float64, gamma


def nearest_indices(n: int, out: int, scale: float, exact: bool) -> npt.NDArray[np.int64]:
    """The source of each output, each step rounded to float32."""
    i = np.arange(out, dtype=np.int64)
    if n == out and not (exact and scale > 0):
        return i
    if out == 2 * n and not exact:
        return i // 2
    step = np.float32(1 / scale) if scale > 0 else np.float32(n) / np.float32(out)
    at = (i.astype(np.float32) + np.float32(0.5 if exact else 0.0)) * step
    return np.asarray(np.minimum(np.floor(at).astype(np.int64), n - 1))


def resize_nearest(
    input: Any,
    height: int,
    width: int,
    down: float = 0.0,
    along: float = 0.0,
    exact: bool = False,
) -> Bounded:
    x = float64(input)
    rows = nearest_indices(x.shape[-2], height, down, exact)
    cols = nearest_indices(x.shape[-1], width, along, exact)
    value = x[..., rows, :][..., cols]
    return value, np.zeros_like(value)


def positions(n: int, out: int, scale: float, align_corners: bool) -> tuple[F64, F64]:
    """Where each output lies among n elements, and how far float32 may be from there."""
    i = np.arange(out, dtype=np.float64)
    if n == out:
        return i, np.zeros(out)
    if align_corners:
        t = i * ((n - 1) / (out - 1) if out > 1 else 0.0)
        return t, t * gamma(2)
    product = (i + 0.5) * (1 / scale if scale > 0 else n / out)
    moved, t = gamma(2) * product, product - 0.5
    return np.clip(t, 0, n - 1), moved + UNIT * (np.abs(t) + moved)


def _along(x: F64, tolerance: F64, t: F64, moved: F64) -> Bounded:
    """x, known to within tolerance, at positions t of its last dimension."""
    n = x.shape[-1]
    low = np.minimum(t.astype(np.int64), n - 1)
    high = np.minimum(low + 1, n - 1)
    q = t - low
    a, b = x[..., low], x[..., high]
    value = (1 - q) * a + q * b
    lost = gamma(2) * ((1 - q) * np.abs(a) + q * np.abs(b)) + UNIT * np.abs(a) + 2 * ETA
    carried = (1 - q) * tolerance[..., low] + q * tolerance[..., high]
    slope = np.zeros_like(value)
    if n > 1:
        steps = np.abs(np.diff(x)) + tolerance[..., 1:] + tolerance[..., :-1]
        for edge in (t - moved, t + moved):
            cell = np.clip(np.floor(edge).astype(np.int64), 0, n - 2)
            slope = np.maximum(slope, steps[..., cell])
    return value, carried * (1 + 4 * UNIT) + lost + moved * slope


def resize_linear(
    input: Any,
    height: int,
    width: int,
    down: float = 0.0,
    along: float = 0.0,
    align_corners: bool = False,
) -> Bounded:
    """Down, then along."""
    with np.errstate(all="ignore"):
        x = float64(input)
        turned = np.swapaxes(x, -1, -2)
        rows = positions(x.shape[-2], height, down, align_corners)
        cols = positions(x.shape[-1], width, along, align_corners)
        value, tolerance = _along(turned, np.zeros_like(turned), *rows)
        value, tolerance = np.swapaxes(value, -1, -2), np.swapaxes(tolerance, -1, -2)
        value, tolerance = _along(value, tolerance, *cols)
        return value, tolerance * SLACK
