"""Ops that take and put elements by index. No value is computed, but for sums of what is put."""

from __future__ import annotations

from typing import Any

import numpy as np

from .ir import Array
from .ops import Packs, op
from .ops_arrays import copied


@op("embedding", "rows of a table by index", indices="array", weight="array")
def _embedding(packs: Packs, indices: Any, weight: Any) -> tuple[Any, ...]:
    from forwardpass import _core

    return _core.embedding, indices, weight


@op(
    "gather",
    "elements by an array of indices along a dimension",
    x="array",
    index="array",
    dim="int",
)
def _gather(packs: Packs, x: Any, index: Any, dim: int) -> tuple[Any, ...]:
    def gather(array: Array, at: Array) -> Array:
        cut = tuple(
            slice(None) if d == dim % array.ndim else slice(n) for d, n in enumerate(at.shape)
        )
        return np.take_along_axis(array[cut], at, dim)

    return gather, x, index


@op("take", "slices by a list of indices along a dimension", x="array", index="array", dim="int")
def _take(packs: Packs, x: Any, index: Any, dim: int) -> tuple[Any, ...]:
    return taken, x, index, dim


def taken(x: Array, index: Array, dim: int, out: Array | None = None) -> Array:
    """np.take, which copies once more where it has to look at indices and has an array to fill."""
    if out is None or not index.size:
        return np.take(x, index, dim, out)
    size = x.shape[dim]
    if index.min() < -size or index.max() >= size:
        raise IndexError(f"an index from {index.min()} to {index.max()} into {size} elements")
    return np.take(x, index, dim, out, "wrap")


def key_of(array: Array, dims: tuple[int, ...], at: tuple[Array, ...]) -> tuple[Any, ...]:
    """The key of elements: arrays of indices along `dims`, all of the other dimensions."""
    key: list[Any] = [slice(None)] * array.ndim
    for dim, index in zip(dims, at, strict=True):
        key[dim] = index
    return tuple(key)


@op(
    "pick", "elements by one or several arrays of indices", x="array", indices="arrays", dims="ints"
)
def _pick(packs: Packs, x: Any, indices: tuple[Any, ...], dims: tuple[int, ...]) -> tuple[Any, ...]:
    if len(dims) == 1:
        return taken, x, indices[0], dims[0]

    def pick(array: Array, at: tuple[Array, ...], out: Array | None = None) -> Array:
        return np.asarray(array[key_of(array, dims, at)])

    return pick, x, indices


@op(
    "put",
    "elements replaced where arrays of indices say",
    x="array",
    indices="arrays",
    dims="ints",
    values="array",
)
def _put(
    packs: Packs, x: Any, indices: tuple[Any, ...], dims: tuple[int, ...], values: Any
) -> tuple[Any, ...]:
    def put(array: Array, new: Array, at: tuple[Array, ...], out: Array | None = None) -> Array:
        result = copied(array, out)
        result[key_of(array, dims, at)] = new
        return result

    return put, x, values, indices


@op("place", "a part of an array replaced", x="array", key="index", values="array")
def _place(packs: Packs, x: Any, key: tuple[Any, ...], values: Any) -> tuple[Any, ...]:
    parts = (*(slice(*k) if isinstance(k, tuple) else k for k in key), Ellipsis)

    def place(array: Array, new: Array, out: Array | None = None) -> Array:
        result = copied(array, out)
        result[parts] = new
        return result

    return place, x, values


@op("scatter", "elements replaced, or added to, along a dimension, in the order of the indices",
    x="array", index="array", values="array", dim="int", add="bool")  # fmt: skip
def _scatter(packs: Packs, x: Any, index: Any, values: Any, dim: int, add: bool) -> tuple[Any, ...]:
    def scatter(array: Array, at: Array, new: Array, out: Array | None = None) -> Array:
        result = copied(array, out)
        if array.ndim == 0:
            return np.asarray(result + new if add else new, dtype=array.dtype)
        key: list[Any] = list(np.indices(at.shape, sparse=True))
        key[dim] = at
        given = new[tuple(slice(n) for n in at.shape)] if new.ndim else new
        if add:
            np.add.at(result, tuple(key), given)
        else:
            result[tuple(key)] = given
        return result

    return scatter, x, index, values


@op("put_add", "elements added to where arrays of indices say, in their order",
    x="array", indices="arrays", dims="ints", values="array")  # fmt: skip
def _put_add(
    packs: Packs, x: Any, indices: tuple[Any, ...], dims: tuple[int, ...], values: Any
) -> tuple[Any, ...]:
    def put(array: Array, new: Array, at: tuple[Array, ...], out: Array | None = None) -> Array:
        result = copied(array, out)
        np.add.at(result, key_of(array, dims, at), new)
        return result

    return put, x, values, indices
