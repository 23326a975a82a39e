"""Pooling: bounds, NaN and zeros, one dimension as two, indices, bad values."""

from __future__ import annotations

import numpy as np
import pytest

from _arrays import assert_case_bounded, assert_same_bytes, case_id, finite_cases
from forwardpass import _core
from forwardpass.nn import functional as F
from forwardpass.reference.arrays import make


@pytest.mark.parametrize(
    "case", finite_cases("max_pool2d", "avg_pool2d", "adaptive_avg_pool2d"), ids=case_id
)
def test_within_bound(isa, case):
    assert_case_bounded(*case)


@pytest.mark.parametrize("width", [3, 16, 17, 64, 65, 131])
def test_one_dimension_is_a_plane_of_one_row(isa, width):
    x = make("pool/1d", (2, 3, width))
    flat = x[:, :, None]
    for kernel, stride, pad in ((2, 2, 0), (3, 2, 1), (3, 1, 1), (3, 3, 0)):
        both = ((1, kernel), (1, stride), (0, pad))
        want = F.max_pool2d(flat, *both)[:, :, 0]
        assert_same_bytes(F.max_pool1d(x, kernel, stride, pad), np.ascontiguousarray(want))
        want = F.avg_pool2d(flat, *both)[:, :, 0]
        assert_same_bytes(F.avg_pool1d(x, kernel, stride, pad), np.ascontiguousarray(want))
    want = F.adaptive_avg_pool2d(flat, (1, 3))[:, :, 0]
    assert_same_bytes(F.adaptive_avg_pool1d(x, 3), np.ascontiguousarray(want))


def test_a_plane_does_not_see_its_neighbours(isa):
    x = make("pool/planes", (5, 7, 9, 19))
    for run in (
        lambda a: F.max_pool2d(a, 3, 2, 1),
        lambda a: F.avg_pool2d(a, 2),
        lambda a: F.adaptive_avg_pool2d(a, (2, 5)),
    ):
        whole = run(x)
        for start, stop in ((0, 1), (1, 4), (4, 5)):
            assert_same_bytes(run(x[start:stop]), whole[start:stop])
        poisoned = np.full_like(x, np.nan)
        poisoned[2, 3] = x[2, 3]
        assert_same_bytes(run(poisoned)[2, 3], whole[2, 3])


@pytest.mark.parametrize("width", [1, 2, 5, 7, 8, 14, 15, 16])
def test_narrow_planes_are_the_left_of_wide_ones(isa, width):
    wide = make("pool/narrow", (3, 4, 21, 40))
    narrow = np.ascontiguousarray(wide[..., :width])
    for pool in (F.max_pool2d, F.avg_pool2d):
        for kernel in (1, 2, 3, 7):
            for stride in (1, 2, 3):
                if kernel <= width:
                    got = pool(narrow, kernel, stride)
                    want = pool(wide, kernel, stride)[..., : got.shape[-1]]
                    assert_same_bytes(got, np.ascontiguousarray(want))


def test_nan_wins_and_zero_has_no_sign(isa):
    x = np.float32([[[1, np.nan, 2, -0.0, -0.0, -1, 0.0, -0.0]]])
    assert_same_bytes(F.max_pool1d(x, 2), np.float32([[[np.nan, 2, 0, 0]]]))
    assert np.isnan(F.max_pool1d(x[..., ::-1], 2)[0, 0, 3])
    lowest = np.full((1, 2, 2), -np.inf, np.float32)
    assert F.max_pool2d(lowest, 2)[0, 0, 0] == -np.inf


def test_indices_lead_to_the_values(isa):
    x = make("pool/index", (2, 3, 12, 21))
    y, index = F.max_pool2d(x, (3, 4), 2, 1, 2, return_indices=True)
    assert index.dtype == np.int64
    flat = np.take_along_axis(x.reshape(2, 3, -1), index.reshape(2, 3, -1), axis=2)
    assert_same_bytes(flat.reshape(y.shape), y)
    assert_same_bytes(F.max_pool2d(x, (3, 4), 2, 1, 2), y)
    y, index = F.adaptive_max_pool1d(x[0, 0], 5, return_indices=True)
    assert_same_bytes(np.take_along_axis(x[0, 0], index, axis=1), y)


def test_global_average(isa):
    x = make("pool/global", (3, 4, 7, 7))
    y = F.adaptive_avg_pool2d(x, 1)
    np.testing.assert_allclose(y[..., 0, 0], x.mean(axis=(2, 3)), rtol=1e-5, atol=1e-6)
    assert_same_bytes(F.avg_pool2d(x, 7), y)


@pytest.mark.parametrize(
    ("words", "arguments"),
    [
        (("kernel_size", "at least 1"), (0,)),
        (("stride", "at least 1"), (2, 0)),
        (("padding", "half"), (2, 2, 2)),
        (("padding", "at least 0"), (2, 2, -1)),
        (("dilation", "at least 1"), (2, 2, 0, 0)),
        (("too small",), (9,)),
        (("kernel_size", "2 elements"), ((2, 2, 2),)),
        (("kernel_size", "huge"), (1 << 60,)),
    ],
)
def test_bad_windows(words, arguments):
    with pytest.raises(ValueError) as caught:
        F.max_pool2d(make("pool/bad", (1, 4, 5)), *arguments)
    for word in ("max_pool2d", *words):
        assert word in str(caught.value)


def test_bad_shapes_and_sizes():
    x = make("pool/bad", (1, 4, 5))
    for shape in ((5,), (4, 5), (1, 1, 1, 4, 5), (0, 4, 5), (1, 1, 0, 5)):
        with pytest.raises(ValueError, match="input"):
            F.avg_pool2d(np.zeros(shape, np.float32), 2)
    assert F.avg_pool2d(np.zeros((0, 2, 4, 5), np.float32), 2).shape == (0, 2, 2, 2)
    with pytest.raises(ValueError, match="divisor_override"):
        F.avg_pool2d(x, 2, divisor_override=0)
    with pytest.raises(ValueError, match="output_size"):
        F.adaptive_avg_pool2d(x, -1)
    with pytest.raises(TypeError, match="output_size"):
        F.adaptive_avg_pool1d(x, 1.5)
    with pytest.raises(TypeError, match="kernel_size"):
        _core.max_pool2d(x, "2")
