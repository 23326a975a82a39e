"""Attention."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

import numpy as np

from forwardpass import _core

from ._shape import float32, result

if TYPE_CHECKING:
    import numpy.typing as npt

    from .._typing import Array, ArrayInput

_OP = "scaled_dot_product_attention"
_attention = _core.attention


def scaled_dot_product_attention(
    query: ArrayInput,
    key: ArrayInput,
    value: ArrayInput,
    attn_mask: ArrayInput | npt.NDArray[np.bool_] | None = None,
    dropout_p: float = 0.0,
    is_causal: bool = False,
    scale: float | None = None,
    enable_gqa: bool = False,
    *,
    out: Array | None = None,
) -> Array:
    """softmax(query @ key.T * scale + attn_mask) @ value, for each head.

    query (*, L, E), key (*, S, E), value (*, S, Ev); gives (*, L, Ev). The leading dimensions
    broadcast; with `enable_gqa` the third from the end is heads, of which query has a multiple, and
    each key and value head serves as many of query's in a row. `attn_mask` broadcasts to (*, L, S):
    bool, True where a key takes part, or float32, added to the scores, -inf where it does not.
    `is_causal`: query i sees keys 0 to i. `scale` is 1 / sqrt(E) unless given. dropout_p must be 0.

    A query that sees no key gives 0. What it does not see changes nothing, NaN and infinities
    included, nor does any other query. Memory does not grow with L * S. Views in which the last
    dimension is contiguous are read (and written) as they are: (B, L, H, E) with its middle
    dimensions swapped, a part of a cache. Follows torch.nn.functional.scaled_dot_product_attention.
    """
    if dropout_p != 0:
        raise ValueError(f"{_OP}(): argument 'dropout_p' must be 0, got {dropout_p}")
    if is_causal and attn_mask is not None:
        raise ValueError(f"{_OP}(): argument 'attn_mask' must be None where is_causal is True")
    if _is_plain(query, key, value, enable_gqa):
        return _attention(query, key, value, attn_mask, bool(is_causal), 0, scale, out)
    q, k, v = float32(query, _OP, "query"), float32(key, _OP, "key"), float32(value, _OP, "value")
    lead, kv_lead = _leads(q, k, v, enable_gqa)
    y_shape = (*lead, q.shape[-2], v.shape[-1])
    mask = None if attn_mask is None else _mask_of(attn_mask, (*lead, q.shape[-2], k.shape[-2]))
    q, k, v = _flat(q, lead), _flat(k, kv_lead), _flat(v, kv_lead)
    if len(lead) == 2:
        return _attention(q, k, v, mask, bool(is_causal), 0, scale, out)
    y = _attention(q, k, v, mask, bool(is_causal), 0, scale, None)
    return result(y.reshape(y_shape), out, _OP)  # type: ignore[no-any-return]


def _is_plain(q: Any, k: Any, v: Any, gqa: bool) -> bool:
    """Four dimensions, none of them stretched: the operator takes (and checks) them as they are."""
    if not (type(q) is type(k) is type(v) is np.ndarray):
        return False
    q_shape, k_shape, v_shape = q.shape, k.shape, v.shape
    return bool(
        len(q_shape) == len(k_shape) == len(v_shape) == 4
        and k_shape[:3] == v_shape[:3]
        and q_shape[0] == k_shape[0]
        and (gqa or q_shape[1] == k_shape[1])
    )


def _leads(q: Any, k: Any, v: Any, gqa: bool) -> tuple[tuple[int, ...], tuple[int, ...]]:
    """The leading dimensions, heads last, of the query and result and of key and value."""
    for name, array in (("query", q), ("key", k), ("value", v)):
        if array.ndim < (3 if gqa else 2):
            form = "(*, heads, length, width)" if gqa else "(*, length, width)"
            raise ValueError(
                f"{_OP}(): argument '{name}' must have shape {form}, got {array.shape}"
            )
    leads = [array.shape[:-2] for array in (q, k, v)]
    if leads[0] == leads[1] == leads[2]:
        return leads[0], leads[0]
    heads: list[tuple[int, ...]] = [(), ()]
    if gqa:
        if k.shape[-3] != v.shape[-3]:
            raise ValueError(
                f"{_OP}(): argument 'value' must have the key's heads, {k.shape[-3]}, got {v.shape}"
            )
        heads = [leads[0][-1:], leads[1][-1:]]
        leads = [lead[:-1] for lead in leads]
    try:
        lead = np.broadcast_shapes(*leads)
    except ValueError:
        raise ValueError(
            f"{_OP}(): the leading dimensions of query {q.shape}, key {k.shape} and value "
            f"{v.shape} do not broadcast"
        ) from None
    return (*lead, *heads[0]), (*lead, *heads[1])


def _flat(array: Any, lead: tuple[int, ...]) -> Any:
    """(*lead, n, width) as (batch, heads, n, width): a view where lead has at most two."""
    if array.shape[:-2] != lead:
        array = np.broadcast_to(array, (*lead, *array.shape[-2:]))
    if len(lead) == 2:
        return array
    if len(lead) < 2:
        return array[(None,) * (2 - len(lead))]
    batch = int(np.prod(lead[:-1], dtype=np.int64))
    return array.reshape(batch, lead[-1], *array.shape[-2:])


def _mask_of(mask: Any, shape: tuple[int, ...]) -> Any:
    """The mask as it is; with more than four dimensions, its batch as one."""
    array = np.asarray(mask)
    if array.dtype != np.bool_:
        array = float32(mask, _OP, "attn_mask")
    try:
        np.broadcast_to(array, shape)
    except ValueError:
        raise ValueError(
            f"{_OP}(): argument 'attn_mask' must broadcast to {shape}, got {array.shape}"
        ) from None
    if array.ndim <= 3 or len(shape) == 4:
        return array
    return np.broadcast_to(array, shape).reshape(-1, *shape[-3:])
