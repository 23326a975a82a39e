"""_self_attention: rotary embedding, cache and attention in one call, with the bytes of each."""

from __future__ import annotations

import numpy as np
import pytest

from _arrays import assert_same_bytes
from forwardpass import _core

B, T, WIDTH, PAST, ROOM = 2, 5, 16, 7, 20


def rows(heads: int, groups: int, seed: int = 0) -> np.ndarray:
    shape = (B, T, (heads + 2 * groups) * WIDTH)
    return np.random.default_rng(seed).standard_normal(shape, np.float32)


def heads_of(x: np.ndarray, first: int, count: int) -> np.ndarray:
    return x.reshape(B, T, -1, WIDTH).transpose(0, 2, 1, 3)[:, first : first + count]


@pytest.mark.parametrize(("heads", "groups"), [(4, 4), (4, 2), (3, 1)])
@pytest.mark.parametrize("cached", [False, True])
@pytest.mark.parametrize("turned", [0, 8, 16])
@pytest.mark.parametrize("interleaved", [False, True])
def test_it_has_the_bytes_of_its_steps(isa, heads, groups, cached, turned, interleaved):
    x = rows(heads, groups)
    past = PAST if cached else 0
    q, k = heads_of(x, 0, heads), heads_of(x, heads, groups)
    v = heads_of(x, heads + groups, groups)
    cos, sin = _core.rotary_table(0, 64, turned) if turned else (None, None)
    if turned:
        at = slice(past, past + T)
        q = _core.rotary_embedding(q, cos[at], sin[at], interleaved, None)
        k = _core.rotary_embedding(k, cos[at], sin[at], interleaved, None)
    keys = values = None
    if cached:
        drawn = np.random.default_rng(1).standard_normal((2, B, groups, ROOM, WIDTH), np.float32)
        keys, values = drawn
        old = drawn.copy()
        k = np.concatenate((old[0][:, :, :past], k), 2)
        v = np.concatenate((old[1][:, :, :past], v), 2)
    want = _core.attention(q, k, v, None, True, past, None, None).transpose(0, 2, 1, 3)
    y = _core._self_attention(
        x.copy(), heads, groups, True, cos, sin, interleaved, past, keys, values, past
    )
    assert_same_bytes(y, want.reshape(B, T, -1))
    if cached:
        end = past + T
        assert_same_bytes(keys[:, :, :end], k)
        assert_same_bytes(values[:, :, :end], v)
        assert_same_bytes(keys[:, :, end:], old[0][:, :, end:])


def test_without_tables_nothing_is_written_and_out_is_used():
    x = rows(2, 2)
    x.flags.writeable = False
    out = np.empty((B, T, 2 * WIDTH), np.float32)
    assert _core._self_attention(x, 2, 2, out=out) is out
    parts = (heads_of(x, i, 2) for i in (0, 2, 4))
    want = _core.attention(*parts, None, False, 0, None, None).transpose(0, 2, 1, 3)
    assert_same_bytes(out, want.reshape(B, T, -1))


@pytest.mark.parametrize(
    ("change", "text"),
    [
        ({"heads": 3}, "rows"),
        ({"cos": np.ones((4, 8), np.float32)}, "cos"),
        ({"table_at": 60}, "cos"),
        ({"table_at": -1}, "cos"),
        ({"offset": 16}, "room"),
        ({"offset": -1}, "room"),
        ({"keys": np.zeros((B, 2, ROOM, 8), np.float32)}, "keys"),
        ({"values": np.zeros((B, 2, WIDTH, ROOM), np.float32).transpose(0, 1, 3, 2)}, "values"),
        ({"rows": rows(4, 2)[:, ::-1]}, "rows"),
    ],
)
def test_what_does_not_fit_is_refused(change, text):
    cos, sin = _core.rotary_table(0, 64, WIDTH)
    keys, values = np.zeros((2, B, 2, ROOM, WIDTH), np.float32)
    given = {
        **{"rows": rows(4, 2), "heads": 4, "groups": 2, "causal": True, "cos": cos, "sin": sin},
        **{"table_at": 0, "keys": keys, "values": values, "offset": 0},
    }
    with pytest.raises(ValueError, match=text):
        _core._self_attention(**{**given, **change})


def test_read_only_memory_is_not_written():
    cos, sin = _core.rotary_table(0, 64, WIDTH)
    x = rows(2, 2)
    x.flags.writeable = False
    with pytest.raises(ValueError, match="writeable"):
        _core._self_attention(x, 2, 2, True, cos, sin)
