"""The weights that MultiheadAttention shows on demand."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

import numpy as np

from forwardpass import _core

if TYPE_CHECKING:
    from ._typing import Array


def attention_weights(q: Any, k: Any, mask: Any, causal: bool, average: bool) -> Array:
    """softmax(q k / sqrt(width) + mask): (B, heads, T, S), or (B, T, S), the mean over the heads.

    Each step by an operation of docs/numerics.md: linear, + mask, softmax; 0 where no key is seen.
    """
    batch, heads, length, width = q.shape
    keys = k.shape[2]
    scores = np.empty((batch, heads, length, keys), np.float32)
    scaled = q * (np.float32(1) / np.sqrt(np.float32(width)))
    for b, h in np.ndindex(batch, heads):
        scores[b, h] = _core.linear(scaled[b, h], k[b, h])
    unseen = np.zeros((length, keys), np.bool_)
    if causal:
        unseen = np.arange(keys) > np.arange(length)[:, None]
    if mask is not None:
        if mask.dtype == np.bool_:
            unseen = unseen | ~mask
        else:
            with np.errstate(invalid="ignore"):
                scores += mask
            unseen = unseen | (mask == -np.inf)
    np.copyto(scores, np.float32(-np.inf), where=unseen)
    nothing = np.broadcast_to(unseen, scores.shape).all(-1, keepdims=True)
    weights = _core.softmax(scores, -1, None) if scores.size else scores
    np.copyto(weights, np.float32(0), where=nothing)
    if not average:
        return weights
    total: Any = weights[:, 0]
    for h in range(1, heads):
        total = total + weights[:, h]
    return total / np.float32(heads)  # type: ignore[no-any-return]
