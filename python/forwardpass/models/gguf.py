"""GGUF: the weights, settings and tokenizer of llama.cpp's files (the `gguf` package, extra [gguf]).

Quantised tensors stay in the mapped file and become float32 when a layer packs them, so that memory
holds the packed model, the file's pages and one layer. llama.cpp stores the rows of q and k so that
the two halves of a rotary pair are neighbours; here they are put back as in the checkpoint:

    row (head, i, half) of the file is row (head, half, i)

Source: the format's description in ggml's docs/gguf.md, and convert_hf_to_gguf.py for the names.
"""

from __future__ import annotations

import os
import re
from functools import partial
from typing import Any

import numpy as np

from forwardpass.io.stored import Stored

from ._load import Source

# Where a tensor goes, by its name in the file.
_NAMES = {
    "token_embd.weight": "model.embed_tokens.weight",
    "output_norm.weight": "model.norm.weight",
    "output.weight": "lm_head.weight",
}
_BLOCK = {
    "attn_norm": "input_layernorm",
    "attn_q": "self_attn.q_proj",
    "attn_k": "self_attn.k_proj",
    "attn_v": "self_attn.v_proj",
    "attn_output": "self_attn.o_proj",
    "ffn_norm": "post_attention_layernorm",
    "ffn_gate": "mlp.gate_proj",
    "ffn_up": "mlp.up_proj",
    "ffn_down": "mlp.down_proj",
}
_SETTINGS = {
    "hidden_size": "embedding_length",
    "num_hidden_layers": "block_count",
    "intermediate_size": "feed_forward_length",
    "num_attention_heads": "attention.head_count",
    "num_key_value_heads": "attention.head_count_kv",
    "head_dim": "attention.key_length",
    "max_position_embeddings": "context_length",
    "rms_norm_eps": "attention.layer_norm_rms_epsilon",
    "rope_theta": "rope.freq_base",
}


class Quantised(Stored):
    """A float32 tensor in a mapped GGUF file, in one of ggml's formats.

    heads: of q and k, whose rows are put back in order; 0 for other tensors.
    """

    __slots__ = ("_heads",)

    def __init__(self, raw: Any, kind: Any, shape: tuple[int, ...], heads: int = 0) -> None:
        super().__init__(raw, kind, shape)
        self._heads = heads

    def __call__(self) -> Any:
        from gguf.quants import dequantize  # type: ignore[import-not-found,unused-ignore]

        array = dequantize(self._raw, self._type).reshape(self.shape)
        if self._heads:
            pairs = array.reshape(self._heads, -1, 2, *self.shape[1:])
            array = pairs.swapaxes(1, 2).reshape(self.shape)
        return np.ascontiguousarray(array, np.float32)


def read(path: str | os.PathLike[str]) -> Source:
    """What a model is made from. ValueError for a malformed file or an architecture not known."""
    name = os.fspath(path)
    try:
        from gguf import GGUFReader
    except ImportError:
        raise ImportError(
            f"{name}: .gguf files need the gguf package: pip install 'forwardpass[gguf]'"
        ) from None
    if not os.path.isfile(name):
        raise FileNotFoundError(f"{name}: no such file")
    try:
        reader = GGUFReader(name)
        fields = {key: field.contents() for key, field in reader.fields.items() if _short(key)}
    except (ValueError, IndexError, KeyError, OverflowError, UnicodeDecodeError) as error:
        raise ValueError(f"{name}: not a valid GGUF file: {error}") from None
    kind = fields.get("general.architecture")
    config = _config(fields, reader.tensors, kind)
    heads = (config.get("num_attention_heads"), config.get("num_key_value_heads"))
    tensors = {_renamed(t.name): _stored(name, t, heads) for t in reader.tensors}
    config["tie_word_embeddings"] = "lm_head.weight" not in tensors
    tensors.pop("rope_freqs.weight", None)  # what of it matters, from_config refuses
    return Source(name, config, tensors, partial(_tokenizer, name))


def _short(key: str) -> bool:
    """The vocabulary is read when it is asked for: it takes longer than the rest."""
    return key not in ("tokenizer.ggml.tokens", "tokenizer.ggml.merges", "tokenizer.ggml.scores")


def _config(fields: dict[str, Any], tensors: Any, kind: Any) -> dict[str, Any]:
    """The settings as config.json has them."""
    config: dict[str, Any] = {"model_type": kind, "hidden_act": "silu"}
    for ours, theirs in _SETTINGS.items():
        if (value := fields.get(f"{kind}.{theirs}")) is not None:
            config[ours] = value
    scaling = fields.get(f"{kind}.rope.scaling.type", "none")
    if scaling != "none" or any(t.name == "rope_freqs.weight" for t in tensors):
        config["rope_scaling"] = {"rope_type": scaling if scaling != "none" else "llama3"}
    for ours in ("bos", "eos"):
        config[f"{ours}_token_id"] = fields.get(f"tokenizer.ggml.{ours}_token_id")
    table = [t for t in tensors if t.name == "token_embd.weight"]
    if table:
        config["vocab_size"] = int(table[0].shape[1])
    return config


def _renamed(name: str) -> str:
    if found := re.fullmatch(r"blk\.(\d+)\.(\w+)\.(weight|bias)", name):
        layer, part, kind = found.groups()
        return f"model.layers.{layer}.{_BLOCK.get(part, part)}.{kind}"
    return _NAMES.get(name, name)


def _stored(path: str, tensor: Any, heads: tuple[Any, Any]) -> Any:
    """A tensor that stays in the file. GGUF gives shapes in ggml's order, the last axis first."""
    from gguf.constants import GGML_QUANT_SIZES  # type: ignore[import-not-found,unused-ignore]

    shape = tuple(int(length) for length in reversed(tensor.shape))
    turned = re.search(r"attn_([qk])\.(weight|bias)$", tensor.name)
    count = 0 if turned is None else heads[0] if turned[1] == "q" else heads[1] or heads[0]
    if turned is not None and (
        not isinstance(count, int) or count < 1 or shape[0] % (2 * count) or len(shape) > 2
    ):
        raise ValueError(f"{path}: {tensor.name} of shape {shape} has not {count!r} heads")
    block, size = GGML_QUANT_SIZES[tensor.tensor_type]
    if shape[-1] % block or tensor.data.nbytes * block != int(np.prod(shape, dtype=object)) * size:
        raise ValueError(f"{path}: {tensor.name} of shape {shape} has {tensor.data.nbytes} bytes")
    return Quantised(tensor.data, tensor.tensor_type, shape, count)


def _tokenizer(path: str) -> Any:
    """A tokenizers.Tokenizer from the vocabulary in the file."""
    from gguf import GGUFReader

    from . import _bpe

    fields = GGUFReader(path).fields
    wanted = ("model", "pre", "tokens", "merges", "token_type", "add_space_prefix")
    keys = {name: f"tokenizer.ggml.{name}" for name in wanted}
    found = {name: fields[key].contents() for name, key in keys.items() if key in fields}
    return _bpe.build(found, path)
