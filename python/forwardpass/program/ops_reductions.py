"""Ops over whole dimensions: sums and their like through our kernels, which have one order of
additions on every processor; the largest, whether all, and running sums through NumPy.
"""

from __future__ import annotations

import math
from collections.abc import Callable
from typing import Any

import numpy as np

from forwardpass import _core

from .ir import Array
from .ops import Packs, op
from .ops_arrays import copied


def _as_rows(dims: tuple[int, ...]) -> Callable[[Array], tuple[Array, int, tuple[int, ...]]]:
    """The dimensions to sum over as one, in memory order: (array, its dimension, shape left)."""

    def rows(x: Array) -> tuple[Array, int, tuple[int, ...]]:
        over = sorted(d % x.ndim for d in dims) if dims else list(range(x.ndim))
        keep = tuple(n for d, n in enumerate(x.shape) if d not in over)
        if over != list(range(over[0], over[-1] + 1)):  # apart: to the end
            x = x.transpose(*(d for d in range(x.ndim) if d not in over), *over)
            over = list(range(len(keep), x.ndim))
        n = math.prod(x.shape[d] for d in over)
        return x.reshape(*x.shape[: over[0]], n, *x.shape[over[-1] + 1 :]), over[0], keep

    return rows


def _kept(shape: tuple[int, ...], dims: tuple[int, ...]) -> tuple[int, ...]:
    over = {d % len(shape) for d in dims} if dims else set(range(len(shape)))
    return tuple(1 if d in over else n for d, n in enumerate(shape))


def _reduction(
    run: Callable[..., Array], x: Any, dims: tuple[int, ...], keep: bool
) -> tuple[Any, ...]:
    rows = _as_rows(dims)

    def reduce(array: Array, out: Array | None = None) -> Array:
        if array.ndim == 0:
            return run(array.reshape(1), 0, out)
        flat, dim, left = rows(array)
        result = run(flat, dim, out if out is None else out.reshape(left))
        return result.reshape(_kept(array.shape, dims)) if keep else result

    return reduce, x


@op("sum", "the sum over dimensions", x="array", dims="ints", keep="bool", float="bool")
def _sum(packs: Packs, x: Any, dims: tuple[int, ...], keep: bool, float: bool) -> tuple[Any, ...]:
    if float:
        return _reduction(_core.sum, x, dims, keep)
    return _reduction(
        lambda a, d, out: np.asarray(a.sum(axis=d, dtype=np.int64, out=out)), x, dims, keep
    )  # exact


@op("mean", "the mean over dimensions", x="array", dims="ints", keep="bool")
def _mean(packs: Packs, x: Any, dims: tuple[int, ...], keep: bool) -> tuple[Any, ...]:
    return _reduction(_core.mean, x, dims, keep)


@op("var", "the variance over dimensions", x="array", dims="ints", correction="int", keep="bool")
def _var(
    packs: Packs, x: Any, dims: tuple[int, ...], correction: int, keep: bool
) -> tuple[Any, ...]:
    return _reduction(lambda a, d, out: _core.var(a, d, correction, out), x, dims, keep)


@op(
    "extreme",
    "the largest or smallest over dimensions",
    x="array",
    dims="ints",
    largest="bool",
    keep="bool",
)
def _extreme(
    packs: Packs, x: Any, dims: tuple[int, ...], largest: bool, keep: bool
) -> tuple[Any, ...]:
    axes = dims or None

    def extreme(array: Array, out: Array | None = None) -> Array:
        result = (np.max if largest else np.min)(array, axis=axes, out=out, keepdims=keep)
        zero = array.dtype.type(0)
        return np.asarray(result if array.dtype.kind == "b" else np.add(result, zero, out=out))

    return extreme, x  # + 0: a zero is +0, whichever of two the processor took


@op(
    "arg_extreme",
    "where the first largest or smallest is",
    x="array",
    dim="int?",
    largest="bool",
    keep="bool",
)
def _arg_extreme(
    packs: Packs, x: Any, dim: int | None, largest: bool, keep: bool
) -> tuple[Any, ...]:
    pick = np.argmax if largest else np.argmin

    def where(array: Array, out: Array | None = None) -> Array:
        at = pick(array, axis=dim, out=out, keepdims=keep and dim is not None)
        return np.asarray(at, dtype=np.int64)

    return where, x


@op("logical", "whether all, or any, are not 0", x="array", dims="ints", every="bool", keep="bool")
def _logical(
    packs: Packs, x: Any, dims: tuple[int, ...], every: bool, keep: bool
) -> tuple[Any, ...]:
    run = np.all if every else np.any

    def logical(array: Array, out: Array | None = None) -> Array:
        return np.asarray(run(array, axis=dims or None, out=out, keepdims=keep))

    return logical, x


@op("cumsum", "running sums, in double, each rounded once", x="array", dim="int", float="bool")
def _cumsum(packs: Packs, x: Any, dim: int, float: bool) -> tuple[Any, ...]:
    def running(array: Array, out: Array | None = None) -> Array:
        if array.ndim == 0:
            return copied(array, out)
        # accumulate has one order by definition, unlike sum
        if not float:
            return np.asarray(np.add.accumulate(array, dim, np.int64, out))
        total = np.add.accumulate(array, axis=dim, dtype=np.float64)
        if out is not None:
            return copied(total, out)
        return total.astype(np.float32)

    return running, x
