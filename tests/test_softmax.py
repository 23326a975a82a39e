"""softmax: bound, dimensions, infinities and NaN as in torch."""

from __future__ import annotations

import numpy as np
import pytest

from _arrays import assert_case_bounded, assert_same_bytes, case_id, finite_cases
from forwardpass import _core
from forwardpass.reference.arrays import make


@pytest.mark.parametrize("case", finite_cases("softmax", "log_softmax"), ids=case_id)
def test_within_bound(isa, case):
    assert_case_bounded(*case)


@pytest.mark.parametrize("dim", range(-3, 3))
def test_every_dimension(isa, dim):
    x = make("dim/x", (5, 33, 20), "span")
    last = np.ascontiguousarray(np.moveaxis(x, dim, -1))
    want = np.moveaxis(_core.softmax(last, -1, None), -1, dim)
    got = _core.softmax(x, dim, None)
    assert got.flags.c_contiguous
    assert_same_bytes(got, want)


@pytest.mark.parametrize("n", [1, 5, 16, 17, 64, 65, 200])
def test_minus_infinity_takes_no_part(isa, n):
    x = make(f"inf/{n}", (4, n), "span")
    x[1, n // 2] = -np.inf
    x[2] = -np.inf
    x[3, : n - 1] = -np.inf
    y = _core.softmax(x, -1, None)
    assert y[1, n // 2] == 0 or n == 1
    assert np.isnan(y[2]).all()  # a row of -inf, as in torch
    assert y[3, n - 1] == 1
    assert (y[3, : n - 1] == 0).all()


def test_nan_and_plus_infinity_make_the_row_nan(isa):
    x = make("nan/x", (3, 40), "span")
    clean = _core.softmax(x, -1, None)
    x[0, 3], x[2, 39] = np.nan, np.inf
    y = _core.softmax(x, -1, None)
    assert np.isnan(y[0]).all()
    assert np.isnan(y[2]).sum() == 40
    assert_same_bytes(y[1], clean[1])


def test_large_values_do_not_overflow(isa):
    x = np.float32([[3e38, 3e38, -3e38], [-3.4e38, -3.4e38, -3.4e38]])
    y = _core.softmax(x, 1, None)
    np.testing.assert_array_equal(y[0], np.float32([0.5, 0.5, 0]))
    np.testing.assert_allclose(y[1], 1 / 3, rtol=3e-7)


def test_one_element_and_scalar(isa):
    assert _core.softmax(np.float32([[7], [-9]]), -1, None).tolist() == [[1], [1]]
    y = _core.softmax(np.array(3, np.float32), 0, None)  # torch allows dim 0 and -1 of a scalar
    assert y.shape == ()
    assert y == 1


@pytest.mark.parametrize("shape", [(0,), (0, 3), (3, 0), (2, 0, 4)])
def test_empty(isa, shape):
    x = np.empty(shape, np.float32)
    for dim in range(len(shape)):
        assert _core.softmax(x, dim, None).shape == shape
