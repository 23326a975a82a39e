"""The cases of whole transformer layers, their float64 reference, and ours."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from functools import partial
from typing import Any

import numpy as np

from case import Arguments, Case
from forwardpass import nn
from forwardpass.reference import OPS
from forwardpass.reference.arrays import make

# width, heads, hidden, (batch, length), activation: small sentence encoders, BERT's base, a long
# input, a batch, one row.
LAYERS = (
    (384, 6, 1536, (1, 128), "relu"),
    (384, 6, 1536, (1, 128), "gelu"),
    (384, 12, 1536, (1, 16), "gelu"),
    (384, 12, 1536, (8, 64), "gelu"),
    (768, 12, 3072, (1, 128), "gelu"),
    (256, 4, 1024, (1, 512), "relu"),
    (384, 6, 1536, (1, 1), "relu"),
)
OP = "transformer_encoder_layer"
# torch's names; those of matrices are scaled by 1 / sqrt(fan-in)
SHAPES: dict[str, Callable[[int, int], tuple[int, ...]]] = {
    "self_attn.in_proj_weight": lambda e, h: (3 * e, e),
    "self_attn.in_proj_bias": lambda e, h: (3 * e,),
    "self_attn.out_proj.weight": lambda e, h: (e, e),
    "self_attn.out_proj.bias": lambda e, h: (e,),
    "linear1.weight": lambda e, h: (h, e),
    "linear1.bias": lambda e, h: (h,),
    "linear2.weight": lambda e, h: (e, h),
    "linear2.bias": lambda e, h: (e,),
    "norm1.weight": lambda e, h: (e,),
    "norm1.bias": lambda e, h: (e,),
    "norm2.weight": lambda e, h: (e,),
    "norm2.bias": lambda e, h: (e,),
}


def _arguments(
    width: int, heads: int, hidden: int, size: tuple[int, int], activation: str
) -> Arguments:
    state = {}
    for name, shape in SHAPES.items():
        state[name] = make(f"transformer/{name}", shape(width, hidden))
        if state[name].ndim == 2:
            state[name] *= np.float32(state[name].shape[1] ** -0.5)
    x = make("transformer/input", (*size, width))
    return {"input": x, "state": state, "heads": heads, "activation": activation}


def layers() -> Iterator[Case]:
    for width, heads, hidden, size, activation in LAYERS:
        rows, keys = size[0] * size[1], size[1]
        flop = 2.0 * rows * (4 * width * width + 2 * width * hidden + 2 * keys * width)
        moved = 4.0 * (2 * rows * width + 4 * width * width + 2 * width * hidden)
        shape = f"{size[0]}x{size[1]}x{width}h{heads}f{hidden}+{activation}"
        build = partial(_arguments, width, heads, hidden, size, activation)
        quick = (size, activation) == ((1, 128), "relu")
        yield Case("transformer", shape, OP, build, moved, flop, quick)


def module(a: Arguments, library: Any) -> Any:
    """The layer of a library with torch's names."""
    width, hidden = a["input"].shape[-1], len(a["state"]["linear1.bias"])
    return library.TransformerEncoderLayer(
        width, a["heads"], hidden, activation=a["activation"], batch_first=True
    )


def ours(a: Arguments) -> nn.TransformerEncoderLayer:
    layer = module(a, nn)
    layer.load_state_dict(a["state"])
    return layer  # type: ignore[no-any-return]


def _linear(x: Any, a: Arguments, name: str, suffix: str = ".") -> Any:
    weight, bias = a["state"][f"{name}{suffix}weight"], a["state"][f"{name}{suffix}bias"]
    return x @ weight.T.astype(np.float64) + bias


def _norm(x: Any, a: Arguments, name: str) -> Any:
    centred = x - x.mean(-1, keepdims=True)
    scale = 1 / np.sqrt((centred * centred).mean(-1, keepdims=True) + 1e-5)
    return centred * scale * a["state"][f"{name}.weight"] + a["state"][f"{name}.bias"]


def reference(a: Arguments) -> tuple[np.ndarray, np.ndarray]:
    """The layer in float64; as tolerance 2^-18 of the largest of each row, some roundings of each
    of its terms: a derived bound of a whole layer would be of no use.
    """
    x = a["input"].astype(np.float64)
    batch, length, width = x.shape
    heads = a["heads"]
    qkv = _linear(x, a, "self_attn.in_proj", "_").reshape(batch, length, 3, heads, width // heads)
    q, k, v = qkv.transpose(2, 0, 3, 1, 4)
    scores = q @ k.swapaxes(2, 3) / np.sqrt(width // heads)
    scores = np.exp(scores - scores.max(-1, keepdims=True))
    mixed = scores / scores.sum(-1, keepdims=True) @ v
    mixed = mixed.transpose(0, 2, 1, 3).reshape(x.shape)
    x = _norm(x + _linear(mixed, a, "self_attn.out_proj"), a, "norm1")
    hidden = _linear(x, a, "linear1")
    rounded = hidden.astype(np.float32)
    ((hidden, _),) = OPS[a["activation"]].expected({"input": rounded})
    value = _norm(x + _linear(hidden, a, "linear2"), a, "norm2")
    largest = np.abs(value).max(-1, keepdims=True)
    return value, np.broadcast_to(largest * 2.0**-18, value.shape)


GROUPS: dict[str, Callable[[], Iterator[Case]]] = {"transformer": layers}
