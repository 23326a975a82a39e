"""Llama-type decoders (SmolLM2 and relatives), with cached decoding.

    x = embed[id]
    for each layer:  x = x + attention(RMSNorm(x));  x = x + SwiGLU(RMSNorm(x))
    logits = head(RMSNorm(x)), the head being the table of the embedding where they are tied

Source: Touvron et al. 2023. Modules have the names of Hugging Face's LlamaForCausalLM, so that its
checkpoints load as they are. Decoding in any chunks gives the bytes of the full pass: a position's
depend on nothing but the positions before it (docs/numerics.md).
"""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any, ClassVar

import numpy as np

from forwardpass.nn import (
    CausalSelfAttention,
    KVCache,
    Linear,
    Module,
    ModuleList,
    RMSNorm,
    SwiGLU,
)
from forwardpass.nn.functional._rope_scaling import RopeScaling

from ._embedding import TokenEmbedding
from ._fused import add_norm
from ._generate import TextDecoder
from ._settings import Settings

_OP = "LlamaForCausalLM"


class LlamaDecoderLayer(Module):
    """One layer; its residual comes in and goes out beside what is to be added to it."""

    def __init__(
        self,
        width: int,
        heads: int,
        kv_heads: int,
        head_dim: int,
        inner: int,
        rope: tuple[float, Mapping[str, Any] | None],
        eps: float,
        biases: tuple[bool, bool],
    ) -> None:
        super().__init__()
        self.self_attn = CausalSelfAttention(
            width,
            heads,
            kv_heads,
            head_dim,
            bias=biases[0],
            out_bias=biases[0],
            rope_base=rope[0],
            rope_scaling=rope[1],
        )
        self.mlp = SwiGLU(width, inner, biases[1])
        self.input_layernorm = RMSNorm(width, eps)
        self.post_attention_layernorm = RMSNorm(width, eps)

    def forward(self, x: Any, residual: Any, cache: KVCache | None, layer: int) -> tuple[Any, Any]:
        """(x, residual): the sum of the two is the layer's input, and of the results its output."""
        modules: Any = self._modules
        if residual is None:
            residual, x = x, modules["input_layernorm"](x)
        else:
            x, residual = add_norm(modules["input_layernorm"], x, residual)
        x = modules["self_attn"](x, cache, layer)
        x, residual = add_norm(modules["post_attention_layernorm"], x, residual)
        return modules["mlp"](x), residual


class LlamaModel(Module):
    """Token ids (B, T) to the last hidden state (B, T, hidden_size)."""

    def __init__(self, vocabulary: int, layers: int, width: int, eps: float, *rest: Any) -> None:
        super().__init__()
        self.embed_tokens = TokenEmbedding(vocabulary, width)
        self.layers = ModuleList([LlamaDecoderLayer(width, *rest) for _ in range(layers)])
        self.norm = RMSNorm(width, eps)

    def forward(self, input_ids: Any, cache: KVCache | None = None, keep: int = 0) -> Any:
        """keep: the last so many positions are given, all of them for 0."""
        x: Any = self.embed_tokens(input_ids)
        residual: Any = None
        for index, layer in enumerate(self.layers):
            x, residual = layer(x, residual, cache, index)
        if keep:
            x, residual = x[:, -keep:], residual[:, -keep:]
        return add_norm(self.norm, x, residual)[0]


class LlamaForCausalLM(TextDecoder):
    """A Llama-type decoder; `models.load` makes it from a folder or a .gguf file.

    `model(input_ids)`: integers (B, T) to logits (B, T, vocab_size). With a cache from
    `new_cache()`, `model(input_ids, cache)` takes the positions behind those that it holds.
    `model.generate(ids)` and `model.stream(text)` give tokens and text as they come.

    rope_scaling: as in config.json, of the kinds default, linear and llama3.

    Raises ValueError for settings that make no sense, NotImplementedError for other kinds of scaled
    RoPE and for activations other than SiLU.
    """

    base_prefix: ClassVar[str] = "model."
    unused: ClassVar[tuple[str, ...]] = (r"rotary_emb\.inv_freq$",)

    def __init__(
        self,
        vocab_size: int,
        hidden_size: int,
        num_hidden_layers: int,
        num_attention_heads: int,
        intermediate_size: int,
        num_key_value_heads: int | None = None,
        head_dim: int | None = None,
        max_position_embeddings: int = 2048,
        rms_norm_eps: float = 1e-6,
        rope_theta: float = 10000.0,
        tie_word_embeddings: bool = False,
        attention_bias: bool = False,
        mlp_bias: bool = False,
        rope_scaling: Mapping[str, Any] | None = None,
    ) -> None:
        super().__init__()
        heads = num_attention_heads
        self.vocab_size, self.longest = vocab_size, max_position_embeddings
        self.num_kv_heads = heads if num_key_value_heads is None else num_key_value_heads
        self.head_dim = hidden_size // heads if head_dim is None else head_dim
        self.model = LlamaModel(
            vocab_size,
            num_hidden_layers,
            hidden_size,
            rms_norm_eps,
            heads,
            self.num_kv_heads,
            self.head_dim,
            intermediate_size,
            (rope_theta, rope_scaling),
            rms_norm_eps,
            (attention_bias, mlp_bias),
        )
        self.lm_head = Linear(hidden_size, vocab_size, bias=False)
        self.tied: Mapping[str, str] = {}
        if tie_word_embeddings:
            self.lm_head.weight = self.model.embed_tokens.get_parameter("weight")  # type: ignore[assignment]
            self.tied = {"lm_head.weight": "model.embed_tokens.weight"}

    @classmethod
    def from_config(cls, config: Mapping[str, Any]) -> LlamaForCausalLM:
        """From the settings of a config.json."""
        settings = Settings(config, "config.json")
        settings.choice("hidden_act", {"silu": None}, "silu")
        base, scaling = _rope(settings)
        kv_heads, head_dim = (
            settings.count(name) if config.get(name) is not None else None
            for name in ("num_key_value_heads", "head_dim")
        )
        model = cls(
            settings.count("vocab_size"),
            settings.count("hidden_size"),
            settings.count("num_hidden_layers"),
            settings.count("num_attention_heads"),
            settings.count("intermediate_size"),
            kv_heads,
            head_dim,
            settings.count("max_position_embeddings", 2048),
            settings.positive("rms_norm_eps", 1e-6),
            base,
            settings.flag("tie_word_embeddings"),
            settings.flag("attention_bias"),
            settings.flag("mlp_bias"),
            scaling,
        )
        model.stop = frozenset(settings.ids("eos_token_id"))
        return model

    def new_cache(self, batch_size: int = 1, limit: int | None = None) -> KVCache:
        """An empty cache for `batch_size` sequences of at most `limit` positions.

        limit: the model's positions unless given.
        """
        return KVCache(
            self.longest if limit is None else limit,
            self.num_kv_heads,
            self.head_dim,
            len(self.model.layers),
            batch_size,
        )

    def forward(self, input_ids: Any, cache: KVCache | None = None, logits_to_keep: int = 0) -> Any:
        """Integers (B, T) to float32 (B, T, vocab_size), or the last `logits_to_keep` positions.

        Token ids outside the vocabulary raise IndexError; positions past the model's or the
        cache's, ValueError, and the cache is as before.
        """
        ids = np.asarray(input_ids)
        if ids.ndim != 2 or not ids.shape[1]:
            raise ValueError(
                f"{_OP}: input_ids must have shape (B, T), T at least 1, got {ids.shape}"
            )
        held = 0 if cache is None else len(cache)
        if held + ids.shape[1] > self.longest:
            raise ValueError(
                f"{_OP}: {held} positions and {ids.shape[1]} more are past the model's "
                f"{self.longest}"
            )
        try:
            x = self.model(ids, cache, logits_to_keep)
        except BaseException:  # some layers may hold the positions, others not
            if cache is not None:
                cache.truncate(held)
            raise
        return self.lm_head(x)


def _rope(settings: Settings) -> tuple[float, Mapping[str, Any] | None]:
    """rope_theta and what scales it; newer files have both inside rope_parameters."""
    nested = settings.config.get("rope_parameters") or {}
    scaling = settings.config.get("rope_scaling") or nested
    if not isinstance(nested, Mapping) or not isinstance(scaling, Mapping):
        raise ValueError(f"{settings.where}: rope_scaling must be an object, got {scaling!r:.80}")
    RopeScaling.from_config(scaling, settings.where)  # its errors name the file
    base = nested.get("rope_theta", settings.config.get("rope_theta"))
    base = Settings({"rope_theta": base}, settings.where).positive("rope_theta", 10000.0)
    return base, scaling or None
