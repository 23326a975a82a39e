"""embedding: a copy of rows, by any integer index."""

from __future__ import annotations

import numpy as np
import pytest

from _arrays import assert_case_bounded, assert_same_bytes, case_id, finite_cases
from forwardpass import _core
from forwardpass.reference.arrays import make

TABLE = make("table", (300, 33), "bits")


@pytest.mark.parametrize("case", finite_cases("embedding"), ids=case_id)
def test_within_bound(isa, case):
    assert_case_bounded(*case)


@pytest.mark.parametrize("dtype", ["i1", "u1", "i2", "u2", "i4", "u4", "i8", "u8"])
def test_every_integer_type(isa, dtype):
    indices = np.array([[0, 5, 127], [3, 3, 64]], dtype)
    assert_same_bytes(_core.embedding(indices, TABLE, None), TABLE[indices.astype(int)])
    assert_same_bytes(_core.embedding(indices.T, TABLE, None), TABLE[indices.T.astype(int)])


@pytest.mark.parametrize("shape", [(), (0,), (1,), (2, 0, 3), (70,), (2, 3, 4)])
def test_shapes(isa, shape):
    indices = np.full(shape, 299, np.int64)
    y = _core.embedding(indices, TABLE, None)
    assert y.shape == (*shape, 33)
    assert_same_bytes(y, TABLE[indices])


def test_zero_width_and_empty_table(isa):
    assert _core.embedding(np.arange(3), np.empty((5, 0), np.float32), None).shape == (3, 0)
    nothing = np.empty((0, 4), np.float32)
    assert _core.embedding(np.empty(0, np.int64), nothing, None).shape == (0, 4)


def test_scalar_index(isa):
    assert_same_bytes(_core.embedding(np.int64(7), TABLE, None), TABLE[7])


def test_bits_of_nan_rows_are_kept(isa):
    """A gather is a copy: even a NaN's payload stays."""
    got = _core.embedding(np.arange(300), TABLE, None)
    np.testing.assert_array_equal(got.view(np.uint32), TABLE.view(np.uint32))
