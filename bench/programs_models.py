"""The modules of bench/programs.py: (module, inputs) by name, at batch 1; weights are random.

Sizes are those of small models, such as run on CPUs: a few layers, 256 wide. From torch alone where
the name says nothing else; BERT and its like from transformers.
"""

from __future__ import annotations

import sys
from collections.abc import Callable
from pathlib import Path
from typing import Any

import torch
from torch import nn

HERE = Path(__file__).resolve().parent
sys.path[:] = [p for p in sys.path if Path(p).resolve() != HERE]  # transformers.py stands there too
import transformers  # noqa: E402

sys.path[:0] = [str(HERE), str(HERE.parent / "tests")]
from interop import programs as small  # noqa: E402

WIDE: dict[str, Any] = {
    "hidden_size": 256, "num_hidden_layers": 4, "num_attention_heads": 4, "intermediate_size": 1024,
}  # fmt: skip
VISION = {**WIDE, "image_size": 96, "patch_size": 16}
TOKENS = {"bos_token_id": 1, "eos_token_id": 2, "pad_token_id": 0}
LENGTH = 64


def build(name: str, **options: Any) -> Any:
    kind = getattr(transformers, name)
    return kind(kind.config_class(**options))


def ids(length: int = LENGTH) -> dict[str, Any]:
    return {"input_ids": torch.randint(3, 1000, (1, length))}


def whisper() -> Any:
    sizes = {f"{part}_{key}": n for part in ("encoder", "decoder")
             for key, n in (("layers", 4), ("attention_heads", 4), ("ffn_dim", 1024))}  # fmt: skip
    limits = {"max_source_positions": 150, "max_target_positions": 64, "num_mel_bins": 80}
    start = {"decoder_start_token_id": 1, "vocab_size": 1000, "d_model": 256}
    return build("WhisperModel", **sizes, **limits, **start, **TOKENS)


class WhisperStep(nn.Module):
    """The decoder on a few tokens behind an encoded sound."""

    def __init__(self) -> None:
        super().__init__()
        self.decoder = whisper().decoder

    def forward(self, ids: Any, encoded: Any) -> Any:
        hidden = self.decoder(input_ids=ids, encoder_hidden_states=encoded, use_cache=False)
        return hidden.last_hidden_state


def t5() -> Any:
    sizes = {"d_model": 256, "d_kv": 64, "d_ff": 1024, "num_layers": 4, "num_heads": 4}
    return build("T5EncoderModel", **sizes, vocab_size=1000)


def gpt2() -> Any:
    sizes = {"n_embd": 256, "n_layer": 4, "n_head": 4, "n_positions": 128, "vocab_size": 1000}
    return build("GPT2LMHeadModel", **sizes, **TOKENS, use_cache=False)


def wav2vec2() -> Any:
    convolutions = {"conv_dim": (64,) * 5, "conv_stride": (5, 2, 2, 2, 2)}
    more = {"conv_kernel": (10, 3, 3, 3, 2), "num_conv_pos_embeddings": 64}
    return build("Wav2Vec2Model", **WIDE, **convolutions, **more, vocab_size=100)


class Tagger(nn.Module):
    def __init__(self, kind: str) -> None:
        super().__init__()
        self.embed = nn.Embedding(1000, 128)
        self.recurrent = getattr(nn, kind)(128, 128, 2, batch_first=True, bidirectional=True)
        self.out = nn.Linear(256, 20)

    def forward(self, ids: Any) -> Any:
        return self.out(self.recurrent(self.embed(ids))[0])


class Translator(nn.Module):
    def __init__(self) -> None:
        super().__init__()
        self.transformer = nn.Transformer(256, 4, 3, 3, 1024, batch_first=True)

    def forward(self, src: Any, tgt: Any) -> Any:
        mask = nn.Transformer.generate_square_subsequent_mask(tgt.shape[1])
        return self.transformer(src, tgt, tgt_mask=mask)


class Tiny(nn.Module):
    """Twenty operations on 16 numbers: what is measured is what surrounds them."""

    def __init__(self) -> None:
        super().__init__()
        self.layers = nn.ModuleList([nn.Linear(16, 16) for _ in range(5)])
        self.norms = nn.ModuleList([nn.LayerNorm(16) for _ in range(5)])

    def forward(self, x: Any) -> Any:
        for layer, norm in zip(self.layers, self.norms, strict=True):
            x = x + torch.tanh(layer(norm(x)))
        return x


def one(*tensors: Any, **named: Any) -> Callable[[], Any]:
    return lambda: (tensors, named)


def inputs_of(**named: Any) -> Callable[[], dict[str, Any]]:
    return lambda: named


llama = {**WIDE, "num_key_value_heads": 2, "vocab_size": 1000, "use_cache": False}
text = {"vocab_size": 1000, "max_position_embeddings": 128}
MODELS: dict[str, tuple[Callable[[], Any], Callable[[], dict[str, Any]]]] = {
    "bert": (lambda: build("BertModel", **WIDE, vocab_size=1000), ids),
    "gpt2": (gpt2, ids),
    "llama": (lambda: build("LlamaForCausalLM", **llama), ids),
    "vit": (lambda: build("ViTModel", **VISION), inputs_of(pixel_values=torch.randn(1, 3, 96, 96))),
    "whisper encoder": (
        lambda: whisper().encoder,
        inputs_of(input_features=torch.randn(1, 80, 300)),
    ),
    "whisper decoder": (
        WhisperStep,
        inputs_of(ids=torch.randint(3, 1000, (1, 8)), encoded=torch.randn(1, 150, 256)),
    ),
    "wav2vec2": (wav2vec2, inputs_of(input_values=torch.randn(1, 8000))),
    "t5 encoder": (t5, ids),
    "clip vision": (
        lambda: build("CLIPVisionModel", **VISION),
        inputs_of(pixel_values=torch.randn(1, 3, 96, 96)),
    ),
    "clip text": (lambda: build("CLIPTextModel", **WIDE, **text), ids),
    "transformer": (
        Translator,
        inputs_of(src=torch.randn(1, 48, 256), tgt=torch.randn(1, 32, 256)),
    ),
    "lstm": (lambda: Tagger("LSTM"), inputs_of(ids=torch.randint(3, 1000, (1, 64)))),
    "gru": (lambda: Tagger("GRU"), inputs_of(ids=torch.randint(3, 1000, (1, 64)))),
    "resnet": (small.ResNet, inputs_of(x=torch.randn(1, 3, 96, 96))),
    "unet": (small.UNet, inputs_of(x=torch.randn(1, 3, 64, 64))),
    "hifi-gan": (
        lambda: small.Vocoder(nn.utils.parametrizations.weight_norm),
        inputs_of(x=torch.randn(1, 20, 200)),
    ),
    "tiny": (Tiny, inputs_of(x=torch.randn(1, 16))),
}
