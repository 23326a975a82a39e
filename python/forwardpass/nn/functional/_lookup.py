"""Rows of tables by index."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

from forwardpass import _core

from ._shape import shape

if TYPE_CHECKING:
    from .._typing import Array, ArrayInput

_embedding = _core.embedding


def embedding(
    input: Any,
    weight: ArrayInput,
    padding_idx: int | None = None,
    max_norm: float | None = None,
    norm_type: float = 2.0,
    scale_grad_by_freq: bool = False,
    sparse: bool = False,
    *,
    out: Array | None = None,
) -> Array:
    """weight[input]: rows of `weight` (V, D) by index; gives input.shape + (D,).

    input holds integers of any width in [0, V): IndexError outside, TypeError for floats.
    `padding_idx`, `norm_type`, `scale_grad_by_freq` and `sparse` concern gradients or max_norm and
    change nothing; `max_norm` raises NotImplementedError. Follows torch.nn.functional.embedding.
    """
    if padding_idx is not None:
        rows = shape(weight)[0]
        if not -rows <= padding_idx < max(rows, 1):
            raise ValueError("Padding_idx must be within num_embeddings")
    if max_norm is not None:
        raise NotImplementedError("embedding: max_norm")
    return _embedding(input, weight, out)
