"""MultiheadAttention."""

from __future__ import annotations

from functools import partial
from typing import TYPE_CHECKING, Any, ClassVar

import numpy as np

from forwardpass import _core

from . import init
from ._attention_masks import Masks
from ._attention_weights import attention_weights
from ._checks import integer, require_cpu, require_float32
from ._children import Children
from ._layer import Layer
from ._stacked import CHAINED
from .functional._shape import float32
from .linear import Linear
from .parameter import LOCK, Parameter

if TYPE_CHECKING:
    from ._typing import Array, ArrayInput

_attention = _core.attention
_OP = "MultiheadAttention"


class NonDynamicallyQuantizableLinear(Linear):
    """Linear under the name that torch's repr has for the output of MultiheadAttention."""


def split_heads(x: Any, heads: int, batch_first: bool) -> Any:
    """(B, T, E) or, without batch_first, (T, B, E) to (B, heads, T, E / heads): a view."""
    first, second, width = x.shape
    parts = x.reshape(first, second, heads, width // heads)
    return parts.transpose((0, 2, 1, 3) if batch_first else (1, 2, 0, 3))


class MultiheadAttention(Layer):
    """Attention of several heads: (query, key, value) to (output, weights or None).

    Shapes, with batch_first: query (B, T, embed_dim), key (B, S, kdim), value (B, S, vdim) to
    output (B, T, embed_dim) and weights (B, T, S), or (B, num_heads, T, S) without
    `average_attn_weights`; without batch_first the first two dimensions of all but the weights
    trade places; without a batch (T, embed_dim) and so on, weights (T, S).

    `attn_mask` (T, S) or (B * num_heads, T, S) and `key_padding_mask` (B, S) are bool, True where a
    key does not take part, or float32, added to the scores. `is_causal` says that attn_mask is the
    causal one, which must be given and then is not looked at. A query that sees no key attends to
    nothing: its weights are 0, its output out_proj's bias.

    Whether the weights are asked for changes no bit of the output (they are computed anew), nor
    does passing one array three times, which runs the projections as one product. dropout changes
    nothing. Follows torch.nn.MultiheadAttention.
    """

    in_proj_weight: Any
    in_proj_bias: Any
    out_proj: Any
    _structural: ClassVar[frozenset[str]] = Layer._structural | {"_modules"}

    def __init__(
        self,
        embed_dim: int,
        num_heads: int,
        dropout: float = 0.0,
        bias: bool = True,
        add_bias_kv: bool = False,
        add_zero_attn: bool = False,
        kdim: int | None = None,
        vdim: int | None = None,
        batch_first: bool = False,
        device: Any = None,
        dtype: Any = None,
    ) -> None:
        super().__init__()
        self.__dict__["_modules"] = Children()  # a change of out_proj is one of the layers around
        self.embed_dim = width = integer(_OP, "embed_dim", embed_dim, -(1 << 62))
        self.num_heads = integer(_OP, "num_heads", num_heads, -(1 << 62))
        if width <= 0 or self.num_heads <= 0:
            raise ValueError(
                "embed_dim and num_heads must be greater than 0, "
                f"got embed_dim={width} and num_heads={self.num_heads} instead"
            )
        self.kdim = width if kdim is None else integer(_OP, "kdim", kdim, 1)
        self.vdim = width if vdim is None else integer(_OP, "vdim", vdim, 1)
        self.dropout = dropout
        self.batch_first = batch_first
        self.head_dim = width // self.num_heads
        if self.head_dim * self.num_heads != width:
            raise ValueError("embed_dim must be divisible by num_heads")
        require_cpu(_OP, device)
        require_float32(_OP, dtype)
        self._qkv_same_embed_dim = self.kdim == width == self.vdim
        self._register(bias)
        self.out_proj = NonDynamicallyQuantizableLinear(width, width, bias)
        if bias:
            zeros = Parameter.drawn(init.constant, (width,), 0.0)
            self.out_proj.register_parameter("bias", zeros)
        deviation = width**-0.5  # xavier_normal of (1, 1, width)
        for name in ("bias_k", "bias_v"):
            row = Parameter.drawn(init.scaled_normal, (1, 1, width), deviation)
            self.register_parameter(name, row if add_bias_kv else None)
        self.add_zero_attn = add_zero_attn

    def _register(self, bias: bool) -> None:
        """The weights of the three projections, in one parameter where their inputs agree."""
        width = self.embed_dim

        def drawn(*shape: int) -> Parameter:
            return Parameter.drawn(init.uniform, shape, init.xavier_bound(shape))

        if self._qkv_same_embed_dim:
            self.register_parameter("in_proj_weight", drawn(3 * width, width))
            for name in ("q", "k", "v"):
                self.register_parameter(f"{name}_proj_weight", None)
        else:
            for name, inputs in (("q", width), ("k", self.kdim), ("v", self.vdim)):
                self.register_parameter(f"{name}_proj_weight", drawn(width, inputs))
            self.register_parameter("in_proj_weight", None)
        zeros = Parameter.drawn(init.constant, (3 * width,), 0.0)
        self.register_parameter("in_proj_bias", zeros if bias else None)

    # ---- projections -----------------------------------------------------------------------

    def _project(self, parts: str, x: Any) -> Array:
        """x through the weights of "q", "k", "v", or of "kv" or "qkv" stacked."""
        packs = self._pack
        pack = None if packs is None else packs.get(parts)
        if pack is None:
            pack = self._make_pack(parts)
        return pack(x)  # type: ignore[no-any-return]

    def _make_pack(self, parts: str) -> Any:
        with LOCK:
            packs = self._pack
            if packs is None:
                packs = self.__dict__["_pack"] = {}
            if parts not in packs:
                first, width = "qkv".index(parts), self.embed_dim
                rows = slice(first * width, (first + len(parts)) * width)
                bias = self.in_proj_bias
                weight = self.in_proj_weight
                if weight is None:
                    weight = getattr(self, f"{parts}_proj_weight")
                else:
                    weight = weight[rows]
                packs[parts] = _core.PackedLinear(weight, None if bias is None else bias[rows])
                self._release(packs)
            return packs[parts]

    def _release(self, packs: dict[str, Any]) -> None:
        """Leave each weight to the packs, once they hold all of it."""
        for parts in (("qkv",), ("q", "kv"), ("q", "k", "v")):
            if all(part in packs for part in parts) and self.in_proj_weight is not None:
                held = [packs[part] for part in parts]
                self.get_parameter("in_proj_weight")._release(partial(_joined, held))
                return
        if self.in_proj_weight is None:
            for part, pack in packs.items():
                self.get_parameter(f"{part}_proj_weight")._release(pack.weight)

    def _projected(self, query: Any, key: Any, value: Any, batch_first: bool) -> tuple[Any, ...]:
        """q, k and v as (B, heads, length, head_dim): views into as few products as can be."""
        heads = self.num_heads
        if self.embed_dim > CHAINED and key is value and self._qkv_same_embed_dim:
            parts = "qkv" if query is key else "kv"
            both = self._project(parts, key)
            first, second, width = both.shape
            count = len(parts)
            split = both.reshape(first, second, count, heads, width // (count * heads))
            found = split.transpose((2, 0, 3, 1, 4) if batch_first else (2, 1, 3, 0, 4))
            if count == 3:
                return found[0], found[1], found[2]
            q = self._project("q", query)
            return split_heads(q, heads, batch_first), found[0], found[1]
        return tuple(
            split_heads(self._project(part, x), heads, batch_first)
            for part, x in (("q", query), ("k", key), ("v", value))
        )

    def _extended(self, x: Any, bias: Any) -> Any:
        """(B, heads, S, head_dim) with the row of bias_k or bias_v and one of zeros behind it."""
        rows = int(bias is not None) + int(self.add_zero_attn)
        if rows == 0:
            return x
        batch, heads, length, width = x.shape
        longer = np.zeros((batch, heads, length + rows, width), np.float32)
        longer[:, :, :length] = x
        if bias is not None:
            longer[:, :, length] = bias.reshape(heads, width)
        return longer

    # ---- forward ---------------------------------------------------------------------------

    def forward(
        self,
        query: ArrayInput,
        key: ArrayInput,
        value: ArrayInput,
        key_padding_mask: Any = None,
        need_weights: bool = True,
        attn_mask: Any = None,
        average_attn_weights: bool = True,
        is_causal: bool = False,
    ) -> tuple[Array, Array | None]:
        average = average_attn_weights if need_weights else None
        y, weights = self._attend(
            query, key, value, key_padding_mask, attn_mask, is_causal, average
        )
        return self._modules["out_proj"](y), weights  # type: ignore[misc]

    def _attend(
        self,
        query: Any,
        key: Any,
        value: Any,
        key_padding_mask: Any,
        attn_mask: Any,
        is_causal: bool,
        average: bool | None = None,
    ) -> tuple[Array, Array | None]:
        """The heads' outputs side by side, of the query's shape, in front of out_proj.

        Weights, averaged over the heads or not, unless `average` is None.
        """
        query, key, value = self._checked(query, key, value)
        batched = query.ndim == 3
        if not batched:
            same = query is key, key is value
            query = query[None]
            key = query if same[0] else key[None]
            value = key if same[1] else value[None]
        batch_first = self.batch_first or not batched
        q, k, v = self._projected(query, key, value, batch_first)
        masks = Masks(q.shape[:3], k.shape[2], key_padding_mask, attn_mask, is_causal, batched)
        if self._parameters["bias_k"] is not None or self.add_zero_attn:
            k, v = self._extended(k, self.bias_k), self._extended(v, self.bias_v)
            masks.extend(k.shape[2])
        y = np.empty((*query.shape[:2], self.embed_dim), np.float32)
        out = split_heads(y, self.num_heads, batch_first)
        mask = masks.merged()
        _attention(q, k, v, mask, masks.causal, 0, None, out)
        weights = None
        if average is not None:
            weights = attention_weights(q, k, mask, masks.causal, average)
        if batched:
            return y, weights
        return y[0], None if weights is None else weights[0]

    def _checked(self, query: Any, key: Any, value: Any) -> tuple[Any, Any, Any]:
        """The three as arrays of shapes that fit; one array for one object."""
        q = float32(query, _OP, "query")
        k = q if key is query else float32(key, _OP, "key")
        v = k if value is key else float32(value, _OP, "value")
        if q.ndim not in (2, 3):
            raise ValueError(
                f"{_OP}: query should be unbatched 2D or batched 3D but received {q.ndim}-D"
            )
        for name, x, width in (("query", q, self.embed_dim), ("key", k, self.kdim)):
            if x.ndim != q.ndim or x.shape[-1] != width:
                raise ValueError(
                    f"{_OP}: {name} must have {q.ndim} dimensions, the last of {width}, got "
                    f"{x.shape}"
                )
        if v.shape != (*k.shape[:-1], self.vdim):
            raise ValueError(
                f"{_OP}: value must have shape {(*k.shape[:-1], self.vdim)}, got {v.shape}"
            )
        batch = 0 if self.batch_first else 1
        if q.ndim == 3 and q.shape[batch] != k.shape[batch]:
            raise ValueError(
                f"{_OP}: query {q.shape} and key {k.shape} must have the same number of batches"
            )
        return q, k, v


def _joined(packs: list[_core.PackedLinear]) -> Array:
    return np.concatenate([pack.weight() for pack in packs])
