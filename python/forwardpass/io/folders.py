"""Folders as Hugging Face lays them out: config.json and safetensors, whole or in shards.

    config.json                         the model's settings
    model.safetensors                   all tensors; or, for large models,
    model.safetensors.index.json        {"weight_map": {"tensor name": "shard's file name", ...}}
    model-00001-of-00002.safetensors    the shards

Nothing is downloaded and nothing is executed. What an index names must lie inside the folder: a
relative path without "..", whose directories do not lead outside. The files themselves may be
symbolic links, as in Hugging Face's cache, where they point to blobs.
"""

from __future__ import annotations

import json
import os
import stat
from collections.abc import Callable
from typing import Any, NamedTuple, TypeVar

from numpy.typing import NDArray

from . import header
from .safetensors import load_file, open_tensors
from .stored import Stored

__all__ = ["Folder", "load_config", "load_folder", "open_path"]

_CONFIG, _SINGLE = "config.json", "model.safetensors"
_INDEX = _SINGLE + ".index.json"
_MAX_JSON = 32_000_000  # bytes; the index of DeepSeek-V3, with 91,991 tensors, has 9 million
_WITH_TRANSFORMERS = (
    "or, with transformers: "
    "AutoModel.from_pretrained(folder).save_pretrained(folder, safe_serialization=True)"
)

T = TypeVar("T")


class Folder(NamedTuple):
    """What load_folder gives: the settings and the tensors by name."""

    config: dict[str, Any]
    tensors: dict[str, NDArray[Any]]


def load_folder(path: str | os.PathLike[str], *, mmap: bool = True) -> Folder:
    """Load config.json and every tensor of a Hugging Face folder.

    Tensors are as load_file gives them, in the order of the file or the index; where there are both
    model.safetensors and an index, the former counts, as in transformers.

    >>> config, tensors = load_folder("bert-tiny")  # doctest: +SKIP

    Args:
        path: the folder; a snapshot folder of the Hugging Face cache is one.
        mmap: False reads the files into memory, as for load_file.

    Raises:
        ValueError: a malformed file; an index that names files outside the folder or disagrees with
            what the shards hold; weights only as a torch checkpoint (the error has the recipe).
        OSError: a file is missing or cannot be read.
    """
    folder = os.fspath(path)
    _require_folder(folder)
    _find(folder)  # before config.json: what is wrong with the weights is the news
    return Folder(load_config(folder), _read(folder, lambda file: load_file(file, mmap=mmap)))


def load_config(path: str | os.PathLike[str]) -> dict[str, Any]:
    """The settings in config.json of a folder; reads no weights. Raises as load_folder does."""
    return _read_json(os.path.join(os.fspath(path), _CONFIG))


def open_path(path: str | os.PathLike[str]) -> dict[str, NDArray[Any] | Stored]:
    """The tensors of a file or of a folder, mapped; those to be widened as Stored."""
    if os.path.isdir(path):
        return _read(os.fspath(path), open_tensors)
    if not os.path.exists(path):
        raise _absent(os.fspath(path))
    return open_tensors(path)


def _absent(path: str) -> FileNotFoundError:
    return FileNotFoundError(
        f"{path}: no such file or folder; nothing is downloaded here, "
        "use for example: hf download NAME --local-dir FOLDER"
    )


def _require_folder(path: str) -> None:
    if os.path.isdir(path):
        return
    if not os.path.exists(path):
        raise _absent(path)
    if path.lower().endswith(header.TORCH_SUFFIXES):
        raise ValueError(f"{path}: a torch checkpoint, not a folder; {header.CONVERT}")
    raise NotADirectoryError(f"{path}: not a folder; load_file reads a single .safetensors file")


def _read(folder: str, load: Callable[[str], dict[str, T]]) -> dict[str, T]:
    """The tensors of a folder, each file opened by `load`."""
    if _find(folder) == _SINGLE:
        return load(os.path.join(folder, _SINGLE))
    return _read_shards(folder, load)


def _find(folder: str) -> str:
    """Which of the two files a folder has."""
    names = os.listdir(folder)
    for name in (_SINGLE, _INDEX):
        if name in names:
            return name
    neither = f"{folder}: neither {_SINGLE} nor {_INDEX}"
    if found := sorted(name for name in names if name.endswith(".safetensors")):
        raise FileNotFoundError(f"{neither}; it has {_listed(found)}, which load_file reads")
    if torch := sorted(name for name in names if name.lower().endswith(header.TORCH_SUFFIXES)):
        raise ValueError(
            f"{folder}: its weights are a torch checkpoint only, {_listed(torch)}, which can run "
            f"code when it is loaded; {header.CONVERT}; {_WITH_TRANSFORMERS}"
        )
    raise FileNotFoundError(neither)


def _read_shards(folder: str, load: Callable[[str], dict[str, T]]) -> dict[str, T]:
    index = os.path.join(folder, _INDEX)
    weight_map = _read_json(index).get("weight_map")
    if not isinstance(weight_map, dict) or not all(isinstance(v, str) for v in weight_map.values()):
        raise ValueError(f"{index}: weight_map must be an object of tensor names to file names")
    expected: dict[str, set[str]] = {}
    for name, shard in weight_map.items():
        expected.setdefault(shard, set()).add(name)
    paths = {shard: _inside(index, folder, shard) for shard in expected}  # all, before any is read
    tensors: dict[str, T] = {}
    for shard, names in expected.items():
        found = load(paths[shard])
        where = f"{index}: {header.short.repr(shard)}"
        if missing := sorted(names - found.keys()):
            raise ValueError(f"{where} lacks {_listed(missing)}")
        if twice := sorted(found.keys() & weight_map.keys() - names):
            raise ValueError(f"{where} holds {_listed(twice)}, which the index puts elsewhere")
        if extra := sorted(found.keys() - names):
            raise ValueError(f"{where} holds {_listed(extra)}, which the index lacks")
        tensors.update(found)
    return {name: tensors[name] for name in weight_map}


def _inside(index: str, folder: str, shard: str) -> str:
    """The path of a shard, whose name comes from a stranger."""
    reason = None
    if any(part in ("", ".", "..") for part in shard.split("/")):
        reason = "must be a relative path that stays in the folder"
    elif not shard.isprintable() or any(c in shard for c in "\\:"):  # "C:x", "x:stream", "a\b"
        reason = "must not have a backslash, a colon or a control character"
    elif shard.lower().endswith(header.TORCH_SUFFIXES):
        reason = f"is a torch checkpoint; {header.CONVERT}"
    elif not shard.endswith(".safetensors"):
        reason = "must be a .safetensors file"
    path = os.path.join(folder, *shard.split("/"))
    if reason is None and "/" in shard:
        root, parent = os.path.realpath(folder), os.path.realpath(os.path.dirname(path))
        if os.path.commonpath([root, parent]) != root:
            reason = "leads outside the folder"
    if reason is not None:
        raise ValueError(f"{index}: the file name {header.short.repr(shard)} {reason}")
    if not os.path.exists(path):
        raise FileNotFoundError(f"{index}: the folder has no file {header.short.repr(shard)}")
    return path


def _read_json(path: str) -> dict[str, Any]:
    """A file's JSON object, which must be UTF-8 and have no key twice."""
    info = os.stat(path)
    if not stat.S_ISREG(info.st_mode):
        raise ValueError(f"{path}: not a regular file")
    if info.st_size > _MAX_JSON:
        raise ValueError(f"{path}: its {info.st_size} bytes are beyond {_MAX_JSON}")
    with open(path, "rb") as file:
        content = file.read(_MAX_JSON)
    if content.startswith(b"version https://git-lfs"):
        raise ValueError(f"{path}: {header.LFS}")
    try:
        value = json.loads(content.decode(), object_pairs_hook=_object)
    except UnicodeDecodeError as error:
        raise ValueError(f"{path}: not valid UTF-8: {error}") from None
    except json.JSONDecodeError as error:
        raise ValueError(f"{path}: not valid JSON: {error}") from None
    except RecursionError:
        raise ValueError(f"{path}: nested too deeply") from None
    except ValueError as error:  # a key twice, a number of thousands of digits
        raise ValueError(f"{path}: {error}") from None
    if not isinstance(value, dict):
        raise ValueError(f"{path}: must be a JSON object, got {type(value).__name__}")
    return value


def _object(pairs: list[tuple[str, Any]]) -> dict[str, Any]:
    result = dict(pairs)
    if len(result) != len(pairs):
        seen: set[str] = set()
        for name, _ in pairs:
            if name in seen:
                raise ValueError(f"the key {header.short.repr(name)} is there twice")
            seen.add(name)
    return result


def _listed(names: list[str], most: int = 5) -> str:
    """The first names, in quotes; the rest as a number."""
    text = ", ".join(header.short.repr(name) for name in names[:most])
    return text if len(names) <= most else f"{text} and {len(names) - most} more"
