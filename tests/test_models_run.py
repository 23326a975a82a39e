"""`forwardpass run`: text, vectors and JSON from models made on the spot."""

from __future__ import annotations

import io
import json

import numpy as np
import pytest

import _networks as net
from _arrays import assert_same_bytes
from forwardpass import models
from forwardpass.cli import main

tokenizers = pytest.importorskip("tokenizers")
WORDS = ["[UNK]", "[CLS]", "[SEP]", *"abcdefgh", "fox", "dog"]


def add_tokenizer(folder, special: bool):
    made = tokenizers.Tokenizer(
        tokenizers.models.WordLevel({w: i for i, w in enumerate(WORDS)}, unk_token="[UNK]")
    )
    made.pre_tokenizer = tokenizers.pre_tokenizers.Whitespace()
    if special:
        made.post_processor = tokenizers.processors.TemplateProcessing(
            single="[CLS] $A [SEP]", special_tokens=[("[CLS]", 1), ("[SEP]", 2)]
        )
    made.enable_padding()  # as files have it; a batch must not be padded here
    made.enable_truncation(3)
    made.save(str(folder / "tokenizer.json"))
    return folder


@pytest.fixture(scope="module")
def encoder(tmp_path_factory):
    folder = net.write(tmp_path_factory.mktemp("bert"), net.BERT, net.bert_state())
    return add_tokenizer(folder, True)


@pytest.fixture(scope="module")
def decoder(tmp_path_factory):
    config = {**net.LLAMA, "eos_token_id": None, "vocab_size": len(WORDS)}
    folder = net.write(tmp_path_factory.mktemp("llama"), config, net.llama_state(config))
    return add_tokenizer(folder, False)


def test_encode_is_embed_of_the_tokens(encoder):
    model = models.load(encoder)
    found = model.encode(["a fox b c d", "dog"])
    assert_same_bytes(found, model.embed([[1, 3, 11, 4, 5, 6, 2], [1, 12, 2]]))
    assert_same_bytes(model.encode("dog"), found[1])
    model.max_tokens = 4  # [CLS] a fox [SEP]
    assert_same_bytes(model.encode("a fox b"), model.embed([[1, 3, 11, 2]])[0])
    assert model.encode([]).shape == (0, 48)


def test_a_vector(encoder, capsys):
    assert main(["run", str(encoder), "--text", "a fox"]) == 0
    printed = np.array(capsys.readouterr().out.split(), np.float32)
    assert_same_bytes(printed, models.load(encoder).encode("a fox"))


def test_a_vector_as_json(encoder, capsys):
    assert main(["run", str(encoder), "--text", "a fox", "--json", "--threads", "1"]) == 0
    answer = json.loads(capsys.readouterr().out)
    assert answer["text"] == "a fox"
    assert_same_bytes(np.float32(answer["embedding"]), models.load(encoder).encode("a fox"))


def test_a_file(encoder, tmp_path, capsys, monkeypatch):
    texts = ["a fox", "dog", "a b c d"] * 30
    (tmp_path / "t").write_text("\n\n".join(texts))
    assert main(["run", str(encoder), "--file", str(tmp_path / "t")]) == 0
    out, err = capsys.readouterr()
    answers = [json.loads(line) for line in out.splitlines()]
    assert [a["text"] for a in answers] == texts
    vectors = np.float32([a["embedding"] for a in answers])
    assert_same_bytes(vectors, models.load(encoder).encode(texts))
    assert err == ""
    monkeypatch.setattr("sys.stdin", io.StringIO("dog\n"))
    assert main(["run", str(encoder), "--file", "-"]) == 0
    assert json.loads(capsys.readouterr().out)["text"] == "dog"


def test_text_as_it_comes(decoder, capsys):
    assert main(["run", str(decoder), "--text", "a fox", "--tokens", "5"]) == 0
    text = capsys.readouterr().out
    assert main(["run", str(decoder), "--text", "a fox", "--tokens", "5", "--json"]) == 0
    answer = json.loads(capsys.readouterr().out)
    assert len(answer["ids"]) == 5
    assert answer["answer"] + "\n" == text
    model = models.load(decoder)
    assert answer["ids"] == list(model.generate([3, 11], 5))


def test_a_seed(decoder, capsys):
    command = ["run", str(decoder), "--text", "a", "--temperature", "2", "--seed", "1", "--json"]
    ids = []
    for _ in range(2):
        assert main([*command, "--top-k", "9", "--top-p", "0.95"]) == 0
        ids.append(json.loads(capsys.readouterr().out)["ids"])
    assert ids[0] == ids[1]


@pytest.mark.parametrize(
    ("arguments", "text"),
    [
        (["--text", "a", "--temperature", "-1"], "temperature"),
        (["--text", "a", "--chat"], "ChatML"),
        (["--file", "/nowhere"], "/nowhere"),
    ],
)
def test_failures_are_one_line(decoder, capsys, arguments, text):
    assert main(["run", str(decoder), *arguments]) == 1
    err = capsys.readouterr().err
    assert text in err
    assert err.count("\n") == 1


def test_a_folder_without_a_model(tmp_path, capsys):
    assert main(["run", str(tmp_path), "--text", "a"]) == 1
    assert "config.json" in capsys.readouterr().err
    with pytest.raises(SystemExit):
        main(["run", str(tmp_path)])
