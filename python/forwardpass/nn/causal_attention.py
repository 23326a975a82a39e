"""CausalSelfAttention, the attention of a decoder block."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any, ClassVar

import numpy as np

from forwardpass import _core

from ._checks import integer
from ._children import plain
from ._stacked import StackingLayer
from .functional._rope_scaling import RopeScaling
from .functional._rotary import table_at, table_rows
from .functional._shape import float32
from .kv_cache import KVCache
from .linear import Linear

if TYPE_CHECKING:
    from collections.abc import Mapping

    from ._typing import Array, ArrayInput

_attention = _core.attention
_rotary = _core.rotary_embedding
_self_attention = _core._self_attention
_OP = "CausalSelfAttention"
_GEOMETRY = (
    "num_heads",
    "num_kv_heads",
    "head_dim",
    "rope_base",
    "rotary_dim",
    "interleaved",
    "rope_scaling",
)


class CausalSelfAttention(StackingLayer):
    """Causal self-attention with grouped heads, rotary positions and a cache, as in Llama.

    input (B, T, embed_dim) or (T, embed_dim) to the same shape; position t sees 0 to t. torch.nn
    has no such layer.

        num_kv_heads   heads of keys and values, each of which serves num_heads / num_kv_heads query
                       heads in a row; num_heads unless given
        head_dim       embed_dim / num_heads unless given
        bias           of q_proj, k_proj and v_proj (or qkv_proj); out_bias of o_proj
        rope_base      base of the rotary embedding, None for none; rotary_dim and interleaved as in
                       F.rotary_embedding
        rope_scaling   of kind "linear", "llama3" (with the keys of a config.json) or "factors"
        stacked        one Linear qkv_proj (rows of q, then k, then v, as in Phi-3) instead of
                       q_proj, k_proj and v_proj (as in Llama)

    With a KVCache, `forward(input, cache, layer)` takes the positions behind those that `layer` of
    the cache holds and adds them: in any cut of a sequence, token by token or at once, with a
    cache or without, a position has the same bytes. A call that fails adds nothing, to its layer.

    q_proj, k_proj and v_proj run as one product, unless one of them has at most 32 outputs or a
    hook, is of a subclass or has its forward replaced. The result has the same bits.
    """

    o_proj: Any
    # The children's names, which a subclass may change to those of its checkpoints.
    _stacking: ClassVar[tuple[str, ...]] = ("q_proj", "k_proj", "v_proj")
    _whole: ClassVar[str] = "qkv_proj"
    _last: ClassVar[str] = "o_proj"
    _structural: ClassVar[frozenset[str]] = StackingLayer._structural | frozenset(_GEOMETRY)

    def __init__(
        self,
        embed_dim: int,
        num_heads: int,
        num_kv_heads: int | None = None,
        head_dim: int | None = None,
        *,
        bias: bool = False,
        out_bias: bool = False,
        rope_base: float | None = 10000.0,
        rotary_dim: int | None = None,
        interleaved: bool = False,
        rope_scaling: Mapping[str, Any] | None = None,
        stacked: bool = False,
        device: Any = None,
        dtype: Any = None,
    ) -> None:
        super().__init__()
        self.embed_dim = width = integer(_OP, "embed_dim", embed_dim, 1)
        self.num_heads = heads = integer(_OP, "num_heads", num_heads, 1)
        self.num_kv_heads = groups = (
            heads if num_kv_heads is None else integer(_OP, "num_kv_heads", num_kv_heads, 1)
        )
        if heads % groups:
            raise ValueError(
                f"{_OP}: num_heads must be a multiple of num_kv_heads, got {heads} and {groups}"
            )
        if head_dim is None and width % heads:
            raise ValueError(
                f"{_OP}: embed_dim must be divisible by num_heads, got {width} and {heads}"
            )
        size = width // heads if head_dim is None else integer(_OP, "head_dim", head_dim, 1)
        self.head_dim = size
        self.rope_base = rope_base
        self.rotary_dim = size if rotary_dim is None else integer(_OP, "rotary_dim", rotary_dim, 0)
        self.interleaved = interleaved
        self.rope_scaling = RopeScaling.from_config(rope_scaling, _OP) if rope_scaling else None
        if rope_base is not None and (self.rotary_dim % 2 or self.rotary_dim > size):
            raise ValueError(
                f"{_OP}: rotary_dim must be even and at most head_dim, got {self.rotary_dim} "
                f"and {size}"
            )
        if rope_base is not None and self.rope_scaling:
            self.rope_scaling.frequencies(self.rotary_dim, rope_base)  # its errors, now
        more = (device, dtype)
        if stacked:
            setattr(self, self._whole, Linear(width, (heads + 2 * groups) * size, bias, *more))
        else:
            for name, count in zip(self._stacking, (heads, groups, groups), strict=True):
                setattr(self, name, Linear(width, count * size, bias, *more))
        setattr(self, self._last, Linear(heads * size, width, out_bias, *more))

    def forward(self, input: ArrayInput, cache: KVCache | None = None, layer: int = 0) -> Array:
        return self._added(input, cache, layer, None)

    def _added(self, input: Any, cache: Any, layer: int, residual: Any) -> Array:
        """The result, plus `residual` unless that is None."""
        x: Any = input if type(input) is np.ndarray else float32(input, _OP)
        shape = x.shape
        if len(shape) not in (2, 3) or shape[-1] != self.embed_dim:
            raise ValueError(
                f"{_OP}: input must have shape (B, T, {self.embed_dim}) or (T, {self.embed_dim}), "
                f"got {shape}"
            )
        batch, length = shape[:2] if len(shape) == 3 else (1, shape[0])
        modules: Any = self._modules
        offset = 0 if cache is None else cache.layer_length(layer)
        stacked, product, ours = self._current(), None, True
        if stacked is not None and stacked.in_order:
            product = stacked.pack(x)
        elif self._whole in modules:
            product, ours = modules[self._whole](x), self._whole in self._plan[2]
        else:
            ours = False
        try:
            if ours and self._fits(cache, batch):
                y = self._at_once(product, length, cache, layer)
                y = y if len(shape) == 3 else y[0]
            else:
                y = self._apart(x, product, batch, length, cache, layer)
            return self._last_product(self._last, y, residual)  # type: ignore[no-any-return]
        except BaseException:
            if cache is not None:
                cache.truncate_layer(layer, offset)
            raise

    def _one_product(self) -> Any:
        whole: Any = self._modules.get(self._whole)
        if whole is None:
            return super()._one_product()
        if not plain(whole, (Linear,)):
            return None
        return whole._make_pack() if whole._pack is None else whole._pack

    def _fits(self, cache: Any, batch: int) -> bool:
        """Whether `_at_once` knows the cache's layout."""
        if cache is None:
            return True
        size = self.head_dim
        return type(cache) is KVCache and cache._sizes == (batch, self.num_kv_heads, size, size)

    def _geometry(self) -> tuple[Any, ...]:
        """All that `_at_once` depends on."""
        return tuple(getattr(self, name) for name in _GEOMETRY)

    def _tables(self, offset: int, length: int) -> tuple[Any, Any, int]:
        """Cosines and sines with those of the positions, and the first one's row; or None, None."""
        if self.rope_base is None:
            return None, None, 0
        return table_at(self.rotary_dim, self.rope_base, offset, length, self.rope_scaling)

    def _at_once(self, product: Any, length: int, cache: Any, layer: int) -> Any:
        """Rotary embedding, the cache and attention in one call; the product is written to."""
        heads, groups = self.num_heads, self.num_kv_heads
        keys, values, offset = None, None, 0
        if cache is not None:
            keys, values, offset = cache._with_room(layer, length)
        cos, sin, at = self._tables(offset, length)
        if product.ndim == 2:
            product = product[None]
        y = _self_attention(
            product, heads, groups, True, cos, sin, self.interleaved, at, keys, values, offset
        )
        if cache is not None:
            cache._lengths[layer] = offset + length
        return y

    def _apart(self, x: Any, product: Any, batch: int, length: int, cache: Any, layer: int) -> Any:
        """The same step by step: of products that someone watches, for other kinds of caches."""
        modules: Any = self._modules
        heads, groups = self.num_heads, self.num_kv_heads
        if product is None:
            parts = [modules[name](x) for name in self._stacking]
        else:
            ends = (heads * self.head_dim, (heads + groups) * self.head_dim)
            parts = np.split(product, ends, -1)
        q = self._split(parts[0], batch, length, heads)
        k, v = (self._split(part, batch, length, groups) for part in parts[1:])
        offset = 0 if cache is None else cache.layer_length(layer)
        if self.rope_base is not None:
            tables = table_rows(self.rotary_dim, self.rope_base, offset, length, self.rope_scaling)
            q = _rotary(q, *tables, self.interleaved, None)
            k = _rotary(k, *tables, self.interleaved, None)
        if cache is not None:
            k, v = cache.append(layer, k, v)
        y = np.empty((*x.shape[:-1], heads * self.head_dim), np.float32)
        _attention(q, k, v, None, True, offset, None, self._split(y, batch, length, heads))
        return y

    def _split(self, x: Any, batch: int, length: int, heads: int) -> Any:
        return x.reshape(batch, length, heads, self.head_dim).transpose(0, 2, 1, 3)

    def extra_repr(self) -> str:
        return (
            f"embed_dim={self.embed_dim}, num_heads={self.num_heads}, "
            f"num_kv_heads={self.num_kv_heads}, head_dim={self.head_dim}, "
            f"rope_base={self.rope_base}"
        )
