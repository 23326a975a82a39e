"""Reads and writes .safetensors files with NumPy and the standard library alone.

`header.py` says what the format is and holds the checks; here are the arrays.
"""

from __future__ import annotations

import contextlib
import os
from collections.abc import Mapping
from mmap import ACCESS_READ
from mmap import mmap as memory_map
from typing import Any

import numpy as np
from numpy.typing import NDArray

from . import header
from .header import TensorInfo

__all__ = ["TensorInfo", "load_file", "load_metadata", "read_header", "save_file"]

_FORMAT = {code: name for name, code in header.NUMPY.items()}  # "f4" -> "F32"


def load_file(path: str | os.PathLike[str], *, mmap: bool = True) -> dict[str, NDArray[Any]]:
    """Load every tensor of a file, in the order of its header, as read-only arrays.

    F16 and BF16 become float32, exactly; every other dtype is kept. Tensors that need no conversion
    are views of a memory map of the file (a misaligned one is a copy): loading costs nothing until
    they are read, and processes share the pages. A file in use may be replaced, as `save_file`
    does it, but must not be truncated or rewritten in place: the arrays would change, and reading
    beyond the new end kills the process.

    Args:
        path: the file.
        mmap: False reads the file into memory instead, and nothing depends on it afterwards.

    Raises:
        ValueError: a malformed file, or a dtype that NumPy lacks (F8_*, F6_*, F4).
        OSError: the file cannot be opened or read.
    """
    with open(path, "rb") as file:
        tensors, _ = header.read(file, path)
        for name, info in tensors.items():
            if info.dtype not in header.NUMPY and info.dtype != "BF16":
                reason = f"NumPy has no array of dtype {info.dtype}"
                raise ValueError(f"{os.fspath(path)}: {header.about(name, reason)}")
        file.seek(0)
        data = memory_map(file.fileno(), 0, access=ACCESS_READ) if mmap else file.read()
    arrays = {}
    for name, info in tensors.items():
        try:
            arrays[name] = _array(info, data)
        except (ValueError, OverflowError) as error:  # more dimensions, or longer, than NumPy's
            raise ValueError(f"{os.fspath(path)}: {header.about(name, str(error))}") from None
    return arrays


def load_metadata(path: str | os.PathLike[str]) -> dict[str, str]:
    """The file's `__metadata__`, {} where it has none.

    Reads no tensor, but checks the whole header and raises as `load_file` does.
    """
    with open(path, "rb") as file:
        return header.read(file, path)[1]


def read_header(path: str | os.PathLike[str]) -> dict[str, TensorInfo]:
    """What a file holds: {name: (dtype, shape, start, stop)} in the order of its header.

    Reads no tensor, but checks the whole header and raises as `load_file` does; only, a dtype that
    NumPy lacks is listed like any other.
    """
    with open(path, "rb") as file:
        return header.read(file, path)[0]


def save_file(
    tensors: Mapping[str, NDArray[Any]],
    path: str | os.PathLike[str],
    metadata: dict[str, str] | None = None,
) -> None:
    """Write arrays to a file, byte for byte as the reference library does (it shuffles metadata).

    Arrays may have any shape, strides and byte order. The file appears under its name only when it
    is complete, and replaces what stood there (a symbolic link itself, not its target). So arrays
    mapped from the old file stay valid, and after an error the old file stands untouched. Windows
    refuses to replace a file that is mapped.

    Args:
        tensors: arrays by name, of dtype bool, int8 to int64, uint8 to uint64, float16, float32,
            float64 or complex64.
        path: the file; its folder must exist.
        metadata: stored under `__metadata__`, in this order.

    Raises:
        TypeError: a value that is no array or has another dtype; metadata not made of strings.
        ValueError: a name that the format reserves or cannot hold; a header beyond 100 MB.
        OSError: the file cannot be written.
    """
    order = list(header.BITS).index
    dtypes = {name: _dtype_name(name, array) for name, array in tensors.items()}
    arrays = {name: tensors[name] for name in sorted(dtypes, key=lambda n: (order(dtypes[n]), n))}
    entries = {name: (dtypes[name], a.shape, a.nbytes) for name, a in arrays.items()}
    beginning = header.encode(entries, metadata)
    target = os.fspath(path)
    temporary = os.path.join(os.path.dirname(target), f".{os.urandom(8).hex()}.safetensors.tmp")
    try:
        with open(temporary, "xb") as file:
            file.write(beginning)
            for array in arrays.values():
                file.write(_stored_bytes(array))
        os.replace(temporary, target)
    except BaseException:
        with contextlib.suppress(OSError):
            os.unlink(temporary)
        raise


def _array(info: TensorInfo, data: memory_map | bytes) -> NDArray[Any]:
    """The tensor that lies in data[info.start : info.stop]."""
    dtype = np.dtype("<" + header.NUMPY.get(info.dtype, "u2"))
    count = (info.stop - info.start) // dtype.itemsize
    array: NDArray[Any] = np.frombuffer(data, dtype, count, info.start)
    if info.dtype == "BF16":  # the upper half of a float32; shifted in place to save memory
        wide = array.astype(np.uint32)
        wide <<= 16
        array = wide.view(np.float32)
    elif info.dtype == "F16":
        array = array.astype(np.float32)
    elif info.dtype == "BOOL" and array.view(np.uint8).max(initial=0) > 1:
        array = array.view(np.uint8) != 0  # a bool other than 0 and 1 would break NumPy's logic
    elif not array.flags.aligned:
        array = array.copy()
    array = array.reshape(info.shape)
    array.flags.writeable = False
    return array


def _stored_bytes(array: NDArray[Any]) -> memoryview:
    """An array's elements in C order, little-endian; a copy only where they do not lie so."""
    little = np.asarray(array).astype(array.dtype.newbyteorder("<"), order="C", copy=False)
    return little.reshape(-1).view(np.uint8).data


def _dtype_name(name: object, array: object) -> str:
    """The format's name for the dtype of an array to be saved."""
    if not isinstance(name, str):
        raise TypeError(f"the names of tensors must be str, got {type(name).__name__}")
    if name == "__metadata__":
        raise ValueError("'__metadata__' cannot be the name of a tensor: the format reserves it")
    if not isinstance(array, np.ndarray):
        reason = f"expected a numpy.ndarray, got {type(array).__name__}"
        raise TypeError(header.about(name, reason))
    dtype_name = _FORMAT.get(f"{array.dtype.kind}{array.dtype.itemsize}")
    if dtype_name is None:
        raise TypeError(header.about(name, f"the format has no dtype for {array.dtype}"))
    return dtype_name
