"""The cases of attention: prefill, and one token against a cache; and their ONNX graphs."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from functools import partial
from typing import Any

import numpy as np

from case import Arguments, Case
from forwardpass.reference.arrays import make

PREFILL = (128, 512, 1024)  # queries and keys of 12 heads of 64
CACHED = (1024, 8192)  # keys of 3 heads of 64, for 9 heads' one query


def _arguments(heads: int, kv_heads: int, queries: int, keys: int, causal: bool) -> Arguments:
    shapes = {"query": (heads, queries), "key": (kv_heads, keys), "value": (kv_heads, keys)}
    call: Arguments = {n: make(f"attention/{n}", (1, *s, 64)) for n, s in shapes.items()}
    return {**call, "causal": causal}


def _case(heads: int, kv_heads: int, queries: int, keys: int, causal: bool) -> Case:
    shape = f"{heads}of{kv_heads}x64q{queries}k{keys}" + ("+causal" if causal else "")
    pairs = queries * (queries + 1) // 2 if causal else queries * keys
    moved = 4.0 * 64 * 2 * (heads * queries + kv_heads * keys)
    build = partial(_arguments, heads, kv_heads, queries, keys, causal)
    quick = queries * keys in (128 * 128, 1024)
    return Case("attention", shape, "attention", build, moved, 4.0 * heads * 64 * pairs, quick)


def cases() -> Iterator[Case]:
    for n in PREFILL:
        for causal in (False, True):
            yield _case(12, 12, n, n, causal)
    for keys in CACHED:
        yield _case(9, 3, 1, keys, False)


GROUPS: dict[str, Callable[[], Iterator[Case]]] = {"attention": cases}


def packed_heads(x: np.ndarray) -> np.ndarray:
    """(B, H, T, D) as (B, T, H D), which Microsoft's operators take."""
    return np.ascontiguousarray(x.swapaxes(1, 2)).reshape(x.shape[0], x.shape[2], -1)


def heads_again(y: np.ndarray, heads: int) -> np.ndarray:
    return y.reshape(*y.shape[:2], heads, -1).swapaxes(1, 2)


def in_groups(x: np.ndarray, kv_heads: int) -> np.ndarray:
    """One query of each head, the heads of a group as queries: (B, G, H / G, D)."""
    return x.reshape(x.shape[0], kv_heads, -1, x.shape[3])


def graphs(
    a: Arguments, node: Callable[..., Any]
) -> Iterator[tuple[str, Any, Arguments, Any, Any]]:
    """(way, node, inputs, its output, how to read that) for each way of writing a case."""
    q, k, v, causal = a["query"], a["key"], a["value"], int(a["causal"])
    out = np.zeros((*q.shape[:3], v.shape[3]), np.float32)
    inputs = {"q": q, "k": k, "v": v}
    yield "Attention", node("Attention", "q k v", "y", is_causal=causal), inputs, out, None
    heads = k.shape[1]
    if q.shape[1] != heads:
        q = in_groups(q, heads)
    multi = node(
        "MultiHeadAttention",
        "q k v",
        "y",
        domain="com.microsoft",
        num_heads=heads,
        unidirectional=causal,
    )

    def read(y: np.ndarray) -> np.ndarray:
        return heads_again(y, heads).reshape(out.shape)

    packed = packed_heads(np.zeros((*q.shape[:3], v.shape[3]), np.float32))
    keys = {"k": packed_heads(k), "v": packed_heads(v)} if q is a["query"] else {"k": k, "v": v}
    yield "MultiHeadAttention", multi, {"q": packed_heads(q), **keys}, packed, read
    if q is a["query"]:
        yield (
            "MultiHeadAttention, keys by head",
            multi,
            {**inputs, "q": packed_heads(q)},
            packed,
            read,
        )
