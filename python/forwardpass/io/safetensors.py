"""Reads and writes .safetensors files with NumPy and the standard library alone.

`header.py` says what the format is and holds the checks; here are the arrays.
"""

from __future__ import annotations

import contextlib
import os
import stat
from collections.abc import Callable, Mapping
from mmap import ACCESS_READ
from mmap import mmap as memory_map
from typing import Any, BinaryIO, Protocol, TypeVar

import numpy as np
from numpy.typing import NDArray

from . import header
from .header import TensorInfo
from .stored import Stored, widen

__all__ = ["TensorInfo", "load_file", "load_metadata", "open_tensors", "read_header", "save_file"]

# Smaller tensors are widened at once: one that stays in the file would save nothing.
_WORTH_STORING = 1024  # elements

T = TypeVar("T")

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
    tensors, data = _open(path, mmap)
    return {name: _named(path, name, _array, info, data) for name, info in tensors.items()}


def open_tensors(path: str | os.PathLike[str]) -> dict[str, NDArray[Any] | Stored]:
    """What load_file gives, but what has to be widened stays in the mapped file as a Stored.

    Raises as load_file does.
    """
    tensors, data = _open(path, True)
    return {name: _named(path, name, _lazily, info, data) for name, info in tensors.items()}


def load_metadata(path: str | os.PathLike[str]) -> dict[str, str]:
    """The file's `__metadata__`, {} where it has none.

    Reads no tensor, but checks the whole header and raises as `load_file` does.
    """
    with _regular(path) as file:
        return header.read(file, path)[1]


def read_header(path: str | os.PathLike[str]) -> dict[str, TensorInfo]:
    """What a file holds: {name: (dtype, shape, start, stop)} in the order of its header.

    Reads no tensor, but checks the whole header and raises as `load_file` does; only, a dtype that
    NumPy lacks is listed like any other.
    """
    with _regular(path) as file:
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
    for name, array in tensors.items():
        if isinstance(name, str) and not isinstance(array, np.ndarray):
            reason = f"expected a numpy.ndarray, got {type(array).__name__}"
            raise TypeError(header.about(name, reason))
    write(tensors, path, metadata)


class Saveable(Protocol):
    """What `write` needs of a tensor: an ndarray, or an nn.Parameter, which may be packed."""

    @property
    def dtype(self) -> np.dtype[Any]: ...
    @property
    def shape(self) -> tuple[int, ...]: ...
    @property
    def nbytes(self) -> int: ...
    def __array__(self) -> NDArray[Any]: ...


def write(
    tensors: Mapping[str, Saveable],
    path: str | os.PathLike[str],
    metadata: dict[str, str] | None = None,
) -> None:
    """save_file, which asks for one array at a time: a packed model is never unpacked whole."""
    order = list(header.BITS).index
    dtypes = {name: _dtype_name(name, tensor.dtype) for name, tensor in tensors.items()}
    ordered = {name: tensors[name] for name in sorted(dtypes, key=lambda n: (order(dtypes[n]), n))}
    entries = {name: (dtypes[name], t.shape, t.nbytes) for name, t in ordered.items()}
    beginning = header.encode(entries, metadata)
    target = os.fspath(path)
    temporary = os.path.join(os.path.dirname(target), f".{os.urandom(8).hex()}.safetensors.tmp")
    try:
        with open(temporary, "xb") as file:
            file.write(beginning)
            for tensor in ordered.values():
                file.write(_stored_bytes(np.asarray(tensor)))
        os.replace(temporary, target)
    except BaseException:
        with contextlib.suppress(OSError):
            os.unlink(temporary)
        raise


def _regular(path: str | os.PathLike[str]) -> BinaryIO:
    """The opened file. A pipe or a device, which might never end or answer, is refused."""
    mode = os.stat(path).st_mode
    if not stat.S_ISREG(mode) and not stat.S_ISDIR(mode):  # open() refuses a directory by itself
        raise ValueError(f"{os.fspath(path)}: not a regular file")
    return open(path, "rb")


def _open(
    path: str | os.PathLike[str], mmap: bool
) -> tuple[dict[str, TensorInfo], memory_map | bytes]:
    """The checked header of a file whose dtypes NumPy has, and the whole file."""
    with _regular(path) as file:
        tensors, _ = header.read(file, path)
        for name, info in tensors.items():
            if info.dtype not in header.NUMPY and info.dtype != "BF16":
                reason = f"NumPy has no array of dtype {info.dtype}"
                raise ValueError(f"{os.fspath(path)}: {header.about(name, reason)}")
        file.seek(0)
        return tensors, memory_map(file.fileno(), 0, access=ACCESS_READ) if mmap else file.read()


def _named(
    path: str | os.PathLike[str],
    name: str,
    make: Callable[[TensorInfo, memory_map | bytes], T],
    info: TensorInfo,
    data: memory_map | bytes,
) -> T:
    """make(info, data); its errors name the file and the tensor."""
    try:
        return make(info, data)
    except (ValueError, OverflowError) as error:  # more dimensions, or longer, than NumPy's
        raise ValueError(f"{os.fspath(path)}: {header.about(name, str(error))}") from None


def _raw(info: TensorInfo, data: memory_map | bytes) -> NDArray[Any]:
    """The tensor that lies in data[info.start : info.stop], flat; bfloat16 as uint16."""
    dtype = np.dtype("<" + header.NUMPY.get(info.dtype, "u2"))
    count = (info.stop - info.start) // dtype.itemsize
    return np.frombuffer(data, dtype, count, info.start)


def _lazily(info: TensorInfo, data: memory_map | bytes) -> NDArray[Any] | Stored:
    raw = _raw(info, data)
    if raw.size >= _WORTH_STORING and (
        info.dtype in ("F16", "BF16") or (info.dtype == "F32" and not raw.flags.aligned)
    ):
        np.broadcast_to(np.float32(0), info.shape)  # raises for a shape that NumPy cannot have
        return Stored(raw, info.dtype, info.shape)
    return _array(info, data)


def _array(info: TensorInfo, data: memory_map | bytes) -> NDArray[Any]:
    """The tensor as load_file gives it."""
    array = _raw(info, data)
    if info.dtype in ("F16", "BF16"):
        array = widen(array, info.dtype)
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


def _dtype_name(name: object, dtype: np.dtype[Any]) -> str:
    """The format's name for the dtype of a tensor to be saved."""
    if not isinstance(name, str):
        raise TypeError(f"the names of tensors must be str, got {type(name).__name__}")
    if name == "__metadata__":
        raise ValueError("'__metadata__' cannot be the name of a tensor: the format reserves it")
    dtype_name = _FORMAT.get(f"{dtype.kind}{dtype.itemsize}")
    if dtype_name is None:
        raise TypeError(header.about(name, f"the format has no dtype for {dtype}"))
    return dtype_name
