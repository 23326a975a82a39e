"""F.rotary_embedding: positions, parts of rows, both pairings, tables, views, bad input."""

from __future__ import annotations

import threading

import numpy as np
import pytest

from _arrays import assert_same_bytes, misaligned
from _mutants import assert_rejected, bfloat16, tensor_float
from forwardpass import _core
from forwardpass.nn import functional as F
from forwardpass.nn.functional import _rotary
from forwardpass.reference.arrays import make


def by_hand(x, positions, dim, base, interleaved):
    """In float64, pair by pair."""
    value = x.astype(np.float64)
    frequency = base ** (-2.0 * np.arange(dim // 2) / dim)
    angle = np.asarray(positions, np.float64)[:, None] * frequency
    cos, sin = np.cos(angle), np.sin(angle)
    for i in range(dim // 2):
        one, two = (2 * i, 2 * i + 1) if interleaved else (i, i + dim // 2)
        a, b = x[..., one].astype(np.float64), x[..., two].astype(np.float64)
        value[..., one] = a * cos[:, i] - b * sin[:, i]
        value[..., two] = b * cos[:, i] + a * sin[:, i]
    return value


@pytest.mark.parametrize("interleaved", [False, True])
@pytest.mark.parametrize("dim", [None, 2, 6, 20])
@pytest.mark.parametrize("shape", [(7, 20), (3, 7, 20), (2, 3, 7, 20), (0, 7, 20), (2, 0, 20)])
def test_is_the_formula(isa, shape, dim, interleaved):
    x = make("rotary/x", shape)
    for base, offset in ((10000.0, 0), (500.0, 11), (1e6, 90_000)):
        y = F.rotary_embedding(x, dim, base, offset, interleaved=interleaved)
        want = by_hand(x, np.arange(offset, offset + shape[-2]), dim or 20, base, interleaved)
        np.testing.assert_allclose(y, want, rtol=0, atol=3e-7)


@pytest.mark.parametrize("interleaved", [False, True])
def test_any_cut_and_offset_has_the_bytes_of_the_whole(isa, interleaved):
    x = make("rotary/cut", (2, 3, 50, 24))
    whole = F.rotary_embedding(x, 16, offset=300, interleaved=interleaved)
    for size in (1, 7, 16, 49):
        parts = [
            F.rotary_embedding(x[:, :, i : i + size], 16, offset=300 + i, interleaved=interleaved)
            for i in range(0, 50, size)
        ]
        assert_same_bytes(np.concatenate(parts, axis=2), whole, f"pieces of {size}")
    alone = F.rotary_embedding(x[1, 2], 16, offset=300, interleaved=interleaved)
    assert_same_bytes(alone, whole[1, 2])


def test_positions():
    x = make("rotary/at", (2, 3, 5, 8))
    at = np.array([7, 0, 3, 40_000, 1])  # beyond what is kept, too
    whole = F.rotary_embedding(x, position_ids=at)
    for t, position in enumerate(at):
        one = F.rotary_embedding(x[:, :, t : t + 1], offset=int(position))
        assert_same_bytes(whole[:, :, t : t + 1], one, f"position {position}")
    both = np.array([[0, 1, 2, 3, 4], [5, 6, 7, 8, 9]], np.uint8)
    whole = F.rotary_embedding(x, position_ids=both)
    for b in range(2):
        assert_same_bytes(whole[b], F.rotary_embedding(x[b], offset=5 * b))
    assert_same_bytes(
        F.rotary_embedding(x, position_ids=at[None]), F.rotary_embedding(x, position_ids=at)
    )
    assert F.rotary_embedding(x[:, :, :0], position_ids=np.zeros(0, int)).shape == (2, 3, 0, 8)


def test_tables_of_the_caller():
    x = make("rotary/tables", (2, 3, 5, 9))
    cos, sin = _core.rotary_table(4, 5, 8)
    want = F.rotary_embedding(x, 8, offset=4)
    assert_same_bytes(F.rotary_embedding(x, cos=cos, sin=sin), want)
    for each in (cos[None], np.stack([cos, cos])):
        y = F.rotary_embedding(x, cos=each, sin=np.broadcast_to(sin, each.shape))
        assert_same_bytes(y, want)


def test_far_positions_are_exact_and_the_table_is_cut_free():
    """Past what is kept a row is computed for its call: the same numbers."""
    most = _rotary._MOST_ROWS
    x = make("rotary/far", (6, 8))
    whole = F.rotary_embedding(x, offset=most - 3)
    for t in range(6):
        assert_same_bytes(F.rotary_embedding(x[t : t + 1], offset=most - 3 + t)[0], whole[t])
    top = F.rotary_embedding(x[:1], offset=2**31 - 1)
    np.testing.assert_allclose(top, by_hand(x[:1], [2**31 - 1], 8, 1e4, False), atol=1e-5)


def test_tables_are_kept_and_few(monkeypatch):
    monkeypatch.setattr(_rotary, "_TABLES", {})
    x = make("rotary/kept", (3, 8))
    for base in range(2, 40):
        F.rotary_embedding(x, base=float(base))
    assert len(_rotary._TABLES) <= _rotary._MOST_TABLES
    cos, sin = _rotary.table_rows(8, 39.0, 0, 3)
    assert np.shares_memory(cos, _rotary.table_rows(8, 39.0, 1, 2)[0])
    assert not cos.flags.writeable
    assert not sin.flags.writeable


def test_threads_find_the_same_tables(monkeypatch):
    monkeypatch.setattr(_rotary, "_TABLES", {})
    x = make("rotary/threads", (40, 16))
    want = F.rotary_embedding(x, base=77.0, offset=500).tobytes()
    monkeypatch.setattr(_rotary, "_TABLES", {})
    barrier, results = threading.Barrier(8), []

    def call(offset):
        barrier.wait()
        F.rotary_embedding(x, base=77.0, offset=offset)
        results.append(F.rotary_embedding(x, base=77.0, offset=500).tobytes())

    threads = [threading.Thread(target=call, args=(300 * i,)) for i in range(8)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join(timeout=60)
    assert results == [want] * 8


@pytest.mark.parametrize("interleaved", [False, True])
def test_views_and_out(isa, interleaved):
    whole = make("rotary/view", (2, 5, 3, 4, 16))  # (B, T, q/k/v, H, D)
    q = whole[:, :, 1].transpose(0, 2, 1, 3)
    want = F.rotary_embedding(np.ascontiguousarray(q), offset=3, interleaved=interleaved)
    assert_same_bytes(F.rotary_embedding(q, offset=3, interleaved=interleaved), want)
    assert_same_bytes(F.rotary_embedding(misaligned(q), offset=3, interleaved=interleaved), want)
    own = whole.copy()
    view = own[:, :, 1].transpose(0, 2, 1, 3)
    assert F.rotary_embedding(view, offset=3, interleaved=interleaved, out=view) is view
    assert_same_bytes(np.ascontiguousarray(view), want, "in place")
    own[:, :, 1] = whole[:, :, 1]
    assert own.tobytes() == whole.tobytes()  # nothing else was touched
    shifted = own.reshape(-1)[16 : 16 + q.size].reshape(q.shape)
    source = own.reshape(-1)[: q.size].reshape(q.shape)
    want = F.rotary_embedding(source.copy(), interleaved=interleaved)
    F.rotary_embedding(source, interleaved=interleaved, out=shifted)
    assert_same_bytes(shifted, want, "overlapping")
    turned = np.zeros((2, 4, 16, 5), np.float32).transpose(0, 1, 3, 2)
    F.rotary_embedding(q, offset=3, interleaved=interleaved, out=turned)
    want = F.rotary_embedding(q, offset=3, interleaved=interleaved)
    assert_same_bytes(np.ascontiguousarray(turned), want, "any strides")


X = np.zeros((2, 3, 5, 8), np.float32)
T = np.zeros((5, 4), np.float32)


@pytest.mark.parametrize(
    ("error", "words", "arguments"),
    [
        (TypeError, "input", {"input": X.astype(np.float64)}),
        (ValueError, "input", {"input": np.float32(3)}),
        (ValueError, "input", {"input": X[0, 0, 0]}),
        (ValueError, "even", {"rotary_dim": 3}),
        (ValueError, "rotary_dim", {"rotary_dim": 10}),
        (ValueError, "rotary_dim|dim", {"rotary_dim": -2}),
        (ValueError, "base", {"base": 0.5}),
        (ValueError, "base", {"base": np.nan}),
        (ValueError, "base", {"base": np.inf}),
        (ValueError, "first", {"offset": -1}),
        (ValueError, "2\\*\\*31", {"offset": 2**31}),
        (TypeError, "position_ids", {"position_ids": np.zeros(5)}),
        (ValueError, "position_ids", {"position_ids": np.zeros(4, int)}),
        (ValueError, "position_ids", {"position_ids": np.zeros((3, 5), int)}),
        (ValueError, "position_ids", {"position_ids": np.full(5, -1)}),
        (ValueError, "offset", {"position_ids": np.zeros(5, int), "offset": 1}),
        (ValueError, "together", {"cos": T}),
        (ValueError, "without cos", {"cos": T, "sin": T, "offset": 2}),
        (ValueError, "'cos'", {"cos": T[:4], "sin": T[:4]}),
        (ValueError, "'sin'", {"cos": T, "sin": T[:, :3]}),
        (
            ValueError,
            "at most 4",
            {"cos": np.zeros((5, 5), np.float32), "sin": np.zeros((5, 5), np.float32)},
        ),
        (TypeError, "'cos'", {"cos": T.astype(np.float64), "sin": T}),
        (ValueError, "out", {"out": X[0]}),
    ],
    ids=str,
)
def test_bad_input(error, words, arguments):
    with pytest.raises(error, match=words):
        F.rotary_embedding(**{"input": X, **arguments})


# --- the bounds can fail ---


def turned_by(cos, sin):
    """The rotation in float64 by other angles."""
    a, b = X_UNIT[:, :32].astype(float), X_UNIT[:, 32:].astype(float)
    return np.concatenate([a * cos - b * sin, b * cos + a * sin], 1)


X_UNIT = make("rotary/mutant", (40, 64))
COS, SIN = _core.rotary_table(0, 40, 64)


@pytest.mark.parametrize(
    "mutant",
    [
        turned_by(bfloat16(COS), SIN),
        turned_by(tensor_float(COS), tensor_float(SIN)),
        turned_by(COS, -SIN),
        turned_by(np.roll(COS, 1, 0), np.roll(SIN, 1, 0)),
        X_UNIT.reshape(40, 32, 2).transpose(0, 2, 1).reshape(40, 64),
        X_UNIT,
    ],
    ids=["bfloat16", "TF32", "the other way", "a position late", "pairs", "not at all"],
)
def test_the_bound_rejects(mutant):
    assert_rejected("rotary_embedding", mutant, input=X_UNIT, cos=COS, sin=SIN)


def test_the_tables_bound_rejects():
    """Angles in float32, as many have them, and float32's last bit."""
    assert_rejected(
        "rotary_table", (COS.view(np.int32) + 2).view(np.float32), first=0, count=40, dim=64
    )
    frequency = (10000.0 ** (-2 * np.arange(32) / 64)).astype(np.float32)
    angle = np.arange(5000, 5040, dtype=np.float32)[:, None] * frequency
    assert_rejected("rotary_table", np.cos(angle.astype(float)), first=5000, count=40, dim=64)
