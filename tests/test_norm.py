"""rms_norm, layer_norm, these of a sum: bounds and torch's semantics."""

from __future__ import annotations

import numpy as np
import pytest

from _arrays import assert_case_bounded, assert_same_bytes, case_id, finite_cases
from forwardpass import _core
from forwardpass.reference.arrays import make


@pytest.mark.parametrize(
    "case", finite_cases("rms_norm", "add_rms_norm", "layer_norm", "add_layer_norm"), ids=case_id
)
def test_within_bound(isa, case):
    assert_case_bounded(*case)


def test_shape_forms_agree(isa):
    """An int, a list and a tuple; two trailing dimensions as one."""
    x, w = make("shape/x", (4, 6, 35)), make("shape/w", (35,))
    want = _core.rms_norm(x, (35,), w, 1e-6, None)
    assert_same_bytes(_core.rms_norm(x, 35, w, 1e-6, None), want)
    assert_same_bytes(_core.rms_norm(x, [35], w, 1e-6, None), want)
    flat = _core.layer_norm(x.reshape(4, 210), (210,), None, None, 1e-5, None)
    assert_same_bytes(_core.layer_norm(x, (6, 35), None, None, 1e-5, None).reshape(4, 210), flat)


def test_default_eps_of_rms_norm(isa):
    """None is float32's machine epsilon, as in torch."""
    x = make("eps/x", (3, 50)) * np.float32(1e-4)
    want = _core.rms_norm(x, 50, None, 2.0**-23, None)
    assert_same_bytes(_core.rms_norm(x, 50, None, None, None), want)


def test_add_rms_norm_is_add_then_norm(isa):
    x, r, w = make("add/x", (9, 77)), make("add/r", (9, 77)), make("add/w", (77,))
    y, s = _core.add_rms_norm(x, r, (77,), w, 1e-6, None, None)
    assert_same_bytes(s, x + r)
    assert_same_bytes(y, _core.rms_norm(x + r, (77,), w, 1e-6, None))


def test_add_layer_norm_is_add_then_norm(isa):
    x, r, w = make("add/x", (9, 77)), make("add/r", (9, 77)), make("add/w", (77,))
    for weight, bias in ((w, x[0]), (w, None), (None, x[0]), (None, None)):
        y, s = _core.add_layer_norm(x, r, (77,), weight, bias, 1e-6, None, None)
        assert_same_bytes(s, x + r)
        assert_same_bytes(y, _core.layer_norm(x + r, (77,), weight, bias, 1e-6, None))


def test_constant_rows(isa):
    """No spread: layer_norm gives the bias exactly, rms_norm of zeros gives zeros."""
    x, b = np.full((3, 64), 5, np.float32), make("const/b", (64,))
    y = _core.layer_norm(x, 64, np.ones(64, np.float32), b, 1e-5, None)
    assert_same_bytes(y, np.broadcast_to(b, y.shape))
    zero = np.zeros((2, 33), np.float32)
    assert_same_bytes(_core.rms_norm(zero, 33, None, None, None), zero)


def test_zero_eps(isa):
    x = make("zero/x", (2, 40))
    assert np.isfinite(_core.rms_norm(x, 40, None, 0.0, None)).all()
    assert np.isnan(_core.rms_norm(x * 0, 40, None, 0.0, None)).all()  # 0 / 0, as in torch


def test_nan_and_infinity_stay_in_their_row(isa):
    x = make("nan/x", (5, 70))
    clean = _core.rms_norm(x, 70, None, None, None)
    layer = _core.layer_norm(x, 70, None, None, 1e-5, None)
    x[1, 3], x[3, 69] = np.nan, np.inf
    y = _core.rms_norm(x, 70, None, None, None)
    assert np.isnan(y[1]).all()
    finite = np.arange(70) != 69
    assert np.isnan(y[3, 69])
    assert (y[3, finite] == 0).all()
    assert np.isnan(_core.layer_norm(x, 70, None, None, 1e-5, None)[[1, 3]]).all()
    keep = [0, 2, 4]
    assert_same_bytes(y[keep], clean[keep])
    assert_same_bytes(_core.layer_norm(x, 70, None, None, 1e-5, None)[keep], layer[keep])


@pytest.mark.parametrize("shape", [(0, 5), (5, 0), (0, 0), (2, 0, 3)])
def test_empty(isa, shape):
    x = np.empty(shape, np.float32)
    assert _core.rms_norm(x, shape[-1:], None, None, None).shape == shape
    assert _core.layer_norm(x, shape[-1:], None, None, 1e-5, None).shape == shape
    y, s = _core.add_rms_norm(x, x, shape[-1:], None, None, None, None)
    assert y.shape == s.shape == shape


def test_shifted_data_keeps_its_spread(isa):
    """E[x^2] - mean^2 in float32 would lose all of it: the spread is 1e-3 of the mean."""
    x = make("shift/x", (4, 300), "shifted")
    y = _core.layer_norm(x, 300, None, None, 1e-12, None).astype(np.float64)
    np.testing.assert_allclose(y.std(axis=1), 1, rtol=1e-5)
    np.testing.assert_allclose(y.mean(axis=1), 0, atol=1e-3)


@pytest.mark.parametrize("n", [1024, 1040, 1030])
def test_large_outputs_have_the_bytes_of_their_rows(isa, n):
    """From 32 MiB on whole cache lines are written past the caches (ops/rows.cpp)."""
    rows = (1 << 23) // n + 3
    x, r, w = make("large/x", (rows, n)), make("large/r", (9, n)), make("large/w", (n,))
    r = np.resize(r, (rows, n))
    for got, part in (
        (_core.rms_norm(x, n, w, 1e-6), lambda a, b: _core.rms_norm(a, n, w, 1e-6)),
        (_core.layer_norm(x, n, w, w), lambda a, b: _core.layer_norm(a, n, w, w)),
        (_core.add_rms_norm(x, r, n, w)[0], lambda a, b: _core.add_rms_norm(a, b, n, w)[0]),
        (_core.add_layer_norm(x, r, n, w)[0], lambda a, b: _core.add_layer_norm(a, b, n, w)[0]),
    ):
        for first in (0, 7, rows - 5):
            rows_of = slice(first, first + 5)
            assert_same_bytes(got[rows_of], part(x[rows_of], r[rows_of]))
