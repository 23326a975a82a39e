"""CausalSelfAttention, the attention of a decoder block."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any, ClassVar

import numpy as np

from forwardpass import _core

from ._checks import integer
from ._stacked import Stacked, StackingLayer
from .containers import plain
from .functional._rotary import table_rows
from .functional._shape import float32
from .linear import Linear

if TYPE_CHECKING:
    from ._typing import Array, ArrayInput
    from .kv_cache import KVCache

_attention = _core.attention
_rotary = _core.rotary_embedding
_OP = "CausalSelfAttention"


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
        if rope_base is not None and (self.rotary_dim % 2 or self.rotary_dim > size):
            raise ValueError(
                f"{_OP}: rotary_dim must be even and at most head_dim, got {self.rotary_dim} "
                f"and {size}"
            )
        more = (device, dtype)
        if stacked:
            setattr(self, self._whole, Linear(width, (heads + 2 * groups) * size, bias, *more))
        else:
            for name, count in zip(self._stacking, (heads, groups, groups), strict=True):
                setattr(self, name, Linear(width, count * size, bias, *more))
        setattr(self, self._last, Linear(heads * size, width, out_bias, *more))

    def forward(self, input: ArrayInput, cache: KVCache | None = None, layer: int = 0) -> Array:
        x: Any = input if type(input) is np.ndarray else float32(input, _OP)
        if x.ndim not in (2, 3) or x.shape[-1] != self.embed_dim:
            raise ValueError(
                f"{_OP}: input must have shape (B, T, {self.embed_dim}) or (T, {self.embed_dim}), "
                f"got {x.shape}"
            )
        batch, length = x.shape[:2] if x.ndim == 3 else (1, len(x))
        q, k, v, both = self._projected(x, batch, length)
        offset = 0 if cache is None else cache.layer_length(layer)
        if self.rope_base is not None:
            cos, sin = table_rows(self.rotary_dim, self.rope_base, offset, length)
            if both is not None:
                _rotary(both, cos, sin, self.interleaved, both)
            else:
                q = _rotary(q, cos, sin, self.interleaved, None)
                k = _rotary(k, cos, sin, self.interleaved, None)
        y = np.empty((*x.shape[:-1], self.num_heads * self.head_dim), np.float32)
        out = self._split(y, batch, length, self.num_heads)
        if cache is None:
            _attention(q, k, v, None, True, 0, None, out)
            return self._modules[self._last](y)  # type: ignore[no-any-return,misc]
        k, v = cache.append(layer, k, v)
        try:
            _attention(q, k, v, None, True, offset, None, out)
            return self._modules[self._last](y)  # type: ignore[no-any-return,misc]
        except BaseException:
            cache.truncate_layer(layer, offset)
            raise

    def _projected(self, x: Any, batch: int, length: int) -> tuple[Any, Any, Any, Any]:
        """q, k and v as (B, heads, T, head_dim); q and k as one view too, if it is ours alone."""
        modules: Any = self._modules
        heads, groups = self.num_heads, self.num_kv_heads
        whole = modules.get(self._whole)
        if whole is not None:
            product, ours = whole(x), plain(whole, (Linear,))
        else:
            stacked = self._current()
            if stacked is None or not _in_order(stacked):
                q, k, v = (modules[name](x) for name in self._stacking)
                return (
                    self._split(q, batch, length, heads),
                    self._split(k, batch, length, groups),
                    self._split(v, batch, length, groups),
                    None,
                )
            product, ours = stacked.pack(x), True
        split = self._split(product, batch, length, heads + 2 * groups)
        both = split[:, : heads + groups]
        return both[:, :heads], both[:, heads:], split[:, heads + groups :], both if ours else None

    def _split(self, x: Any, batch: int, length: int, heads: int) -> Any:
        return x.reshape(batch, length, heads, self.head_dim).transpose(0, 2, 1, 3)

    def extra_repr(self) -> str:
        return (
            f"embed_dim={self.embed_dim}, num_heads={self.num_heads}, "
            f"num_kv_heads={self.num_kv_heads}, head_dim={self.head_dim}, "
            f"rope_base={self.rope_base}"
        )


def _in_order(stacked: Stacked) -> bool:
    """Whether the children have not traded places since their weights were stacked."""
    ends = [part.rows.stop for part in stacked.parts]
    starts = [part.rows.start for part in stacked.parts]
    return starts == [0, *ends[:-1]]
