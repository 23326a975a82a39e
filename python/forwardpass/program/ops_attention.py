"""Attention, and how it writes its result."""

from __future__ import annotations

from typing import Any

import numpy as np

from forwardpass import _core

from .ir import Array
from .ops import Packs, op

_KINDS = {"q": "array", "k": "array", "v": "array", "mask": "array?", "causal": "bool"}
_KINDS |= {"scale": "number?", "grouped": "bool"}


@op("attention", "softmax(q k^T scale + mask) v for each head", **_KINDS)
def _attention(
    packs: Packs, q: Any, k: Any, v: Any, mask: Any, causal: bool, scale: float | None,
    grouped: bool,
) -> tuple[Any, ...]:  # fmt: skip
    from forwardpass.nn import functional as F

    def attention(query: Array, key: Array, value: Array, seen: Any, out: Any = None) -> Array:
        if query.ndim == 4 and key.shape[:2] == value.shape[:2] and key.shape[0] == query.shape[0]:
            return _core.attention(query, key, value, seen, causal, 0, scale, out)
        return F.scaled_dot_product_attention(
            query, key, value, seen, is_causal=causal, scale=scale, enable_gqa=grouped
        )

    return attention, q, k, v, mask


@op("attention_rows", "attention whose result is (batch, queries, heads width)", **_KINDS)
def _attention_rows(
    packs: Packs, q: Any, k: Any, v: Any, mask: Any, causal: bool, scale: float | None,
    grouped: bool,
) -> tuple[Any, ...]:  # fmt: skip
    def attention(query: Array, key: Array, value: Array, seen: Any, out: Any = None) -> Array:
        batch, heads, length, _ = query.shape
        rows = out if out is not None else np.empty(
            (batch, length, heads * value.shape[3]), np.float32
        )  # fmt: skip
        turned = rows.reshape(batch, length, heads, -1).transpose(0, 2, 1, 3)
        _core.attention(query, key, value, seen, causal, 0, scale, turned)
        return rows

    return attention, q, k, v, mask
