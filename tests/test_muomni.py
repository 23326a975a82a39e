"""μOmni's components: goldens, caches, codes, the same values under observation."""

from __future__ import annotations

from typing import Any

import numpy as np
import pytest

import forwardpass as fp
from _arrays import assert_same_bytes
from _muomni import GOLDENS, MODELS, THINKERS, assert_close, golden
from forwardpass.models import muomni
from forwardpass.models.muomni.rvq import nearest
from forwardpass.reference.arrays import make

if not GOLDENS.exists():
    pytest.skip("the goldens are in the repository, not in the sdist", allow_module_level=True)


def test_there_is_a_golden_of_each():
    assert sorted(path.stem for path in GOLDENS.glob("*.safetensors")) == sorted(MODELS)


@pytest.mark.parametrize("name", THINKERS)
def test_thinker_golden(isa, name):
    model, t = golden(name)
    assert_close(model(t["in.ids"]), t["out.logits"])
    cache = model.new_cache()
    steps = [model(t["in.prompt"], cache=cache)]
    steps += [model(t["in.next"][:, i : i + 1], cache=cache) for i in range(t["in.next"].shape[1])]
    assert_close(np.concatenate(steps, 1), t["out.steps"])


def test_other_goldens(isa):
    for name in ("audio-encoder", "audio-encoder-ds4"):
        model, t = golden(name)
        assert_close(model(t["in.mel"]), t["out.frames"])
        assert_same_bytes(model(t["in.mel"][0]), model(t["in.mel"])[0])
    model, t = golden("vision-encoder")
    cls, grid = model(t["in.image"])
    assert_close(cls, t["out.cls"])
    assert_close(grid, t["out.grid"])
    for one, many in zip(model(t["in.image"][1]), (cls, grid), strict=True):
        assert_same_bytes(one, many[1])
    model, t = golden("talker")
    base, residual = model(t["in.codes"])
    assert_close(base, t["out.base"])
    assert_close(residual, t["out.res"])
    model, t = golden("rvq")
    codes = model.encode(t["in.mel"])
    assert codes.dtype == np.int64
    np.testing.assert_array_equal(codes, t["out.codes"])
    assert_close(model.decode(codes), t["out.decoded"])
    np.testing.assert_array_equal(model.encode(t["in.mel"][:, 3]), codes[:, 3])
    assert_same_bytes(model.decode(codes[:, 3]), model.decode(codes)[:, 3])
    model, t = golden("vocoder")
    assert_close(model(t["in.mel"]), t["out.audio"])
    one = model(t["in.mel"][:1])
    assert_same_bytes(model(t["in.mel"][0]), one[0])


# --- caches ---

CUTS = [[1] * 13, [13], [4, 9], [1, 1, 5, 1, 2, 3], [0, 6, 0, 7]]


@pytest.mark.parametrize("cut", CUTS, ids=str)
@pytest.mark.parametrize("name", [*THINKERS, "talker"])
def test_cached_decoding_is_the_full_pass(isa, name, cut):
    model, _ = golden(name)
    talker = name == "talker"
    shape = (3, 13, 2) if talker else (3, 13)
    tokens = np.random.default_rng(3).integers(0, 32, shape)
    want = model(tokens) if talker else (model(tokens),)
    cache, pieces, at = model.new_cache(3), [], 0
    for n in cut:
        piece = tokens[:, at : at + n]
        found = model(piece, cache=cache)
        pieces.append(found if talker else (found,))
        at += n
    for i, whole in enumerate(want):
        assert_same_bytes(np.concatenate([piece[i] for piece in pieces], 1), whole)
    for row in range(3):  # and a batch is its rows
        alone = model(tokens[row])
        for i, whole in enumerate(want):
            assert_same_bytes(alone[i] if talker else alone, whole[row])


def test_long_sequences_and_threads():
    """Past the first memory of a cache, and what is worth several threads."""
    fp.manual_seed(1)
    model = muomni.Thinker(vocab=50, n_layers=2, d=64, heads=4, ff=256, use_gqa=True)
    ids = np.random.default_rng(4).integers(0, 50, (1, 400))
    with fp.threads(1):
        want = model(ids)
    with fp.threads(3):
        cache = model.new_cache()
        parts = [ids[:, :250], *np.split(ids[:, 250:265], 15, 1), ids[:, 265:]]
        found = [model(part, cache=cache) for part in parts]
    assert_same_bytes(np.concatenate(found, 1), want)


def test_embeddings_in_place_of_ids():
    model, t = golden("thinker-gqa")
    ids = t["in.ids"]
    embeddings = model.tok_emb(ids)
    assert_same_bytes(model(embeddings=embeddings), model(ids))
    assert_same_bytes(model(embeddings=embeddings[0]), model(ids[0]))
    cache = model.new_cache(2)
    first = model(embeddings=embeddings[:, :5], cache=cache)
    both = np.concatenate([first, model(ids[:, 5:], cache=cache)], 1)
    assert_same_bytes(both, model(ids))


@pytest.mark.parametrize("name", ["thinker-gqa", "thinker-moe-gelu", "talker"])
def test_a_failed_call_leaves_the_cache(name):
    model, _ = golden(name)
    talker = name == "talker"
    tokens = np.random.default_rng(5).integers(0, 32, (1, 8, 2) if talker else (1, 8))
    cache = model.new_cache()
    model(tokens[:, :5], cache=cache)
    held = len(cache)

    def fail(*_: Any) -> None:
        raise RuntimeError("on purpose")

    handle = model.blocks[1].norm2.register_forward_hook(fail)
    with pytest.raises(RuntimeError, match="on purpose"):
        model(tokens[:, 5:], cache=cache)
    handle.remove()
    bad = tokens[:, 5:].copy()
    bad[0, 1] = 10_000
    with pytest.raises(IndexError):
        model(bad, cache=cache)
    with pytest.raises(ValueError, match="shape"):
        model(np.concatenate([tokens, tokens])[:, 5:], cache=cache)
    assert len(cache) == held
    last = model(tokens[:, 5:], cache=cache)
    want = model(tokens)
    assert_same_bytes(last[0] if talker else last, (want[0] if talker else want)[:, 5:])


def test_ctx_is_a_limit():
    model, _ = golden("thinker-mha")  # ctx 64
    ids = np.zeros((1, 65), np.int64)
    with pytest.raises(ValueError, match="65 positions are past ctx=64"):
        model(ids)
    cache = model.new_cache()
    model(ids[:, :64], cache=cache)
    with pytest.raises(ValueError, match="ctx=64"):
        model(ids[:, :1], cache=cache)
    cache.truncate(10)
    assert model(ids[:, :1], cache=cache).shape == (1, 1, 97)


# --- choices that must not depend on the machine ---


def test_nearest_takes_the_first_of_equals(isa):
    rows = np.float32([[1, 0], [0, 1], [1, 0], [-1, 0], [0, 0]])
    x = np.float32([[1, 0], [0.5, 0.5], [-0.5, 0], [9, 9], [0.5, 0]])
    np.testing.assert_array_equal(nearest(x, rows), [0, 0, 3, 0, 0])
    np.testing.assert_array_equal(nearest(x[None, :2], rows), [[0, 0]])
    assert nearest(np.zeros((0, 2), np.float32), rows).shape == (0,)
    big = make("nearest/x", (300, 64)), make("nearest/rows", (1000, 64))
    apart = ((big[0][:, None].astype(float) - big[1]) ** 2).sum(-1)
    np.testing.assert_array_equal(nearest(*big), apart.argmin(-1))


def test_experts_of_equal_share(isa):
    """A router of zeros likes all experts the same: the first ones are taken."""
    fp.manual_seed(2)
    thinker = muomni.Thinker(9, 1, 8, 2, 16, use_moe=True, num_experts=4, num_experts_per_tok=2)
    moe = thinker.blocks[0].moe
    moe.router.weight = np.zeros((4, 8), np.float32)
    x = make("moe/x", (2, 3, 8))
    half = np.float32(0.25) / (np.float32(0.5) + np.float32(1e-8))
    want = half * moe.experts[0](x) + half * moe.experts[1](x)
    assert_same_bytes(moe(x), want)
    assert_same_bytes(moe(x[1:, 1:2]), want[1:, 1:2])


def test_the_vocoders_scale():
    model, t = golden("vocoder")
    mel = t["in.mel"][0]
    flat = np.full_like(mel, 0.25)
    flat[0, 0] += np.float32(5e-7)
    assert_same_bytes(model(flat), model(np.clip(flat, 0, 1)))
    assert_same_bytes(model(np.full_like(mel, 7)), model(np.full_like(mel, 1)))
    assert np.abs(model(mel * 100) - model(mel)).max() < 1e-4


# --- the same values under observation ---


def test_traced_and_summed_up():
    inputs = {
        "thinker-moe-gelu": "in.ids",
        "thinker-mha": "in.ids",
        "talker": "in.codes",
        "audio-encoder": "in.mel",
        "vision-encoder": "in.image",
        "vocoder": "in.mel",
        "rvq": "in.mel",
    }
    for name, key in inputs.items():
        model, t = golden(name)
        want = model(t[key])
        found = fp.trace(model, t[key])[0].arrays
        for got, value in zip(found, want if isinstance(want, tuple) else (want,), strict=True):
            assert_same_bytes(np.array(got), np.ascontiguousarray(value))
        assert f"{sum(p.numel() for p in model.parameters()):,}" in str(fp.summary(model))
