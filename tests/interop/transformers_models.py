"""Models of the transformers package, scaled down, that forwardpass.from_torch converts in the
tests: (model, keyword inputs of a batch and a length, what is dynamic) by name. No weights are
loaded from anywhere.
"""

from __future__ import annotations

import torch
from torch import nn

import transformers

TEXT = {0: "batch", 1: "time"}
SIZES = {"hidden_size": 32, "num_hidden_layers": 2, "num_attention_heads": 4}
SMALL = {**SIZES, "intermediate_size": 64}
VISION = {**SMALL, "image_size": 32, "patch_size": 8}
TOKENS = {"bos_token_id": 1, "eos_token_id": 2, "pad_token_id": 0}


def ids(batch, length):
    return torch.randint(3, 100, (batch, length))


def text(batch, length):
    return {"input_ids": ids(batch, length)}


def masked(batch, length):
    return {**text(batch, length), "attention_mask": torch.ones(batch, length, dtype=torch.long)}


def pixels(batch, length):
    return {"pixel_values": torch.randn(batch, 3, 32, 32)}


def build(name, **options):
    """transformers' class of that name, with a configuration of these options."""
    kind = getattr(transformers, name)
    return kind(kind.config_class(**options))


def whisper():
    sizes = {f"{part}_{key}": n for part in ("encoder", "decoder")
             for key, n in (("layers", 2), ("attention_heads", 4), ("ffn_dim", 64))}  # fmt: skip
    limits = {"max_source_positions": 50, "max_target_positions": 32, "num_mel_bins": 20}
    start = {"decoder_start_token_id": 1, "vocab_size": 100, "d_model": 32}
    return build("WhisperModel", **sizes, **limits, **start, **TOKENS)


class WhisperDecoder(nn.Module):
    def __init__(self):
        super().__init__()
        self.decoder = whisper().decoder

    def forward(self, ids, encoded):
        hidden = self.decoder(input_ids=ids, encoder_hidden_states=encoded, use_cache=False)
        return hidden.last_hidden_state


def wav2vec2():
    convolutions = {"conv_dim": (16, 16, 16), "conv_stride": (5, 2, 2), "conv_kernel": (10, 3, 3)}
    positions = {"num_conv_pos_embeddings": 16, "num_conv_pos_embedding_groups": 4}
    return build("Wav2Vec2Model", **SMALL, **convolutions, **positions, vocab_size=100)


def t5():
    sizes = {"d_model": 32, "d_kv": 8, "d_ff": 64, "num_layers": 2, "num_heads": 4}
    return build("T5EncoderModel", **sizes, vocab_size=100)


def gpt2():
    sizes = {"n_embd": 32, "n_layer": 2, "n_head": 4, "n_positions": 64, "vocab_size": 100}
    return build("GPT2LMHeadModel", **sizes, **TOKENS, use_cache=False)


def mixtral():
    """Two of four experts for each token."""
    options = {"num_local_experts": 4, "num_experts_per_tok": 2, "num_key_value_heads": 2}
    return build("MixtralModel", **SMALL, **options, vocab_size=100, use_cache=False)


def llama():
    more = {"num_key_value_heads": 2, "use_cache": False, "vocab_size": 100}
    return build("LlamaForCausalLM", **SMALL, **more)


MODELS = {
    "bert": (lambda: build("BertModel", **SMALL, vocab_size=100), masked, TEXT),
    "gpt2": (gpt2, text, TEXT),
    "llama": (llama, text, TEXT),
    "mixtral": (mixtral, text, TEXT),
    "vit": (lambda: build("ViTModel", **VISION), pixels, {0: "batch"}),
    "whisper_encoder": (
        lambda: whisper().encoder,
        lambda batch, length: {"input_features": torch.randn(batch, 20, 100)},
        {0: "batch"},
    ),
    "whisper_decoder": (
        WhisperDecoder,
        lambda batch, length: {"ids": ids(batch, length), "encoded": torch.randn(batch, 50, 32)},
        (TEXT, {0: "batch"}),
    ),
    "wav2vec2": (
        wav2vec2,
        lambda batch, length: {"input_values": torch.randn(batch, 400 * length + 37)},
        TEXT,
    ),
    "t5_encoder": (t5, text, TEXT),
    "clip_vision": (lambda: build("CLIPVisionModel", **VISION), pixels, {0: "batch"}),
    "clip_text": (
        lambda: build("CLIPTextModel", **SMALL, vocab_size=100, max_position_embeddings=40),
        text,
        TEXT,
    ),
}
