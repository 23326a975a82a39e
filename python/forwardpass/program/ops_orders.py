"""Ops that order, scatter and multiply up: NumPy does them in one fixed order of steps."""

from __future__ import annotations

from typing import Any

import numpy as np

from .ir import Array
from .ops import Packs, op
from .ops_arrays import copied


@op("sort", "sorted along a dimension, equal ones in order: values, indices",
    x="array", dim="int", descending="bool")  # fmt: skip
def _sort(packs: Packs, x: Any, dim: int, descending: bool) -> tuple[Any, ...]:
    def ordered(array: Array) -> tuple[Array, Array]:
        if array.ndim == 0:
            return array.copy(), np.zeros((), np.int64)
        if descending:  # of the reversed array, turned round: equal ones stay in order
            at = np.argsort(np.flip(array, dim), axis=dim, kind="stable")
            at = array.shape[dim] - 1 - np.flip(at, dim)
        else:
            at = np.argsort(array, axis=dim, kind="stable")
        return np.take_along_axis(array, at, dim), np.ascontiguousarray(at, np.int64)

    return ordered, x


@op("cumulative_extreme", "the largest, or smallest, so far: values, and where they last were",
    x="array", dim="int", largest="bool")  # fmt: skip
def _cumulative_extreme(packs: Packs, x: Any, dim: int, largest: bool) -> tuple[Any, ...]:
    def running(array: Array) -> tuple[Array, Array]:
        if array.ndim == 0:
            return array.copy(), np.zeros((), np.int64)
        best = (np.maximum if largest else np.minimum).accumulate(array, axis=dim)
        steps = np.arange(array.shape[dim]).reshape(
            [-1] + [1] * (array.ndim - 1 - dim % array.ndim)
        )
        at = np.maximum.accumulate(np.where((array == best) | (array != array), steps, 0), axis=dim)
        return np.take_along_axis(array, at, dim), at

    return running, x


@op("median", "the lower of the middle ones along a dimension, NaN if any: values, indices",
    x="array", dim="int")  # fmt: skip
def _median(packs: Packs, x: Any, dim: int) -> tuple[Any, ...]:
    def median(array: Array) -> tuple[Array, Array]:
        if array.ndim == 0:
            return array.copy(), np.zeros((), np.int64)
        order = np.argsort(array, axis=dim, kind="stable")
        at = np.take(order, [(array.shape[dim] - 1) // 2], axis=dim)
        if array.dtype.kind == "f":
            missing = np.isnan(array)
            first = np.argmax(missing, axis=dim, keepdims=True)
            at = np.where(missing.any(axis=dim, keepdims=True), first, at)
        return np.take_along_axis(array, at, dim).squeeze(dim), at.squeeze(dim)

    return median, x


@op("cumprod", "running products, in double, each rounded once",
    x="array", dim="int", float="bool")  # fmt: skip
def _cumprod(packs: Packs, x: Any, dim: int, float: bool) -> tuple[Any, ...]:
    def running(array: Array, out: Array | None = None) -> Array:
        if array.ndim == 0:
            return copied(array, out)
        total = np.multiply.accumulate(array, axis=dim, dtype=np.float64 if float else np.int64)
        if out is not None:
            return copied(total, out)
        return total.astype(np.float32) if float else total

    return running, x


@op("atan2", "the angle of (b, a)", a="array", b="array")
def _atan2(packs: Packs, a: Any, b: Any) -> tuple[Any, ...]:
    return _angle, a, b


def _angle(y: Array, x: Array, out: Array | None = None) -> Array:
    """In double, from + - * / alone, rounded once: a series for up to tan(pi / 8), and symmetry."""
    y, x = np.broadcast_arrays(y.astype(np.float64), x.astype(np.float64))
    small, large = (
        np.where(abs(y) < abs(x), abs(y), abs(x)),
        np.where(abs(y) < abs(x), abs(x), abs(y)),
    )
    both = np.isinf(small) & np.isinf(large)
    t = np.where(both, 1.0, small / np.where(large == 0, 1.0, large))
    turned = t > 0.41421356237309503
    t = np.where(turned, (t - 1) / (t + 1), t)
    square, series = t * t, np.zeros_like(t)
    for k in range(27, 0, -2):
        series = series * square + (1 / k if k % 4 == 1 else -1 / k)
    angle = t * series + np.where(turned, np.pi / 4, 0.0)
    angle = np.where(abs(y) > abs(x), np.pi / 2 - angle, angle)
    angle = np.where(np.signbit(x), np.pi - angle, angle)
    angle = np.copysign(angle, y)
    return angle.astype(np.float32) if out is None else copied(angle, out)
