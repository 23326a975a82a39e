"""The weights in an .onnx file, read with NumPy and the standard library alone.

An ONNX model is a protobuf message; what is needed of it is little:

    ModelProto.graph (7) -> GraphProto.initializer (5): TensorProto
                            GraphProto.node (1) -> NodeProto.attribute (5) -> AttributeProto
    AttributeProto.t (5): TensorProto, of a Constant node; .g (6): the GraphProto of an If's branch
    TensorProto: dims (1), data_type (2), float_data (4), name (8), raw_data (9), external_data (13)

Nothing is executed and no graph is interpreted. Files come from strangers: lengths are checked
before anything is sliced, nesting and the number of fields are bounded, and a tensor's bytes must
be what its shape and type say. Source: onnx.proto3 and the protobuf encoding.
"""

from __future__ import annotations

import math
import os
from collections.abc import Iterator
from typing import Any

import numpy as np
from numpy.typing import NDArray

__all__ = ["read_tensors"]

_MOST_BYTES = 1 << 31  # protobuf's own limit
_DEEPEST = 16  # graphs inside graphs
_DTYPES = {1: "<f4", 10: "<f2", 11: "<f8", 6: "<i4", 7: "<i8"}
_VARINT, _I64, _BYTES, _I32 = 0, 1, 2, 5


def read_tensors(path: str | os.PathLike[str]) -> dict[str, NDArray[Any]]:
    """Every named tensor: initializers and the outputs of Constant nodes, those in branches too.

    Read-only arrays of their own dtype. ValueError for a malformed file, for two tensors of one
    name, and for weights in a second file (external data); OSError if it cannot be read.
    """
    name = os.fspath(path)
    size = os.stat(name).st_size
    if size > _MOST_BYTES:
        raise ValueError(f"{name}: its {size} bytes are beyond {_MOST_BYTES}")
    with open(name, "rb") as file:
        data = memoryview(file.read())
    found: dict[str, NDArray[Any]] = {}
    try:
        graphs = [value for field, value in _fields(data) if field == 7]
        if len(graphs) != 1:
            raise ValueError("no graph: not an ONNX model")
        for tensor, array in _graph(_message(graphs[0]), 0):
            if tensor in found:
                raise ValueError(f"the tensor {tensor!r:.80} is there twice")
            found[tensor] = array
    except ValueError as error:
        raise ValueError(f"{name}: {error}") from None
    return found


def _graph(data: memoryview, depth: int) -> Iterator[tuple[str, NDArray[Any]]]:
    if depth > _DEEPEST:
        raise ValueError("graphs nested too deeply")
    for field, value in _fields(data):
        if field == 5:
            yield _tensor(_message(value))
        elif field == 1:
            yield from _node(_message(value), depth)


def _node(data: memoryview, depth: int) -> Iterator[tuple[str, NDArray[Any]]]:
    """The tensor of a Constant, by the name of its output, and what is in a node's graphs."""
    outputs, kind, attributes = [], "", []
    for field, value in _fields(data):
        if field == 2:
            outputs.append(_text(value))
        elif field == 4:
            kind = _text(value)
        elif field == 5:
            attributes.append(_message(value))
    for attribute in attributes:
        for field, value in _fields(attribute):
            if field == 5 and kind == "Constant" and outputs:
                yield outputs[0], _tensor(_message(value))[1]
            elif field == 6:
                yield from _graph(_message(value), depth + 1)


def _tensor(data: memoryview) -> tuple[str, NDArray[Any]]:
    dims: list[int] = []
    name, code, raw, floats = "", 0, None, []
    for field, value in _fields(data):
        if field == 1:
            dims += [value] if isinstance(value, int) else list(_varints(value))
        elif field == 2 and isinstance(value, int):
            code = value
        elif field == 4:
            floats.append(
                bytes(value) if not isinstance(value, int) else value.to_bytes(4, "little")
            )
        elif field == 8:
            name = _text(value)
        elif field == 9:
            raw = _message(value)
        elif field == 13:
            raise ValueError(f"the tensor {name!r:.80} is in a second file, which is not supported")
    if any(d >= 1 << 40 for d in dims):
        raise ValueError(f"the tensor {name!r:.80} has a dimension that no file can hold")
    if raw is None and code == 1 and floats:
        raw = memoryview(b"".join(floats))
    if code not in _DTYPES or raw is None:  # strings, int8, empty ones: no weights
        return name, np.empty(0, np.float32)
    dtype = np.dtype(_DTYPES[code])
    if math.prod(dims) * dtype.itemsize != len(raw):
        raise ValueError(f"the tensor {name!r:.80} of shape {tuple(dims)} has {len(raw)} bytes")
    return name, np.frombuffer(raw, dtype).reshape(dims)


def _fields(data: memoryview) -> Iterator[tuple[int, memoryview | int]]:
    """(field number, value) of a message: a slice for bytes, an int for numbers."""
    at = 0
    while at < len(data):
        key, at = _varint(data, at)
        wire = key & 7
        if wire == _VARINT:
            value, at = _varint(data, at)
            yield key >> 3, value
            continue
        size = 8
        if wire == _BYTES:
            size, at = _varint(data, at)
        elif wire == _I32:
            size = 4
        elif wire != _I64:
            raise ValueError("not a protobuf message")
        if size > len(data) - at:
            raise ValueError("truncated, or not a protobuf message")
        part = data[at : at + size]
        at += size
        yield key >> 3, part if wire == _BYTES else int.from_bytes(part, "little")


def _varint(data: memoryview, at: int) -> tuple[int, int]:
    value = 0
    for shift in range(0, 70, 7):
        if at >= len(data):
            raise ValueError("truncated, or not a protobuf message")
        byte = data[at]
        at += 1
        value |= (byte & 127) << shift
        if byte < 128:
            return value, at
    raise ValueError("not a protobuf message")


def _varints(data: memoryview) -> Iterator[int]:
    at = 0
    while at < len(data):
        value, at = _varint(data, at)
        yield value


def _message(value: memoryview | int) -> memoryview:
    if isinstance(value, int):
        raise ValueError("not an ONNX model")
    return value


def _text(value: memoryview | int) -> str:
    return bytes(_message(value)).decode("utf-8", "replace")
