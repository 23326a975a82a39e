"""conv2d and PackedConv: bounds, geometry, the meaning of each argument."""

from __future__ import annotations

import numpy as np
import pytest

from _arrays import assert_case_bounded, assert_same_bytes, case_id, finite_cases
from forwardpass import _core
from forwardpass.reference.arrays import make


def conv2d(x, w, b=None, stride=1, padding=0, dilation=1, groups=1, out=None):
    return _core.conv2d(x, w, b, stride, padding, dilation, groups, None, 0.01, None, out)


@pytest.mark.parametrize("case", finite_cases("conv2d"), ids=case_id)
def test_within_bound(isa, case):
    assert_case_bounded(*case)


def test_is_a_correlation(isa):
    """Not flipped: the first tap meets the upper left sample."""
    x = np.arange(1, 10, dtype=np.float32).reshape(1, 1, 3, 3)
    w = np.float32([[[[1000, 100], [10, 1]]]])
    np.testing.assert_array_equal(conv2d(x, w)[0, 0], [[1245, 2356], [4578, 5689]])


@pytest.mark.parametrize("dilation", [1, 2, 3])
def test_one_row_is_conv1d(isa, dilation):
    x, w, b = make("row/x", (2, 3, 90)), make("row/w", (9, 3, 5)), make("row/b", (9,))
    for stride, padding in ((1, 0), (1, 4), (2, 3), (3, 1)):
        want = _core.conv1d(x, w, b, stride, padding, dilation)
        got = conv2d(x[:, :, None], w[:, :, None], b, (1, stride), (0, padding), (1, dilation))
        assert_same_bytes(got[:, :, 0], want)


@pytest.mark.parametrize("kernel", [(1, 1), (2, 3), (5, 4)])
@pytest.mark.parametrize("dilation", [(1, 1), (2, 1), (1, 3)])
def test_same_and_valid(isa, kernel, dilation):
    x, w = make("same/x", (2, 3, 12, 19)), make("same/w", (5, 3, *kernel))
    totals = [d * (k - 1) for k, d in zip(kernel, dilation, strict=True)]
    padded = np.pad(x, ((0, 0), (0, 0), *((t // 2, t - t // 2) for t in totals)))
    same = conv2d(x, w, padding="same", dilation=dilation)
    assert same.shape == (2, 5, 12, 19)
    assert_same_bytes(same, conv2d(padded, w, dilation=dilation))
    assert_same_bytes(
        conv2d(x, w, padding="valid", dilation=dilation), conv2d(x, w, None, 1, 0, dilation)
    )


def test_numbers_stand_for_both_dimensions(isa):
    x, w = make("pair/x", (1, 4, 20, 31)), make("pair/w", (6, 2, 3, 3))
    want = conv2d(x, w, None, (2, 2), (3, 3), (4, 4), 2)
    assert_same_bytes(conv2d(x, w, None, 2, 3, 4, 2), want)
    assert_same_bytes(conv2d(x, w, None, [2], (3,), [4], 2), want)


def test_unbatched(isa):
    x, w, b = make("flat/x", (3, 9, 50)), make("flat/w", (7, 3, 4, 4)), make("flat/b", (7,))
    y = conv2d(x, w, b)
    assert y.shape == (7, 6, 47)
    assert_same_bytes(y, conv2d(x[None], w, b)[0])


@pytest.mark.parametrize("groups", [1, 2, 5, 10])
def test_groups_are_separate(isa, groups):
    x, w = make("group/x", (2, 10, 9, 14)), make("group/w", (20, 10 // groups, 3, 3))
    b = make("group/b", (20,))
    y = conv2d(x, w, b, padding=1, groups=groups)
    c, o = 10 // groups, 20 // groups
    for g in range(groups):
        part = slice(g * o, (g + 1) * o)
        one = conv2d(x[:, g * c : (g + 1) * c], w[part], b[part], padding=1)
        assert_same_bytes(y[:, part], one)


@pytest.mark.parametrize("stride", [(2, 1), (1, 2), (3, 4), (2, 2)])
def test_stride_skips(isa, stride):
    x, w = make("stride/x", (1, 3, 30, 41)), make("stride/w", (9, 3, 3, 5))
    y = conv2d(x, w, None, stride, 2, 2)
    assert_same_bytes(
        y, np.ascontiguousarray(conv2d(x, w, None, 1, 2, 2)[..., :: stride[0], :: stride[1]])
    )


@pytest.mark.parametrize("kernel", [(4, 4), (2, 8), (3, 5)])
@pytest.mark.parametrize("grid", [(1, 1), (3, 15), (9, 16), (4, 33)])
def test_patches_of_four_columns(isa, kernel, grid):
    """Planes that are copied in fours, up to the last float of the input, beside any others."""
    size = [(n - 1) * 4 + k for n, k in zip(grid, kernel, strict=True)]
    x, w = make("four/x", (2, 3, *size)), make("four/w", (9, 3, *kernel))
    assert_same_bytes(conv2d(x, w, stride=4), np.ascontiguousarray(conv2d(x, w)[..., ::4, ::4]))


@pytest.mark.parametrize("rows", [1, 2, 5, 14, 40])
@pytest.mark.parametrize("cols", [1, 7, 14, 16, 56, 700])
def test_pieces_equal_the_whole(isa, rows, cols):
    """However vectors run and tiles are cut, an output depends on its window alone."""
    x, w = make("piece/x", (1, 20, rows + 2, cols + 2)), make("piece/w", (11, 20, 3, 3))
    y = conv2d(x, w)
    for r in {0, rows // 2, rows - 1}:
        for c in {0, cols // 3, cols - 1}:
            one = conv2d(x[..., r : r + 3, c : c + 3], w)
            assert_same_bytes(one[..., 0, 0], np.ascontiguousarray(y[..., r, c]))


MANY_CHANNELS = [  # channels, kernel, size, more: sums long enough for channels in lanes
    ((64, 80), (3, 3), (7, 7), {"padding": 1}),
    ((70, 16), (2, 5), (9, 8), {"stride": (2, 3), "padding": (1, 2)}),
    ((30, 48), (3, 3), (12, 13), {"padding": 4, "dilation": (4, 3)}),
    ((3, 32), (16, 16), (48, 80), {"stride": 16}),
    ((600, 64), (1, 1), (7, 7), {}),
    ((1100, 17 * 16), (1, 1), (1, 3), {}),
    ((1200, 32), (3, 3), (21, 21), {"padding": 1, "stride": 2}),  # weights in pieces
    ((128, 96), (5, 5), (11, 10), {"padding": 2, "groups": 2}),
    ((40, 16), (7, 7), (3, 2), {"padding": 3}),  # a window larger than the input
]


@pytest.mark.parametrize(("channels", "kernel", "size", "more"), MANY_CHANNELS)
def test_many_channels_equal_few(isa, channels, kernel, size, more):
    """Many output channels run in the lanes, a few do not: another kernel, the same bytes."""
    inputs, outputs = channels
    groups = more.get("groups", 1)
    x = make("many/x", (2, inputs, *size))
    w, b = make("many/w", (outputs, inputs // groups, *kernel)), make("many/b", (outputs,))
    y = conv2d(x, w, b, **more)
    width = outputs // groups
    more = {**more, "groups": 1}
    for o in range(0, outputs, 8):
        part = x[:, o // width * (inputs // groups) :][:, : inputs // groups]
        assert_same_bytes(y[:, o : o + 8], conv2d(part, w[o : o + 8], b[o : o + 8], **more))


@pytest.mark.parametrize("outputs", [8, 32])
def test_zeros_of_underflow_meet_the_padding(isa, outputs):
    """-1e-60 rounds to -0, which a product of the padding, +0, makes +0; the last tap decides."""
    x, w = np.full((1, 32, 9, 9), -1e-30, np.float32), np.full((outputs, 32, 3, 3), 1e-30)
    want = np.full((1, outputs, 9, 9), -0.0, np.float32)
    want[:, :, -1] = want[:, :, :, -1] = 0.0
    assert_same_bytes(conv2d(x, w.astype(np.float32), None, padding=1), want)


@pytest.mark.parametrize("outputs", [8, 32])
def test_padding_meets_infinite_weights_of_many_channels(isa, outputs):
    x, w = np.ones((1, 32, 9, 9), np.float32), np.ones((outputs, 32, 3, 3), np.float32)
    w[3, 5, 0, 0] = np.inf
    y = conv2d(x, w, None, padding=1)
    assert np.isnan(y[0, 3, 0]).all()
    assert np.isnan(y[0, 3, :, 0]).all()
    assert np.isposinf(y[0, 3, 1:, 1:]).all()
    assert np.isfinite(np.delete(y, 3, axis=1)).all()


def test_padding_meets_infinite_weights(isa):
    x = np.ones((1, 1, 4, 5), np.float32)
    w = np.ones((1, 1, 2, 2), np.float32)
    w[0, 0, 0, 0] = np.inf
    y = conv2d(x, w, padding=1)[0, 0]
    assert np.isnan(y[0]).all()
    assert np.isnan(y[:, 0]).all()
    assert np.isposinf(y[1:, 1:]).all()


def test_nan_reaches_only_its_window(isa):
    x, w = make("reach/x", (2, 3, 20, 33)), make("reach/w", (9, 3, 3, 5))
    clean = conv2d(x, w, padding=(1, 2))
    x[1, 2, 10, 20] = np.nan
    y = conv2d(x, w, padding=(1, 2))
    assert np.isnan(y[1, :, 9:12, 18:23]).all()
    y[1, :, 9:12, 18:23] = clean[1, :, 9:12, 18:23]
    assert_same_bytes(y, clean)


@pytest.mark.parametrize(
    ("shape", "groups"), [((5, 3, 7, 2), 1), ((17, 4, 3, 3), 1), ((12, 1, 5, 5), 12)]
)
def test_packed_gives_weight_and_bias_back(isa, shape, groups):
    w, b = make("pack/w", shape, "bits"), make("pack/b", shape[:1], "bits")
    packed = _core.PackedConv("conv2d", w, b, 1, 0, 1, groups)
    assert packed.isa == isa
    assert_same_bytes(packed.weight(), w)
    assert_same_bytes(packed.bias(), b)
    assert _core.PackedConv("conv2d", w, None, 1, 0, 1, groups).bias() is None
    with pytest.raises(ValueError, match="conv3d"):
        _core.PackedConv("conv3d", w)
