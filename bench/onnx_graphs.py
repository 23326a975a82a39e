"""ONNX Runtime and OpenVINO, both on the same ONNX graphs built in memory.

Weights are initialisers, so both pack them when the session is made; shapes are static. A graph is
one way of writing a case; where there are several, ONNX Runtime tries each and OpenVINO, which
rewrites them all to the same, takes the first.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from typing import Any

import numpy as np
import onnx
from onnx import helper, numpy_helper

import attention
from cases import Arguments, Case
from contenders import RECURRENT, UnsupportedError, output
from onnx_transformer import encoder_layer
from recurrent import layers_of, names_of

OPSET = 21  # Gelu, and GroupNormalization with a weight a channel
NEWER = {"Attention": 23}
Node = onnx.NodeProto


@dataclass
class Graph:
    """Nodes from "x" (and "r") to "y"."""

    way: str
    nodes: list[Node]
    weights: dict[str, np.ndarray]
    inputs: dict[str, np.ndarray]
    out: np.ndarray
    read: Callable[[np.ndarray], np.ndarray] = np.asarray  # the result, from "y"

    def model(self) -> bytes:
        inputs = [_info(name, array) for name, array in self.inputs.items()]
        weights = [numpy_helper.from_array(w, name) for name, w in self.weights.items()]
        graph = helper.make_graph(self.nodes, "g", inputs, [_info("y", self.out)], weights)
        opset = max(NEWER.get(node.op_type, OPSET) for node in self.nodes)
        domains = [helper.make_opsetid("", opset), helper.make_opsetid("com.microsoft", 1)]
        model = helper.make_model(graph, opset_imports=domains)
        model.ir_version = 10 if opset == OPSET else 11
        serialised: bytes = model.SerializeToString()
        return serialised


def _info(name: str, array: np.ndarray) -> Any:
    kind = helper.np_dtype_to_tensor_dtype(array.dtype)
    return helper.make_tensor_value_info(name, kind, array.shape)


def _node(kind: str, inputs: str, output: str, **attributes: Any) -> Node:
    return helper.make_node(kind, inputs.split(), [output], **attributes)


def _activation(name: str | None, at: str, to: str) -> list[Node]:
    if name == "silu":
        return [_node("Sigmoid", at, "s"), _node("Mul", f"{at} s", to)]
    kinds = {"relu": "Relu", "gelu": "Gelu", "sigmoid": "Sigmoid", "tanh": "Tanh"}
    if name == "gelu_tanh":
        return [_node("Gelu", at, to, approximate="tanh")]
    return [_node(kinds[name or ""], at, to)]


def _products(a: Arguments) -> list[tuple[str, list[Node], dict[str, np.ndarray]]]:
    weight, bias = a["weight"], a["bias"]
    matrix = [_node("MatMul", "x w", "t"), _node("Add", "t b", "p")]
    return [
        ("Gemm", [_node("Gemm", "x w b", "p", transB=1)], {"w": weight, "b": bias}),
        ("MatMul", matrix, {"w": np.ascontiguousarray(weight.T), "b": bias}),
    ]


def _finished(nodes: list[Node], a: Arguments) -> list[Node]:
    """The epilogue behind "p", and "y" as the last node's output."""
    nodes, at = list(nodes), "p"
    if a.get("activation"):
        nodes += _activation(a["activation"], "p", "q")
        at = "q"
    if a.get("residual") is not None:
        nodes += [_node("Add", f"{at} r", "z")]
    nodes[-1].output[0] = "y"
    return nodes


def _linear(a: Arguments) -> list[tuple[str, list[Node], dict[str, np.ndarray]]]:
    return [(way, _finished(nodes, a), weights) for way, nodes, weights in _products(a)]


def _conv1d(a: Arguments) -> list[tuple[str, list[Node], dict[str, np.ndarray]]]:
    geometry = {
        "kernel_shape": [a["weight"].shape[2]],
        "pads": [a["padding"]] * 2,
        "strides": [a["stride"]],
        "dilations": [a["dilation"]],
        "group": a["groups"],
    }
    nodes = [_node("Conv", "x w b", "p", **geometry)]
    return [("Conv", _finished(nodes, a), {"w": a["weight"], "b": a["bias"]})]


def _convolution(a: Arguments) -> list[tuple[str, list[Node], dict[str, np.ndarray]]]:
    """Two dimensions, or transposed."""
    kernel = list(a["weight"].shape[2:])
    dims = len(kernel)
    geometry = {
        "kernel_shape": kernel,
        "pads": [a["padding"]] * 2 * dims,
        "strides": [a["stride"]] * dims,
        "dilations": [a["dilation"]] * dims,
        "group": a["groups"],
    }
    kind = "ConvTranspose" if "output_padding" in a else "Conv"
    nodes = [_node(kind, "x w b", "p", **geometry)]
    return [(kind, _finished(nodes, a), {"w": a["weight"], "b": a["bias"]})]


def _norm(kind: str) -> Callable[[Arguments], list[Any]]:
    def make(a: Arguments) -> list[Any]:
        weights = {"w": a["weight"], **({"b": a["bias"]} if "bias" in a else {})}
        nodes = [_node(kind, " ".join(("x", *weights)), "y", axis=-1, epsilon=a["eps"])]
        return [(kind, nodes, weights)]

    return make


def _pool(kind: str, **more: int) -> Callable[[Arguments], list[Any]]:
    def make(a: Arguments) -> list[Any]:
        k, s, p = (a[name] for name in ("kernel_size", "stride", "padding"))
        windows = {"kernel_shape": [k] * 2, "strides": [s] * 2, "pads": [p] * 4}
        found: list[Any] = [(kind, [_node(kind, "x", "y", **windows, **more)], {})]
        if kind == "AveragePool" and a["input"].shape[2:] == (k, k) and p == 0:
            found.append(("GlobalAveragePool", [_node("GlobalAveragePool", "x", "y")], {}))
        return found

    return make


def _batch_norm(a: Arguments) -> list[Any]:
    names = {"w": "weight", "b": "bias", "m": "running_mean", "v": "running_var"}
    node = _node("BatchNormalization", "x w b m v", "y", epsilon=a["eps"])
    return [("BatchNormalization", [node], {short: a[name] for short, name in names.items()})]


def _group_norm(a: Arguments) -> list[Any]:
    node = _node("GroupNormalization", "x w b", "y", epsilon=a["eps"], num_groups=a["num_groups"])
    return [("GroupNormalization", [node], {"w": a["weight"], "b": a["bias"]})]


def _unary(name: str) -> Callable[[Arguments], list[Any]]:
    """The standard operators; behind them Microsoft's own, which torch exports as well."""

    def make(a: Arguments) -> list[Any]:
        exact = "gelu_tanh" if a.get("approximate") == "tanh" else name
        found: list[Any] = [(exact, _activation(exact, "x", "y"), {})]
        if exact == "silu":
            quick = _node("QuickGelu", "x", "y", domain="com.microsoft", alpha=1.0)
            found.append(("QuickGelu", [quick], {}))
        if exact == "gelu_tanh":
            found.append(("FastGelu", [_node("FastGelu", "x", "y", domain="com.microsoft")], {}))
        return found

    return make


def _sequential(a: Arguments) -> list[Any]:
    nodes = [
        _node("Gemm", "x weight1 bias1", "h", transB=1),
        _node("Relu", "h", "t"),
        _node("Gemm", "t weight2 bias2", "z", transB=1),
        _node("Sigmoid", "z", "y"),
    ]
    return [("Gemm", nodes, {n: a[n] for n in ("weight1", "weight2", "bias1", "bias2")})]


# torch's gates in ONNX's order
_ORDER = {"LSTM": (0, 3, 1, 2), "GRU": (1, 0, 2), "RNN": (0,)}


def _recurrent(kind: str) -> Callable[[Arguments], list[Any]]:
    """A node a layer, from "x" and the states "h0", "c0" of each, without a direction between."""

    def in_order(array: np.ndarray) -> np.ndarray:
        parts = np.split(array, len(_ORDER[kind]))
        return np.concatenate([parts[i] for i in _ORDER[kind]])

    def make(a: Arguments) -> list[Any]:
        nodes, weights, at = [], {"axis": np.array([1])}, "x"
        more = {"linear_before_reset": 1} if kind == "GRU" else {}
        for layer in range(layers_of(a)):
            w, r, *biases = (in_order(a[name]) for name in names_of(layer))
            weights |= {f"w{layer}": w[None], f"r{layer}": r[None]}
            weights[f"b{layer}"] = np.concatenate(biases)[None]
            inputs = [at, f"w{layer}", f"r{layer}", f"b{layer}", "", f"h{layer}"]
            inputs += [f"c{layer}"] if kind == "LSTM" else []
            hidden = a["h0"].shape[2]
            nodes.append(helper.make_node(kind, inputs, ["t"], hidden_size=hidden, **more))
            at = "y" if layer + 1 == layers_of(a) else f"y{layer}"
            nodes[-1].output[0] = f"t{layer}"
            nodes.append(_node("Squeeze", f"t{layer} axis", at))
        return [(kind, nodes, weights)]

    return make


_BY_OP: dict[str, Callable[[Arguments], list[Any]]] = {
    "linear": _linear,
    "conv1d": _conv1d,
    **dict.fromkeys(("conv2d", "conv_transpose1d", "conv_transpose2d"), _convolution),
    "rms_norm": _norm("SimplifiedLayerNormalization"),
    "layer_norm": _norm("LayerNormalization"),
    "softmax": lambda a: [("Softmax", [_node("Softmax", "x", "y", axis=a["dim"])], {})],
    **{name: _unary(name) for name in ("gelu", "silu", "tanh", "sigmoid")},
    "embedding": lambda a: [("Gather", [_node("Gather", "w x", "y")], {"w": a["weight"]})],
    "max_pool2d": _pool("MaxPool"),
    "avg_pool2d": _pool("AveragePool", count_include_pad=1),
    "batch_norm": _batch_norm,
    "group_norm": _group_norm,
    "sequential": _sequential,
    **{kind: _recurrent(kind) for kind in RECURRENT},
    "transformer_encoder_layer": encoder_layer,
}


def graphs(case: Case, a: Arguments) -> list[Graph]:
    if case.group.startswith("F."):
        raise UnsupportedError("its weights are constants of a session: not the raw call")
    if case.op == "attention":
        return [
            Graph(way, [node], {}, inputs, out, read or np.asarray)
            for way, node, inputs, out, read in attention.graphs(a, _node)
        ]
    if case.op not in _BY_OP:
        raise UnsupportedError(f"no graph for {case.op}")
    inputs = {"x": a["indices"] if case.op == "embedding" else a["input"]}
    if a.get("residual") is not None:
        inputs["r"] = a["residual"]
    if case.op in RECURRENT:
        names = [name for name in ("h0", "c0") if name in a]
        inputs |= {f"{n[0]}{i}": a[n][i : i + 1] for n in names for i in range(layers_of(a))}
    out = output(case, a)
    made = _BY_OP[case.op](a)
    return [Graph(way, nodes, weights, inputs, out) for way, nodes, weights in made]
