"""Ops that move data: joins, copies, new arrays. NumPy does them; no value is computed."""

from __future__ import annotations

import itertools
import math
from collections.abc import Callable, Iterator
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
        "complex64",
        "complex128",
    ):
        raise ValueError(f"no dtype {name[:40]!r}")
    return np.dtype(name)


@op("cat", "arrays one behind the other", xs="arrays", dim="int")
def _cat(packs: Packs, xs: tuple[Any, ...], dim: int) -> tuple[Any, ...]:
    return np.concatenate, xs, dim


plain("stack", "arrays along a new dimension", np.stack, xs="arrays", dim="int")


def copied(x: Array, out: Array | None = None) -> Array:
    """A copy; in `out`, which may have another dtype, where that is given."""
    if out is None:
        return np.array(x)
    np.copyto(out, x, casting="unsafe")
    return out


plain("copy", "a copy, contiguous", copied, x="array")


@op("complex", "complex numbers of their two parts", re="array", im="array")
def _complex(packs: Packs, re: Any, im: Any) -> tuple[Any, ...]:
    def joined(re: Array, im: Array, out: Array | None = None) -> Array:
        wide = np.complex64 if re.dtype == np.float32 else np.complex128
        result = np.empty(re.shape, wide) if out is None else out
        result.real, result.imag = re, im
        return result

    return joined, re, im


@op("pad", "numbers around an array", x="array", pad="ints", mode="str", value="number")
def _pad(packs: Packs, x: Any, pad: tuple[int, ...], mode: str, value: float) -> tuple[Any, ...]:
    from forwardpass.nn import functional as F

    if any(n > MOST_ELEMENTS for n in pad):
        raise ValueError(f"a padding of {pad}")
    if mode != "constant":
        return (lambda array, out=None: F.pad(array, pad, mode, out=out)), x
    lead = pad[::-1]
    around = [(lead[i + 1], lead[i]) for i in range(0, len(lead), 2)]

    def constant(array: Array, out: Array | None = None) -> Array:
        widths = [(0, 0)] * (array.ndim - len(around)) + around
        cut = array[
            tuple(
                slice(max(-a, 0), n - max(-b, 0))
                for n, (a, b) in zip(array.shape, widths, strict=True)
            )
        ]
        grown = [(max(a, 0), max(b, 0)) for a, b in widths]
        shape = tuple(n + a + b for n, (a, b) in zip(cut.shape, grown, strict=True))
        result = np.empty(checked(shape), array.dtype) if out is None else out
        result.fill(value)
        result[tuple(slice(a, a + n) for n, (a, _) in zip(cut.shape, grown, strict=True))] = cut
        return result

    return constant, x


@op("full", "one number, repeated", shape="ints", value="scalar", dtype="str")
def _full(packs: Packs, shape: tuple[int, ...], value: Any, dtype: str) -> tuple[Any, ...]:
    checked(shape)
    number = np.full((), value, dtype_of(dtype))

    def full(out: Array | None = None) -> Array:
        result = np.empty(shape, number.dtype) if out is None else out
        result.fill(number)
        return result

    return (full,)


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
    return copied, numbers


@op("cast", "another dtype", x="array", dtype="str")
def _cast(packs: Packs, x: Any, dtype: str) -> tuple[Any, ...]:
    to = dtype_of(dtype)
    if to.kind not in "iu":
        return _astype(to), x
    lowest, beyond = np.iinfo(to).min, 2.0 ** (8 * to.itemsize - (to.kind == "i"))

    def whole(array: Array, out: Array | None = None) -> Array:
        """Towards 0; NaN and what does not fit, which processors differ in, is the lowest."""
        if array.dtype.kind != "f":
            return _astype(to)(array, out)
        fits = (
            (array > lowest - 1.0) & (array < beyond)
            if to.itemsize < 4
            else ((array >= lowest) & (array < beyond))
        )
        result = np.empty(array.shape, to) if out is None else out
        result.fill(lowest)
        np.copyto(result, array, where=fits, casting="unsafe")
        return result

    return whole, x


def _astype(to: np.dtype[Any]) -> Callable[..., Array]:
    return lambda array, out=None: array.astype(to) if out is None else copied(array, out)


@op("roll", "dimensions turned round", x="array", shifts="ints", dims="ints")
def _roll(packs: Packs, x: Any, shifts: tuple[int, ...], dims: tuple[int, ...]) -> tuple[Any, ...]:
    def roll(array: Array, out: Array | None = None) -> Array:
        result = np.empty_like(array) if out is None else out
        for source, target in _halves(array.shape, dict(zip(dims, shifts, strict=True))):
            result[target] = array[source]
        return result

    return roll, x


def _halves(shape: tuple[int, ...], shifts: dict[int, int]) -> Iterator[tuple[Any, Any]]:
    """(key, where its part goes) of the parts that a roll moves as a whole."""
    parts: list[list[tuple[slice, slice]]] = []
    for dim, n in enumerate(shape):
        by = shifts.get(dim, 0) % n if n else 0
        both = [(slice(0, n - by), slice(by, n)), (slice(n - by, n), slice(0, by))]
        parts.append(both if by else both[:1])
    for chosen in itertools.product(*parts):
        yield tuple(source for source, _ in chosen), tuple(target for _, target in chosen)


@op("triangle", "one side of the diagonal, 0 elsewhere", x="array", diagonal="int", upper="bool")
def _triangle(packs: Packs, x: Any, diagonal: int, upper: bool) -> tuple[Any, ...]:
    kept: list[Array] = []  # where the result is not 0: made at the first call

    def triangle(array: Array, out: Array | None = None) -> Array:
        if not kept:
            lower = np.tri(array.shape[-2], array.shape[-1], diagonal - upper, np.bool_)
            kept.append(~lower if upper else lower)
        result = np.empty_like(array) if out is None else out
        result.fill(0)
        np.copyto(result, array, where=kept[0])
        return result

    return triangle, x


@op("repeat", "copies side by side", x="array", times="ints")
def _repeat(packs: Packs, x: Any, times: tuple[int, ...]) -> tuple[Any, ...]:
    checked(times)

    def repeat(array: Array, out: Array | None = None) -> Array:
        if out is None:
            return np.tile(array, times)
        shape = (1,) * (len(times) - array.ndim) + array.shape
        every = (1,) * (len(shape) - len(times)) + times
        pairs = [size for pair in zip(every, shape, strict=True) for size in pair]
        out.reshape(pairs)[...] = array.reshape([n for size in shape for n in (1, size)])
        return out

    return repeat, x


@op("repeat_each", "each slice several times", x="array", times="int", dim="int")
def _repeat_each(packs: Packs, x: Any, times: int, dim: int) -> tuple[Any, ...]:
    checked((times,))

    def repeat(array: Array, out: Array | None = None) -> Array:
        if out is None:
            return np.repeat(array, times, dim)
        out.reshape(*array.shape[: dim + 1], times, *array.shape[dim + 1 :])[...] = np.expand_dims(
            array, dim + 1
        )
        return out

    return repeat, x
