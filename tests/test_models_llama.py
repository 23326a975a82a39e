"""Llama-type decoders: against float64, decoding in chunks, tokens as they come, sampling."""

from __future__ import annotations

import itertools

import numpy as np
import pytest

import _networks as net
from _arrays import assert_same_bytes
from forwardpass import models, threads
from forwardpass.models.llama import LlamaForCausalLM
from forwardpass.models.sampling import Sampler

IDS = np.random.default_rng(5).integers(0, 60, 23)


@pytest.fixture(scope="module")
def model(tmp_path_factory):
    return models.load(net.write(tmp_path_factory.mktemp("llama"), net.LLAMA, net.llama_state()))


@pytest.mark.parametrize("tied", [True, False])
def test_logits_against_float64(tmp_path, tied, isa):
    config, state = {**net.LLAMA, "tie_word_embeddings": tied}, net.llama_state()
    if not tied:
        state["lm_head.weight"] = np.roll(state["model.embed_tokens.weight"], 1, 0)
    model = models.load(net.write(tmp_path / "m", config, state))
    np.testing.assert_allclose(model(IDS[None])[0], net.llama(state, config, IDS), 0, 5e-6)


def test_decoding_in_any_chunks_is_the_full_pass(model, isa):
    full = model(IDS[None])
    for cuts in ((1,) * 23, (5, 1, 1, 16), (22, 1), (23,), (1, 22)):
        cache, parts = model.new_cache(), []
        for start, stop in itertools.pairwise((0, *np.cumsum(cuts))):
            parts.append(model(IDS[None, start:stop], cache))
        assert_same_bytes(np.concatenate(parts, 1), full)
        assert len(cache) == 23


def test_the_bytes_do_not_depend_on_threads_and_batch(model):
    full = model(IDS[None])
    with threads(2):
        assert_same_bytes(model(IDS[None]), full)
    assert_same_bytes(model(np.stack([IDS[::-1], IDS]))[1], full[0])
    assert_same_bytes(model(IDS[None], None, 2), full[:, -2:])


def test_greedy_tokens_are_the_largest_logits(model):
    ids = list(IDS[:5])
    for token in model.generate(ids, 6, stop=()):
        assert token == model(np.array(ids)[None])[0, -1].argmax()
        ids.append(token)
    assert len(ids) == 11


def test_stop_tokens(model):
    tokens = list(model.generate(IDS[:5], 8, stop=()))
    assert (
        list(model.generate(IDS[:5], 8, stop=[tokens[2]])) == tokens[: tokens.index(tokens[2]) + 1]
    )
    assert model.stop == {7}
    assert list(model.generate(IDS[:5], 0)) == []


def test_generate_goes_on_with_a_cache(model):
    tokens = list(model.generate(IDS[:5], 8, stop=()))
    cache = model.new_cache()
    first = list(model.generate(IDS[:5], 3, stop=(), cache=cache))
    assert len(cache) == 5 + 2
    assert first + list(model.generate(first[-1:], 5, stop=(), cache=cache)) == tokens


def test_the_positions_end(model):
    assert len(list(model.generate(np.zeros(38, int), 99, stop=()))) == 3
    assert len(list(model.generate(np.zeros(40, int), 99, stop=()))) == 1
    with pytest.raises(ValueError, match="past the model's 40"):
        model.generate(np.zeros(41, int))
    with pytest.raises(ValueError, match="past the model's 40"):
        model(np.zeros((1, 41), int))


def test_a_failed_call_leaves_the_cache(model):
    cache = model.new_cache()
    full = model(IDS[None, :4], cache)
    with pytest.raises(IndexError):
        model(np.array([[60]]), cache)
    handle = model.model.layers[1].register_forward_hook(lambda *_: 1 / 0)
    try:
        with pytest.raises(ZeroDivisionError):
            model(IDS[None, 4:6], cache)
    finally:
        handle.remove()
    assert len(cache) == cache.layer_length(0) == 4
    parts = [full, model(IDS[None, 4:], cache)]
    assert_same_bytes(np.concatenate(parts, 1), model(IDS[None]))


@pytest.mark.parametrize(
    ("arguments", "options", "error", "text"),
    [
        (([],), {}, ValueError, "T at least 1"),
        (([[1]],), {}, ValueError, r"shape \(T,\)"),
        (([0.5],), {}, TypeError, "integers"),
        (([1], -1), {}, ValueError, "max_new_tokens"),
        (([1],), {"temperature": -1}, ValueError, "temperature"),
        (([1],), {"temperature": float("nan")}, ValueError, "temperature"),
        (([1],), {"top_k": 0}, ValueError, "top_k"),
        (([1],), {"top_p": 0}, ValueError, "top_p"),
    ],
)
def test_bad_arguments_are_found_by_the_call(model, arguments, options, error, text):
    with pytest.raises(error, match=text):
        model.generate(*arguments, **options)


@pytest.mark.parametrize(
    ("change", "error", "text"),
    [
        ({"hidden_act": "gelu"}, ValueError, "hidden_act must be one of silu"),
        ({"rope_scaling": {"rope_type": "llama3"}}, ValueError, "factor"),
        ({"rope_parameters": {"rope_type": "yarn"}}, NotImplementedError, "yarn"),
        ({"num_key_value_heads": 3}, ValueError, "num_kv_heads"),
        ({"eos_token_id": "x"}, ValueError, "eos_token_id"),
        ({"tie_word_embeddings": 1}, ValueError, "tie_word_embeddings"),
    ],
)
def test_bad_settings(change, error, text):
    with pytest.raises(error, match=text):
        LlamaForCausalLM.from_config({**net.LLAMA, **change})


def test_rope_theta_of_newer_files():
    config = {**net.LLAMA, "rope_parameters": {"rope_theta": 500.0, "rope_type": "default"}}
    model = LlamaForCausalLM.from_config(config)
    assert model.model.layers[0].self_attn.rope_base == 500.0


LOGITS = np.log(np.array([0.1, 0.4, 0.2, 0.3], np.float32))


def test_a_seed_repeats_the_tokens():
    draws = [[Sampler(1.0, rng=3)(LOGITS) for _ in range(1)] for _ in range(2)]
    assert draws[0] == draws[1]
    one, two = Sampler(1.0, rng=np.random.default_rng(9)), Sampler(1.0, rng=9)
    assert [one(LOGITS) for _ in range(50)] == [two(LOGITS) for _ in range(50)]


def test_draws_have_the_frequencies_of_softmax():
    sampler = Sampler(1.0, rng=0)
    counts = np.bincount([sampler(LOGITS) for _ in range(4000)], minlength=4) / 4000
    np.testing.assert_allclose(counts, [0.1, 0.4, 0.2, 0.3], atol=0.03)


@pytest.mark.parametrize(
    ("options", "left"),
    [
        ({}, [1, 3, 2, 0]),
        ({"top_k": 2}, [1, 3]),
        ({"top_k": 9}, [1, 3, 2, 0]),
        ({"top_p": 0.39}, [1]),
        ({"top_p": 0.5}, [1, 3]),
        ({"top_p": 0.69}, [1, 3]),
        ({"top_p": 0.71}, [1, 3, 2]),
        ({"top_p": 1e-9}, [1]),
        ({"top_k": 2, "top_p": 0.5}, [1]),  # of the two that are left 1 has 4 in 7
    ],
)
def test_what_is_left(options, left):
    assert Sampler(1.0, rng=0, **options).distribution(LOGITS)[0].tolist() == left


def test_ties_extremes_and_nan():
    assert Sampler()(np.array([1, 3, 3], np.float32)) == 1
    assert Sampler(1e-30, rng=0)(LOGITS) == 1
    big = np.array([-3e38, 3e38, 0], np.float32)
    assert {Sampler(1.0, rng=i)(big) for i in range(9)} == {1}
    assert {Sampler(1.0, rng=i)(np.array([-np.inf, 0.0], np.float32)) for i in range(9)} == {1}
    with pytest.raises(ValueError, match="NaN"):
        Sampler(1.0)(np.array([0, np.nan], np.float32))
    with pytest.raises(ValueError, match="shape"):
        Sampler()(np.zeros((1, 2), np.float32))
