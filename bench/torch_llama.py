"""A Llama-type decoder in plain torch, with a cache: what torch eager needs for the same work."""

from __future__ import annotations

from typing import Any

import torch
import torch.nn.functional as F


class Llama:
    """From a LlamaForCausalLM's state_dict; q, k and v, and gate and up, in one product each."""

    def __init__(
        self, state: dict[str, Any], layers: int, heads: int, kv: int, base: float
    ) -> None:
        w = {k: torch.from_numpy(v.copy()) for k, v in state.items()}
        self.heads, self.kv, self.table = heads, kv, w["model.embed_tokens.weight"]
        self.norm, self.head = w["model.norm.weight"], w["lm_head.weight"]
        self.layers = [self._layer(w, f"model.layers.{i}.") for i in range(layers)]
        self.size = self.layers[0]["o"].shape[1] // heads
        self.frequencies = base ** -(torch.arange(0, self.size, 2, dtype=torch.float64) / self.size)

    @staticmethod
    def _layer(w: dict[str, Any], p: str) -> dict[str, Any]:
        qkv = [w[f"{p}self_attn.{n}_proj.weight"] for n in "qkv"]
        return {
            "qkv": torch.cat(qkv),
            "o": w[f"{p}self_attn.o_proj.weight"],
            "both": torch.cat([w[f"{p}mlp.{n}_proj.weight"] for n in ("gate", "up")]),
            "down": w[f"{p}mlp.down_proj.weight"],
            "first": w[f"{p}input_layernorm.weight"],
            "second": w[f"{p}post_attention_layernorm.weight"],
        }

    def _turn(self, x: Any, cos: Any, sin: Any) -> Any:
        a, b = x.chunk(2, -1)
        return torch.cat([a * cos - b * sin, b * cos + a * sin], -1)

    @torch.inference_mode()
    def __call__(self, ids: Any, past: list[Any] | None = None) -> tuple[Any, list[Any]]:
        """Logits of the last position, and keys and values by layer."""
        start = 0 if past is None else past[0][0].shape[2]
        count = ids.shape[1]
        angles = torch.outer(torch.arange(start, start + count).double(), self.frequencies)
        cos, sin = angles.cos().float(), angles.sin().float()
        x, held, width = F.embedding(ids, self.table), [], self.table.shape[1]
        for i, w in enumerate(self.layers):
            qkv = F.linear(F.rms_norm(x, (width,), w["first"], 1e-5), w["qkv"])
            heads = qkv.view(1, count, -1, self.size).transpose(1, 2)
            q, k, v = heads.split([self.heads, self.kv, self.kv], 1)
            q, k = self._turn(q, cos, sin), self._turn(k, cos, sin)
            if past is not None:
                k, v = torch.cat([past[i][0], k], 2), torch.cat([past[i][1], v], 2)
            held.append((k, v))
            y = F.scaled_dot_product_attention(q, k, v, is_causal=past is None, enable_gqa=True)
            x = x + F.linear(y.transpose(1, 2).reshape(1, count, -1), w["o"])
            gate, up = F.linear(F.rms_norm(x, (width,), w["second"], 1e-5), w["both"]).chunk(2, -1)
            x = x + F.linear(F.silu(gate) * up, w["down"])
        return F.linear(F.rms_norm(x[:, -1:], (width,), self.norm, 1e-5), self.head), held
