"""Plain torch: the feed-forward half of a Llama, RMSNorm and SwiGLU written out, weights tied."""

from collections import OrderedDict

import torch.nn as nn
import torch.nn.functional as F


class FeedForward(nn.Module):
    def __init__(self, config):
        super().__init__()
        self.gate_proj = nn.Linear(config["dim"], config["hidden"], bias=False)
        self.up_proj = nn.Linear(config["dim"], config["hidden"], bias=False)
        self.down_proj = nn.Linear(config["hidden"], config["dim"], bias=False)

    def forward(self, x):
        return self.down_proj(F.silu(self.gate_proj(x)) * self.up_proj(x))


class Block(nn.Module):
    def __init__(self, config, scale):
        super().__init__()
        self.post_attention_layernorm = nn.RMSNorm(config["dim"], eps=config["eps"])
        self.mlp = FeedForward(config)
        self.register_buffer("scale", scale, persistent=False)

    def forward(self, hidden):
        residual = hidden
        hidden = self.post_attention_layernorm(hidden)
        hidden = self.mlp(hidden)
        if self.scale is not None:
            hidden = hidden * self.scale
        return residual + hidden


class Model(nn.Module):
    def __init__(self, config):
        super().__init__()
        self.embed_tokens = nn.Embedding(config["vocabulary"], config["dim"])
        self.layers = nn.ModuleList([Block(config, None) for _ in range(config["layers"])])
        self.norm = nn.RMSNorm(config["dim"], config["eps"])

    def forward(self, tokens):
        hidden = self.embed_tokens(tokens) * self.embed_tokens.embedding_dim**0.5
        for layer in self.layers[: len(self.layers)]:
            hidden = layer(hidden)
        return self.norm(hidden)


class LlamaMLP(nn.Module):
    def __init__(self, dim=24, hidden=64, layers=3, vocabulary=40, eps=1e-6, tied=True):
        super().__init__()
        config = dict(dim=dim, hidden=hidden, layers=layers, vocabulary=vocabulary, eps=eps)
        self.model = Model(config)
        self.lm_head = nn.Linear(dim, vocabulary, bias=False)
        if tied:
            self.lm_head.weight = self.model.embed_tokens.weight
        self.heads = nn.ModuleDict(
            OrderedDict(value=nn.Sequential(nn.Linear(dim, 8), nn.SiLU(), nn.Linear(8, 1)))
        )

    def forward(self, tokens):
        hidden = self.model(tokens)
        return self.lm_head(hidden), self.heads["value"](hidden).squeeze(-1)
