"""linear and PackedLinear: bounds, shapes, the meaning of each argument."""

from __future__ import annotations

import numpy as np
import pytest

from _arrays import assert_bounded, assert_case_bounded, assert_same_bytes, case_id, finite_cases
from forwardpass import _core
from forwardpass.reference import OPS
from forwardpass.reference.arrays import make

LINEAR = OPS["linear"]


def linear(x, w, b=None, activation=None, slope=0.01, residual=None, out=None):
    return _core.linear(x, w, b, activation, slope, residual, out)


@pytest.mark.parametrize("case", finite_cases("linear"), ids=case_id)
def test_within_bound(isa, case):
    assert_case_bounded(*case)


@pytest.mark.parametrize("n", [1, 3, 4, 5, 16, 17, 32, 33, 64])
def test_powers_of_two_are_exact(isa, n):
    """Small integers: every order of additions gives the exact result."""
    x = np.arange(-40, 52, dtype=np.float32).reshape(2, 46) % 7
    w = (np.arange(n * 46, dtype=np.float32).reshape(n, 46) % 11) - 5
    np.testing.assert_array_equal(linear(x, w), x.astype(np.int64) @ w.T.astype(np.int64))


@pytest.mark.parametrize("lead", [(), (0,), (1,), (5,), (2, 3), (2, 0, 4), (1, 2, 3, 2)])
def test_leading_dimensions(isa, lead):
    x, w, b = make("lead/x", (*lead, 9)), make("lead/w", (20, 9)), make("lead/b", (20,))
    y = linear(x, w, b)
    assert y.shape == (*lead, 20)
    assert_same_bytes(y.reshape(-1, 20), linear(x.reshape(-1, 9), w, b))


def test_vector_weight(isa):
    """torch: a weight of shape (K,) takes the last dimension away."""
    x, w = make("vec/x", (3, 4, 70)), make("vec/w", (70,))
    y = linear(x, w)
    assert y.shape == (3, 4)
    assert_same_bytes(y, linear(x, w[None])[..., 0])


@pytest.mark.parametrize("n", [1, 4, 16, 20, 70])
def test_no_reduction_gives_the_bias(isa, n):
    x, w, b = np.empty((3, 0), np.float32), np.empty((n, 0), np.float32), make("zero/b", (n,))
    assert_same_bytes(linear(x, w, b), np.broadcast_to(b, (3, n)))
    assert_same_bytes(linear(x, w), np.zeros((3, n), np.float32))


def test_order_of_the_epilogue(isa):
    """bias, then activation, then residual."""
    x, w = np.float32([[1]]), np.float32([[2]])
    y = linear(x, w, np.float32([-5]), "relu", 0.01, np.float32([[10]]))
    assert y.item() == 10.0
    y = linear(x, w, np.float32([-4]), "leaky_relu", 0.5, np.float32([[10]]))
    assert y.item() == 9.0


def test_activation_argument_of_every_kind(isa):
    x, w, b = make("act/x", (5, 30), "span"), make("act/w", (21, 30)), make("act/b", (21,))
    for name in ("relu", "gelu", "gelu_tanh", "silu", "sigmoid", "tanh", "leaky_relu"):
        arguments = {"input": x, "weight": w, "bias": b, "activation": name, "negative_slope": 0.2}
        assert_bounded(LINEAR, arguments)


def test_infinity_and_nan_stay_in_their_row(isa):
    x, w = make("nan/x", (13, 40)), make("nan/w", (37, 40))
    clean = linear(x, w)
    x[4, 7], x[9, 0] = np.nan, np.inf
    y = linear(x, w)
    assert np.isnan(y[4]).all()
    assert np.isinf(y[9][w[:, 0] != 0]).all()
    keep = [i for i in range(13) if i not in (4, 9)]
    assert_same_bytes(y[keep], clean[keep])


@pytest.mark.parametrize("m", [1, 4, 7, 8, 9, 16, 17])
@pytest.mark.parametrize(
    ("n", "k"), [(33, 15), (48, 16), (40, 129), (100, 300), (64, 1024), (49, 2048)]
)
def test_raw_weights_give_the_bytes_of_packed_ones(isa, m, n, k):
    """Few rows take a raw weight through registers, from a copy where its rows share cache sets."""
    x, w, b = make("raw/x", (m, k)), make("raw/w", (n, k)), make("raw/b", (n,))
    residual = make("raw/r", (m, n))
    packed = _core.PackedLinear(w, b)
    assert_same_bytes(linear(x, w, b), packed(x))
    assert_same_bytes(
        linear(x, w, b, "gelu", residual=residual), packed(x, "gelu", residual=residual)
    )


@pytest.mark.parametrize("k", [32, 43, 48, 200, 1024, 2048])
@pytest.mark.parametrize("n", [32, 305])
@pytest.mark.parametrize("offset", [0, 1, 4, 15])
def test_a_row_with_a_raw_weight_anywhere_in_memory(isa, n, k, offset):
    """Blocks of columns that are not whole are filled up with -0 times +0, which no sum shows."""
    room = np.empty(n * k + 32, np.float32)
    start = -room.ctypes.data % 64 // 4 + offset
    w = room[start : start + n * k].reshape(n, k)
    w[:] = make("anywhere/w", (n, k))
    x, b = make("anywhere/x", (1, k)), make("anywhere/b", (n,))
    assert_same_bytes(linear(x, w, b), _core.PackedLinear(w, b)(x))
    x[:], w[:] = -1e-30, 1e-30  # sums of -0
    y = linear(x, w)
    assert np.signbit(y).all()
    assert not y.any()
    assert_same_bytes(y, _core.PackedLinear(w, None)(x))


@pytest.mark.parametrize("k", [511, 513])  # below and above 16 MiB (kernels/linear.h)
@pytest.mark.parametrize("m", [2, 3, 4, 7, 8])
def test_few_rows_of_a_large_weight(isa, m, k):
    n = 8190
    x, w, b = make("far/x", (m, k)), make("far/w", (n, k)), make("far/b", (n,))
    pack = _core.PackedLinear(w, b)
    residual = make("far/r", (m, n))
    whole = pack(x, None, 0.01, residual)
    for row in range(m):
        assert_same_bytes(whole[row], pack(x[row], None, 0.01, residual[row]))


@pytest.mark.parametrize("n", [8208, 8256, 8200])
def test_large_outputs_have_the_bytes_of_their_rows(isa, n):
    """From 8 MiB on whole cache lines are written past the caches (kernels/linear.h)."""
    x, w, b = make("large/x", (260, 9)), make("large/w", (n, 9)), make("large/b", (n,))
    pack = _core.PackedLinear(w, b)
    whole = pack(x)
    assert_same_bytes(whole[7], pack(x[7]))
    assert_same_bytes(whole[64:], pack(x[64:]))
    shifted = np.empty(260 * n + 1, np.float32)[1:].reshape(260, n)  # no whole cache lines
    assert_same_bytes(whole, pack(x, None, 0.01, None, shifted))


@pytest.mark.parametrize(("n", "k"), [(1, 70), (4, 64), (3, 20), (16, 9), (32, 33), (97, 130)])
def test_packed_gives_weight_and_bias_back(isa, n, k):
    w, b = make("pack/w", (n, k), "bits"), make("pack/b", (n,), "bits")
    packed = _core.PackedLinear(w, b)
    assert packed.isa == isa
    assert_same_bytes(packed.weight(), w)
    assert_same_bytes(packed.bias(), b)
    assert _core.PackedLinear(w, None).bias() is None
    packed.weight()[...] = 0  # a fresh array: writing to it changes nothing
    assert_same_bytes(packed.weight(), w)


def test_packed_does_not_follow_later_changes(isa):
    w, b, x = make("later/w", (17, 9)), make("later/b", (17,)), make("later/x", (3, 9))
    packed, before = _core.PackedLinear(w, b), linear(x, w, b)
    w[...], b[...] = 0, 0
    assert_same_bytes(packed(x), before)


def test_packed_keeps_its_instruction_set(isa):
    w, x = make("keep/w", (70, 33)), make("keep/x", (5, 33))
    packed = _core.PackedLinear(w, None)
    for other in _core.available_isas():
        _core._set_isa(other)
        assert packed.isa == isa
        assert_same_bytes(packed(x), linear(x, w))
