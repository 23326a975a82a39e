"""Reads the headers of .gguf files, with NumPy and the standard library alone.

    "GGUF", version, number of tensors, number of settings
    settings:  key, type, value; strings are a length and bytes, arrays a type, a length and values
    tensors:   name, number of dimensions, dimensions (the last axis first), format, offset
    padding to general.alignment, then the tensors' bytes

All numbers are little-endian; counts and lengths have 64 bits. Files come from strangers: every
length is held against what is left of the file before anything is read or made, and a tensor's
bytes must lie inside. What the formats of the tensors mean is left to the `gguf` package.

Source: the format's description in ggml, docs/gguf.md.
"""

from __future__ import annotations

import os
import stat
import struct
from collections.abc import Collection
from mmap import ACCESS_READ, mmap
from typing import Any, NamedTuple

import numpy as np
from numpy.typing import NDArray

__all__ = ["TensorInfo", "open_file"]

# struct's letters by the format's numbers for the types of settings
_SCALARS = dict(zip((0, 1, 2, 3, 4, 5, 6, 7, 10, 11, 12), "BbHhIif?Qqd", strict=True))
_STRING, _ARRAY = 8, 9
_MOST_DIMS = 4
_MOST_NAME = 1 << 16  # bytes of a key or a name


class TensorInfo(NamedTuple):
    """A tensor as the file has it. kind: ggml's number for its format; shape as in NumPy."""

    kind: int
    shape: tuple[int, ...]
    offset: int  # in the file


class _Reader:
    """A position in the file that never passes its end."""

    def __init__(self, data: Any) -> None:
        self.data, self.at, self.end = data, 0, len(data)

    def take(self, size: int) -> int:
        """Where the next `size` bytes begin."""
        if size > self.end - self.at:
            raise ValueError("truncated, or a length that is too large")
        start, self.at = self.at, self.at + size
        return start

    def number(self, code: str) -> Any:
        size = struct.calcsize("<" + code)
        return struct.unpack_from("<" + code, self.data, self.take(size))[0]

    def string(self, most: int | None = None) -> str:
        size = self.number("Q")
        if most is not None and size > most:
            raise ValueError(f"a name of {size} bytes")
        start = self.take(size)
        return bytes(self.data[start : start + size]).decode("utf-8", "replace")

    def skip_strings(self, count: int) -> None:
        unpack, data, at, end = struct.Struct("<Q").unpack_from, self.data, self.at, self.end
        for _ in range(count):
            if at + 8 > end:
                raise ValueError("truncated, or a length that is too large")
            at += 8 + unpack(data, at)[0]
        self.at = at
        self.take(0)

    def value(self, kind: int, keep: bool) -> Any:
        """A setting's value; None for one that is not kept."""
        if kind == _STRING:
            return self.string()
        if kind in _SCALARS:
            return self.number(_SCALARS[kind])
        if kind != _ARRAY:
            raise ValueError(f"a setting of unknown type {kind}")
        inner, count = self.number("I"), self.number("Q")
        if inner == _STRING:
            if count > (self.end - self.at) // 8:
                raise ValueError("truncated, or a length that is too large")
            if keep:
                return [self.string() for _ in range(count)]
            self.skip_strings(count)
            return None
        if inner not in _SCALARS:
            raise ValueError(f"an array of unknown type {inner}")
        code = _SCALARS[inner]
        start = self.take(count * struct.calcsize("<" + code))
        return list(struct.unpack_from(f"<{count}{code}", self.data, start)) if keep else None


def open_file(
    path: str | os.PathLike[str], leave: Collection[str] = ()
) -> tuple[dict[str, Any], dict[str, TensorInfo], NDArray[np.uint8]]:
    """(settings, tensors, bytes of the whole file, mapped and read-only).

    leave: keys of arrays that are passed over; their value is None.

    ValueError for a malformed file, OSError if it cannot be read.
    """
    name = os.fspath(path)
    with open(name, "rb") as file:
        info = os.fstat(file.fileno())
        if not stat.S_ISREG(info.st_mode):
            raise ValueError(f"{name}: not a regular file")
        if info.st_size < 24:
            raise ValueError(f"{name}: not a GGUF file: {info.st_size} bytes")
        data = mmap(file.fileno(), 0, access=ACCESS_READ)
    try:
        settings, tensors = _header(_Reader(data), leave)
    except ValueError as error:
        raise ValueError(f"{name}: not a valid GGUF file: {error}") from None
    return settings, tensors, np.frombuffer(data, np.uint8)


def _header(
    reader: _Reader, leave: Collection[str]
) -> tuple[dict[str, Any], dict[str, TensorInfo]]:
    if bytes(reader.data[:4]) != b"GGUF":
        raise ValueError("it does not begin with GGUF")
    reader.take(4)
    version, tensor_count, count = reader.number("I"), reader.number("Q"), reader.number("Q")
    if version not in (2, 3):  # of a file for big-endian machines, it is 2 or 3 shifted by 24 bits
        raise ValueError(f"version {version}, or of the other byte order; known are 2 and 3")
    settings: dict[str, Any] = {}
    for _ in range(count):
        key = reader.string(_MOST_NAME)
        if key in settings:
            raise ValueError(f"the key {key!r:.80} is there twice")
        settings[key] = reader.value(reader.number("I"), key not in leave)
    tensors: dict[str, TensorInfo] = {}
    for _ in range(tensor_count):
        key = reader.string(_MOST_NAME)
        dims = reader.number("I")
        if key in tensors or dims > _MOST_DIMS:
            raise ValueError(f"the tensor {key!r:.80} is there twice, or has {dims} dimensions")
        shape = tuple(reader.number("Q") for _ in range(dims))[::-1]
        tensors[key] = TensorInfo(reader.number("I"), shape, reader.number("Q"))
    align = settings.get("general.alignment", 32)
    if not isinstance(align, int) or align < 1 or align & (align - 1) or align > 1 << 20:
        raise ValueError(f"general.alignment is {align!r}")
    base = -(-reader.at // align) * align
    for key, info in tensors.items():
        if info.offset % align or base + info.offset > reader.end:
            raise ValueError(f"the tensor {key!r:.80} begins at {info.offset}")
        tensors[key] = info._replace(offset=base + info.offset)
    return settings, tensors
