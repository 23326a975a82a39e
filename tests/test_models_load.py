"""models.load: which class, whose names, what is refused, and the progress bar."""

from __future__ import annotations

import io
import json
import sys

import numpy as np
import pytest

import _networks as net
from _arrays import assert_same_bytes
from forwardpass import models
from forwardpass.io.safetensors import save_file
from forwardpass.models._progress import Progress

IDS = np.arange(6)[None]


@pytest.fixture
def folder(tmp_path):
    return net.write(tmp_path / "bert", net.BERT, net.bert_state())


def test_unknown_types_name_the_known_ones(tmp_path):
    for config, text in (
        ({"model_type": "gpt9"}, "model_type 'gpt9'; known are bert, llama"),
        ({}, "has no model_type; known are bert"),
        ({"model_type": 3}, "model_type 3"),
    ):
        with pytest.raises(ValueError, match=text):
            models.load(net.write(tmp_path / "m", config, {}))
    assert {"bert", "llama"} <= set(models.known())


@pytest.mark.parametrize("prefix", ["bert.", "module.", "module.bert.", "_orig_mod."])
def test_prefixes(folder, tmp_path, prefix):
    state = {prefix + name: array for name, array in net.bert_state().items()}
    other = models.load(net.write(tmp_path / "other", net.BERT, state))
    assert_same_bytes(other(IDS), models.load(folder)(IDS))


def test_a_decoder_without_its_head_and_prefix(tmp_path):
    state = net.llama_state()
    whole = models.load(net.write(tmp_path / "a", net.LLAMA, state))
    bare = {name.removeprefix("model."): array for name, array in state.items()}
    assert_same_bytes(models.load(net.write(tmp_path / "b", net.LLAMA, bare))(IDS), whole(IDS))
    doubled = {**state, "lm_head.weight": state["model.embed_tokens.weight"]}
    assert_same_bytes(models.load(net.write(tmp_path / "c", net.LLAMA, doubled))(IDS), whole(IDS))


def test_old_names_and_tensors_without_use(folder, tmp_path):
    state = {
        name.replace("Norm.weight", "Norm.gamma").replace("Norm.bias", "Norm.beta"): array
        for name, array in net.bert_state().items()
    }
    state["embeddings.position_ids"] = np.arange(20)[None]
    state["pooler.dense.weight"] = np.zeros((48, 48), np.float32)
    other = models.load(net.write(tmp_path / "old", net.BERT, state))
    assert_same_bytes(other(IDS), models.load(folder)(IDS))


def test_every_missing_and_unexpected_tensor_is_named(tmp_path):
    state = net.bert_state()
    del state["encoder.layer.1.output.dense.bias"]
    state["encoder.layer.2.output.dense.bias"] = np.zeros(48, np.float32)
    with pytest.raises(RuntimeError, match=r"(?s)Missing.*layer\.1.*Unexpected.*layer\.2"):
        models.load(net.write(tmp_path / "m", net.BERT, state))


def test_a_single_file_takes_the_settings_beside_it(folder):
    whole = models.load(folder)
    assert_same_bytes(models.load(folder / "model.safetensors")(IDS), whole(IDS))
    assert_same_bytes(models.load(str(folder))(IDS), whole(IDS))


@pytest.mark.parametrize("dtype", [np.float16, np.float32])
def test_a_tied_table_is_held_once(tmp_path, dtype):
    """Float16 rows come from the file; the values are those of a table in memory."""
    state = {n: a.astype(np.float16).astype(dtype) for n, a in net.llama_state().items()}
    model = models.load(net.write(tmp_path / "m", net.LLAMA, state))
    table = model.model.embed_tokens
    parameter = table.get_parameter("weight")
    assert parameter is model.lm_head.get_parameter("weight")
    if dtype == np.float16:
        assert parameter._array is None
    found = table(IDS)
    assert_same_bytes(found, state["model.embed_tokens.weight"].astype(np.float32)[IDS])
    with pytest.raises(IndexError, match="60"):
        table(np.array([60]))
    with pytest.raises(TypeError, match="integer array"):
        table(np.array([0.5]))
    assert_same_bytes(table.weight, state["model.embed_tokens.weight"].astype(np.float32))


def test_what_is_not_there(tmp_path):
    with pytest.raises(FileNotFoundError, match="nothing is downloaded"):
        models.load(tmp_path / "nothing")
    save_file({"a": np.zeros(1, np.float32)}, tmp_path / "model.safetensors")
    with pytest.raises(FileNotFoundError, match=r"config\.json"):
        models.load(tmp_path)
    (tmp_path / "x.bin").write_bytes(b"")
    with pytest.raises(ValueError, match="torch"):
        models.load(tmp_path / "x.bin")


def test_folders_of_muomni(tmp_path):
    """One file for each component, or config.json and model.safetensors."""
    from _muomni import SMALL
    from forwardpass.models import muomni

    small = muomni.MuOmni(**SMALL)
    small.save_folder(tmp_path / "parts")
    found = models.load(tmp_path / "parts")
    assert type(found) is muomni.MuOmni
    ids = np.array([[1, 2]])
    assert_same_bytes(found.thinker(ids), small.thinker(ids))
    (tmp_path / "whole").mkdir()
    small.save(tmp_path / "whole" / "model.safetensors")
    (tmp_path / "whole" / "config.json").write_text(json.dumps({"model_type": "muomni", **SMALL}))
    assert_same_bytes(models.load(tmp_path / "whole").thinker(ids), small.thinker(ids))


class Terminal(io.StringIO):
    def isatty(self):
        return True


def test_the_bar_goes_to_a_terminal_only(folder, monkeypatch, capsys):
    models.load(folder)
    monkeypatch.setattr("forwardpass.models._progress._PATIENCE", 0.0)
    models.load(folder)
    assert capsys.readouterr() == ("", "")
    monkeypatch.setattr(sys, "stderr", Terminal())
    models.load(folder)
    text = sys.stderr.getvalue()
    assert "packing weights [" in text
    assert text.endswith("\r\x1b[K")
    monkeypatch.setattr(sys, "stderr", Terminal())
    models.load(folder, progress=False)
    assert sys.stderr.getvalue() == ""


def test_the_bar_without_a_stderr(monkeypatch):
    monkeypatch.setattr(sys, "stderr", None)
    with Progress(3, "x", True) as bar:
        bar.step(5)
    assert bar.done == 3


def test_a_folder_that_is_no_json(tmp_path):
    folder = net.write(tmp_path / "m", net.BERT, {})
    (folder / "config.json").write_text(json.dumps([1]))
    with pytest.raises(ValueError, match="JSON object"):
        models.load(folder)
