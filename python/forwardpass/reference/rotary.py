"""Rotary position embedding in float64, with its bounds.

rotary_table      cos and sin of p f, f = base^(-2 i / dim). Both sides compute in double: f is off
                  by about (|ln f| + 2) 2^-53 of itself, each product and the reduction by pi/2 by a
                  few 2^-53, together at most (p f (|ln f| + 2) + 1) 2^-50; then one rounding.
rotary_embedding  a c - b s and b c + a s: a product and an fma, u |a c| and u of the result; each
                  may underflow.
"""

from __future__ import annotations

from typing import Any

import numpy as np

from .bounds import ETA, F64, UNIT, Bounded, float64, rounded


def rotary_table(
    first: int, count: int, dim: int, base: float = 10000.0
) -> tuple[Bounded, Bounded]:
    """(cos, sin) of positions first .. first + count - 1, each (count, dim / 2)."""
    exponent = -2.0 * np.arange(dim // 2) / max(dim, 1)
    logarithm = exponent * np.log(base)
    angle = np.arange(first, first + count, dtype=np.float64)[:, None] * np.exp(logarithm)
    off = (angle * (np.abs(logarithm) + 2) + 1) * 2.0**-50
    return rounded(np.cos(angle), off), rounded(np.sin(angle), off)


def _turned(a: F64, b: F64, c: F64, s: F64) -> Bounded:
    """a c + b s, the first product rounded on its own."""
    value = a * c + b * s
    return rounded(value, UNIT * np.abs(a * c) + ETA, underflow=True)


def rotary_embedding(input: Any, cos: Any, sin: Any, interleaved: bool = False) -> Bounded:
    """The first 2 cos.shape[-1] elements of each row turned in pairs; the tables broadcast."""
    with np.errstate(all="ignore"):
        x, c, s = float64(input), float64(cos), float64(sin)
        pairs = c.shape[-1]
        value, tolerance = x.copy(), np.zeros_like(x)
        if interleaved:
            first, second = slice(0, 2 * pairs, 2), slice(1, 2 * pairs, 2)
        else:
            first, second = slice(0, pairs), slice(pairs, 2 * pairs)
        a, b = x[..., first], x[..., second]
        value[..., first], tolerance[..., first] = _turned(a, b, c, -s)
        value[..., second], tolerance[..., second] = _turned(b, a, c, s)
        return value, tolerance
