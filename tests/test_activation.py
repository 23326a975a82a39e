"""Activations: bounds and special values."""

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
from forwardpass.reference.arrays import make

NAMES = (
    *("relu", "leaky_relu", "gelu", "silu", "sigmoid", "tanh", "relu6", "hardtanh", "hardsigmoid"),
    *("hardswish", "elu", "softplus", "mish", "glu", "swiglu", "prelu"),
)
INF = np.float32(np.inf)


@pytest.mark.parametrize("case", finite_cases(*NAMES), ids=case_id)
def test_within_bound(isa, case):
    """All exponents, infinities and NaN included."""
    assert_case_bounded(*case)


# Where approximations change pieces or leave a range: near 0, 1, gelu's -5 and -1, the underflow of
# exp(-x) and of the normal density.
@pytest.mark.parametrize(
    "center", [0, 0.5, 0.6931472, 1, 2, 3, 5, 8.3, 9, 13, 14, 87.33654, 103.97]
)
def test_dense_around_edges(isa, center):
    x = neighbours(center)
    for name in ("silu", "sigmoid", "tanh", "hardsigmoid", "hardswish", "elu", "softplus", "mish"):
        assert_bounded(OPS[name], {"input": x})
    for form in ("none", "tanh"):
        assert_bounded(OPS["gelu"], {"input": x, "approximate": form})


def test_special_values(isa):
    x = np.array([np.nan, -0.0, 0.0, np.inf, -np.inf], np.float32)
    assert_same_bytes(_core.relu(x, None)[[0, 2, 3, 4]], np.float32([np.nan, 0, np.inf, 0]))
    assert _core.relu(x, None)[1] == 0
    leaky = _core.leaky_relu(x, 0.5, None)
    assert_same_bytes(leaky, np.float32([np.nan, -0.0, 0.0, np.inf, -np.inf]))
    assert_same_bytes(_core.sigmoid(x, None), np.float32([np.nan, 0.5, 0.5, 1, 0]))
    assert_same_bytes(_core.tanh(x, None), np.float32([np.nan, -0.0, 0.0, 1, -1]))
    for y in (_core.silu(x, None), _core.gelu(x, "none", None), _core.gelu(x, "tanh", None)):
        # -inf times 0 is NaN: torch says so too.
        assert_same_bytes(y, np.float32([np.nan, -0.0, 0.0, np.inf, np.nan]))


def test_special_values_of_the_bounded_and_smooth(isa):
    x = np.array([np.nan, -0.0, 0.0, np.inf, -np.inf, 3, -3], np.float32)
    nan, inf = np.nan, np.inf
    assert_same_bytes(np.abs(_core.relu6(x, None)), np.float32([nan, 0, 0, 6, 0, 3, 0]))
    assert_same_bytes(_core.hardtanh(x, -1, 2, None)[3:], np.float32([2, -1, 2, -1]))
    assert_same_bytes(_core.hardsigmoid(x, None), np.float32([nan, 0.5, 0.5, 1, 0, 1, 0]))
    assert_same_bytes(_core.hardswish(x, None)[:5], np.float32([nan, -0.0, 0, inf, nan]))
    assert_same_bytes(_core.elu(x, 2.0, None)[:5], np.float32([nan, -0.0, 0, inf, -2]))
    assert_same_bytes(_core.mish(x, None)[:5], np.float32([nan, -0.0, 0, inf, nan]))
    ln2 = np.float32(np.log(2))
    assert_same_bytes(_core.softplus(x, 1.0, 20.0, None)[:5], np.float32([nan, ln2, ln2, inf, 0]))


def test_swiglu_is_two_steps(isa):
    g, u = make("swiglu/g", (7, 100), "span"), make("swiglu/u", (7, 100), "span")
    want = _core.silu(g, None) * u
    assert_same_bytes(_core.swiglu(g, u, None), want)
    both = np.concatenate([g, u], axis=1)
    assert_same_bytes(_core._swiglu_halves(both), want)
    swapped = np.concatenate([u, g], axis=1)
    gated = u * _core.sigmoid(g, None)
    assert_same_bytes(_core.glu(swapped, -1, None), gated)


def test_large_values_saturate(isa):
    x = np.float32([3e38, 1e20, 200, 90])
    for y in (_core.silu(x, None), _core.gelu(x, "none", None), _core.gelu(x, "tanh", None)):
        assert_same_bytes(y, x)
    for name in ("silu", "sigmoid"):
        assert (getattr(_core, name)(-x[:3], None) == 0).all()
    for form in ("none", "tanh"):
        assert (_core.gelu(-x, form, None) == 0).all()


def test_sign_symmetry(isa):
    x = make("odd/x", (5000,), "span")
    assert_same_bytes(_core.tanh(-x, None), -_core.tanh(x, None))
    assert_same_bytes(_core.erf(-x, None), -_core.erf(x, None))


@pytest.mark.parametrize("name", ["sigmoid", "tanh", "erf", "exp"])
def test_monotone_within_its_bound(isa, name):
    """Steps back are at most the bound: none is expected beyond 2 ULP."""
    x = np.sort(make("mono/x", (100_000,), "span"))
    y = getattr(_core, name)(x, None).astype(np.float64)
    back = np.maximum.accumulate(y) - y
    assert (back <= 2 * np.spacing(np.abs(y).astype(np.float32))).all()


@pytest.mark.parametrize("slope", [0.0, 1.0, -2.0, 1e-40, 3e38])
def test_leaky_relu_slopes(isa, slope):
    x = np.float32([-3, -1e-30, 0.5, 7])
    with np.errstate(all="ignore"):
        want = np.where(x > 0, x, x * np.float32(slope))
    assert_same_bytes(_core.leaky_relu(x, slope, None), want)


def test_subnormals_are_not_flushed(isa):
    x = make("sub/x", (1000,), "subnormal")
    assert_same_bytes(_core.relu(x, None), np.maximum(x, 0))
    assert_same_bytes(_core.tanh(x, None), x)
    assert_same_bytes(_core.leaky_relu(x, 0.5, None), np.where(x > 0, x, x * np.float32(0.5)))
    assert (_core.gelu(x[np.abs(x) > 1e-40], "none", None) != 0).all()
