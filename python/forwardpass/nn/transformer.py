"""TransformerEncoder, TransformerDecoder and Transformer."""

from __future__ import annotations

import copy
from typing import TYPE_CHECKING, Any

import numpy as np

from . import functional as F
from . import init
from ._attention_masks import causal_mask, is_causal_mask
from ._checks import integer, require_cpu, require_float32
from .activation import GELU, ReLU
from .attention import MultiheadAttention
from .containers import ModuleList
from .functional._shape import float32
from .module import Module
from .norm import LayerNorm
from .transformer_layers import TransformerDecoderLayer, TransformerEncoderLayer

if TYPE_CHECKING:
    from collections.abc import Callable

    from ._typing import Array, ArrayInput


def _causal(mask: Any, is_causal: bool | None, x: Any, batch_first: bool) -> bool:
    """The hint for the layers; None looks whether the mask is the causal one."""
    if is_causal is not None:
        return is_causal
    size = x.shape[1 if batch_first and x.ndim == 3 else 0]
    return mask is not None and is_causal_mask(mask, size)


class _Stack(Module):
    """Copies of a layer, one after the other, and a norm behind them."""

    layers: Any

    def __init__(self, op: str, layer: Module, num_layers: int, norm: Module | None) -> None:
        super().__init__()
        count = integer(op, "num_layers", num_layers, 0)
        if not isinstance(layer, Module):
            raise TypeError(f"{op}: the layer must be a Module, got {type(layer).__name__}")
        self.layers = ModuleList([copy.deepcopy(layer) for _ in range(count)])
        self.num_layers = count
        self.norm = norm

    def _batch_first(self) -> bool:
        attention = getattr(self.layers[0], "self_attn", None) if len(self.layers) else None
        return bool(getattr(attention, "batch_first", False))


class TransformerEncoder(_Stack):
    """`num_layers` copies of `encoder_layer`, one after the other, and `norm` behind them.

    src, masks and result as in TransformerEncoderLayer. `is_causal` None looks whether `mask` is
    the causal one. The copies begin with the values of `encoder_layer`.

    As in torch, padded positions at the end of an item come out as 0 (in front of `norm`) where
    torch would leave them out: with `enable_nested_tensor`, batch_first, an even number of heads,
    biases, norm_first False, activation relu or gelu, a src_key_padding_mask of bool and no mask.
    Follows torch.nn.TransformerEncoder.
    """

    def __init__(
        self,
        encoder_layer: Module,
        num_layers: int,
        norm: Module | None = None,
        enable_nested_tensor: bool = True,
        mask_check: bool = True,
    ) -> None:
        super().__init__("TransformerEncoder", encoder_layer, num_layers, norm)
        self.enable_nested_tensor = enable_nested_tensor
        self.use_nested_tensor = enable_nested_tensor and _nests(encoder_layer)
        self.mask_check = mask_check

    def forward(
        self,
        src: ArrayInput,
        mask: Any = None,
        src_key_padding_mask: Any = None,
        is_causal: bool | None = None,
    ) -> Array:
        x: Any = float32(src, "TransformerEncoder", "src")
        hint = _causal(mask, is_causal, x, self._batch_first())
        padding = None
        if self.use_nested_tensor and mask is None and src_key_padding_mask is not None:
            padding = _padding_at_the_end(src_key_padding_mask, x, self.mask_check)
        for layer in self.layers:
            x = layer(x, src_mask=mask, is_causal=hint, src_key_padding_mask=src_key_padding_mask)
        if padding is not None:
            x = np.where(padding[..., None], np.float32(0), x)
        norm = self.norm
        return x if norm is None else norm(x)  # type: ignore[no-any-return]


def _nests(layer: Module) -> bool:
    """Whether torch runs copies of this layer on nested tensors: its conditions."""
    if type(layer) is not TransformerEncoderLayer:
        return False
    attention = layer.self_attn
    return (
        not layer.norm_first
        and isinstance(attention, MultiheadAttention)
        and attention.batch_first
        and attention._qkv_same_embed_dim
        and attention._given("in_proj_bias")
        and (layer.activation in (F.relu, F.gelu) or isinstance(layer.activation, (ReLU, GELU)))
        and layer.norm1.eps == layer.norm2.eps
        and attention.num_heads % 2 == 0
    )


def _padding_at_the_end(mask: Any, x: Any, check: bool) -> Any:
    """The mask where it is of bool, fits, and (if `check`) leaves out ends only; else None."""
    padding = np.asarray(mask)
    if padding.dtype != np.bool_ or x.ndim != 3 or padding.shape != x.shape[:2]:
        return None
    if check and (padding[:, :-1] & ~padding[:, 1:]).any():
        return None
    return padding


class TransformerDecoder(_Stack):
    """`num_layers` copies of `decoder_layer`, one after the other, and `norm` behind them.

    tgt, memory, masks and result as in TransformerDecoderLayer. `tgt_is_causal` None looks whether
    `tgt_mask` is the causal one. The copies begin with the values of `decoder_layer`. Follows
    torch.nn.TransformerDecoder.
    """

    def __init__(self, decoder_layer: Module, num_layers: int, norm: Module | None = None) -> None:
        super().__init__("TransformerDecoder", decoder_layer, num_layers, norm)

    def forward(
        self,
        tgt: ArrayInput,
        memory: ArrayInput,
        tgt_mask: Any = None,
        memory_mask: Any = None,
        tgt_key_padding_mask: Any = None,
        memory_key_padding_mask: Any = None,
        tgt_is_causal: bool | None = None,
        memory_is_causal: bool = False,
    ) -> Array:
        x: Any = float32(tgt, "TransformerDecoder", "tgt")
        hint = _causal(tgt_mask, tgt_is_causal, x, self._batch_first())
        for layer in self.layers:
            x = layer(
                x,
                memory,
                tgt_mask=tgt_mask,
                memory_mask=memory_mask,
                tgt_key_padding_mask=tgt_key_padding_mask,
                memory_key_padding_mask=memory_key_padding_mask,
                tgt_is_causal=hint,
                memory_is_causal=memory_is_causal,
            )
        norm = self.norm
        return x if norm is None else norm(x)  # type: ignore[no-any-return]


class Transformer(Module):
    """A TransformerEncoder on src and a TransformerDecoder on tgt and what it gave.

    src (B, S, d_model) and tgt (B, T, d_model) with batch_first, (S, B, d_model) and
    (T, B, d_model) without, or without a batch; the result has tgt's shape. Masks as in
    MultiheadAttention. Matrices start as xavier_uniform. Follows torch.nn.Transformer.
    """

    encoder: Any
    decoder: Any

    def __init__(
        self,
        d_model: int = 512,
        nhead: int = 8,
        num_encoder_layers: int = 6,
        num_decoder_layers: int = 6,
        dim_feedforward: int = 2048,
        dropout: float = 0.1,
        activation: str | Callable[[Any], Any] = F.relu,
        custom_encoder: Module | None = None,
        custom_decoder: Module | None = None,
        layer_norm_eps: float = 1e-5,
        batch_first: bool = False,
        norm_first: bool = False,
        bias: bool = True,
        device: Any = None,
        dtype: Any = None,
    ) -> None:
        super().__init__()
        require_cpu("Transformer", device)
        require_float32("Transformer", dtype)
        sizes = (d_model, nhead, dim_feedforward, dropout, activation, layer_norm_eps)
        more = (batch_first, norm_first, bias)
        if custom_encoder is not None:
            self.encoder = custom_encoder
        else:
            norm = LayerNorm(d_model, layer_norm_eps, bias=bias)
            layer = TransformerEncoderLayer(*sizes, *more)
            self.encoder = TransformerEncoder(layer, num_encoder_layers, norm)
        if custom_decoder is not None:
            self.decoder = custom_decoder
        else:
            norm = LayerNorm(d_model, layer_norm_eps, bias=bias)
            self.decoder = TransformerDecoder(
                TransformerDecoderLayer(*sizes, *more), num_decoder_layers, norm
            )
        for parameter in self.parameters():
            if parameter.ndim > 1:
                parameter._draw_anew(init.uniform, init.xavier_bound(parameter.shape))
        self.d_model = d_model
        self.nhead = nhead
        self.batch_first = batch_first

    def forward(
        self,
        src: ArrayInput,
        tgt: ArrayInput,
        src_mask: Any = None,
        tgt_mask: Any = None,
        memory_mask: Any = None,
        src_key_padding_mask: Any = None,
        tgt_key_padding_mask: Any = None,
        memory_key_padding_mask: Any = None,
        src_is_causal: bool | None = None,
        tgt_is_causal: bool | None = None,
        memory_is_causal: bool = False,
    ) -> Array:
        x, y = float32(src, "Transformer", "src"), float32(tgt, "Transformer", "tgt")
        batch = 0 if self.batch_first else 1
        if x.ndim == 3 and (y.ndim != 3 or x.shape[batch] != y.shape[batch]):
            raise ValueError("the batch number of src and tgt must be equal")
        if x.ndim < 1 or y.ndim < 1 or not x.shape[-1] == y.shape[-1] == self.d_model:
            raise ValueError("the feature number of src and tgt must be equal to d_model")
        memory = self.encoder(
            x, mask=src_mask, src_key_padding_mask=src_key_padding_mask, is_causal=src_is_causal
        )
        return self.decoder(  # type: ignore[no-any-return]
            y,
            memory,
            tgt_mask=tgt_mask,
            memory_mask=memory_mask,
            tgt_key_padding_mask=tgt_key_padding_mask,
            memory_key_padding_mask=memory_key_padding_mask,
            tgt_is_causal=tgt_is_causal,
            memory_is_causal=memory_is_causal,
        )

    @staticmethod
    def generate_square_subsequent_mask(sz: int, device: Any = None, dtype: Any = None) -> Array:
        """(sz, sz), float32: 0 where key <= query, else -inf."""
        require_cpu("generate_square_subsequent_mask", device)
        require_float32("generate_square_subsequent_mask", dtype)
        size = integer("generate_square_subsequent_mask", "sz", sz, 0)
        return causal_mask(size)  # type: ignore[no-any-return]
