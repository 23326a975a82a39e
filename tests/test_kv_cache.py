"""KVCache: growing, views, the limit, failures that change nothing."""

from __future__ import annotations

import copy
import pickle

import numpy as np
import pytest

from forwardpass import nn
from forwardpass.reference.arrays import make


def rows(count, width=4, batch=2, heads=3, name="k"):
    return make(f"cache/{name}/{count}", (batch, heads, count, width))


def cache(limit=100, **kwargs):
    return nn.KVCache(limit, 3, 4, **{"batch_size": 2, "num_layers": 2, "value_dim": 5, **kwargs})


def test_what_is_appended_is_there():
    c = cache(initial=4)
    keys, values = [], []
    for count in (1, 2, 0, 3, 30, 1, 63):
        k, v = rows(count), rows(count, 5, name="v")
        keys.append(k)
        values.append(v)
        got = c.append(0, k, v)
        want = np.concatenate(keys, 2), np.concatenate(values, 2)
        for a, b, again in zip(got, want, c.layer(0), strict=True):
            assert a.tobytes() == b.tobytes() == again.tobytes()
            assert a.strides[3] == 4  # rows that a kernel reads as they lie
        assert c.layer_length(0) == want[0].shape[2]
        assert c.layer_length(1) == c.length == len(c) == 0
    assert c.capacity(0) == 100
    assert c.capacity(1) == 4


def test_memory_grows_by_doubling_up_to_the_limit():
    c = cache(limit=1000)
    assert c.capacity() == 256
    c.append(0, rows(256), rows(256, 5))
    assert c.capacity() == 256
    c.append(0, rows(1), rows(1, 5))
    assert c.capacity() == 512
    c.append(0, rows(700), rows(700, 5))
    assert c.capacity() == 1000
    c.reset()
    assert c.capacity() == 1000
    assert c.nbytes == 4 * 2 * 3 * (1000 + 256) * 9
    assert cache(limit=3).capacity() == 3
    assert nn.KVCache(10, 1, 8).layer(0)[1].shape == (1, 1, 0, 8)


def test_strided_input_and_views():
    c = cache()
    whole = make("cache/whole", (2, 7, 3, 9))  # (B, T, Hkv, D + value_dim)
    k, v = whole[..., :4].transpose(0, 2, 1, 3), whole[..., 4:].transpose(0, 2, 1, 3)
    keys, values = c.append(0, k, v)
    assert keys.tobytes() == k.tobytes()
    assert values.tobytes() == v.tobytes()
    assert not np.shares_memory(keys, whole)
    assert np.shares_memory(keys, c.append(0, k, v)[0])


def test_views_from_before_growing_keep_what_they_show():
    c = cache(initial=2)
    before = c.append(0, rows(2), rows(2, 5))
    want = [a.tobytes() for a in before]
    c.append(0, rows(50), rows(50, 5))
    assert [a.tobytes() for a in before] == want


def test_truncate_and_reset():
    c = cache()
    k, v = rows(9), rows(9, 5)
    for layer in (0, 1):
        c.append(layer, k, v)
    c.append(0, k, v)
    assert c.length == 9
    c.truncate(10)
    assert [c.layer_length(i) for i in (0, 1)] == [10, 9]
    c.truncate(4)
    assert [c.layer_length(i) for i in (0, 1)] == [4, 4]
    assert c.layer(1)[0].tobytes() == k[:, :, :4].tobytes()
    keys, _ = c.append(1, k[:, :, 5:], v[:, :, 5:])
    assert keys.tobytes() == np.concatenate([k[:, :, :4], k[:, :, 5:]], 2).tobytes()
    c.truncate_layer(1, 2)
    assert [c.layer_length(i) for i in (0, 1)] == [4, 2]
    c.reset()
    assert c.length == 0
    assert c.layer(0)[0].shape == (2, 3, 0, 4)
    with pytest.raises(ValueError, match="cannot truncate to 1 positions, there are 0"):
        c.truncate(1)


def state(c):
    return [a.tobytes() for i in (0, 1) for a in c.layer(i)] + [c.capacity(i) for i in (0, 1)]


BAD = {
    "past the limit": (ValueError, "9 positions and 92 more are past the limit of 100", 0, 92, 92),
    "other lengths": (ValueError, "as many positions", 0, 3, 4),
    "no layer": (IndexError, "layer 2 is out of range for 2", 2, 3, 3),
    "layer below": (IndexError, "layer -1", -1, 3, 3),
}


@pytest.mark.parametrize("name", BAD)
def test_a_failed_append_changes_nothing(name):
    error, words, layer, first, second = BAD[name]
    c = cache(initial=9)
    c.append(0, rows(9), rows(9, 5))
    before = state(c)
    with pytest.raises(error, match=words):
        c.append(layer, rows(first), rows(second, 5))
    assert state(c) == before


@pytest.mark.parametrize(
    "key",
    [rows(3, 5), rows(3, batch=1), rows(3, heads=2), rows(3)[0], np.zeros(4, np.float32)],
    ids=lambda k: str(k.shape),
)
def test_shapes_that_do_not_fit(key):
    c = cache()
    with pytest.raises(ValueError, match=r"key must have shape \(2, 3, T, 4\)"):
        c.append(0, key, rows(3, 5))
    with pytest.raises(ValueError, match=r"value must have shape \(2, 3, T, 5\)"):
        c.append(0, rows(3), key if key.shape != (2, 3, 3, 5) else rows(3))
    assert c.length == 0


def test_wrong_types():
    c = cache()
    for wrong in (rows(3).astype(np.float64), rows(3).tolist(), None):
        with pytest.raises(TypeError, match="float32"):
            c.append(0, wrong, rows(3, 5))
    with pytest.raises(TypeError, match="layer must be an integer"):
        c.append(0.5, rows(3), rows(3, 5))
    assert c.layer_length(0) == 0


def test_no_memory_changes_nothing(monkeypatch):
    c = cache(initial=4)
    c.append(0, rows(4), rows(4, 5))
    before = state(c)
    room = nn.KVCache._room
    calls = []

    def fail(self, capacity, width):
        calls.append(width)
        if len(calls) == 2:  # the keys have grown, the values cannot
            raise MemoryError
        return room(self, capacity, width)

    monkeypatch.setattr(nn.KVCache, "_room", fail)
    with pytest.raises(MemoryError):
        c.append(0, rows(9), rows(9, 5))
    monkeypatch.undo()
    assert state(c) == before
    assert c.append(0, rows(9), rows(9, 5))[0].shape[2] == 13


@pytest.mark.parametrize(
    ("error", "words", "arguments"),
    [
        (ValueError, "limit must be at least 0", {"limit": -1}),
        (TypeError, "limit must be an integer", {"limit": 3.5}),
        (ValueError, "num_layers must be at least 1", {"num_layers": 0}),
        (ValueError, "head_dim must be at least 1", {"head_dim": 0}),
        (ValueError, "initial must be at least 0", {"initial": -1}),
    ],
)
def test_bad_arguments(error, words, arguments):
    with pytest.raises(error, match=words):
        nn.KVCache(**{"limit": 9, "num_kv_heads": 2, "head_dim": 4, **arguments})


def test_copies_pickles_and_repr():
    c = cache()
    c.append(0, rows(9), rows(9, 5))
    for twin in (copy.deepcopy(c), pickle.loads(pickle.dumps(c))):
        assert state(twin) == state(c)
        twin.append(0, rows(1), rows(1, 5))
        assert c.layer_length(0) == 9
    assert repr(c) == (
        "KVCache(length=0, limit=100, num_layers=2, num_kv_heads=3, head_dim=4, batch_size=2)"
    )
