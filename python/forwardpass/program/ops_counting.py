"""Ops that count and look up: NumPy compares and counts, which is exact."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import numpy as np

from .ir import Array
from .ops import Packs, op
from .ops_arrays import checked, copied, dtype_of


@op("histogram", "how many elements each of equal bins has, those outside left out",
    x="array", bins="int", low="number", high="number")  # fmt: skip
def _histogram(packs: Packs, x: Any, bins: int, low: float, high: float) -> tuple[Any, ...]:
    checked((bins,))
    if not low < high:
        raise ValueError(f"bins from {low} to {high}")

    def histogram(array: Array, out: Array | None = None) -> Array:
        kind = array.dtype.type
        inside = array[(array >= low) & (array <= high)]
        at = ((inside - kind(low)) * kind(bins) / kind(high - low)).astype(np.int64)
        counts = np.bincount(np.where(at == bins, bins - 1, at), minlength=bins)
        return counts.astype(array.dtype) if out is None else copied(counts, out)

    return histogram, x


@op("search", "where in a sorted table each element belongs",
    table="array", x="array", right="bool", dtype="str")  # fmt: skip
def _search(packs: Packs, table: Any, x: Any, right: bool, dtype: str) -> tuple[Any, ...]:
    to, side = dtype_of(dtype), "right" if right else "left"

    def search(rows: Array, array: Array, out: Array | None = None) -> Array:
        if rows.ndim == 1:
            found = np.asarray(np.searchsorted(rows, array, side))  # type: ignore[call-overload]
        else:
            found = np.empty(array.shape, np.int64)
            for key in np.ndindex(rows.shape[:-1]):
                found[key] = np.searchsorted(rows[key], array[key], side)  # type: ignore[call-overload]
        return found.astype(to) if out is None else copied(found, out)

    return search, table, x


@op("put_masked", "elements replaced where a mask holds, by the first of others in order",
    x="array", mask="array", values="array")  # fmt: skip
def _put_masked(packs: Packs, x: Any, mask: Any, values: Any) -> tuple[Any, ...]:
    def put(array: Array, where: Array, new: Array, out: Array | None = None) -> Array:
        shape = np.broadcast_shapes(array.shape, where.shape)
        whole = np.broadcast_to(where, shape)
        result = copied(np.broadcast_to(array, shape), out)
        result[whole] = new.reshape(-1)[: np.count_nonzero(whole)]
        return result

    return put, x, mask, values


# (what joins, the element that changes nothing)
_JOINS: dict[str, tuple[np.ufunc, Callable[[np.dtype[Any]], Any]]] = {
    "sum": (np.add, lambda dtype: 0),
    "mean": (np.add, lambda dtype: 0),
    "prod": (np.multiply, lambda dtype: 1),
    "amax": (np.maximum, lambda dtype: _limits(dtype)[0]),
    "amin": (np.minimum, lambda dtype: _limits(dtype)[1]),
}


def _limits(dtype: np.dtype[Any]) -> tuple[Any, Any]:
    if dtype.kind == "f":
        return -np.inf, np.inf
    return np.iinfo(dtype).min, np.iinfo(dtype).max


@op("scatter_reduce", "elements joined along a dimension, in the order of the indices",
    x="array", index="array", values="array", dim="int", mode="str", with_own="bool")  # fmt: skip
def _scatter_reduce(
    packs: Packs, x: Any, index: Any, values: Any, dim: int, mode: str, with_own: bool
) -> tuple[Any, ...]:
    if mode not in _JOINS:
        raise ValueError(f"no reduction {mode[:20]!r}")
    join, neutral = _JOINS[mode]

    def scatter(array: Array, at: Array, new: Array, out: Array | None = None) -> Array:
        if array.ndim == 0:
            array, at, new = array.reshape(1), at.reshape(1), new.reshape(1)
            return scatter(array, at, new).reshape(())
        key: list[Any] = list(np.indices(at.shape, sparse=True))
        key[dim] = at
        result = copied(array, out)
        if not with_own:
            result[tuple(key)] = neutral(array.dtype)
        join.at(result, tuple(key), new[tuple(slice(n) for n in at.shape)])
        if mode == "mean":
            counts = np.full(array.shape, with_own, array.dtype)
            np.add.at(counts, tuple(key), 1)
            np.divide(result, counts, out=result, where=counts > 1)
        return result + array.dtype.type(0) if mode in ("amax", "amin") else result

    return scatter, x, index, values
