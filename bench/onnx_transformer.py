"""A transformer's encoder layer as ONNX graphs: standard operators, as torch exports them, and
Microsoft's own, as ONNX Runtime's transformer optimizer writes them.
"""

from __future__ import annotations

from typing import Any

import numpy as np
from onnx import helper

from case import Arguments


def _node(kind: str, inputs: str, output: str, **attributes: Any) -> Any:
    return helper.make_node(kind, inputs.split(), output.split(), **attributes)


def _product(x: str, name: str, y: str) -> list[Any]:
    return [_node("MatMul", f"{x} {name}.w", f"{y}0"), _node("Add", f"{y}0 {name}.b", y)]


def _norm(x: str, name: str, y: str) -> Any:
    return _node("LayerNormalization", f"{x} {name}.w {name}.b", y, axis=-1, epsilon=1e-5)


def _activation(name: str, x: str, y: str) -> Any:
    return _node({"relu": "Relu", "gelu": "Gelu"}[name], x, y)


def _weights(a: Arguments) -> dict[str, np.ndarray]:
    weights = {}
    for key, value in a["state"].items():
        name, _, kind = key.replace("in_proj_", "in_proj.").rpartition(".")
        name = name.rpartition(".")[2]
        weights[f"{name}.{kind[0]}"] = np.ascontiguousarray(value.T)
    return weights


def _standard(a: Arguments) -> tuple[str, list[Any], dict[str, np.ndarray]]:
    batch, length, width = a["input"].shape
    heads = a["heads"]
    weights = _weights(a)
    weights["split"] = np.array([batch, length, 3, heads, width // heads], np.int64)
    weights["joined"] = np.array([batch, length, width], np.int64)
    weights["scale"] = np.array((width // heads) ** -0.5, np.float32)
    nodes = [
        *_product("x", "in_proj", "p"),
        _node("Reshape", "p split", "s"),
        _node("Transpose", "s", "t", perm=[2, 0, 3, 1, 4]),
        _node("Split", "t", "q1 k1 v1", axis=0, num_outputs=3),
    ]
    weights["first"] = np.array([0], np.int64)
    nodes += [_node("Squeeze", f"{n}1 first", n) for n in "qkv"]
    nodes += [
        _node("Mul", "q scale", "qs"),
        _node("Transpose", "k", "kt", perm=[0, 1, 3, 2]),
        _node("MatMul", "qs kt", "scores"),
        _node("Softmax", "scores", "probabilities", axis=-1),
        _node("MatMul", "probabilities v", "mixed"),
        _node("Transpose", "mixed", "back", perm=[0, 2, 1, 3]),
        _node("Reshape", "back joined", "m"),
        *_product("m", "out_proj", "o"),
        _node("Add", "x o", "r1"),
        _norm("r1", "norm1", "n1"),
        *_product("n1", "linear1", "h"),
        _activation(a["activation"], "h", "g"),
        *_product("g", "linear2", "f"),
        _node("Add", "n1 f", "r2"),
        _norm("r2", "norm2", "y"),
    ]
    return "standard", nodes, weights


def _fused(a: Arguments) -> tuple[str, list[Any], dict[str, np.ndarray]]:
    own = {"domain": "com.microsoft"}
    skip = {"epsilon": 1e-5, **own}
    nodes = [
        _node("Attention", "x in_proj.w in_proj.b", "m", num_heads=a["heads"], **own),
        _node("MatMul", "m out_proj.w", "o"),
        _node("SkipLayerNormalization", "x o norm1.w norm1.b out_proj.b", "n1", **skip),
    ]
    if a["activation"] == "gelu":
        nodes += [
            _node("MatMul", "n1 linear1.w", "h"),
            _node("BiasGelu", "h linear1.b", "g", **own),
        ]
    else:
        nodes += [*_product("n1", "linear1", "h"), _activation(a["activation"], "h", "g")]
    nodes += [
        _node("MatMul", "g linear2.w", "f"),
        _node("SkipLayerNormalization", "n1 f norm2.w norm2.b linear2.b", "y", **skip),
    ]
    return "Attention", nodes, _weights(a)


def encoder_layer(a: Arguments) -> list[tuple[str, list[Any], dict[str, np.ndarray]]]:
    return [_standard(a), _fused(a)]
