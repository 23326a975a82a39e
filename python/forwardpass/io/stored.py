"""Stored: a tensor that stays in its file until its values are needed.

float16 and bfloat16 weights take half the space in a file. Widening all of them at load, and
packing them later, would need their float32 size twice at once; widened one by one while they are
packed, they never take more than the packed size and one tensor. Until then processes that map the
same file share its pages.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

import numpy as np

if TYPE_CHECKING:
    import numpy.typing as npt


class Stored:
    """A float32 tensor in a mapped file, as float16, bfloat16 or misaligned float32.

    Calling it, or np.asarray, makes a new float32 array each time; nothing is kept.
    """

    __slots__ = ("_raw", "_type", "shape")

    dtype = np.dtype(np.float32)

    def __init__(self, raw: npt.NDArray[Any], dtype: str, shape: tuple[int, ...]) -> None:
        """`raw` is the tensor in the mapped file, flat; `dtype` is the format's name for it."""
        self._raw, self._type, self.shape = raw, dtype, shape

    def __call__(self) -> npt.NDArray[np.float32]:
        return widen(self._raw, self._type).reshape(self.shape)

    def rows(self, index: npt.NDArray[np.int64]) -> npt.NDArray[np.float32]:
        """The rows of a table (V, D) that `index` (*) names, each in [0, V): a new array (*, D)."""
        return widen(self._raw.reshape(self.shape)[index], self._type)

    def __array__(self, dtype: Any = None, copy: bool | None = None) -> npt.NDArray[Any]:
        if copy is False:
            raise ValueError("a stored tensor has no array of its own: np.asarray makes one")
        return self() if dtype is None else self().astype(dtype, copy=False)

    def __repr__(self) -> str:
        return f"Stored({self._type}, shape={self.shape})"


def widen(raw: npt.NDArray[Any], dtype: str) -> npt.NDArray[np.float32]:
    """A new array with the values of `raw`, exactly: F16, BF16 (as uint16) or F32."""
    if dtype == "BF16":  # the upper half of a float32; shifted in place to save memory
        wide = raw.astype(np.uint32)
        wide <<= 16
        return wide.view(np.float32)
    return raw.astype(np.float32)
