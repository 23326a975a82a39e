"""Layers that do no arithmetic: Flatten, Unflatten and the dropouts."""

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
        array = _array(input, "Flatten")
        shape = array.shape
        rank = max(len(shape), 1)
        start, end = (_dimension(dim, rank) % rank for dim in (self.start_dim, self.end_dim))
        if start > end:
            raise ValueError("flatten() has invalid args: start_dim cannot come after end_dim")
        merged = math.prod(shape[start : end + 1])
        return array.reshape(*shape[:start], merged, *shape[end + 1 :])

    def extra_repr(self) -> str:
        return f"start_dim={self.start_dim}, end_dim={self.end_dim}"


class Unflatten(Layer):
    """Part the dimension `dim` into `unflattened_size`, in which one number may be -1.

    A view where strides allow, as in torch. Any dtype. IndexError for a dimension that the input
    lacks, ValueError where the sizes do not multiply to its. Follows torch.nn.Unflatten.
    """

    def __init__(self, dim: int, unflattened_size: list[int] | tuple[int, ...]) -> None:
        super().__init__()
        if not isinstance(unflattened_size, (tuple, list)):
            found = typename(unflattened_size)
            raise TypeError(f"unflattened_size must be a tuple of ints, but found type {found}")
        for i, size in enumerate(unflattened_size):
            integer("Unflatten", f"unflattened_size[{i}]", size, -1)
        self.dim = integer("Unflatten", "dim", dim, -(1 << 62))
        self.unflattened_size = unflattened_size

    def forward(self, input: Any) -> npt.NDArray[Any]:
        array, sizes = _array(input, "Unflatten"), tuple(self.unflattened_size)
        shape = array.shape
        dim = _dimension(self.dim, len(shape)) % len(shape)
        known = math.prod(n for n in sizes if n >= 0)
        open_ = sizes.count(-1)
        whole = shape[dim] == known if not open_ else known > 0 and shape[dim] % known == 0
        if not sizes or open_ > 1 or not whole:
            raise ValueError(f"unflatten: sizes {sizes} don't multiply up to the size {shape[dim]}")
        parts = tuple(shape[dim] // known if n == -1 else n for n in sizes)
        return array.reshape(*shape[:dim], *parts, *shape[dim + 1 :])

    def extra_repr(self) -> str:
        return f"dim={self.dim}, unflattened_size={self.unflattened_size}"


def _array(input: Any, name: str) -> npt.NDArray[Any]:
    if isinstance(input, np.ndarray):
        return input
    if not hasattr(input, "__array__"):
        raise TypeError(f"{name}: input must be an array, got {typename(input)}")
    return np.asarray(input)


def _dimension(dim: int, rank: int) -> int:
    if rank == 0:
        raise IndexError(f"Dimension specified as {dim} but tensor has no dimensions")
    if not -rank <= dim < rank:
        raise IndexError(
            "Dimension out of range "
            f"(expected to be in range of [{-rank}, {rank - 1}], but got {dim})"
        )
    return dim


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


class Dropout1d(Dropout):
    """Returns its input, as torch.nn.Dropout1d does in evaluation mode."""


class Dropout2d(Dropout):
    """Returns its input, as torch.nn.Dropout2d does in evaluation mode."""


class Dropout3d(Dropout):
    """Returns its input, as torch.nn.Dropout3d does in evaluation mode."""


class AlphaDropout(Dropout):
    """Returns its input, as torch.nn.AlphaDropout does in evaluation mode."""


class FeatureAlphaDropout(Dropout):
    """Returns its input, as torch.nn.FeatureAlphaDropout does in evaluation mode."""
