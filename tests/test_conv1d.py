"""conv1d and PackedConv1d: bounds, geometry, the meaning of each argument."""

from __future__ import annotations

import numpy as np
import pytest

from _arrays import assert_case_bounded, assert_same_bytes, case_id, finite_cases
from forwardpass import _core
from forwardpass.reference.arrays import make


def conv1d(x, w, b=None, stride=1, padding=0, dilation=1, groups=1, out=None):
    return _core.conv1d(x, w, b, stride, padding, dilation, groups, None, 0.01, None, out)


@pytest.mark.parametrize("case", finite_cases("conv1d"), ids=case_id)
def test_within_bound(isa, case):
    assert_case_bounded(*case)


def test_is_a_correlation(isa):
    """Not flipped: the first tap meets the earlier sample."""
    x, w = np.float32([[[1, 2, 3, 4]]]), np.float32([[[10, 1]]])
    np.testing.assert_array_equal(conv1d(x, w)[0, 0], [12, 23, 34])


@pytest.mark.parametrize("kernel", range(1, 9))
@pytest.mark.parametrize("dilation", [1, 2, 3])
def test_same_and_valid(isa, kernel, dilation):
    """ "same": as long as the input, the odd zero on the right (torch); "valid": no padding."""
    x, w = make("same/x", (2, 3, 31)), make("same/w", (5, 3, kernel))
    total = dilation * (kernel - 1)
    padded = np.pad(x, ((0, 0), (0, 0), (total // 2, total - total // 2)))
    same = conv1d(x, w, padding="same", dilation=dilation)
    assert same.shape == (2, 5, 31)
    assert_same_bytes(same, conv1d(padded, w, dilation=dilation))
    valid = conv1d(x, w, padding="valid", dilation=dilation)
    assert_same_bytes(valid, conv1d(x, w, dilation=dilation))


def test_tuples_of_one(isa):
    x, w = make("tuple/x", (1, 4, 31)), make("tuple/w", (6, 2, 3))
    want = conv1d(x, w, None, 2, 3, 4, 2)
    assert_same_bytes(conv1d(x, w, None, (2,), (3,), (4,), 2), want)


def test_unbatched(isa):
    x, w, b = make("flat/x", (3, 50)), make("flat/w", (7, 3, 4)), make("flat/b", (7,))
    y = conv1d(x, w, b)
    assert y.shape == (7, 47)
    assert_same_bytes(y, conv1d(x[None], w, b)[0])


@pytest.mark.parametrize("groups", [1, 2, 5, 10])
def test_groups_are_separate(isa, groups):
    """Each group equals its own convolution."""
    x, w = make("group/x", (2, 10, 60)), make("group/w", (20, 10 // groups, 3))
    b = make("group/b", (20,))
    y = conv1d(x, w, b, padding=1, groups=groups)
    c, o = 10 // groups, 20 // groups
    for g in range(groups):
        part = slice(g * o, (g + 1) * o)
        one = conv1d(x[:, g * c : (g + 1) * c], w[part], b[part], padding=1)
        assert_same_bytes(y[:, part], one)


@pytest.mark.parametrize("stride", [2, 3, 5, 8])
def test_stride_skips(isa, stride):
    """A strided convolution is every stride-th output of the dense one."""
    x, w = make("stride/x", (1, 3, 200)), make("stride/w", (9, 3, 7))
    y = conv1d(x, w, stride=stride, padding=4, dilation=2)
    assert_same_bytes(y, conv1d(x, w, padding=4, dilation=2)[..., ::stride])


def test_padding_meets_infinite_weights(isa):
    """Padding takes part as weight times +0: an infinite weight makes the edge NaN, as in torch."""
    x = np.ones((1, 1, 5), np.float32)
    y = conv1d(x, np.float32([[[np.inf, 1]]]), padding=1)[0, 0]
    assert np.isnan(y[0])
    assert np.isposinf(y[1:]).all()


@pytest.mark.parametrize(
    ("channels", "length", "padding", "kernel", "want"),
    [(0, 5, 0, 3, 3), (3, 0, 2, 3, 2), (3, 3, 0, 3, 1), (1, 1, 0, 1, 1), (2, 1, 40, 3, 79)],
)
def test_small_geometry(isa, channels, length, padding, kernel, want):
    x, w = make("small/x", (2, channels, length)), make("small/w", (4, channels, kernel))
    b = make("small/b", (4,))
    y = conv1d(x, w, b, padding=padding)
    assert y.shape == (2, 4, want)
    if channels == 0 or length == 0:
        assert_same_bytes(y, np.broadcast_to(b[:, None], y.shape))


def test_nan_reaches_only_its_window(isa):
    x, w = make("reach/x", (2, 3, 150)), make("reach/w", (9, 3, 5))
    clean = conv1d(x, w, padding=2)
    x[1, 2, 70] = np.nan
    y = conv1d(x, w, padding=2)
    assert np.isnan(y[1, :, 68:73]).all()
    y[1, :, 68:73] = clean[1, :, 68:73]
    assert_same_bytes(y, clean)


@pytest.mark.parametrize(
    ("shape", "groups"),
    [((5, 3, 7), 1), ((17, 4, 3), 1), ((12, 1, 5), 12), ((18, 3, 2), 2), ((32, 9, 31), 2)],
)
def test_packed_gives_weight_and_bias_back(isa, shape, groups):
    w, b = make("pack/w", shape, "bits"), make("pack/b", shape[:1], "bits")
    for stride in (1, 2):
        packed = _core.PackedConv1d(w, b, stride, 0, 1, groups)
        assert packed.isa == isa
        assert_same_bytes(packed.weight(), w)
        assert_same_bytes(packed.bias(), b)
        assert _core.PackedConv1d(w, None, stride, 0, 1, groups).bias() is None


@pytest.mark.parametrize(
    ("shape", "stride", "padding", "dilation", "groups", "length"),
    [
        ((80, 24, 11), 2, 9, 3, 2, 101),
        ((48, 1, 400), 160, 0, 1, 1, 1600),
        ((66, 90, 3), 3, 1, 1, 1, 64),
        ((16, 256, 1), 2, 0, 1, 1, 5),
        ((48, 1, 400), 160, 0, 1, 1, 2000),
        ((80, 90, 3), 2, 1, 1, 1, 100),
        ((64, 40, 8), 5, 20, 2, 1, 1),
        ((32, 64, 5), 3, 2, 1, 2, 37),
    ],
)
@pytest.mark.parametrize("special", [False, True])
def test_a_pack_in_the_lanes(isa, shape, stride, padding, dilation, groups, length, special):
    """A step, many products: the pack has channels in the lanes, a raw weight runs over time."""
    w, b = make("lanes/w", shape), make("lanes/b", shape[:1])
    x = make("lanes/x", (2, shape[1] * groups, length))
    if special:
        w[3, 0, 0], w[5, 0, -1] = np.inf, np.nan
    geometry = (stride, padding, dilation, groups)
    pack = _core.PackedConv1d(w, b, *geometry)
    want = conv1d(x, w, b, *geometry)
    residual = make("lanes/r", want.shape)
    assert_same_bytes(pack(x), want)
    assert_same_bytes(
        pack(x, "silu", residual=residual),
        _core.conv1d(x, w, b, *geometry, "silu", residual=residual),
    )
    assert_same_bytes(pack.weight(), w)
    assert_same_bytes(pack.bias(), b)


@pytest.mark.parametrize("out", [16, 33, 80])
@pytest.mark.parametrize(
    ("length", "pad", "dilation"), [(1, 1, 1), (3, 0, 1), (5, 1, 3), (1, 2, 2)]
)
def test_a_raw_weight_at_one_position(isa, out, length, pad, dilation):
    """It runs as a linear over the window: the packed convolution's bytes."""
    w, b = make("one/w", (out, 21, 3)).copy(), make("one/b", (out,))
    x = make("one/x", (4, 21, length)).copy()
    packed = _core.PackedConv1d(w, b, 1, pad, dilation)
    y = _core.conv1d(x, w, b, 1, pad, dilation)
    assert y.shape[-1] == 1
    assert_same_bytes(y, packed(x))
    w[3, 4] = np.inf  # meets +0 where the kernel lies over the padding
    x[2, 5] = np.nan
    assert_same_bytes(
        _core.conv1d(x, w, None, 1, pad, dilation),
        _core.PackedConv1d(w, None, 1, pad, dilation)(x),
    )
