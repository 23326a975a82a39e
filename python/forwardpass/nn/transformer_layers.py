"""TransformerEncoderLayer and TransformerDecoderLayer."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any, ClassVar

from ._transformer_layer import TransformerLayer
from .functional._shape import float32

if TYPE_CHECKING:
    from ._typing import Array, ArrayInput


class TransformerEncoderLayer(TransformerLayer):
    """Self-attention and a feed-forward block, each with a residual and a LayerNorm.

    src (B, T, d_model) with batch_first, (T, B, d_model) without, or (T, d_model); the result has
    its shape. Masks as in MultiheadAttention. `activation` is "relu", "gelu" or a callable of one
    array. With `norm_first` each block begins with its norm, else it ends with it.

    Linear layers run with the activation or the residual behind them, unless one of the children
    has a hook, is of a subclass or has its forward replaced. The result has the same bits. Follows
    torch.nn.TransformerEncoderLayer.
    """

    self_attn: Any
    norm1: Any
    norm2: Any
    _attentions: ClassVar[dict[str, str]] = {"self_attn": "dropout1"}
    _last_dropout: ClassVar[str] = "dropout2"

    def forward(
        self,
        src: ArrayInput,
        src_mask: Any = None,
        src_key_padding_mask: Any = None,
        is_causal: bool = False,
    ) -> Array:
        plan = self._current_plan()
        x: Any = float32(src, "TransformerEncoderLayer", "src")
        modules: Any = self._modules
        rest = (src_key_padding_mask, src_mask, is_causal)
        if self.norm_first:
            z = modules["norm1"](x)
            x = self._attended(plan, "self_attn", z, z, x, *rest)
            return self._fed_forward(plan, modules["norm2"](x), x)  # type: ignore[no-any-return]
        x = self._normed(plan, "norm1", self._attended(plan, "self_attn", x, x, x, *rest))
        return self._normed(plan, "norm2", self._fed_forward(plan, x, x))  # type: ignore[no-any-return]


class TransformerDecoderLayer(TransformerLayer):
    """Self-attention, attention to `memory`, and a feed-forward block, with residuals and norms.

    tgt (B, T, d_model) and memory (B, S, d_model) with batch_first, (T, B, d_model) and
    (S, B, d_model) without, or without a batch; the result has tgt's shape. The rest as in
    TransformerEncoderLayer. Follows torch.nn.TransformerDecoderLayer.
    """

    self_attn: Any
    multihead_attn: Any
    norm1: Any
    norm2: Any
    norm3: Any
    _attentions: ClassVar[dict[str, str]] = {"self_attn": "dropout1", "multihead_attn": "dropout2"}
    _last_dropout: ClassVar[str] = "dropout3"

    def forward(
        self,
        tgt: ArrayInput,
        memory: ArrayInput,
        tgt_mask: Any = None,
        memory_mask: Any = None,
        tgt_key_padding_mask: Any = None,
        memory_key_padding_mask: Any = None,
        tgt_is_causal: bool = False,
        memory_is_causal: bool = False,
    ) -> Array:
        plan = self._current_plan()
        x: Any = float32(tgt, "TransformerDecoderLayer", "tgt")
        memory = float32(memory, "TransformerDecoderLayer", "memory")
        modules: Any = self._modules
        own = (tgt_key_padding_mask, tgt_mask, tgt_is_causal)
        other = (memory_key_padding_mask, memory_mask, memory_is_causal)
        if self.norm_first:
            z = modules["norm1"](x)
            x = self._attended(plan, "self_attn", z, z, x, *own)
            x = self._attended(plan, "multihead_attn", modules["norm2"](x), memory, x, *other)
            return self._fed_forward(plan, modules["norm3"](x), x)  # type: ignore[no-any-return]
        x = self._normed(plan, "norm1", self._attended(plan, "self_attn", x, x, x, *own))
        x = self._attended(plan, "multihead_attn", x, memory, x, *other)
        x = self._normed(plan, "norm2", x)
        return self._normed(plan, "norm3", self._fed_forward(plan, x, x))  # type: ignore[no-any-return]
