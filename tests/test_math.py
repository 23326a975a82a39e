"""exp, expm1, log, log1p, erf (simd/math.h): bounds, ranges, special values."""

from __future__ import annotations

import numpy as np
import pytest

from _arrays import (
    assert_bounded,
    assert_case_bounded,
    assert_same_bytes,
    case_id,
    finite_cases,
    neighbours,
)
from forwardpass import _core
from forwardpass.reference import OPS

NAMES = ("exp", "expm1", "log", "log1p", "erf")


@pytest.mark.parametrize("case", finite_cases(*NAMES), ids=case_id)
def test_within_bound(isa, case):
    """All exponents, infinities and NaN included."""
    assert_case_bounded(*case)


# Edges: ln(2)/2 and its multiples (reduction), overflow and underflow of exp, ends of the
# subnormal range, 1 and sqrt(2), sqrt(1/2) (log), erf's pieces and where it becomes 1.
EDGES = (0, 1.2e-38, 0.25, 0.3465736, 0.70710678, 0.875, 1, 1.41421356, 2, 3.9, 4, 17.3, 88.72284)


@pytest.mark.parametrize("name", NAMES)
def test_dense_around_edges(isa, name):
    for edge in (*EDGES, 87.33654, 103.2789, 103.97208):
        assert_bounded(OPS[name], {"input": neighbours(edge, 5000)})


@pytest.mark.parametrize(
    ("name", "x", "want"),
    [
        (
            "exp",
            [-np.inf, -200, -0.0, 0.0, 89, np.inf, np.nan],
            [0, 0, 1, 1, np.inf, np.inf, np.nan],
        ),
        ("expm1", [-np.inf, -200, -0.0, 0.0, 89, np.nan], [-1, -1, -0.0, 0.0, np.inf, np.nan]),
        ("log", [-1, -0.0, 0.0, 1, np.inf, np.nan], [np.nan, -np.inf, -np.inf, 0, np.inf, np.nan]),
        (
            "log1p",
            [-2, -1, -0.0, 0.0, np.inf, np.nan],
            [np.nan, -np.inf, -0.0, 0.0, np.inf, np.nan],
        ),
        ("erf", [-np.inf, -5, -0.0, 0.0, 5, np.inf, np.nan], [-1, -1, -0.0, 0.0, 1, 1, np.nan]),
    ],
)
def test_special_values(isa, name, x, want):
    assert_same_bytes(getattr(_core, name)(np.float32(x), None), np.float32(want), name)


def test_exact_cases(isa):
    """log of powers of two is the nearest float32; exp of 0 is 1."""
    powers = np.ldexp(np.float32(1), np.arange(-149, 128)).astype(np.float32)
    want = np.log(powers.astype(np.float64))
    assert (np.abs(_core.log(powers, None) - want) <= np.spacing(np.abs(want).astype("f4"))).all()
    assert (_core.exp(np.zeros(33, np.float32), None) == 1).all()


def test_inverse_functions_meet(isa):
    x = np.linspace(-80, 80, 20_001, dtype=np.float32)
    back = _core.log(_core.exp(x, None), None).astype(np.float64)
    # exp is off by at most 1.5 ULP <= 3 u relative, log by 2 ULP of x.
    assert (np.abs(back - x) <= 3.01 * 2.0**-24 + 2 * np.spacing(np.abs(x))).all()
