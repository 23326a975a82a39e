"""Checks of constructor arguments. Arrays are checked in C++ by the op that takes them."""

from __future__ import annotations

import operator
from typing import Any

import numpy as np


def typename(value: object) -> str:
    """The type as torch names it in messages: without `builtins`."""
    kind = type(value)
    home = "" if kind.__module__ == "builtins" else f"{kind.__module__}."
    return home + kind.__qualname__


def integer(op: str, name: str, value: Any, least: int) -> int:
    """`value` as an int that is at least `least`; TypeError for floats and the rest."""
    try:
        number = operator.index(value)
    except TypeError:
        raise TypeError(f"{op}: {name} must be an integer, got {value!r}") from None
    if number < least:
        raise ValueError(f"{op}: {name} must be at least {least}, got {number}")
    return number


def shape(op: str, name: str, value: Any) -> tuple[int, ...]:
    """An int or a sequence of ints as a tuple of sizes."""
    sizes = tuple(value) if isinstance(value, (tuple, list)) else (value,)
    if not sizes:
        raise ValueError(f"{op}: expected {name} to be at least 1-dimensional, got {value!r}")
    return tuple(integer(op, name, size, 0) for size in sizes)


def sizes(op: str, name: str, value: Any, least: int, dims: int) -> tuple[int, ...]:
    """An int for all of `dims` dimensions, or a tuple of one for each."""
    if isinstance(value, (tuple, list)):
        if len(value) != dims:
            count = "one" if dims == 1 else str(dims)
            raise ValueError(
                f"{op}: {name} must be an integer or a tuple of {count}, got {value!r}"
            )
        return tuple(integer(op, name, size, least) for size in value)
    return (integer(op, name, value, least),) * dims


def single(op: str, name: str, value: Any, least: int) -> tuple[int]:
    """An int or a tuple of one int as a tuple of one."""
    return (sizes(op, name, value, least, 1)[0],)


def require_cpu(op: str, device: Any) -> None:
    """Accept None and the CPU, by name or as a torch.device."""
    if device is not None and str(device) != "cpu":
        raise NotImplementedError(
            f"{op}: device={device!r}; forwardpass runs in float32 on the CPU only"
        )


def require_float32(op: str, dtype: Any) -> None:
    """Accept None and float32: NumPy's type or dtype, its name, or torch.float32."""
    if dtype is None or dtype is np.float32 or str(dtype) in ("float32", "torch.float32"):
        return
    raise NotImplementedError(f"{op}: dtype={dtype!r}; forwardpass runs in float32 on the CPU only")
