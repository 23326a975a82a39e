"""Tiny folders of BERT and Llama, and the networks in float64 NumPy, from the same tensors."""

from __future__ import annotations

import json
import math
from pathlib import Path
from typing import Any

import numpy as np

from forwardpass.io.safetensors import save_file

BERT: dict[str, Any] = {
    "model_type": "bert",
    "vocab_size": 50,
    "hidden_size": 48,
    "num_hidden_layers": 2,
    "num_attention_heads": 4,
    "intermediate_size": 96,
    "hidden_act": "gelu",
    "max_position_embeddings": 20,
    "type_vocab_size": 2,
    "layer_norm_eps": 1e-12,
}
LLAMA: dict[str, Any] = {
    "model_type": "llama",
    "vocab_size": 60,
    "hidden_size": 64,
    "num_hidden_layers": 2,
    "num_attention_heads": 4,
    "num_key_value_heads": 2,
    "head_dim": 32,
    "intermediate_size": 80,
    "max_position_embeddings": 40,
    "rms_norm_eps": 1e-5,
    "rope_theta": 1000.0,
    "tie_word_embeddings": True,
    "eos_token_id": 7,
}


def bert_state(config: dict[str, Any] = BERT, seed: int = 0) -> dict[str, np.ndarray]:
    width, inner = config["hidden_size"], config["intermediate_size"]
    shapes = {
        "embeddings.word_embeddings.weight": (config["vocab_size"], width),
        "embeddings.position_embeddings.weight": (config["max_position_embeddings"], width),
        "embeddings.token_type_embeddings.weight": (2, width),
        "embeddings.LayerNorm.weight": (width,),
        "embeddings.LayerNorm.bias": (width,),
    }
    for i in range(config["num_hidden_layers"]):
        p = f"encoder.layer.{i}."
        for name, rows, columns in (
            *((f"attention.self.{n}", width, width) for n in ("query", "key", "value")),
            ("attention.output.dense", width, width),
            ("intermediate.dense", inner, width),
            ("output.dense", width, inner),
        ):
            shapes[f"{p}{name}.weight"], shapes[f"{p}{name}.bias"] = (rows, columns), (rows,)
        for name in ("attention.output", "output"):
            shapes[f"{p}{name}.LayerNorm.weight"] = shapes[f"{p}{name}.LayerNorm.bias"] = (width,)
    return _drawn(shapes, seed)


def llama_state(config: dict[str, Any] = LLAMA, seed: int = 0) -> dict[str, np.ndarray]:
    width, inner, size = (config[n] for n in ("hidden_size", "intermediate_size", "head_dim"))
    heads, groups = config["num_attention_heads"], config["num_key_value_heads"]
    shapes = {"model.embed_tokens.weight": (config["vocab_size"], width)}
    for i in range(config["num_hidden_layers"]):
        p = f"model.layers.{i}."
        shapes |= {
            f"{p}self_attn.q_proj.weight": (heads * size, width),
            f"{p}self_attn.k_proj.weight": (groups * size, width),
            f"{p}self_attn.v_proj.weight": (groups * size, width),
            f"{p}self_attn.o_proj.weight": (width, heads * size),
            f"{p}mlp.gate_proj.weight": (inner, width),
            f"{p}mlp.up_proj.weight": (inner, width),
            f"{p}mlp.down_proj.weight": (width, inner),
            f"{p}input_layernorm.weight": (width,),
            f"{p}post_attention_layernorm.weight": (width,),
        }
    return _drawn({**shapes, "model.norm.weight": (width,)}, seed)


def _drawn(shapes: dict[str, tuple[int, ...]], seed: int) -> dict[str, np.ndarray]:
    rng = np.random.default_rng(seed)
    found = {}
    for name, shape in shapes.items():
        values = rng.standard_normal(shape, np.float32)
        scale = 0.1 if len(shape) == 1 else shape[1] ** -0.5
        offset = name.endswith(("norm.weight", "Norm.weight"))
        found[name] = values * np.float32(scale) + np.float32(offset)
    return found


def write(folder: Path, config: dict[str, Any], state: dict[str, np.ndarray]) -> Path:
    folder.mkdir(exist_ok=True)
    (folder / "config.json").write_text(json.dumps(config))
    save_file(state, folder / "model.safetensors")
    return folder


def bert(state: dict[str, np.ndarray], config: dict[str, Any], ids: Any) -> np.ndarray:
    """The last hidden state (T, width) of one sentence, in float64."""
    w = {name: array.astype(np.float64) for name, array in state.items()}
    x = w["embeddings.word_embeddings.weight"][ids]
    x = x + w["embeddings.token_type_embeddings.weight"][0]
    x = x + w["embeddings.position_embeddings.weight"][: len(ids)]
    eps = config["layer_norm_eps"]

    def norm(x: Any, name: str) -> Any:
        y = x - x.mean(-1, keepdims=True)
        y = y / np.sqrt((y * y).mean(-1, keepdims=True) + eps)
        return y * w[f"{name}.LayerNorm.weight"] + w[f"{name}.LayerNorm.bias"]

    def dense(x: Any, name: str) -> Any:
        return x @ w[f"{name}.weight"].T + w[f"{name}.bias"]

    x = norm(x, "embeddings")
    for i in range(config["num_hidden_layers"]):
        p = f"encoder.layer.{i}."
        q, k, v = (
            _heads(dense(x, f"{p}attention.self.{n}"), config["num_attention_heads"])
            for n in ("query", "key", "value")
        )
        y = _softmax(q @ k.swapaxes(1, 2) / math.sqrt(q.shape[-1])) @ v
        y = y.transpose(1, 0, 2).reshape(x.shape)
        x = norm(x + dense(y, f"{p}attention.output.dense"), f"{p}attention.output")
        h = dense(x, f"{p}intermediate.dense")
        h = h * 0.5 * (1 + np.vectorize(math.erf)(h / math.sqrt(2)))
        x = norm(x + dense(h, f"{p}output.dense"), f"{p}output")
    return np.asarray(x)


def embedding(x: np.ndarray) -> np.ndarray:
    """The mean of a sentence's states, of length 1."""
    mean = x.mean(0)
    return mean / np.sqrt((mean * mean).sum())


def llama(state: dict[str, np.ndarray], config: dict[str, Any], ids: Any) -> np.ndarray:
    """The logits (T, vocabulary) of one sequence, in float64."""
    w = {name: array.astype(np.float64) for name, array in state.items()}
    heads, groups = config["num_attention_heads"], config["num_key_value_heads"]
    size, eps, count = config["head_dim"], config["rms_norm_eps"], len(ids)

    def norm(x: Any, name: str) -> Any:
        return x / np.sqrt((x * x).mean(-1, keepdims=True) + eps) * w[f"{name}.weight"]

    powers = float(config["rope_theta"]) ** (-np.arange(0, size, 2) / size)
    angles = np.arange(count)[:, None] * powers
    cos, sin = np.cos(angles), np.sin(angles)

    def turn(x: Any) -> Any:
        a, b = np.split(x, 2, -1)
        return np.concatenate([a * cos - b * sin, b * cos + a * sin], -1)

    hidden = np.triu(np.full((count, count), -np.inf), 1)
    x = w["model.embed_tokens.weight"][ids]
    for i in range(config["num_hidden_layers"]):
        p = f"model.layers.{i}."
        y = norm(x, f"{p}input_layernorm")
        q, k, v = (
            _heads(y @ w[f"{p}self_attn.{n}_proj.weight"].T, number)
            for n, number in (("q", heads), ("k", groups), ("v", groups))
        )
        q, k = turn(q), turn(k)
        k, v = np.repeat(k, heads // groups, 0), np.repeat(v, heads // groups, 0)
        y = _softmax(q @ k.swapaxes(1, 2) / math.sqrt(size) + hidden) @ v
        x = x + y.transpose(1, 0, 2).reshape(count, -1) @ w[f"{p}self_attn.o_proj.weight"].T
        y = norm(x, f"{p}post_attention_layernorm")
        gate, up = (y @ w[f"{p}mlp.{n}_proj.weight"].T for n in ("gate", "up"))
        x = x + (gate / (1 + np.exp(-gate)) * up) @ w[f"{p}mlp.down_proj.weight"].T
    head = w.get("lm_head.weight", w["model.embed_tokens.weight"])
    return np.asarray(norm(x, "model.norm") @ head.T)


def vad(
    state: dict[str, np.ndarray], wav: np.ndarray, rng: np.random.Generator | None = None
) -> np.ndarray:
    """The probability of each chunk of 512 samples, in float64.

    With rng, every product has an error such as a chain of n float32 fma makes: the partial sums
    of terms t grow like the root of their number, so its deviation is u sqrt(n / 6) sqrt(sum t^2)
    (Higham and Mary 2019, roundings being independent).
    """
    w = {name: array.astype(np.float64) for name, array in state.items()}

    def product(weight: Any, x: Any) -> Any:
        """weight (N, K), x (K,) or (K, T)"""
        y = weight @ x
        if rng is None:
            return y
        deviation = 2.0**-24 * np.sqrt(len(x) / 6) * np.sqrt(weight**2 @ x**2)
        return y + deviation * rng.standard_normal(y.shape)

    def conv(x: Any, weight: Any, stride: int) -> Any:
        """x (C, T)"""
        windows = np.lib.stride_tricks.sliding_window_view(x, weight.shape[2], 1)[:, ::stride]
        columns = windows.transpose(0, 2, 1).reshape(-1, windows.shape[1])
        return product(weight.reshape(len(weight), -1), columns)

    sigmoid = lambda x: 1 / (1 + np.exp(-x))  # noqa: E731
    context, h, c, found = np.zeros(64), np.zeros(128), np.zeros(128), []
    for chunk in wav.reshape(-1, 512).astype(np.float64):
        x = np.concatenate([context, chunk, chunk[-2:-66:-1]])
        context = chunk[-64:]
        y = conv(x[None], w["stft.weight"], 128)
        y = np.sqrt(y[:129] ** 2 + y[129:] ** 2)
        for i, stride in enumerate((1, 2, 2, 1)):
            y = conv(np.pad(y, ((0, 0), (1, 1))), w[f"encoder.{i}.weight"], stride)
            y = np.maximum(y + w[f"encoder.{i}.bias"][:, None], 0)
        gates = product(w["rnn.weight_ih"], y[:, 0]) + w["rnn.bias_ih"]
        i, f, g, o = np.split(gates + product(w["rnn.weight_hh"], h) + w["rnn.bias_hh"], 4)
        c = sigmoid(f) * c + sigmoid(i) * np.tanh(g)
        h = sigmoid(o) * np.tanh(c)
        found.append(sigmoid(product(w["head.weight"], np.maximum(h, 0))[0] + w["head.bias"][0]))
    return np.array(found)


def _heads(x: Any, count: int) -> Any:
    return x.reshape(len(x), count, -1).transpose(1, 0, 2)


def _softmax(x: Any) -> Any:
    y = np.exp(x - x.max(-1, keepdims=True))
    return y / y.sum(-1, keepdims=True)
