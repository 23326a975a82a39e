"""BERT-type encoders: against float64, packed against alone and padded, and what is refused."""

from __future__ import annotations

import json

import numpy as np
import pytest

import _networks as net
from _arrays import assert_same_bytes
from forwardpass import models, threads
from forwardpass.models.bert import BertModel

LENGTHS = (5, 17, 1, 17, 3, 5, 20, 5)


@pytest.fixture(scope="module")
def folder(tmp_path_factory):
    return net.write(tmp_path_factory.mktemp("bert"), net.BERT, net.bert_state())


@pytest.fixture(scope="module")
def model(folder):
    return models.load(folder)


def sentences():
    rng = np.random.default_rng(1)
    return [rng.integers(0, 50, n) for n in LENGTHS]


def test_hidden_states_and_embeddings_against_float64(model, isa):
    state = net.bert_state()
    expected = [net.bert(state, net.BERT, ids) for ids in sentences()]
    for ids, value in zip(sentences(), expected, strict=True):
        np.testing.assert_allclose(model(ids[None])[0], value, rtol=0, atol=4e-6)
    found = model.embed(sentences())
    np.testing.assert_allclose(found, [net.embedding(x) for x in expected], rtol=0, atol=1e-6)


def test_a_sentence_has_the_same_bytes_in_any_batch(model, isa):
    ids = sentences()
    whole = model.embed(ids)
    for count in (1, 2, 3):
        with threads(count):
            assert_same_bytes(model.embed(ids), whole)
    for i, one in enumerate(ids):
        assert_same_bytes(model.embed([one])[0], whole[i])
        assert_same_bytes(model.embed([list(one)])[0], whole[i])


def test_packs_of_any_size_give_the_same_bytes(model, monkeypatch):
    whole = model.embed(sentences())
    for most in (1, 20, 40):
        monkeypatch.setattr("forwardpass.models.bert._MOST_TOKENS", most)
        assert_same_bytes(model.embed(sentences()), whole)


def test_padding_changes_nothing_of_real_tokens(model):
    """Wherever the padding is: what is not real is seen by nobody."""
    ids = sentences()[1]
    alone = model(ids[None])[0]
    padded = np.full((2, 20), 9)
    padded[0, :17] = ids
    mask = np.zeros((2, 20), bool)
    mask[0, :17] = mask[1, :4] = True
    assert_same_bytes(model(padded, mask)[0, :17], alone)
    assert_same_bytes(model(padded, mask.astype(np.int64)), model(padded, mask))


def test_token_types(model):
    ids = sentences()[0][None]
    zeros = model(ids)
    assert_same_bytes(model(ids, token_type_ids=np.zeros_like(ids)), zeros)
    assert (model(ids, token_type_ids=np.ones_like(ids)) != zeros).any()


def test_pooling(model, folder):
    other = models.load(folder)
    other.normalize = False
    states = [model(ids[None])[0] for ids in sentences()]
    for kind, expected in (("cls", [x[0] for x in states]), ("max", [x.max(0) for x in states])):
        other.pooling = kind
        assert_same_bytes(other.embed(sentences()), np.array(expected))


def test_no_sentences(model):
    assert model.embed([]).shape == (0, 48)


@pytest.mark.parametrize(
    ("change", "error", "text"),
    [
        ({"hidden_size": 50}, ValueError, "multiple of num_attention_heads"),
        ({"hidden_size": "48"}, ValueError, "hidden_size must be an integer"),
        ({"vocab_size": None}, ValueError, "vocab_size must be an integer from 1 up, got None"),
        ({"hidden_act": "swish"}, ValueError, "hidden_act must be one of gelu"),
        ({"layer_norm_eps": 0}, ValueError, "layer_norm_eps must be a number above 0"),
        ({"position_embedding_type": "relative_key"}, NotImplementedError, "position_embedding"),
        ({"is_decoder": True}, NotImplementedError, "is_decoder"),
    ],
)
def test_bad_settings(change, error, text):
    with pytest.raises(error, match=text):
        BertModel.from_config({**net.BERT, **change})


@pytest.mark.parametrize(
    ("arguments", "error", "text"),
    [
        (([1, 2],), ValueError, r"shape \(B, T\), got \(2,\)"),
        ((np.zeros((1, 21), int),), ValueError, "at most 20 tokens, got 21"),
        ((np.zeros((1, 3)),), TypeError, "must be integers, got float64"),
        ((np.zeros((1, 3), int), np.zeros((1, 4), int)), ValueError, r"shape \(1, 3\)"),
        ((np.full((1, 3), 50),), IndexError, "50"),
        ((np.full((1, 3), -1),), IndexError, "-1"),
    ],
)
def test_bad_input(model, arguments, error, text):
    with pytest.raises(error, match=text):
        model(*arguments)


def test_bad_sentences(model):
    for wrong in ([], np.zeros((2, 2), int), range(21)):
        with pytest.raises(ValueError, match="sentence 1 must be 1 to 20 token ids"):
            model.embed([[1], wrong])


def test_sentence_transformers_settings(folder, tmp_path):
    copy = net.write(tmp_path / "m", net.BERT, net.bert_state())
    kinds = [("", "Transformer"), ("1_Pooling", "Pooling"), ("2_Normalize", "Normalize")]
    entries = [{"path": path, "type": f"sentence_transformers.models.{k}"} for path, k in kinds]
    pooling = copy / "1_Pooling"
    pooling.mkdir()
    (copy / "sentence_bert_config.json").write_text('{"max_seq_length": 12}')
    (pooling / "config.json").write_text('{"pooling_mode_cls_token": true}')
    (copy / "modules.json").write_text(json.dumps(entries[:2]))
    model = models.load(copy)
    assert (model.pooling, model.normalize, model.max_tokens) == ("cls", False, 12)
    (copy / "modules.json").write_text(json.dumps(entries))
    assert models.load(copy).normalize
    (pooling / "config.json").write_text('{"pooling_mode_weightedmean_tokens": true}')
    with pytest.raises(NotImplementedError, match="weightedmean"):
        models.load(copy)
    (copy / "modules.json").write_text(json.dumps([*entries, {"type": "x.Dense"}]))
    with pytest.raises(NotImplementedError, match="Dense"):
        models.load(copy)
