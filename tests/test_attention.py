"""Attention: bounds, torch's semantics, and what a row's bytes do not depend on."""

from __future__ import annotations

import numpy as np
import pytest

from _arrays import (
    assert_case_bounded,
    assert_same_bytes,
    case_id,
    finite_cases,
    run_python,
    sample,
)
from _bad import rejected
from forwardpass import _core
from forwardpass.nn import functional as F
from forwardpass.reference import OPS
from forwardpass.reference.arrays import make

sdpa = F.scaled_dot_product_attention
# (heads, key heads, queries, keys, width, value width): few rows and many, one block and several;
# the last has queries in the lanes where nothing is masked.
SHAPES = (
    (6, 2, 1, 300, 20, 16),
    (6, 2, 13, 300, 20, 33),
    (2, 2, 150, 540, 16, 64),
    (3, 3, 64, 320, 64, 64),
)


def heads(shape, name="h"):
    h, g, t, s, d, dv = shape
    sizes = (("q", (2, h, t, d)), ("k", (2, g, s, d)), ("v", (2, g, s, dv)))
    return [make(f"attention/{name}/{letter}", size) for letter, size in sizes]


@pytest.mark.parametrize("case", finite_cases("attention"), ids=case_id)
def test_within_bound(isa, case):
    assert_case_bounded(*case)


@pytest.mark.parametrize("shape", SHAPES)
def test_a_row_depends_on_no_other(isa, shape):
    """Queries one by one, in chunks, items and heads alone: the bytes of the whole."""
    q, k, v = heads(shape)
    keys, queries = k.shape[2], q.shape[2]
    for causal, past in ((False, 0), (True, keys - queries)):
        want = _core.attention(q, k, v, None, causal, past)
        for step in (1, 5, 64):
            for t in range(0, queries, step):
                got = _core.attention(q[:, :, t : t + step], k, v, None, causal, past + t)
                assert_same_bytes(got, want[:, :, t : t + step], f"rows {t} to {t + step}")
        group = q.shape[1] // k.shape[1]
        for h in range(q.shape[1]):
            at = slice(h // group, h // group + 1)
            got = _core.attention(q[1:, h : h + 1], k[1:, at], v[1:, at], None, causal, past)
            assert_same_bytes(got, want[1:, h : h + 1], f"head {h}")


@pytest.mark.parametrize("shape", SHAPES[1:])
def test_decoding_is_the_full_pass(isa, shape):
    """Token by token against the keys so far: what comes later is not there yet."""
    q, k, v = heads(shape)
    queries = q.shape[2]
    k, v = k[:, :, :queries], v[:, :, :queries]
    want = _core.attention(q, k, v, None, True)
    for t in range(0, queries, 3):
        got = _core.attention(q[:, :, t : t + 3], k[:, :, : t + 3], v[:, :, : t + 3], None, True, t)
        assert_same_bytes(got, want[:, :, t : t + 3], f"token {t}")


@pytest.mark.parametrize("poison", [np.nan, np.inf, -np.inf, 3e38])
@pytest.mark.parametrize("shape", SHAPES)
def test_keys_not_seen_change_nothing(isa, shape, poison):
    q, k, v = heads(shape)
    keys, queries = k.shape[2], q.shape[2]
    seen = make("attention/seen", (queries, keys)) < 0.5
    seen[:, ::7] = False
    bad_k, bad_v = k.copy(), v.copy()
    bad_k[:, :, ::7] = poison
    bad_v[:, :, ::7] = poison
    added = np.where(seen, np.float32(0), np.float32(-np.inf))
    want = _core.attention(q, k, v, seen)
    assert np.isfinite(want).all()
    for mask in (seen, added):
        assert_same_bytes(_core.attention(q, bad_k, bad_v, mask), want)
    want = _core.attention(q, k, v, None, True, 100)
    bad_k, bad_v = k.copy(), v.copy()
    bad_k[:, :, 100 + queries :] = bad_v[:, :, 100 + queries :] = poison
    bad_k[:, :, 100 + queries // 2] = bad_v[:, :, 100 + queries // 2] = poison
    got = _core.attention(q, bad_k, bad_v, None, True, 100)
    before = queries // 2
    assert_same_bytes(got[:, :, :before], want[:, :, :before])


def test_values_that_are_seen_count(isa):
    """NaN with a weight, infinity with a weight of 0: as in IEEE."""
    q, k, v = heads(SHAPES[1])
    v[0, 0, 3, 1] = np.inf
    v[0, 1, 9, 2] = np.nan
    k[1, 0, 20] = np.inf
    y = _core.attention(q, k, v)
    assert np.isnan(y[0, 3:, :, 2]).all()
    assert np.isposinf(y[0, :3, :, 1]).all()
    assert np.isnan(y[1, :3]).any()
    assert np.isfinite(y[1, 3:]).all()


@pytest.mark.parametrize("shape", SHAPES)
def test_masks_that_say_the_same(isa, shape):
    """causal, bool, 0 and -inf; any broadcast shape and strides."""
    q, k, v = heads(shape)
    keys, queries = k.shape[2], q.shape[2]
    past = keys - queries - 3
    seen = np.arange(keys) <= past + np.arange(queries)[:, None]
    want = _core.attention(q, k, v, None, True, past)
    masks = [seen, np.where(seen, np.float32(0), np.float32(-np.inf))]
    for mask in masks:
        full = np.broadcast_to(mask, (2, q.shape[1], queries, keys))
        forms = (mask, full, full.copy(), np.asfortranarray(mask), mask[::-1].copy()[::-1])
        for form in (*forms, np.repeat(mask, 2, axis=1)[:, ::2]):
            assert_same_bytes(_core.attention(q, k, v, form), want)
    rows = np.arange(queries)[:, None] % 3 > 0
    want = _core.attention(q, k, v, np.broadcast_to(rows, seen.shape).copy())
    assert_same_bytes(_core.attention(q, k, v, rows), want)
    assert_same_bytes(_core.attention(q, k, v, np.broadcast_to(rows, seen.shape)), want)
    assert want[:, :, ::3].tobytes() == bytes(want[:, :, ::3].nbytes)  # +0


def test_nothing_seen_is_zero(isa):
    q, k, v = heads(SHAPES[1])
    nothing = np.zeros((13, 300), bool)
    for mask in (nothing, np.full((13, 300), np.float32(-np.inf))):
        y = _core.attention(q * np.float32(np.nan), k, v * np.float32(np.inf), mask)
        assert y.tobytes() == bytes(y.nbytes)  # +0
    assert (_core.attention(q, k[:, :, :0], v[:, :, :0]) == 0).all()


@pytest.mark.parametrize("shape", SHAPES)
def test_views_are_read_and_written_as_they_are(isa, shape):
    """(B, T, H, D) with its middle swapped, parts of a cache, an output in between."""
    q, k, v = heads(shape)
    want = _core.attention(q, k, v)

    def swapped(a):
        return np.ascontiguousarray(a.swapaxes(1, 2)).swapaxes(1, 2)

    def cached(a):
        room = np.full((3, a.shape[1], a.shape[2] + 9, a.shape[3] + 5), np.nan, np.float32)
        part = room[1:, :, 4 : 4 + a.shape[2], 2 : 2 + a.shape[3]]
        part[...] = a
        return part

    for view in (swapped, cached):
        assert_same_bytes(_core.attention(view(q), view(k), view(v)), want)
        out = view(np.zeros_like(want))
        assert _core.attention(view(q), view(k), view(v), out=out) is out
        assert_same_bytes(np.ascontiguousarray(out), want)
    packed = np.full((2, want.shape[2], want.shape[1] * want.shape[3]), 7, np.float32)
    out = packed.reshape(2, want.shape[2], want.shape[1], want.shape[3]).swapaxes(1, 2)
    _core.attention(q, k, v, out=out)
    assert_same_bytes(packed, np.ascontiguousarray(want.swapaxes(1, 2)).reshape(packed.shape))


@pytest.mark.parametrize("shape", [(2, 2, 40, 40, 16, 16), (2, 2, 64, 64, 64, 64)])
def test_out_may_be_an_input(isa, shape):
    q, k, v = heads(shape)
    want = _core.attention(q, k, v)
    for which in range(3):
        a = [x.copy() for x in (q, k, v)]
        _core.attention(*a, out=a[which])
        assert_same_bytes(a[which], want)
    both = np.concatenate([q, k], axis=3)
    width = q.shape[3]
    out = both[..., width // 2 : width // 2 + width]
    _core.attention(both[..., :width], both[..., width:], v, out=out)
    assert_same_bytes(np.ascontiguousarray(out), want)


@pytest.mark.parametrize(
    ("shape", "causal"),
    [
        ((2, 1, 700, 300, 64, 64), True),
        ((9, 9, 96, 320, 64, 64), False),
        ((1, 1, 64, 320, 64, 64), False),
    ],
)
def test_threads_change_nothing(isa, restore_threads, shape, causal):
    q, k, v = heads(shape)
    _core.set_num_threads(1)
    want = _core.attention(q, k, v, None, causal)
    for threads in (2, 3, 8):
        _core.set_num_threads(threads)
        assert_same_bytes(_core.attention(q, k, v, None, causal), want)


def test_nan_and_infinity_with_queries_in_the_lanes(isa, restore_threads):
    """What is not finite shows where it does for each query alone."""
    _core.set_num_threads(1)  # so that one head follows the other
    for value in (np.nan, -np.nan, np.inf, -np.inf, 3e38):
        for which in range(3):
            a = heads((2, 2, 64, 128, 64, 64))
            a[which][0, 1, 17, 5] = value
            got = _core.attention(*a)
            for t in range(64):
                alone = _core.attention(a[0][:, :, t : t + 1], *a[1:])
                np.testing.assert_array_equal(got[:, :, t : t + 1], alone)


def test_memory_does_not_grow_with_the_scores():
    """8192 queries and keys: less than 1/20 of one head's scores, in a process of its own."""
    code = """
import resource
import numpy as np
import forwardpass
from forwardpass.nn import functional as F
forwardpass.set_num_threads(1)
x = np.ones((1, 1, 8192, 64), np.float32)
out = np.ones_like(x)
F.scaled_dot_product_attention(x[:, :, :8], x[:, :, :8], x[:, :, :8])
before = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss
F.scaled_dot_product_attention(x, x, x, is_causal=True, out=out)
print(resource.getrusage(resource.RUSAGE_SELF).ru_maxrss - before)
"""
    assert int(run_python(code)) * 1024 < 8192 * 8192 * 4 // 20


# --- scaled_dot_product_attention ---


def test_dimensions():
    q, k, v = heads((4, 4, 5, 7, 8, 6))
    want = sdpa(q, k, v)
    assert_same_bytes(sdpa(q[0], k[0], v[0]), want[0])
    assert_same_bytes(sdpa(q[0, 0], k[0, 0], v[0, 0]), want[0, 0])
    five = [a.reshape(2, 2, 2, *a.shape[2:]) for a in (q, k, v)]
    assert_same_bytes(sdpa(*five), want.reshape(2, 2, 2, 5, 6))
    mask = make("attention/five", (2, 1, 2, 5, 7)) > 0
    got = sdpa(*five, mask).reshape(want.shape)
    assert_same_bytes(
        got, sdpa(q, k, v, np.broadcast_to(mask, (2, 2, 2, 5, 7)).reshape(2, 4, 5, 7))
    )
    assert_same_bytes(sdpa(q, k[:1, :1], v[:, :1])[1, 2], sdpa(q[1, 2], k[0, 0], v[1, 0]))
    out = np.empty_like(want[0])
    assert sdpa(q[0], k[0], v[0], out=out) is out
    assert_same_bytes(out, want[0])
    assert sdpa(q[:, :, :0], k, v).shape == (2, 4, 0, 6)


def test_grouped_heads():
    q, k, v = heads((6, 2, 5, 7, 8, 6))
    want = sdpa(q, np.repeat(k, 3, 1), np.repeat(v, 3, 1), is_causal=True)
    assert_same_bytes(sdpa(q, k, v, is_causal=True, enable_gqa=True), want)
    assert_same_bytes(sdpa(q[0], k[0], v[0], is_causal=True, enable_gqa=True), want[0])
    with pytest.raises(ValueError, match="do not broadcast"):
        sdpa(q, k, v)


@pytest.mark.parametrize(
    ("change", "error", "words"),
    [
        ({"dropout_p": 0.5}, ValueError, "'dropout_p' must be 0"),
        ({"is_causal": True, "attn_mask": np.ones((5, 7), bool)}, ValueError, "'attn_mask'"),
        ({"attn_mask": np.ones((5, 6), bool)}, ValueError, r"broadcast to \(2, 4, 5, 7\)"),
        ({"attn_mask": np.ones((5, 7), np.int64)}, TypeError, "float32"),
        ({"query": np.ones(8, np.float32)}, ValueError, "'query' must have shape"),
        ({"query": np.ones((2, 4, 5, 8))}, TypeError, "'query' must be float32"),
        ({"key": np.ones((2, 4, 7, 9), np.float32)}, ValueError, "'key'"),
        ({"value": np.ones((2, 4, 6, 9), np.float32)}, ValueError, "'value'"),
        ({"value": np.ones((2, 3, 7, 6), np.float32)}, ValueError, "do not broadcast"),
        ({"scale": float("nan")}, ValueError, "scale"),
        ({"scale": "1"}, TypeError, "scale"),
    ],
)
def test_wrong_arguments(change, error, words):
    q, k, v = heads((4, 4, 5, 7, 8, 6))
    with pytest.raises(error, match=words):
        sdpa(**{"query": q, "key": k, "value": v, **change})


def test_wrong_arguments_of_the_operator():
    new = np.zeros
    rejected(ValueError, "attention", "query", "heads", query=new((2, 3, 3, 6), np.float32))
    rejected(ValueError, "attention", "key", "batch", key=new((1, 2, 5, 6), np.float32))
    rejected(ValueError, "attention", "key", "width", key=new((2, 2, 5, 7), np.float32))
    rejected(ValueError, "attention", "value", "length", value=new((2, 2, 4, 7), np.float32))
    rejected(ValueError, "attention", "mask", "(2, 4, 3, 5)", mask=new((2, 5), bool))
    rejected(ValueError, "attention", "mask", "(2, 4, 3, 5)", mask=new((1, 1, 1, 1, 5), bool))
    rejected(TypeError, "attention", "mask", "int64", mask=new((3, 5), np.int64))
    rejected(ValueError, "attention", "offset", "at least 0", offset=-1)
    rejected(TypeError, "attention", "offset", offset=1.5)


def test_a_large_offset_sees_all():
    call = next(c for c in sample("attention", finite=True) if c["key"].shape[2] > 8)
    plain = {name: call[name] for name in ("query", "key", "value")}
    (want,) = OPS["attention"].run(plain)
    (got,) = OPS["attention"].run({**plain, "causal": True, "offset": 2**63 - 1})
    assert_same_bytes(got, want)
