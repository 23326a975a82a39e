"""A BERT-type sentence encoder as ONNX graphs: standard operators, as torch exports them, and
Microsoft's own, as ONNX Runtime's transformer optimizer writes them.

Inputs ids and mask (B, T), int64; output y (B, width): the mean over the real tokens, length 1.
"""

from __future__ import annotations

from typing import Any

import numpy as np
from onnx import TensorProto, helper, numpy_helper

_OWN = {"domain": "com.microsoft"}


class _Graph:
    """Nodes and weights as they come."""

    def __init__(self, state: dict[str, np.ndarray], heads: int, eps: float) -> None:
        self.state, self.heads, self.eps = state, heads, eps
        self.nodes: list[Any] = []
        self.weights: dict[str, np.ndarray] = {}

    def add(self, kind: str, inputs: str, output: str, **attributes: Any) -> str:
        self.nodes.append(helper.make_node(kind, inputs.split(), output.split(), **attributes))
        return output.split()[0]

    def constant(self, name: str, value: Any, dtype: Any = np.int64) -> str:
        self.weights[name] = np.asarray(value, dtype)
        return name

    def weight(self, name: str, turned: bool = False) -> str:
        """A parameter; `turned` as MatMul wants it."""
        array = self.state[name]
        self.weights[name] = np.ascontiguousarray(array.T) if turned else array
        return name

    def dense(self, name: str, x: str, y: str, bias: bool = True) -> str:
        weight = self.weight(f"{name}.weight", True)
        if not bias:
            return self.add("MatMul", f"{x} {weight}", y)
        self.add("MatMul", f"{x} {weight}", f"{y}_m")
        return self.add("Add", f"{y}_m {self.weight(f'{name}.bias')}", y)

    def norm(self, name: str, x: str, y: str) -> str:
        parts = f"{x} {self.weight(f'{name}.weight')} {self.weight(f'{name}.bias')}"
        return self.add("LayerNormalization", parts, y, axis=-1, epsilon=self.eps)


def _embeddings(g: _Graph) -> str:
    words = g.weight("embeddings.word_embeddings.weight")
    positions = g.weight("embeddings.position_embeddings.weight")
    types = g.constant("type", g.state["embeddings.token_type_embeddings.weight"][0], np.float32)
    g.add("Gather", f"{words} ids", "word")
    g.add("Shape", "ids", "length", start=1, end=2)
    zero = g.constant("zero", [0])
    g.add("Slice", f"{positions} {zero} length {zero}", "position")
    g.add("Add", f"word {types}", "sum0")
    g.add("Add", "sum0 position", "sum1")
    return g.norm("embeddings.LayerNorm", "sum1", "h0")


def _attention(g: _Graph, p: str, x: str, width: int) -> str:
    """Standard operators; the mask is -inf, almost, for what is not real."""
    size = width // g.heads
    split = g.constant("split", [0, 0, g.heads, size])
    joined = g.constant("joined", [0, 0, width])
    scale = g.constant("scale", size**-0.5, np.float32)
    for part, perm in (("query", [0, 2, 1, 3]), ("key", [0, 2, 3, 1]), ("value", [0, 2, 1, 3])):
        y = g.dense(f"{p}.attention.self.{part}", x, f"{p}_{part}")
        g.add("Reshape", f"{y} {split}", f"{y}_s")
        g.add("Transpose", f"{y}_s", f"{y}_t", perm=perm)
    g.add("MatMul", f"{p}_query_t {p}_key_t", f"{p}_scores")
    g.add("Mul", f"{p}_scores {scale}", f"{p}_scaled")
    g.add("Add", f"{p}_scaled bias4", f"{p}_masked")
    g.add("Softmax", f"{p}_masked", f"{p}_p", axis=-1)
    g.add("MatMul", f"{p}_p {p}_value_t", f"{p}_mixed")
    g.add("Transpose", f"{p}_mixed", f"{p}_back", perm=[0, 2, 1, 3])
    return g.add("Reshape", f"{p}_back {joined}", f"{p}_a")


def _fused_attention(g: _Graph, p: str, x: str) -> str:
    parts = ("query", "key", "value")
    name = f"{p}.attention.self."
    weight = np.concatenate([g.state[f"{name}{n}.weight"].T for n in parts], 1)
    g.constant(f"{p}_w", weight, np.float32)
    g.constant(f"{p}_b", np.concatenate([g.state[f"{name}{n}.bias"] for n in parts]), np.float32)
    inputs = f"{x} {p}_w {p}_b mask32"
    return g.add("Attention", inputs, f"{p}_a", num_heads=g.heads, **_OWN)


def _layer(g: _Graph, p: str, x: str, width: int, fused: bool) -> str:
    if not fused:
        o = g.dense(f"{p}.attention.output.dense", _attention(g, p, x, width), f"{p}_o")
        n = g.norm(f"{p}.attention.output.LayerNorm", g.add("Add", f"{x} {o}", f"{p}_r"), f"{p}_n")
        h = g.dense(f"{p}.intermediate.dense", n, f"{p}_h")
        f = g.dense(f"{p}.output.dense", g.add("Gelu", h, f"{p}_g"), f"{p}_f")
        return g.norm(f"{p}.output.LayerNorm", g.add("Add", f"{n} {f}", f"{p}_r2"), f"{p}_y")
    o = g.dense(f"{p}.attention.output.dense", _fused_attention(g, p, x), f"{p}_o", False)
    n = _skip_norm(g, f"{p}.attention.output", x, o, f"{p}_n")
    h = g.dense(f"{p}.intermediate.dense", n, f"{p}_h", False)
    bias = g.weight(f"{p}.intermediate.dense.bias")
    f = g.dense(
        f"{p}.output.dense", g.add("BiasGelu", f"{h} {bias}", f"{p}_g", **_OWN), f"{p}_f", False
    )
    return _skip_norm(g, f"{p}.output", n, f, f"{p}_y")


def _skip_norm(g: _Graph, name: str, x: str, residual: str, y: str) -> str:
    parts = [g.weight(f"{name}.{n}") for n in ("LayerNorm.weight", "LayerNorm.bias", "dense.bias")]
    inputs = " ".join([x, residual, *parts])
    return g.add("SkipLayerNormalization", inputs, y, epsilon=g.eps, **_OWN)


def model(state: dict[str, np.ndarray], heads: int, layers: int, eps: float, fused: bool) -> bytes:
    """A serialised ONNX model of a BertModel's state_dict."""
    g = _Graph(state, heads, eps)
    width = state["embeddings.LayerNorm.weight"].size
    g.add("Cast", "mask", "maskf", to=TensorProto.FLOAT)
    g.add("Cast", "mask", "mask32", to=TensorProto.INT32)
    g.add("Unsqueeze", f"maskf {g.constant('axis2', [2])}", "mask3")
    if not fused:
        one, low = g.constant("one", 1, np.float32), g.constant("low", -1e9, np.float32)
        g.add("Sub", f"{one} maskf", "hidden")
        g.add("Mul", f"hidden {low}", "bias2")
        g.add("Unsqueeze", f"bias2 {g.constant('axes12', [1, 2])}", "bias4")
    x = _embeddings(g)
    for i in range(layers):
        x = _layer(g, f"encoder.layer.{i}", x, width, fused)
    axis = g.constant("axis1", [1])
    g.add("Mul", f"{x} mask3", "kept")
    g.add("ReduceSum", f"kept {axis}", "sum", keepdims=0)
    g.add("ReduceSum", f"maskf {axis}", "count", keepdims=1)
    g.add("Div", "sum count", "mean")
    g.add("LpNormalization", "mean", "y", axis=-1, p=2)
    sides = [
        helper.make_tensor_value_info(n, TensorProto.INT64, ["B", "T"]) for n in ("ids", "mask")
    ]
    out = helper.make_tensor_value_info("y", TensorProto.FLOAT, ["B", width])
    weights = [numpy_helper.from_array(array, name) for name, array in g.weights.items()]
    graph = helper.make_graph(g.nodes, "bert", sides, [out], weights)
    opsets = [helper.make_opsetid("", 20), helper.make_opsetid("com.microsoft", 1)]
    found: bytes = helper.make_model(graph, opset_imports=opsets, ir_version=9).SerializeToString()
    return found
