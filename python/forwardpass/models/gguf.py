"""GGUF: weights, settings and tokenizer of llama.cpp's files (the `gguf` package, extra [gguf]).

Quantised tensors stay in the mapped file and become float32 when a layer packs them, so that memory
holds the packed model, the file's pages and one layer. llama.cpp stores the rows of q and k so that
the two halves of a rotary pair are neighbours; here they are put back as in the checkpoint:

    row (head, i, half) of the file is row (head, half, i)

Source: the format's description in ggml's docs/gguf.md, and convert_hf_to_gguf.py for the names.
"""

from __future__ import annotations

import math
import os
import re
from functools import partial
from typing import Any

import numpy as np

from forwardpass.io.gguf import TensorInfo, open_file
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

# Read when a tokenizer is asked for: it takes longer than the rest.
_VOCABULARY = tuple(f"tokenizer.ggml.{n}" for n in ("tokens", "merges", "scores", "token_type"))
_ROWS = 1024  # of a tensor, made float32 at a time


class Quantised(Stored):
    """A float32 tensor in a mapped GGUF file, in one of ggml's formats.

    heads: of q and k, whose rows are put back in order; 0 for other tensors.
    """

    __slots__ = ("_heads",)

    def __init__(self, raw: Any, kind: Any, shape: tuple[int, ...], heads: int = 0) -> None:
        """`raw`: (rows, bytes of a row), the last axis of `shape` being a row."""
        super().__init__(raw, kind, shape)
        self._heads = heads

    def __call__(self) -> Any:
        whole = np.empty((len(self._raw), self.shape[-1]), np.float32)
        for first in range(0, len(whole), _ROWS):  # what is needed on the way stays small
            cut = slice(first, first + _ROWS)
            whole[cut] = self._wide(self._raw[cut])
        array = whole.reshape(self.shape)
        if self._heads:
            pairs = array.reshape(self._heads, -1, 2, *self.shape[1:])
            array = np.ascontiguousarray(pairs.swapaxes(1, 2)).reshape(self.shape)
        return array

    def rows(self, index: Any) -> Any:
        found = self._wide(self._raw[index.ravel()])
        return found.reshape(*index.shape, self.shape[-1])

    def _wide(self, raw: Any) -> Any:
        from gguf.quants import dequantize

        kind: Any = self._type
        return dequantize(raw, kind)


def read(path: str | os.PathLike[str]) -> Source:
    """What a model is made from. ValueError for a malformed file or an architecture not known."""
    name = os.fspath(path)
    try:
        from gguf.constants import GGML_QUANT_SIZES
    except ImportError:
        raise ImportError(
            f"{name}: .gguf files need the gguf package: pip install 'forwardpass[gguf]'"
        ) from None
    fields, infos, data = open_file(name, _VOCABULARY)
    config = _config(fields, infos)
    if "rope_freqs.weight" in infos:
        config["rope_scaling"] = _factors(infos["rope_freqs.weight"], data, name)
    heads = (config.get("num_attention_heads"), config.get("num_key_value_heads"))
    formats = {int(kind): (kind, *sizes) for kind, sizes in GGML_QUANT_SIZES.items()}
    tensors = {}
    for key, info in infos.items():
        if key == "rope_freqs.weight":
            continue
        try:
            tensors[_renamed(key)] = _stored(key, info, data, formats, heads)
        except ValueError as error:
            raise ValueError(
                f"{name}: the tensor {key!r:.80} of shape {info.shape} {error}"
            ) from None
    config["tie_word_embeddings"] = "lm_head.weight" not in tensors
    return Source(name, config, tensors, partial(_tokenizer, name))


def _config(fields: dict[str, Any], tensors: dict[str, TensorInfo]) -> dict[str, Any]:
    """The settings as config.json has them."""
    kind = fields.get("general.architecture")
    config: dict[str, Any] = {"model_type": kind, "hidden_act": "silu"}
    for ours, theirs in _SETTINGS.items():
        if (value := fields.get(f"{kind}.{theirs}")) is not None:
            config[ours] = value
    scaling = fields.get(f"{kind}.rope.scaling.type", "none")
    if scaling != "none":
        factor = fields.get(f"{kind}.rope.scaling.factor")
        config["rope_scaling"] = {"rope_type": scaling, "factor": factor}
    for ours in ("bos", "eos"):
        config[f"{ours}_token_id"] = fields.get(f"tokenizer.ggml.{ours}_token_id")
    table = tensors.get("token_embd.weight")
    if table is not None and table.shape:
        config["vocab_size"] = table.shape[0]
    return config


def _factors(info: TensorInfo, data: Any, where: str) -> dict[str, Any]:
    """What divides each rotary frequency."""
    stop = info.offset + 4 * math.prod(info.shape)
    if info.kind != 0 or len(info.shape) != 1 or stop > len(data):  # 0: F32
        raise ValueError(f"{where}: the tensor 'rope_freqs.weight' must be F32 of one dimension")
    return {"rope_type": "factors", "factors": data[info.offset : stop].view("<f4").tolist()}


def _renamed(name: str) -> str:
    if found := re.fullmatch(r"blk\.(\d+)\.(\w+)\.(weight|bias)", name):
        layer, part, kind = found.groups()
        return f"model.layers.{layer}.{_BLOCK.get(part, part)}.{kind}"
    return _NAMES.get(name, name)


def _stored(
    key: str, info: TensorInfo, data: Any, formats: dict[int, Any], heads: tuple[Any, Any]
) -> Any:
    """A tensor that stays in the file: a mapped array, or a Quantised."""
    if info.kind not in formats:
        raise ValueError(f"has the unknown format {info.kind}")
    kind, block, size = formats[info.kind]
    width = info.shape[-1] if info.shape else 1
    rows = math.prod(info.shape[:-1])
    bytes_of_row = width // block * size
    stop = info.offset + rows * bytes_of_row
    if width % block or stop > len(data):
        raise ValueError(f"does not fit format {kind.name}, or the file")
    raw = data[info.offset : stop].reshape(rows, bytes_of_row)
    turned = re.search(r"attn_([qk])\.(weight|bias)$", key)
    if turned is None:
        return (
            raw.view("<f4").reshape(info.shape)
            if kind.name == "F32"
            else Quantised(raw, kind, info.shape)
        )
    count = heads[0] if turned[1] == "q" else heads[1] or heads[0]
    if not isinstance(count, int) or count < 1 or info.shape[0] % (2 * count):
        raise ValueError(f"has not {count!r:.80} heads")
    return Quantised(raw, kind, info.shape, count)


def _tokenizer(path: str) -> Any:
    """A tokenizers.Tokenizer from the vocabulary in the file."""
    from . import _bpe

    fields = open_file(path)[0]
    prefix = "tokenizer.ggml."
    found = {k.removeprefix(prefix): v for k, v in fields.items() if k.startswith(prefix)}
    return _bpe.build(found, path)
