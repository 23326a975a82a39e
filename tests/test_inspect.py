"""`forwardpass inspect` and `forwardpass summary`: weight files and folders from their headers."""

from __future__ import annotations

import json
import os
import struct
import subprocess
import sys
import time

import numpy as np
import pytest

from forwardpass import cli, demo
from forwardpass.io.safetensors import save_file


def run(capsys, *arguments):
    status = cli.main(list(arguments))
    out, err = capsys.readouterr()
    return status, out, err


def write_header(path, header, size):
    """A file of `size` bytes of data, which take no room on the disk."""
    text = json.dumps(header).encode()
    with open(path, "wb") as file:
        file.write(struct.pack("<Q", len(text)) + text)
        file.truncate(8 + len(text) + size)


def tiny_model(layers=3):
    tensors = {"emb.weight": np.zeros((10, 4), np.float32), "ids": np.zeros((1, 5), np.int64)}
    for i in range(layers):
        tensors[f"layers.{i}.fc.weight"] = np.zeros((4, 4), np.float32)
        tensors[f"layers.{i}.fc.bias"] = np.zeros(4, np.float32)
    return tensors


@pytest.fixture
def folder(tmp_path):
    """A sharded model with a config.json."""
    tensors = tiny_model(12)
    names = list(tensors)
    shards = {"a.safetensors": names[:6], "b.safetensors": names[6:]}
    for shard, inside in shards.items():
        save_file({name: tensors[name] for name in inside}, tmp_path / shard, {"format": "pt"})
    weight_map = {name: shard for shard, inside in shards.items() for name in inside}
    index = {"metadata": {}, "weight_map": weight_map}
    (tmp_path / "model.safetensors.index.json").write_text(json.dumps(index))
    config = {
        "architectures": ["TinyLM"],
        "model_type": "tiny",
        "hidden_size": 4,
        "labels": {"a": 1},
    }
    (tmp_path / "config.json").write_text(json.dumps(config))
    return tmp_path


def test_inspect_a_file(capsys, tmp_path):
    path = tmp_path / "w.safetensors"
    save_file(tiny_model(1), path, {"format": "pt", "note": "two\nlines"})
    status, out, err = run(capsys, "inspect", str(path))
    assert (status, err) == (0, "")
    assert out.splitlines() == [
        "w.safetensors: 4 tensors, 65 elements (5 I64, 60 F32), 280 B",
        "metadata: format = pt",
        "metadata: note = two\\nlines",
        "",
        "──────────────────────────────────────────────────",
        "tensor              type  shape    elements   size",
        "──────────────────────────────────────────────────",
        "ids                 I64   (1, 5)          5   40 B",
        "emb.weight          F32   (10, 4)        40  160 B",
        "layers.0.fc.bias    F32   (4,)            4   16 B",
        "layers.0.fc.weight  F32   (4, 4)         16   64 B",
        "──────────────────────────────────────────────────",
    ]


def test_inspect_the_demo(capsys):
    status, out, _ = run(capsys, "inspect", str(demo.DATA))
    assert status == 0
    assert "images" in out
    assert "U8    (360, 8, 8)" in out


def test_inspect_reads_no_tensor(capsys, tmp_path):
    """300 GB, of which only the header is there."""
    path = tmp_path / "large.safetensors"
    each = 100 * 10**9
    entries = {
        f"w{i}": {"dtype": "U8", "shape": [each], "data_offsets": [i * each, (i + 1) * each]}
        for i in range(3)
    }
    try:
        write_header(path, entries, 3 * each)
    except OSError:
        pytest.skip("the file system has no sparse files")
    before = time.perf_counter()
    status, out, _ = run(capsys, "inspect", str(path))
    assert status == 0
    assert "3 tensors, 300,000,000,000 elements (U8), 300.0 GB" in out
    assert time.perf_counter() - before < 2


def test_inspect_types_that_numpy_lacks(capsys, tmp_path):
    header = {"a": {"dtype": "F8_E4M3", "shape": [2, 3], "data_offsets": [0, 6]}}
    header["b"] = {"dtype": "BF16", "shape": [], "data_offsets": [6, 8]}
    header["c"] = {"dtype": "F4", "shape": [0, 7], "data_offsets": [8, 8]}
    write_header(tmp_path / "x", header, 8)
    status, out, _ = run(capsys, "inspect", str(tmp_path / "x"))
    assert status == 0
    assert "F8_E4M3" in out
    assert "b       BF16     ()             1   2 B" in out


def test_inspect_an_empty_file(capsys, tmp_path):
    save_file({}, tmp_path / "x")
    status, out, _ = run(capsys, "inspect", str(tmp_path / "x"))
    assert status == 0
    assert out.startswith("x: 0 tensors, 0 elements, 0 B\n")


def test_hostile_names_cannot_write_to_the_terminal(capsys, tmp_path):
    names = ["\x1b[2J", "a\rb\nc", "\u202eright", "n" * 5000, "." * 5000, ""]
    tensors = {name: np.zeros(1, np.float32) for name in names}
    save_file(tensors, tmp_path / "x", {"\x1b]0;": "\x07" * 999})
    for command in ("inspect", "summary"):
        status, out, _ = run(capsys, command, str(tmp_path / "x"))
        assert status == 0
        assert all(line.isprintable() for line in out.splitlines())
        assert max(map(len, out.splitlines())) < 1200


def test_inspect_a_folder_and_its_index(capsys, folder):
    status, out, err = run(capsys, "inspect", str(folder))
    assert (status, err) == (0, "")
    lines = out.splitlines()
    assert lines[0].startswith(f"{folder.name}: 26 tensors, 285 elements (5 I64, 280 F32)")
    assert any(line.startswith("a.safetensors        6") for line in lines)
    assert any(line.startswith("b.safetensors       20") for line in lines)
    assert "metadata of b.safetensors: format = pt" in lines
    index = run(capsys, "inspect", str(folder / "model.safetensors.index.json"))[1]
    assert index.splitlines()[1:] == lines[1:]


def test_inspect_a_folder_without_an_index(capsys, folder):
    (folder / "model.safetensors.index.json").unlink()
    _, out, _ = run(capsys, "inspect", str(folder))
    assert ": 26 tensors" in out
    save_file({"w": np.zeros(1, np.float32)}, folder / "model.safetensors")
    _, out, _ = run(capsys, "inspect", str(folder))
    assert ": 1 tensor, 1 element (F32), 4 B" in out


def test_summary_of_a_folder(capsys, folder):
    status, out, err = run(capsys, "summary", str(folder))
    assert (status, err) == (0, "")
    lines = out.splitlines()
    assert lines[1:3] == ["model: TinyLM (tiny)", "  hidden_size 4, labels (1 inside)"]
    table = [" ".join(line.split()) for line in lines[7:]]
    assert table[:-1] == [
        "(all) ids (1, 5) 285 1.2 kB",
        "├─ emb weight (10, 4) 40 160 B",
        "└─ layers 240 960 B",
        "└─ 0–11 12 × 20 12 × 80 B",
        "└─ fc bias (4,), weight (4, 4) 12 × 20 12 × 80 B",
    ]


def test_summary_keeps_layers_that_differ_apart(capsys, tmp_path):
    tensors = tiny_model(5)
    tensors["layers.2.fc.weight"] = np.zeros((4, 5), np.float32)
    save_file(tensors, tmp_path / "model.safetensors")
    _, out, _ = run(capsys, "summary", str(tmp_path))
    assert "no config.json" in out
    names = [line.split("─ ")[1].split()[0] for line in out.splitlines() if "─ " in line]
    assert names[-6:] == ["0–1", "fc", "2", "fc", "3–4", "fc"]


@pytest.mark.parametrize("command", ["inspect", "summary"])
@pytest.mark.parametrize(
    ("name", "content", "reason"),
    [
        ("x", b"PK\x03\x04" + bytes(99), "torch checkpoint"),
        ("x", b"", "fewer than 8"),
        ("x", bytes(8) + b"rest", "header"),
        ("x", struct.pack("<Q", 2**63), "beyond"),
        ("model.safetensors.index.json", b"[]", "must be a JSON object"),
        ("model.safetensors.index.json", b'{"weight_map": {"a": "../x.safetensors"}}', "stays in"),
        ("model.safetensors.index.json", b'{"weight_map": {"a": "b.safetensors"}}', "has no file"),
    ],
)
def test_errors_have_one_line(capsys, tmp_path, command, name, content, reason):
    (tmp_path / name).write_bytes(content)
    status, out, err = run(capsys, command, str(tmp_path / name))
    assert (status, out) == (1, "")
    assert err.startswith("forwardpass: error: ")
    assert reason in err
    assert err.count("\n") == 1


@pytest.mark.parametrize("command", ["inspect", "summary"])
def test_missing_files_and_empty_folders(capsys, tmp_path, command):
    for path in (tmp_path / "none", tmp_path):
        status, out, err = run(capsys, command, str(path))
        assert (status, out, err.count("\n")) == (1, "", 1)
    (tmp_path / "model.safetensors").write_bytes(b"")
    (tmp_path / "config.json").write_text("{")
    status, _, err = run(capsys, "summary", str(tmp_path))
    assert (status, err.count("\n")) == (1, 1)


def test_a_broken_config(capsys, folder):
    (folder / "config.json").write_text("{")
    status, out, err = run(capsys, "summary", str(folder))
    assert (status, out) == (1, "")
    assert "config.json: not valid JSON" in err


def test_as_a_process_in_ascii(folder):
    command = [sys.executable, "-W", "error", "-m", "forwardpass", "summary", str(folder)]
    env = {**os.environ, "PYTHONIOENCODING": "ascii"}
    done = subprocess.run(command, capture_output=True, env=env, timeout=120)
    assert (done.returncode, done.stderr) == (0, b"")
    assert b"12 x 20" in done.stdout


def test_usage():
    for arguments in (["inspect"], ["summary"], ["inspect", "a", "b"]):
        with pytest.raises(SystemExit) as error:
            cli.main(arguments)
        assert error.value.code == 2
