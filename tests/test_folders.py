"""io.folders: Hugging Face folders, whole and in shards, and what strangers may put into them."""

from __future__ import annotations

import json
import os
import re
import socket
import time
from pathlib import Path
from typing import Any

import numpy as np
import pytest

import forwardpass as fp
from forwardpass import nn
from forwardpass.io.folders import Folder, load_config, load_folder
from forwardpass.io.safetensors import load_file, save_file

INDEX = "model.safetensors.index.json"
CONFIG = {"model_type": "test", "hidden_size": 4, "nested": {"eps": 1e-5, "none": None}}
A, B = "model-00001-of-00002.safetensors", "model-00002-of-00002.safetensors"


def tensors() -> dict[str, np.ndarray[Any, Any]]:
    rng = np.random.default_rng(0)
    shapes = {"1.weight": (4, 3), "0.weight": (3, 2), "0.bias": (3,), "1.bias": (4,)}
    return {name: rng.standard_normal(shape, np.float32) for name, shape in shapes.items()}


def network() -> nn.Sequential:
    return nn.Sequential(nn.Linear(2, 3), nn.Linear(3, 4))


@pytest.fixture
def folder(tmp_path: Path) -> Path:
    folder = tmp_path / "folder"
    folder.mkdir()
    (folder / "config.json").write_text(json.dumps(CONFIG))
    return folder


@pytest.fixture
def sharded(folder: Path) -> Path:
    """Two shards and their index, in an order that is neither's."""
    values = tensors()
    shards = {A: ["0.weight", "1.bias"], B: ["1.weight", "0.bias"]}
    for shard, names in shards.items():
        save_file({name: values[name] for name in names}, folder / shard)
    write_index(folder, {name: next(s for s in shards if name in shards[s]) for name in values})
    return folder


def write_index(folder: Path, weight_map: Any) -> None:
    content = {"metadata": {"total_size": 96}, "weight_map": weight_map}
    (folder / INDEX).write_text(json.dumps(content))


def weight_map(folder: Path) -> dict[str, str]:
    result: dict[str, str] = json.loads((folder / INDEX).read_text())["weight_map"]
    return result


def assert_equal(got: dict[str, Any], want: dict[str, Any]) -> None:
    assert got.keys() == want.keys()
    assert all(np.array_equal(got[name], want[name]) for name in want)


def refused(folder: Path, match: str, error: type[Exception] = ValueError) -> str:
    """load_folder and Module.load raise the same, at once, and the module stays as it was."""
    net = network()
    before = {name: value.tobytes() for name, value in net.state_dict().items()}
    start = time.perf_counter()
    with pytest.raises(error, match=match) as first:
        load_folder(folder)
    with pytest.raises(error) as second:
        net.load(folder)
    assert time.perf_counter() - start < 2
    assert str(first.value) == str(second.value)
    assert before == {name: value.tobytes() for name, value in net.state_dict().items()}
    return str(first.value)


# --- folders as they should be ---


def test_one_file(folder: Path) -> None:
    save_file(tensors(), folder / "model.safetensors")
    loaded = fp.load_folder(folder)
    assert isinstance(loaded, Folder)
    config, values = loaded
    assert config == CONFIG == load_config(str(folder))
    assert_equal(values, tensors())
    assert not any(v.flags.writeable for v in values.values())
    net = network()
    assert repr(net.load(folder)) == "<All keys matched successfully>"
    assert_equal(net.state_dict(), tensors())
    assert_equal(load_folder(str(folder), mmap=False).tensors, tensors())


def test_shards(sharded: Path) -> None:
    values = load_folder(sharded).tensors
    assert list(values) == list(tensors())
    assert_equal(values, tensors())
    net = network()
    net.load(str(sharded))
    assert_equal(net.state_dict(), tensors())


def test_shards_in_a_folder_inside(sharded: Path) -> None:
    (sharded / "deep" / "er").mkdir(parents=True)
    (sharded / B).rename(sharded / "deep" / "er" / B)
    write_index(
        sharded, {k: f"deep/er/{v}" if v == B else v for k, v in weight_map(sharded).items()}
    )
    assert_equal(load_folder(sharded).tensors, tensors())


def test_the_whole_file_comes_before_the_index(sharded: Path) -> None:
    save_file({"only": np.zeros(1, np.float32)}, sharded / "model.safetensors")
    assert list(load_folder(sharded).tensors) == ["only"]


def test_an_index_of_nothing(folder: Path) -> None:
    write_index(folder, {})
    assert load_folder(folder).tensors == {}


@pytest.mark.skipif(os.name != "posix", reason="symbolic links")
def test_the_cache_of_hugging_face(sharded: Path, tmp_path: Path) -> None:
    """models--x/snapshots/<commit>/FILE is a symbolic link to ../../blobs/<hash>."""
    blobs, snapshot = tmp_path / "hub" / "blobs", tmp_path / "hub" / "snapshots" / "c0ffee"
    blobs.mkdir(parents=True)
    snapshot.mkdir(parents=True)
    for i, path in enumerate(sharded.iterdir()):
        path.rename(blobs / f"hash{i}")
        (snapshot / path.name).symlink_to(f"../../blobs/hash{i}")
    config, values = load_folder(snapshot)
    assert config == CONFIG
    assert_equal(values, tensors())


def test_no_config_is_needed_to_load_a_module(folder: Path) -> None:
    save_file(tensors(), folder / "model.safetensors")
    (folder / "config.json").unlink()
    network().load(folder)
    with pytest.raises(FileNotFoundError, match=r"config\.json"):
        load_folder(folder)


def test_no_network(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    monkeypatch.setattr(socket, "socket", None)
    monkeypatch.chdir(tmp_path)
    for load in (load_folder, network().load):
        with pytest.raises(FileNotFoundError, match="nothing is downloaded"):
            load("prajjwal1/bert-tiny")


# --- index against shards ---


def test_missing_tensors(sharded: Path) -> None:
    write_index(sharded, {**weight_map(sharded), **{f"more.{i}": A for i in range(8)}})
    refused(sharded, rf"{A}' lacks 'more.0', .*'more.4' and 3 more$")


def test_tensors_that_the_index_lacks(sharded: Path) -> None:
    write_index(sharded, {k: v for k, v in weight_map(sharded).items() if k != "0.bias"})
    refused(sharded, rf"{B}' holds '0.bias', which the index lacks")


def test_tensors_in_two_shards(sharded: Path) -> None:
    values = tensors()
    save_file({name: values[name] for name in ("0.weight", "1.bias", "0.bias")}, sharded / A)
    refused(sharded, rf"{A}' holds '0.bias', which the index puts elsewhere")


def test_a_missing_shard(sharded: Path) -> None:
    (sharded / B).unlink()
    refused(sharded, f"no file '{B}'", FileNotFoundError)


def test_a_truncated_shard(sharded: Path) -> None:
    (sharded / B).write_bytes((sharded / B).read_bytes()[:-1])
    refused(sharded, rf"{B}: tensor '.*': truncated")


# --- names that lead elsewhere ---


@pytest.mark.parametrize(
    "name",
    [
        "../outside.safetensors",
        "/etc/outside.safetensors",
        "sub/../../outside.safetensors",
        "./x.safetensors",
        "a//b.safetensors",
        "",
        "..",
        "..\\outside.safetensors",
        "C:outside.safetensors",
        "x.safetensors:stream",
        "x\0.safetensors",
        "x\n.safetensors",
        "\ud800.safetensors",
        "config.json",
        "x" * 100_000,
    ],
)
def test_names_that_lead_elsewhere(sharded: Path, name: str) -> None:
    save_file(tensors(), sharded.parent / "outside.safetensors")
    save_file(tensors(), sharded / "x.safetensors")
    write_index(sharded, dict.fromkeys(tensors(), name))
    text = refused(sharded, re.escape(f"{INDEX}: the file name "))
    assert len(text) < 500


def test_all_names_are_checked_before_a_file_is_opened(sharded: Path) -> None:
    (sharded / A).write_bytes(b"not read")
    write_index(sharded, {"a": A, "b": "../b.safetensors"})
    refused(sharded, "stays in the folder")


@pytest.mark.skipif(os.name != "posix", reason="symbolic links")
def test_directories_that_lead_outside(sharded: Path) -> None:
    outside = sharded.parent / "outside"
    outside.mkdir()
    save_file(tensors(), outside / "x.safetensors")
    (sharded / "link").symlink_to(outside)
    write_index(sharded, dict.fromkeys(tensors(), "link/x.safetensors"))
    refused(sharded, "leads outside the folder")


@pytest.mark.skipif(not hasattr(os, "mkfifo"), reason="named pipes")
@pytest.mark.parametrize("name", ["config.json", INDEX, A, "model.safetensors"])
def test_a_pipe_is_not_waited_for(sharded: Path, name: str) -> None:
    (sharded / name).unlink(missing_ok=True)
    os.mkfifo(sharded / name)
    with pytest.raises(ValueError, match="not a regular file"):
        load_folder(sharded)
    with pytest.raises(ValueError, match="not a regular file"):
        load_file(sharded / name)


# --- JSON ---

BAD_JSON = {
    "no JSON": (b"{", "not valid JSON"),
    "empty": (b"", "not valid JSON"),
    "no object": (b"[1]", "must be a JSON object, got list"),
    "UTF-8": (b'{"a": "\xff"}', "not valid UTF-8"),
    "UTF-16": ('{"a": 1}'.encode("utf-16"), "not valid UTF-8"),
    "mark": (b"\xef\xbb\xbf{}", "not valid JSON: Unexpected UTF-8 BOM"),
    "twice": (b'{"b": 1, "a": 1, "a": 2}', "the key 'a' is there twice"),
    "twice inside": (b'{"weight_map": {"a": "x", "a": "x"}}', "the key 'a' is there twice"),
    "deep": (b'{"a": ' + b"[" * 200_000, "nested too deeply"),
    "deep objects": (b'{"a": ' * 200_000, "nested too deeply"),
    "digits": (b'{"a": ' + b"9" * 10_000 + b"}", "digits"),
    "LFS": (b"version https://git-lfs.github.com/spec/v1\noid sha256:0\n", "git lfs pull"),
}


@pytest.mark.parametrize("name", ["config.json", INDEX])
@pytest.mark.parametrize("case", BAD_JSON)
def test_bad_json(sharded: Path, name: str, case: str) -> None:
    content, reason = BAD_JSON[case]
    (sharded / name).write_bytes(content)
    with pytest.raises(ValueError, match=f"{re.escape(name)}: .*{reason}"):
        load_folder(sharded)


def test_json_beyond_any_size(sharded: Path) -> None:
    for name in (INDEX, "config.json"):  # config.json is read first
        with open(sharded / name, "wb") as file:
            file.truncate(1 << 40)  # a sparse file
        with pytest.raises(ValueError, match=f"{re.escape(name)}: its 1099511627776 bytes"):
            load_folder(sharded)


@pytest.mark.parametrize("value", [None, [], "x", {"a": 1}, {"a": None}, {"a": [A]}])
def test_bad_weight_maps(sharded: Path, value: Any) -> None:
    write_index(sharded, value)
    refused(sharded, "weight_map must be an object of tensor names to file names")


# --- torch checkpoints and other files ---


@pytest.mark.parametrize(
    "name", ["pytorch_model.bin", "model.pt", "model.PTH", "pytorch_model-00001-of-00002.bin"]
)
def test_folders_with_a_checkpoint_only(folder: Path, name: str) -> None:
    (folder / name).write_bytes(b"PK\x03\x04")
    refused(folder, rf"torch checkpoint only, '{name}'.*torch\.save_file.*safe_serialization=True")


def test_an_index_of_checkpoints(sharded: Path) -> None:
    write_index(sharded, dict.fromkeys(tensors(), "pytorch_model-00001-of-00002.bin"))
    refused(sharded, r"is a torch checkpoint; convert it once.*torch\.save_file")


@pytest.mark.parametrize("name", ["a.pt", "a.bin", "a.pth", "a.ckpt", "a.pkl"])
@pytest.mark.parametrize("content", [b"PK\x03\x04" + bytes(60), b"\x80\x02\x8a\nl", bytes(3), b"."])
def test_checkpoint_files(tmp_path: Path, name: str, content: bytes) -> None:
    path = tmp_path / name
    path.write_bytes(content)
    for load in (load_folder, load_file, network().load):
        with pytest.raises(
            ValueError, match=r"torch checkpoint.*convert it once.*torch\.save_file"
        ):
            load(path)


def test_other_files_and_folders(folder: Path, tmp_path: Path) -> None:
    text = refused(folder, "neither model.safetensors nor", FileNotFoundError)
    assert "convert" not in text
    save_file(tensors(), folder / "adapter.safetensors")
    refused(folder, r"it has 'adapter\.safetensors', which load_file reads", FileNotFoundError)
    with pytest.raises(NotADirectoryError, match="load_file reads"):
        load_folder(folder / "adapter.safetensors")
    (folder / "adapter.safetensors").rename(tmp_path / "fine.bin")  # the content counts
    assert_equal(load_file(tmp_path / "fine.bin"), tensors())
