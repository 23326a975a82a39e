"""Ops that look at an array in another way: views of its memory, where that can be."""

from __future__ import annotations

from operator import getitem
from typing import Any

import numpy as np

from .ir import Array
from .ops import Packs, op, plain
from .ops_arrays import checked


# Methods, since what comes may be a scalar: NumPy makes those of arrays without dimensions.
@op("reshape", "the elements in another shape", x="array", shape="ints")
def _reshape(packs: Packs, x: Any, shape: tuple[int, ...]) -> tuple[Any, ...]:
    def reshape(array: Array, out: Array | None = None) -> Array:
        if out is None:
            return array.reshape(shape)
        np.copyto(out.reshape(array.shape), array)  # where the memory's order changes
        return out

    return reshape, x


@op("transpose", "dimensions in another order", x="array", axes="ints")
def _transpose(packs: Packs, x: Any, axes: tuple[int, ...]) -> tuple[Any, ...]:
    return (lambda array: array.transpose(axes)), x


@op("index", "parts by whole numbers and slices", x="array", key="index")
def _index(packs: Packs, x: Any, key: tuple[Any, ...]) -> tuple[Any, ...]:
    parts = tuple(slice(*k) if isinstance(k, tuple) else k for k in key)
    if len(parts) == 1 and isinstance(parts[0], slice):
        return getitem, x, parts[0]
    return getitem, x, (*parts, Ellipsis)  # Ellipsis: an array, not a scalar


@op("diagonal", "a diagonal of two dimensions, as a new last one",
    x="array", offset="int", dims="ints")  # fmt: skip
def _diagonal(packs: Packs, x: Any, offset: int, dims: tuple[int, ...]) -> tuple[Any, ...]:
    return np.diagonal, x, offset, *dims


@op("expand", "dimensions repeated, without copying", x="array", shape="ints")
def _expand(packs: Packs, x: Any, shape: tuple[int, ...]) -> tuple[Any, ...]:
    checked(shape)

    def expand(array: Array) -> Array:
        if array.shape == shape:
            return array
        lead = len(shape) - array.ndim
        wanted = (
            *shape[:lead],
            *(n if s < 0 else s for n, s in zip(array.shape, shape[lead:], strict=True)),
        )
        return np.broadcast_to(array, wanted)

    return expand, x


# Complex numbers come and go as such; between, a graph has their two parts.
plain("real", "the real parts of complex numbers", np.real, x="array")
plain("imag", "the imaginary parts of complex numbers", np.imag, x="array")

plain("item", "one result of an op that has several", getitem, x="array", number="int")


@op("flip", "dimensions reversed", x="array", dims="ints")
def _flip(packs: Packs, x: Any, dims: tuple[int, ...]) -> tuple[Any, ...]:
    return np.flip, x, dims


@op(
    "unfold",
    "windows along a dimension, as a new last one",
    x="array",
    dim="int",
    size="int",
    step="int",
)
def _unfold(packs: Packs, x: Any, dim: int, size: int, step: int) -> tuple[Any, ...]:
    from numpy.lib.stride_tricks import sliding_window_view

    def unfold(array: Array) -> Array:
        windows = sliding_window_view(array, size, axis=dim)
        key = [slice(None)] * windows.ndim
        key[dim % array.ndim] = slice(None, None, step)
        result: Array = windows[tuple(key)]
        return result

    return unfold, x
