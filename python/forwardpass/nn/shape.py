"""Layers that do no arithmetic: Flatten and Dropout."""

from __future__ import annotations

import math
from typing import TYPE_CHECKING, Any

import numpy as np

from ._checks import integer, typename
from ._layer import Layer

if TYPE_CHECKING:
    import numpy.typing as npt


class Flatten(Layer):
    """Merge the dimensions start_dim..end_dim into one: (A, *B, C) to (A, prod(B), C).

    A view where strides allow, as in torch. Any dtype. IndexError for a dimension that the input
    lacks, ValueError if start comes after end. Follows torch.nn.Flatten.
    """

    def __init__(self, start_dim: int = 1, end_dim: int = -1) -> None:
        super().__init__()
        self.start_dim = integer("Flatten", "start_dim", start_dim, -(1 << 62))
        self.end_dim = integer("Flatten", "end_dim", end_dim, -(1 << 62))

    def forward(self, input: Any) -> npt.NDArray[Any]:
        if not isinstance(input, np.ndarray):
            if not hasattr(input, "__array__"):
                raise TypeError(f"Flatten: input must be an array, got {typename(input)}")
            input = np.asarray(input)
        array: npt.NDArray[Any] = input
        shape = array.shape
        rank = max(len(shape), 1)
        for dim in (self.start_dim, self.end_dim):
            if not -rank <= dim < rank:
                raise IndexError(
                    "Dimension out of range "
                    f"(expected to be in range of [{-rank}, {rank - 1}], but got {dim})"
                )
        start, end = self.start_dim % rank, self.end_dim % rank
        if start > end:
            raise ValueError("flatten() has invalid args: start_dim cannot come after end_dim")
        merged = math.prod(shape[start : end + 1])
        return array.reshape(*shape[:start], merged, *shape[end + 1 :])

    def extra_repr(self) -> str:
        return f"start_dim={self.start_dim}, end_dim={self.end_dim}"


class Dropout(Layer):
    """Returns its input, as torch.nn.Dropout does in evaluation mode."""

    def __init__(self, p: float = 0.5, inplace: bool = False) -> None:
        super().__init__()
        if not 0 <= p <= 1:
            raise ValueError(f"dropout probability has to be between 0 and 1, but got {p}")
        self.p = p
        self.inplace = inplace

    def forward(self, input: Any) -> Any:
        return input

    def extra_repr(self) -> str:
        return f"p={self.p}, inplace={self.inplace}"
