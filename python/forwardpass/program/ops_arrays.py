"""Ops that move data: views, joins, gathers, new arrays. NumPy does them; no value is computed."""

from __future__ import annotations

import math
from operator import getitem
from typing import Any

import numpy as np

from .ir import Array
from .ops import Packs, op, plain

MOST_ELEMENTS = 2**32  # of an array that an op makes from numbers alone


def checked(shape: tuple[int, ...]) -> tuple[int, ...]:
    if any(n < 0 for n in shape) or math.prod(shape) > MOST_ELEMENTS:
        raise ValueError(f"an array of shape {shape}")
    return shape


def dtype_of(name: str) -> np.dtype[Any]:
    if name not in (
        "bool",
        *(f"{u}int{n}" for u in ("", "u") for n in (8, 16, 32, 64)),
        "float32",
        "float64",
    ):
        raise ValueError(f"no dtype {name[:40]!r}")
    return np.dtype(name)


# Methods, since what comes may be a scalar: NumPy makes those of arrays without dimensions.
@op("reshape", "the elements in another shape", x="array", shape="ints")
def _reshape(packs: Packs, x: Any, shape: tuple[int, ...]) -> tuple[Any, ...]:
    return (lambda array: array.reshape(shape)), x


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


@op("cat", "arrays one behind the other", xs="arrays", dim="int")
def _cat(packs: Packs, xs: tuple[Any, ...], dim: int) -> tuple[Any, ...]:
    return np.concatenate, xs, dim


plain("stack", "arrays along a new dimension", np.stack, xs="arrays", dim="int")
plain("copy", "a copy, contiguous", np.array, x="array")
plain("item", "one result of an op that has several", getitem, x="array", number="int")


@op("pad", "numbers around an array", x="array", pad="ints", mode="str", value="number")
def _pad(packs: Packs, x: Any, pad: tuple[int, ...], mode: str, value: float) -> tuple[Any, ...]:
    from forwardpass.nn import functional as F

    if any(n > MOST_ELEMENTS for n in pad):
        raise ValueError(f"a padding of {pad}")
    if mode != "constant":
        return F.pad, x, pad, mode
    lead = pad[::-1]
    around = [(lead[i + 1], lead[i]) for i in range(0, len(lead), 2)]

    def constant(array: Array) -> Array:
        widths = [(0, 0)] * (array.ndim - len(around)) + around
        cut = array[
            tuple(
                slice(max(-a, 0), n - max(-b, 0))
                for n, (a, b) in zip(array.shape, widths, strict=True)
            )
        ]
        grown = [(max(a, 0), max(b, 0)) for a, b in widths]
        shape = tuple(n + a + b for n, (a, b) in zip(cut.shape, grown, strict=True))
        result = np.full(checked(shape), value, array.dtype)
        result[tuple(slice(a, a + n) for n, (a, _) in zip(cut.shape, grown, strict=True))] = cut
        return result

    return constant, x


@op("full", "one number, repeated", shape="ints", value="scalar", dtype="str")
def _full(packs: Packs, shape: tuple[int, ...], value: Any, dtype: str) -> tuple[Any, ...]:
    return np.full, checked(shape), value, dtype_of(dtype)


@op("arange", "rising numbers", start="number", stop="number", step="number", dtype="str")
def _arange(packs: Packs, start: Any, stop: Any, step: Any, dtype: str) -> tuple[Any, ...]:
    if step == 0 or not math.isfinite(start + stop + step):
        raise ValueError("arange without an end")
    count = max(0, math.ceil((stop - start) / step))
    checked((count,))
    if all(isinstance(v, int) for v in (start, stop, step)):
        numbers = np.arange(start, stop, step, dtype=np.int64).astype(dtype_of(dtype))
    else:  # start + i step in double, rounded once to the dtype: as torch does it
        numbers = (start + np.arange(count, dtype=np.float64) * step).astype(dtype_of(dtype))
    return np.ndarray.copy, numbers


@op("cast", "another dtype", x="array", dtype="str")
def _cast(packs: Packs, x: Any, dtype: str) -> tuple[Any, ...]:
    to = dtype_of(dtype)
    if to.kind not in "iu":
        return (lambda array: array.astype(to)), x
    lowest, beyond = np.iinfo(to).min, 2.0 ** (8 * to.itemsize - (to.kind == "i"))

    def whole(array: Array) -> Array:
        """Towards 0; NaN and what does not fit, which processors differ in, is the lowest."""
        if array.dtype.kind != "f":
            return array.astype(to)
        fits = (
            (array > lowest - 1.0) & (array < beyond)
            if to.itemsize < 4
            else ((array >= lowest) & (array < beyond))
        )
        return np.where(fits, np.where(fits, array, 0).astype(to), to.type(lowest))

    return whole, x


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
    return np.take, x, index, dim


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
    def pick(array: Array, *at: Array) -> Array:
        return np.asarray(array[key_of(array, dims, at)])

    return pick, x, *indices


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
    def put(array: Array, new: Array, *at: Array) -> Array:
        result = array.copy()
        result[key_of(array, dims, at)] = new
        return result

    return put, x, values, *indices


@op("place", "a part of an array replaced", x="array", key="index", values="array")
def _place(packs: Packs, x: Any, key: tuple[Any, ...], values: Any) -> tuple[Any, ...]:
    parts = (*(slice(*k) if isinstance(k, tuple) else k for k in key), Ellipsis)

    def place(array: Array, new: Array) -> Array:
        result = array.copy()
        result[parts] = new
        return result

    return place, x, values


@op("flip", "dimensions reversed", x="array", dims="ints")
def _flip(packs: Packs, x: Any, dims: tuple[int, ...]) -> tuple[Any, ...]:
    return np.flip, x, dims


@op("roll", "dimensions turned round", x="array", shifts="ints", dims="ints")
def _roll(packs: Packs, x: Any, shifts: tuple[int, ...], dims: tuple[int, ...]) -> tuple[Any, ...]:
    return np.roll, x, shifts, dims


@op("triangle", "one side of the diagonal, 0 elsewhere", x="array", diagonal="int", upper="bool")
def _triangle(packs: Packs, x: Any, diagonal: int, upper: bool) -> tuple[Any, ...]:
    return (np.triu if upper else np.tril), x, diagonal


@op("repeat", "copies side by side", x="array", times="ints")
def _repeat(packs: Packs, x: Any, times: tuple[int, ...]) -> tuple[Any, ...]:
    checked(times)
    return np.tile, x, times


@op("repeat_each", "each slice several times", x="array", times="int", dim="int")
def _repeat_each(packs: Packs, x: Any, times: int, dim: int) -> tuple[Any, ...]:
    checked((times,))
    return np.repeat, x, times, dim


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
