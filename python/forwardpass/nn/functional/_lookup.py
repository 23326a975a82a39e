"""Rows of tables by index."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

import numpy as np

from forwardpass import _core

from ._shape import float32, result, shape

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
    Rows whose `norm_type`-norm is above `max_norm` are scaled to it (in the result; torch scales
    them in the table as well). `padding_idx`, `scale_grad_by_freq` and `sparse` concern gradients
    and change nothing. Follows torch.nn.functional.embedding.
    """
    if padding_idx is not None:
        count = shape(weight)[0]
        if not -count <= padding_idx < max(count, 1):
            raise ValueError("Padding_idx must be within num_embeddings")
    if max_norm is None:
        return _embedding(input, weight, out)
    rows = _core.renorm(_embedding(input, weight, None), max_norm, norm_type, None)
    return result(rows, out, "embedding")  # type: ignore[no-any-return]


def _integers(value: Any, argument: str) -> Any:
    array = np.asarray(value)
    if array.dtype.kind not in "iu":
        raise TypeError(
            f"embedding_bag(): argument '{argument}' must be an integer array, got {array.dtype}; "
            f"cast it with {argument}.astype(np.int64)"
        )
    if array.dtype.kind == "u" and array.size and array.max() > np.iinfo(np.int64).max:
        raise IndexError(f"embedding_bag(): {argument} {array.max()} is out of range")
    return array.astype(np.int64)


def _bags(index: Any, offsets: Any, include_last: bool) -> Any:
    """Where each bag begins, and the last one ends."""
    if index.ndim == 2:
        if offsets is not None:
            raise ValueError("embedding_bag: if input is 2D, then offsets has to be None")
        return np.arange(len(index) + 1) * index.shape[1]
    if index.ndim != 1:
        raise ValueError(f"embedding_bag: input has to be 1D or 2D, got {index.ndim} dimensions")
    if offsets is None:
        raise ValueError("embedding_bag: offsets has to be a 1D array but got None")
    starts = _integers(offsets, "offsets")
    if starts.ndim != 1:
        raise ValueError("embedding_bag: offsets has to be a 1D array")
    if include_last and not starts.size:
        raise ValueError(
            "embedding_bag: include_last_offset: number of offsets should be at least 1"
        )
    ends = starts if include_last else np.append(starts, index.size)
    if ends.size > 1 and ends[0] != 0:
        raise ValueError(f"embedding_bag: offsets[0] has to be 0, got {ends[0]}")
    if (np.diff(ends) < 0).any() or ends[-1] > index.size:
        raise ValueError(
            f"embedding_bag: offsets must rise and not pass the {index.size} indices of the input"
        )
    return ends


def embedding_bag(
    input: Any,
    weight: ArrayInput,
    offsets: Any = None,
    max_norm: float | None = None,
    norm_type: float = 2,
    scale_grad_by_freq: bool = False,
    mode: str = "mean",
    sparse: bool = False,
    per_sample_weights: ArrayInput | None = None,
    include_last_offset: bool = False,
    padding_idx: int | None = None,
    *,
    out: Array | None = None,
) -> Array:
    """The sum, mean or maximum (`mode`) of the rows of `weight` (V, D) that each bag names.

    input (B, n): a bag a row; or (N,) with `offsets` (B,), where each bag begins
    (`include_last_offset`: one more, where the last ends). Gives (B, D), 0 for an empty bag.
    `per_sample_weights`, of the input's shape, multiply the rows of a sum. Indices equal to
    `padding_idx` are left out. `max_norm` as in embedding. Follows
    torch.nn.functional.embedding_bag.
    """
    index = _integers(input, "input")
    table = float32(weight, "embedding_bag", "weight")
    if table.ndim != 2:
        raise ValueError(f"embedding_bag: weight has to be 2D, got shape {table.shape}")
    if mode not in ("sum", "mean", "max"):
        raise ValueError("embedding_bag: mode has to be one of sum, mean or max")
    if mode == "max" and (scale_grad_by_freq or sparse):
        raise ValueError("embedding_bag: max mode supports neither scale_grad_by_freq nor sparse")
    factors = None
    if per_sample_weights is not None:
        factors = float32(per_sample_weights, "embedding_bag", "per_sample_weights")
        if factors.shape != index.shape:
            raise ValueError(
                f"embedding_bag: per_sample_weights {factors.shape} must have the shape of the "
                f"input, {index.shape}"
            )
        if mode != "sum":
            raise NotImplementedError(f"embedding_bag: per_sample_weights with mode={mode!r}")
        factors = factors.reshape(-1)
    ends = _bags(index, offsets, include_last_offset)
    index = index.reshape(-1)[: ends[-1]]
    factors = None if factors is None else factors[: ends[-1]]
    if padding_idx is not None:
        if not -len(table) <= padding_idx < max(len(table), 1):
            raise ValueError("embedding_bag: padding_idx must be within num_embeddings")
        kept = index != padding_idx % max(len(table), 1)
        ends = np.append(0, np.cumsum(kept))[ends]
        index, factors = index[kept], None if factors is None else factors[kept]
    if max_norm is not None:
        table = _core.renorm(_embedding(index, table, None), max_norm, norm_type, None)
        index = np.arange(len(index))
    return _core.embedding_bag(index, ends, table, mode, factors, out)
