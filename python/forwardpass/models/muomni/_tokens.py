"""Checks of integer arguments: token ids and speech codes."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

import numpy as np

if TYPE_CHECKING:
    import numpy.typing as npt


def integers(
    value: Any, op: str, name: str, ndims: tuple[int, ...], last: int | None = None
) -> npt.NDArray[Any]:
    """`value` as an array of integers with one of `ndims`, the last dimension of size `last`."""
    array = np.asarray(value)
    if array.dtype.kind not in "iu":
        raise TypeError(f"{op}(): argument '{name}' must be integers, got {array.dtype}")
    if array.ndim not in ndims or (last is not None and array.shape[-1] != last):
        ends = "" if last is None else f", the last of them {last}"
        counts = " or ".join(map(str, ndims))
        raise ValueError(
            f"{op}(): argument '{name}' must have {counts} dimensions{ends}, got {array.shape}"
        )
    return array
