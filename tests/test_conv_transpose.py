"""conv_transpose1d and conv_transpose2d: bounds, geometry, the meaning of each argument."""

from __future__ import annotations

import numpy as np
import pytest

from _arrays import assert_case_bounded, assert_same_bytes, case_id, finite_cases
from forwardpass import _core, nn
from forwardpass.reference.arrays import make


@pytest.mark.parametrize("case", finite_cases("conv_transpose1d", "conv_transpose2d"), ids=case_id)
def test_within_bound(isa, case):
    assert_case_bounded(*case)


def test_taps_land_in_order(isa):
    """x[i] w[k] is added to output i * stride + k - padding."""
    x, w = np.float32([[[1, 10, 100]]]), np.float32([[[1, 2, 3]]])
    y = _core.conv_transpose1d(x, w, None, 2)
    np.testing.assert_array_equal(y[0, 0], [1, 2, 13, 20, 130, 200, 300])
    y = _core.conv_transpose1d(x, w, None, 2, 1, 1)
    np.testing.assert_array_equal(y[0, 0], [2, 13, 20, 130, 200, 300])


@pytest.mark.parametrize("kernel", [1, 3, 4])
def test_stride_one_is_a_correlation_with_the_flipped_kernel(isa, kernel):
    """The same sums; within one channel also in one order, so exactly for whole numbers."""
    x = np.round(make("flip/x", (2, 3, 40)) * 8)
    w = np.round(make("flip/w", (3, 5, kernel)) * 8)
    turned = np.ascontiguousarray(w[:, :, ::-1].transpose(1, 0, 2))
    want = _core.conv1d(x, turned, None, 1, kernel - 1)
    assert_same_bytes(_core.conv_transpose1d(x, w), want)


def test_one_row_in_two_dimensions(isa):
    x, w, b = make("row/x", (2, 6, 45)), make("row/w", (6, 3, 5)), make("row/b", (6,))
    for stride, padding, more, dilation in ((1, 0, 0, 1), (2, 1, 1, 1), (3, 2, 0, 2), (8, 0, 7, 1)):
        one = _core.conv_transpose1d(x, w, b, stride, padding, more, 2, dilation)
        two = _core.conv_transpose2d(
            x[:, :, None], w[:, :, None], b, (1, stride), (0, padding), (0, more), 2, (1, dilation)
        )
        assert_same_bytes(two[:, :, 0], one)


def test_phases_without_a_tap_are_the_bias(isa):
    x, w, b = make("gap/x", (1, 3, 9)), make("gap/w", (3, 5, 2)), make("gap/b", (5,))
    y = _core.conv_transpose1d(x, w, b, 5)
    for q in (2, 3, 4):
        part = np.ascontiguousarray(y[..., q::5])
        assert_same_bytes(part, np.broadcast_to(b[:, None], part.shape))


@pytest.mark.parametrize("stride", [1, 2, 3, 4, 8, 16])
def test_unbatched_and_output_padding(isa, stride):
    x, w, b = make("flat/x", (3, 21)), make("flat/w", (3, 7, 5)), make("flat/b", (7,))
    y = _core.conv_transpose1d(x, w, b, stride, 1)
    assert y.shape == (7, 20 * stride + 3)
    assert_same_bytes(y, _core.conv_transpose1d(x[None], w, b, stride, 1)[0])
    longer = _core.conv_transpose1d(x, w, b, stride, 1, stride - 1)
    assert longer.shape == (7, 21 * stride + 2)
    assert_same_bytes(np.ascontiguousarray(longer[:, : y.shape[1]]), y)


@pytest.mark.parametrize("groups", [1, 2, 4])
def test_groups_are_separate(isa, groups):
    x, w = make("group/x", (2, 8, 5, 9)), make("group/w", (8, 12 // groups, 4, 4))
    b = make("group/b", (12,))
    y = _core.conv_transpose2d(x, w, b, 2, 1, 0, groups)
    c, o = 8 // groups, 12 // groups
    for g in range(groups):
        inner, outer = slice(g * c, (g + 1) * c), slice(g * o, (g + 1) * o)
        one = _core.conv_transpose2d(x[:, inner], w[inner], b[outer], 2, 1)
        assert_same_bytes(y[:, outer], one)


def test_nan_reaches_only_its_taps(isa):
    x, w = make("reach/x", (1, 3, 60)), make("reach/w", (3, 9, 4))
    clean = _core.conv_transpose1d(x, w, None, 2, 1)
    x[0, 2, 30] = np.nan
    y = _core.conv_transpose1d(x, w, None, 2, 1)
    assert np.isnan(y[..., 59:63]).all()
    y[..., 59:63] = clean[..., 59:63]
    assert_same_bytes(y, clean)


def test_edges_meet_infinite_weights(isa):
    """A tap of the phase whose input lies outside takes part as weight times +0."""
    x = np.ones((1, 1, 3), np.float32)
    y = _core.conv_transpose1d(x, np.float32([[[1, 1, np.inf]]]))[0, 0]
    assert np.isnan(y[:2]).all()
    assert np.isposinf(y[2:]).all()


@pytest.mark.parametrize("groups", [1, 3])
def test_packed_gives_weight_back(isa, groups):
    for op, shape in (("conv_transpose1d", (6, 5, 7)), ("conv_transpose2d", (6, 9, 3, 4))):
        w, b = make("pack/w", shape, "bits"), make("pack/b", (shape[1] * groups,), "bits")
        packed = _core.PackedConv(op, w, b, 3, 1, 2, groups)
        assert packed.isa == isa
        assert_same_bytes(packed.weight(), w)
        assert_same_bytes(packed.bias(), b)


def test_output_size():
    """forward's output_size chooses the output_padding, as in torch."""
    layer = nn.ConvTranspose2d(3, 4, 3, stride=(2, 3), padding=1)
    x = make("size/x", (2, 3, 5, 6))
    assert layer(x).shape == (2, 4, 9, 16)
    for size in ((9, 16), (10, 18), (2, 4, 10, 17)):
        y = layer(x, output_size=size)
        assert y.shape == (2, 4, *size[-2:])
        assert_same_bytes(np.ascontiguousarray(y[..., :9, :16]), layer(x))
    for size in ((11, 16), (9, 15), (9,), (4, 9, 16)):
        with pytest.raises(ValueError, match="output"):
            layer(x, output_size=size)


@pytest.mark.parametrize(
    ("changed", "word"),
    [
        ({"output_padding": 2}, "output_padding"),
        ({"output_padding": -1}, "output_padding"),
        ({"padding": 9}, "input"),
        ({"padding": "same"}, "padding"),
        ({"groups": 2}, "groups"),
        ({"stride": 0}, "stride"),
        ({"stride": 2**62}, "stride"),
        ({"stride": 2**30}, "stride"),
        ({"dilation": 2**62}, "dilation"),
        ({"input": make("bad/x", (1, 4, 7))}, "input"),
        ({"input": make("bad/x", (7,))}, "input"),
        ({"input": make("bad/x", (1, 3, 0))}, "input"),
        ({"weight": make("bad/w", (3, 4))}, "weight"),
        ({"weight": make("bad/w", (3, 4, 0))}, "weight"),
        ({"bias": make("bad/b", (3,))}, "bias"),
    ],
)
def test_bad_values(changed, word):
    usual = {"input": make("bad/x", (1, 3, 7)), "weight": make("bad/w", (3, 4, 2)), "stride": 2}
    with pytest.raises((ValueError, TypeError), match=rf"conv_transpose1d.*{word}"):
        _core.conv_transpose1d(**{**usual, **changed})
