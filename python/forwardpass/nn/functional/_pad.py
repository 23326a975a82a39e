"""F.pad: data movement alone, so NumPy's slices are all it needs."""

from __future__ import annotations

from collections.abc import Sequence
from typing import TYPE_CHECKING, Any

import numpy as np

from .._checks import integer
from ._shape import float32
from ._shape import result as written

if TYPE_CHECKING:
    from .._typing import Array, ArrayInput

MODES = ("constant", "reflect", "replicate", "circular")


def pad(
    input: ArrayInput,
    pad: Sequence[int],
    mode: str = "constant",
    value: float | None = None,
    *,
    out: Array | None = None,
) -> Array:
    """`input` with more elements around its last dimensions, or by negative numbers fewer.

    pad: (before, after) of the last dimension, of the one before it, and so on. mode "constant"
    writes `value` (None: 0) and takes any number of dimensions; "reflect" mirrors without repeating
    the edge, "replicate" repeats it, "circular" goes round; these three pad the last 1, 2 or 3
    dimensions of arrays that have one or two more. Follows torch.nn.functional.pad.
    """
    x: Array = float32(input, "pad")
    pairs = _pairs(x, pad)
    if mode not in MODES:
        raise NotImplementedError(f"pad: unrecognised padding mode {mode!r}; there are {MODES}")
    for axis, (before, after) in pairs.items():
        if mode == "constant" and x.shape[axis] + min(before, 0) + min(after, 0) < 0:
            raise ValueError(
                f"pad: padding {before} and {after} cut more than there is of dimension {axis} of "
                f"size {x.shape[axis]}"
            )
    if mode == "constant":
        result = _constant(x, pairs, 0.0 if value is None else value)
    else:
        if value:
            raise ValueError(f"pad: mode {mode!r} takes no value, got {value!r}")
        _check_dimensions(x, len(pairs))
        result = x
        for axis, (before, after) in pairs.items():
            result = np.moveaxis(_along(np.moveaxis(result, axis, 0), before, after, mode), 0, axis)
        result = np.array(result, order="C") if result is x else np.ascontiguousarray(result)
    padded: Array = written(result, out, "pad")
    return padded


def _pairs(x: Array, pad: Any) -> dict[int, tuple[int, int]]:
    """(before, after) by axis, the last axis first."""
    if not isinstance(pad, (tuple, list)):
        raise TypeError(f"pad: pad must be a sequence of integers, got {pad!r}")
    numbers = [integer("pad", "pad", n, -(1 << 62)) for n in pad]
    if len(numbers) % 2:
        raise ValueError(f"pad: pad must have an even number of elements, got {len(numbers)}")
    if len(numbers) > 2 * x.ndim:
        raise ValueError(f"pad: pad has {len(numbers)} elements, input only {x.ndim} dimensions")
    both = zip(numbers[::2], numbers[1::2], strict=True)
    return {x.ndim - 1 - i: pair for i, pair in enumerate(both)}


def _check_dimensions(x: Array, padded: int) -> None:
    if padded not in (1, 2, 3) or x.ndim - padded not in (1, 2):
        raise NotImplementedError(
            "pad: modes other than 'constant' pad the last 1, 2 or 3 dimensions of arrays with one "
            f"or two more, got {padded} for an input of shape {x.shape}"
        )
    first = 1 if x.ndim - padded == 2 else 0
    if 0 in x.shape[first:]:
        raise ValueError(f"pad: only the batch may be empty, got an input of shape {x.shape}")


def _constant(x: Array, pairs: dict[int, tuple[int, int]], value: float) -> Array:
    grown = [pairs.get(axis, (0, 0)) for axis in range(x.ndim)]
    shape = [n + before + after for n, (before, after) in zip(x.shape, grown, strict=True)]
    # Only what is not overwritten needs the value; the whole is quicker than its edges one by one.
    result = np.full(shape, np.float32(value), np.float32)
    to = tuple(slice(max(b, 0), n - max(a, 0)) for n, (b, a) in zip(shape, grown, strict=True))
    source = tuple(
        slice(max(-b, 0), n - max(-a, 0)) for n, (b, a) in zip(x.shape, grown, strict=True)
    )
    result[to] = x[source]
    return result


def _along(x: Array, before: int, after: int, mode: str) -> Array:
    """The first dimension padded; negative numbers cut."""
    size = len(x)
    most = {"reflect": size - 1, "circular": size}.get(mode)
    if most is not None and max(before, after) > most:
        raise ValueError(
            f"pad: mode {mode!r} pads a dimension of size {size} by at most {most}, "
            f"got {before} and {after}"
        )
    if mode == "circular":  # goes round what is left of a cut
        x = x[max(-before, 0) : max(size - max(-after, 0), 0)]
        size, before, after = len(x), max(before, 0), max(after, 0)
    total = size + before + after
    if total < 1 or size < 1:
        raise ValueError(f"pad: padding {before} and {after} leave nothing of size {size}")
    result = np.empty((total, *x.shape[1:]), np.float32)
    lo = max(before, 0)  # results [lo, hi) are x[lo - before : hi - before]
    hi = max(min(before + size, total), lo)
    result[lo:hi] = x[lo - before : hi - before]
    for part in (slice(0, lo), slice(hi, total)):
        at = np.arange(total)[part] - before
        if mode == "reflect":
            at = np.abs(at)
            at = np.where(at < size, at, 2 * (size - 1) - at)
        elif mode == "replicate":
            at = np.clip(at, 0, size - 1)
        else:
            at %= size
        result[part] = x[at]
    return result
