"""group_norm, batch_norm, normalize, embedding_bag, bilinear, resizing: bounds and semantics."""

from __future__ import annotations

import numpy as np
import pytest

from _arrays import assert_case_bounded, assert_same_bytes, case_id, finite_cases
from forwardpass import _core, nn
from forwardpass.nn import functional as F
from forwardpass.reference.arrays import make


@pytest.mark.parametrize(
    "case",
    finite_cases("group_norm", "batch_norm", "normalize", "embedding_bag", "renorm"),
    ids=case_id,
)
def test_within_bound(isa, case):
    assert_case_bounded(*case)


@pytest.mark.parametrize(
    "case", finite_cases("outer_product", "resize_nearest", "resize_linear"), ids=case_id
)
def test_sides_and_sizes_within_bound(isa, case):
    assert_case_bounded(*case)


def test_one_group_is_layer_norm(isa):
    x = make("group/x", (3, 4, 35))
    want = _core.layer_norm(x, (4, 35), None, None, 1e-5, None)
    assert_same_bytes(F.group_norm(x, 1), want)
    want = _core.layer_norm(x, (35,), None, None, 1e-5, None)
    assert_same_bytes(F.instance_norm(x), want)
    assert_same_bytes(F.group_norm(x, 4), want)


def test_batch_statistics_are_those_of_all_items(isa):
    x, w, b = make("batch/x", (5, 3, 7)), make("batch/w", (3,)), make("batch/b", (3,))
    y = F.batch_norm(x, None, None, w, b, training=True)
    mean, var = x.mean(axis=(0, 2)), x.var(axis=(0, 2))
    np.testing.assert_allclose(y, F.batch_norm(x, mean, var, w, b), rtol=2e-5, atol=2e-6)
    layer = nn.BatchNorm1d(3, track_running_stats=False)
    assert_same_bytes(layer(x), F.batch_norm(x, None, None, training=True))
    with pytest.raises(ValueError, match="more than 1 value"):
        F.batch_norm(x[:1, :, 0], None, None, training=True)
    mean, before = np.zeros(3, np.float32), x.copy()
    F.batch_norm(x, mean, np.ones(3, np.float32), training=True)
    assert not mean.any()
    assert_same_bytes(x, before)


def test_batch_norm_of_rows_is_that_of_signals(isa):
    x, w, b = make("rows/x", (6, 50)), make("rows/w", (50,)), make("rows/b", (50,))
    mean, var = make("rows/m", (50,)), np.abs(make("rows/v", (50,)))
    for weight in (None, w):
        for bias in (None, b):
            want = F.batch_norm(x[:, :, None], mean, var, weight, bias)[:, :, 0]
            got = F.batch_norm(x, mean, var, weight, bias)
            assert_same_bytes(got, np.ascontiguousarray(want))


def test_replaced_statistics_count():
    layer, x = nn.BatchNorm1d(4), make("stats/x", (3, 4))
    before = layer(x)
    layer.running_mean = make("stats/m", (4,))
    assert layer(x).tobytes() != before.tobytes()
    state = {**layer.state_dict()}
    del state["num_batches_tracked"]  # a checkpoint older than torch 0.4.1
    assert nn.BatchNorm1d(4).load_state_dict(state).missing_keys == []


def test_norms_of_every_power(isa):
    x = np.float32([[3, -4, 0], [0, 0, 0]])
    for p, norm in ((2, 5), (1, 7), (0, 2), (np.inf, 4)):
        want = x / np.float32([[norm], [1e-12]])
        np.testing.assert_allclose(F.normalize(x, p), want, rtol=1e-6)
    assert np.isnan(F.normalize(np.float32([[1, np.nan]]), np.inf)).all()
    with pytest.raises(ValueError, match="'p'"):
        F.normalize(x, np.nan)


def test_bags(isa):
    table = make("bag/t", (10, 37))
    index, offsets = np.array([1, 2, 3, 1, 9]), np.array([0, 2, 2])
    y = F.embedding_bag(index, table, offsets, mode="sum")
    assert_same_bytes(y[0], table[1] + table[2])
    assert not y[1].any()
    assert_same_bytes(y[2], (table[3] + table[1]) + table[9])
    same = F.embedding_bag(index, table, np.array([0, 2, 2, 5]), include_last_offset=True)
    assert_same_bytes(same, F.embedding_bag(index, table, offsets))
    skipped = F.embedding_bag(index, table, offsets, mode="max", padding_idx=-1)
    assert_same_bytes(skipped[2], np.maximum(table[3], table[1]))
    layer = nn.EmbeddingBag.from_pretrained(table, mode="sum")
    assert_same_bytes(layer(index[:2][None]), y[:1])


@pytest.mark.parametrize(
    ("error", "arguments"),
    [
        (ValueError, {"input": np.array([1, 2])}),
        (ValueError, {"input": np.array([1, 2]), "offsets": np.array([1])}),
        (ValueError, {"input": np.array([1, 2]), "offsets": np.array([0, 3])}),
        (ValueError, {"input": np.array([[1, 2]]), "offsets": np.array([0])}),
        (ValueError, {"input": np.array([[1, 2]]), "mode": "median"}),
        (ValueError, {"input": np.array([[1, 2]]), "mode": "max", "sparse": True}),
        (IndexError, {"input": np.array([[1, 4]])}),
        (IndexError, {"input": np.array([[-1]])}),
        (TypeError, {"input": np.array([[1.0]])}),
        (NotImplementedError, {"input": [[1]], "per_sample_weights": np.ones((1, 1), "f4")}),
    ],
)
def test_bad_bags(error, arguments):
    with pytest.raises(error):
        F.embedding_bag(weight=make("bag/bad", (4, 3)), **arguments)


def test_bilinear_is_linear_over_products(isa):
    a, b, w = make("bi/a", (3, 4, 5)), make("bi/b", (3, 4, 6)), make("bi/w", (7, 5, 6))
    products = (a[..., :, None] * b[..., None, :]).reshape(3, 4, 30)
    assert_same_bytes(F.bilinear(a, b, w), F.linear(products, w.reshape(7, 30)))
    with pytest.raises(ValueError, match="batch dimensions"):
        F.bilinear(a, b[:2], w)


def test_pixel_shuffle_moves_pixels():
    x = np.arange(16, dtype=np.float32).reshape(4, 2, 2)
    y = F.pixel_shuffle(x, 2)
    assert y.tolist() == [[[0, 4, 1, 5], [8, 12, 9, 13], [2, 6, 3, 7], [10, 14, 11, 15]]]
    with pytest.raises(ValueError, match="divisible"):
        F.pixel_shuffle(x, 3)


def test_resizing(isa):
    x = make("resize/x", (2, 3, 5, 70))
    assert_same_bytes(F.interpolate(x, scale_factor=2), x.repeat(2, axis=2).repeat(2, axis=3))
    assert_same_bytes(F.interpolate(x, (5, 70), mode="bilinear"), x)
    y = F.interpolate(x, (9, 139), mode="bilinear", align_corners=True)
    assert_same_bytes(np.ascontiguousarray(y[..., ::2, ::2]), x)
    np.testing.assert_allclose(y[..., 1, 0], (x[..., 0, 0] + x[..., 1, 0]) / 2, rtol=1e-5)
    flat = np.ascontiguousarray(x[:, :, 0])
    line = F.interpolate(flat, 33, mode="linear")
    assert_same_bytes(F.interpolate(flat[:, :, None], (1, 33), mode="bilinear")[:, :, 0], line)
    out = np.empty((2, 3, 10, 140), np.float32)
    assert F.interpolate(x, scale_factor=2, out=out) is out


@pytest.mark.parametrize(
    ("error", "arguments"),
    [
        (ValueError, {}),
        (ValueError, {"size": 3, "scale_factor": 2}),
        (ValueError, {"size": (3, 3, 3)}),
        (ValueError, {"size": 0}),
        (ValueError, {"scale_factor": -1.0}),
        (ValueError, {"size": 3, "mode": "linear"}),
        (ValueError, {"size": 3, "mode": "cubic"}),
        (ValueError, {"size": 3, "align_corners": True}),
        (ValueError, {"size": 3, "antialias": True}),
        (TypeError, {"size": 1.5}),
        (NotImplementedError, {"size": 3, "mode": "bicubic"}),
        (NotImplementedError, {"size": 3, "mode": "bilinear", "antialias": True}),
    ],
)
def test_bad_resizing(error, arguments):
    with pytest.raises(error):
        F.interpolate(make("resize/bad", (1, 1, 4, 4)), **arguments)
