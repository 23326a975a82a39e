"""What the functions share and C++ does not check."""

from __future__ import annotations

from typing import Any

import numpy as np


def shape(value: Any) -> tuple[int, ...]:
    """The shape of what an op takes."""
    found = getattr(value, "shape", None)
    return np.shape(value) if found is None else tuple(found)


def float32(value: Any, op: str, argument: str = "input") -> Any:
    """The argument as an ndarray, or TypeError unless it is one of float32."""
    if not hasattr(value, "__array__") and hasattr(value, "__dlpack__"):
        value = np.from_dlpack(value)
    if not hasattr(value, "__array__"):
        kind = type(value).__name__
        raise TypeError(f"{op}(): argument '{argument}' must be a float32 array, got {kind}")
    array = np.asarray(value)
    if array.dtype != np.float32:
        raise TypeError(
            f"{op}(): argument '{argument}' must be float32, got {array.dtype}; cast it with "
            f"{argument}.astype(np.float32)"
        )
    return array


def result(value: Any, out: Any, op: str) -> Any:
    """`value`, or `out` with the value in it."""
    if out is None:
        return value
    if getattr(out, "shape", None) != value.shape or out.dtype != np.float32:
        raise ValueError(f"{op}(): argument 'out' must be float32 of shape {value.shape}")
    np.copyto(out, value, casting="no")
    return out
