"""The masks of MultiheadAttention, from torch's forms to the one of _core.attention."""

from __future__ import annotations

from typing import Any

import numpy as np

from .functional._shape import float32


def _array(value: Any, name: str) -> Any:
    """A mask as an array of bool or float32."""
    array = value if type(value) is np.ndarray else np.asarray(value)
    if array.dtype == np.bool_ or array.dtype == np.float32:
        return array
    if array.dtype.kind != "f":
        raise TypeError(
            f"MultiheadAttention: only bool and float32 types of {name} are supported, "
            f"got {array.dtype}"
        )
    return float32(value, "MultiheadAttention", name)


def _added(mask: Any) -> Any:
    """A mask as float32 to add: -inf where it is True."""
    if mask.dtype != np.bool_:
        return mask
    return np.where(mask, np.float32(-np.inf), np.float32(0))


class Masks:
    """key_padding_mask (B, S) and attn_mask (T, S) or (B * heads, T, S), True where left out."""

    __slots__ = ("attn", "causal", "padding")

    def __init__(
        self,
        sizes: tuple[int, int, int],
        keys: int,
        key_padding_mask: Any,
        attn_mask: Any,
        is_causal: bool,
        batched: bool,
    ) -> None:
        """`sizes` are (B, heads, T) of the query."""
        self.attn: Any = None
        self.padding: Any = None
        self.causal = is_causal
        if attn_mask is not None:
            self.attn = _attention_mask(_array(attn_mask, "attn_mask"), sizes, keys)
        elif is_causal:
            raise ValueError(
                "Need attn_mask if specifying the is_causal hint. You may use the Transformer "
                "module method `generate_square_subsequent_mask` to create this mask."
            )
        if key_padding_mask is not None:
            padding = _array(key_padding_mask, "key_padding_mask")
            want = (sizes[0], keys) if batched else (keys,)
            if padding.shape != want:
                raise ValueError(
                    f"MultiheadAttention: expected key_padding_mask.shape of {want}, "
                    f"got {padding.shape}"
                )
            self.padding = padding.reshape(sizes[0], 1, 1, keys)

    def extend(self, keys: int) -> None:
        """For keys behind the others that every query sees; a causal mask then says it itself."""
        self.causal = False
        for name in ("attn", "padding"):
            mask = getattr(self, name)
            if mask is not None:
                longer = np.zeros((*mask.shape[:-1], keys), mask.dtype)
                longer[..., : mask.shape[-1]] = mask
                setattr(self, name, longer)

    def merged(self) -> Any:
        """For _core.attention: None, bool and True where a key takes part, or float32 to add."""
        attn, padding = None if self.causal else self.attn, self.padding
        if attn is None and padding is None:
            return None
        if attn is None or padding is None:
            mask = padding if attn is None else attn
            return ~mask if mask.dtype == np.bool_ else mask
        if attn.dtype == padding.dtype == np.bool_:
            return ~(attn | padding)
        return _added(attn) + _added(padding)


def _attention_mask(mask: Any, sizes: tuple[int, int, int], keys: int) -> Any:
    batch, heads, queries = sizes
    if mask.shape == (queries, keys):
        return mask
    if mask.shape == (batch * heads, queries, keys):
        return mask.reshape(batch, heads, queries, keys)
    raise ValueError(
        f"MultiheadAttention: the shape of attn_mask is {mask.shape}, but should be "
        f"{(queries, keys)} or {(batch * heads, queries, keys)}"
    )


def causal_mask(size: int) -> Any:
    """(size, size): 0 where key <= query, else -inf."""
    later = np.arange(size) > np.arange(size)[:, None]
    return _added(later)


def is_causal_mask(mask: Any, size: int) -> bool:
    """Whether a mask, of bool or float32, is the causal one."""
    array = np.asarray(mask)
    if array.shape != (size, size):
        return False
    later = np.arange(size) > np.arange(size)[:, None]
    return bool((array == (later if array.dtype == np.bool_ else _added(later))).all())
