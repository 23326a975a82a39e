"""The contents of weight files and folders from their headers alone: no tensor is read."""

from __future__ import annotations

import math
import os
from collections.abc import Callable, Iterable
from typing import NamedTuple, TypeGuard

from forwardpass.io import folders, header
from forwardpass.io.header import TensorInfo

from ._text import clean, size_text

_INDEX = "model.safetensors.index.json"


class FilesError(Exception):
    """A weight file, an index or a folder cannot be read; the message has one line."""


class File(NamedTuple):
    """One .safetensors file."""

    path: str
    size: int  # bytes, all of the file
    tensors: dict[str, TensorInfo]
    metadata: dict[str, str]


def _read_file(path: str) -> File:
    with open(path, "rb") as file:
        tensors, metadata = header.read(file, path)
        return File(path, os.fstat(file.fileno()).st_size, tensors, metadata)


def read(path: str) -> list[File]:
    """A .safetensors file, the shards of an index.json, or all that a folder holds.

    A folder with model.safetensors or an index is what these say; of any other folder it is every
    .safetensors file in it. Raises FilesError.
    """
    try:
        return _read(path)
    except (OSError, ValueError) as error:
        raise FilesError(one_line(error)) from None


def _read(path: str) -> list[File]:
    if os.path.basename(path) == _INDEX and not os.path.isdir(path):
        return _collected(folders._read_shards, os.path.dirname(path) or ".")
    if not os.path.isdir(path):
        return [_read_file(path)]
    names = sorted(os.listdir(path))
    found = [name for name in names if name.endswith(".safetensors")]
    if found and not {"model.safetensors", _INDEX} & {*names}:
        return [_read_file(os.path.join(path, name)) for name in found]
    return _collected(folders._read, path)


def _collected(
    read: Callable[[str, Callable[[str], dict[str, TensorInfo]]], object], path: str
) -> list[File]:
    """The files that one of the readers of `folders` asks for, whose checks thereby hold."""
    files: list[File] = []

    def load(file: str) -> dict[str, TensorInfo]:
        files.append(_read_file(file))
        return files[-1].tensors

    read(path, load)
    return files


def elements(info: TensorInfo) -> int:
    return math.prod(info.shape)


def counted(count: int, name: str) -> str:
    return f"{count:,} {name}" if count == 1 else f"{count:,} {name}s"


def totals(infos: Iterable[TensorInfo]) -> str:
    """ "148 tensors, 124,439,808 elements (F32), 497.8 MB"; by dtype if there are several."""
    infos = list(infos)
    by_dtype: dict[str, int] = {}
    for info in infos:
        by_dtype[info.dtype] = by_dtype.get(info.dtype, 0) + elements(info)
    dtypes = ", ".join(
        f"{count:,} {dtype}" if len(by_dtype) > 1 else dtype for dtype, count in by_dtype.items()
    )
    tensors, count = counted(len(infos), "tensor"), counted(sum(by_dtype.values()), "element")
    types = f" ({dtypes})" if dtypes else ""
    return f"{tensors}, {count}{types}, {size_text(sum(i.stop - i.start for i in infos))}"


def one_line(error: Exception) -> str:
    """An error's text for the command line."""
    text = f"{error.filename}: {error.strerror}" if _has_name(error) else str(error)
    return clean(" ".join(text.split()), 600)


def _has_name(error: Exception) -> TypeGuard[OSError]:
    return isinstance(error, OSError) and bool(error.filename) and bool(error.strerror)
