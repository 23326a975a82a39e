"""Types for annotations; imported by type checkers only."""

from __future__ import annotations

from typing import Any, Protocol, TypeAlias

import numpy as np
import numpy.typing as npt

Array: TypeAlias = npt.NDArray[np.float32]


class SupportsArray(Protocol):
    """An object that gives an ndarray of itself, as NumPy arrays and scalars do."""

    def __array__(self) -> npt.NDArray[Any]: ...


class SupportsDLPack(Protocol):
    """An object that shares its memory by DLPack."""

    def __dlpack__(self, *, stream: None = ...) -> Any: ...


# What an op takes: float32, in an ndarray of any strides, a scalar, or an object that gives one.
ArrayInput: TypeAlias = Array | np.float32 | SupportsArray | SupportsDLPack
