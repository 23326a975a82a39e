"""Rounding-error vocabulary: the few rules from which every tolerance is derived.

The model (Higham, "Accuracy and Stability of Numerical Algorithms", 2nd ed., sections 2.2, 3.1):
one correctly rounded float32 operation gives ``fl(z) = z (1 + d) + e`` with ``|d| <= u = 2^-24``
and ``|e| <= eta = 2^-150`` (half the smallest subnormal), at most one of them non-zero; sums and
differences of float32 numbers never underflow, so they have ``e = 0``.

A *bounded* value is a pair ``(value, tolerance)`` of float64 arrays. It says: for finite inputs
and no overflow on the way, ``|float32 result - value| <= tolerance`` everywhere.
"""

from __future__ import annotations

from typing import Any, TypeAlias

import numpy as np
import numpy.typing as npt

F64: TypeAlias = npt.NDArray[np.float64]
F32: TypeAlias = npt.NDArray[np.float32]
Bounded: TypeAlias = tuple[F64, F64]

UNIT = 2.0**-24
ETA = 2.0**-150
FLOAT32_MAX = float(np.finfo(np.float32).max)
OVERFLOW = 2.0**128 - 2.0**103  # from here on round-to-nearest gives infinity
SLACK = 1.0 + 2.0**-20  # float64's own rounding in value and tolerance: n 2^-53 against n 2^-24


def gamma(n: float) -> float:
    """n u / (1 - n u): bounds a product of n factors (1 + d), |d| <= u (Higham, lemma 3.1)."""
    if n * UNIT >= 0.5:
        raise ValueError(f"gamma: a chain of {n} operations is outside the model")
    return n * UNIT / (1.0 - n * UNIT)


def grow(*relative: Any) -> Any:
    """(1 + a)(1 + b)... - 1: relative errors one after the other, no term dropped."""
    total: Any = 0.0
    for r in relative:
        total = total + r + total * r
    return total


def float64(array: Any) -> F64:
    """The float32 input as float64: exact."""
    with np.errstate(invalid="ignore"):  # a signalling NaN
        return np.asarray(array, dtype=np.float64)


def ulp(value: F64) -> F64:
    """Distance between the float32 numbers around value: 2^(floor(log2 |value|) - 23)."""
    _, exponent = np.frexp(np.abs(value))  # |value| = m 2^exponent, m in [0.5, 1)
    clipped = np.clip(exponent - 24, -149, 104)
    return np.asarray(np.ldexp(1.0, clipped), dtype=np.float64)


def rounded(value: F64, tolerance: F64 | float, underflow: bool = False) -> Bounded:
    """One more rounding of a quantity known to within tolerance of value.

    The rounded quantity is at most |value| + tolerance, so the rounding adds u times that, and
    eta where the operation is a product, a quotient or an fma (underflow=True).
    """
    return value, tolerance + UNIT * (np.abs(value) + tolerance) + (ETA if underflow else 0.0)


def problem(got: Any, value: F64, tolerance: F64) -> str:
    """'' where got is within tolerance of value everywhere, else a sentence with the worst place.

    NaN must stand where value is NaN and nowhere else. Infinity is right where value is at least
    2^128 - 2^103 less its tolerance in magnitude, and required where it is that plus tolerance.
    """
    if got.dtype != np.float32:
        return f"dtype {got.dtype}, not float32"
    if got.shape != value.shape:
        return f"shape {got.shape}, expected {value.shape}"
    if got.size == 0:
        return ""
    with np.errstate(all="ignore"):
        result = got.astype(np.float64)
        error = np.abs(result - value)
        fine = error <= tolerance * SLACK
        fine |= np.isnan(result) & np.isnan(value)
        fine |= result == value
        infinite = np.isinf(result) & (np.sign(result) == np.sign(value))
        fine |= infinite & (np.abs(value) + tolerance >= OVERFLOW)
        if fine.all():
            return ""
        score = np.where(fine, -1.0, np.nan_to_num(error / tolerance, nan=np.inf, posinf=np.inf))
    at = np.unravel_index(int(np.argmax(score)), got.shape)
    place = tuple(int(i) for i in at)
    return (
        f"{int((~fine).sum())} of {got.size} outside the bound; worst at {place}: got {got[at]!r}, "
        f"want {value[at]!r} +- {tolerance[at]:.3g} (off by {error[at]:.3g} = "
        f"{score[at]:.3g} tolerances, {error[at] / ulp(value[at]):.4g} ulp)"
    )
