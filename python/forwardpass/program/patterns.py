"""Layers that torch's graph spells out in arithmetic, found and made whole: RMSNorm, GELU by tanh;
and batch norms with constant statistics, put into the product in front of them.

Unlike what fuse.py does this chooses the arithmetic, so it happens at conversion, once; the result
is within the bounds of the layer's own op.
"""

from __future__ import annotations

import math
from collections import Counter
from dataclasses import replace as changed
from typing import Any

import numpy as np

from .fold import without_dead
from .ir import Array, Const, Graph, Node, Ref, refs


class _Search:
    """Steps from a value to what it was made of."""

    def __init__(self, graph: Graph) -> None:
        self.graph = graph
        self.first = len(graph.inputs)
        self.readers = Counter(refs([node.args for node in graph.nodes]) + refs(graph.output))

    def node(self, value: Any, op: str) -> Node | None:
        if not isinstance(value, Ref) or value.index < self.first:
            return None
        node = self.graph.nodes[value.index - self.first]
        return node if node.op == op else None

    def number(self, value: Any) -> float | None:
        """A constant of one element."""
        if not isinstance(value, Const):
            return None
        array = self.graph.constants[value.name]
        return float(array.item()) if array.ndim == 0 else None

    def scaled(self, node: Node | None, op: str) -> tuple[Any, float] | None:
        """(value, number) of value op number, in either order."""
        if node is None or node.op != op:
            return None
        for one, other in (("a", "b"), ("b", "a")):
            number = self.number(node.args[other])
            if number is not None:
                return node.args[one], number
        return None

    def product(self, value: Any, number: float, op: str = "mul") -> Any:
        """The other operand of value = it op number (to float32's precision), or None."""
        found = self.scaled(self.node(value, op), op)
        return found[0] if found and math.isclose(found[1], number, rel_tol=1e-6) else None


def _rms_norm(search: _Search, node: Node) -> Node | None:
    """x rsqrt(mean(x x) + eps), and that times a weight."""
    if node.op != "mul":
        return None
    for one, other in (("a", "b"), ("b", "a")):
        x, root = node.args[one], search.node(node.args[other], "rsqrt")
        total = search.scaled(search.node(root.args["x"], "add"), "add") if root else None
        mean = search.node(total[0], "mean") if total else None
        square = search.node(mean.args["x"], "mul") if mean else None
        if total is None or mean is None or square is None or not isinstance(x, Ref):
            continue
        width = node.shape[-1] if node.shape else None
        if list(mean.args["dims"]) != [len(node.shape) - 1] or not mean.args["keep"]:
            continue
        if square.args["a"] == square.args["b"] == x and isinstance(width, int):
            args = {"x": x, "shape": [width], "weight": None, "eps": total[1]}
            return changed(node, op="rms_norm", args=args)
    return None


def _weighted(search: _Search, node: Node) -> Node | None:
    """rms_norm times a constant of the row's width."""
    if node.op != "mul":
        return None
    for one, other in (("a", "b"), ("b", "a")):
        norm, weight = search.node(node.args[one], "rms_norm"), node.args[other]
        if norm is None or norm.args["weight"] is not None or not isinstance(weight, Const):
            continue
        if list(search.graph.constants[weight.name].shape) == list(norm.args["shape"]):
            return changed(node, op="rms_norm", args={**norm.args, "weight": weight})
    return None


def _gelu_tanh(search: _Search, node: Node) -> Node | None:
    """0.5 x (1 + tanh(sqrt(2 / pi) (x + 0.044715 x^3)))"""
    if node.op != "mul":
        return None
    for one, other in (("a", "b"), ("b", "a")):
        x = search.product(node.args[one], 0.5)
        tanh = search.node(search.product(node.args[other], 1.0, "add"), "tanh")
        if x is None or tanh is None:
            continue
        inner = search.node(search.product(tanh.args["x"], math.sqrt(2 / math.pi)), "add")
        if inner is None:
            continue
        for first, second in (("a", "b"), ("b", "a")):
            cube = search.node(search.product(inner.args[second], 0.044715), "mul")
            if inner.args[first] != x or cube is None:
                continue
            square = search.node(cube.args["a"], "mul")
            if cube.args["b"] == x and square and square.args["a"] == square.args["b"] == x:
                return changed(node, op="gelu", args={"x": x, "approximate": "tanh"})
    return None


def _normed(
    eps: float, w: Any, b: Any, mean: Any, var: Any, gamma: Any, beta: Any
) -> tuple[Array, Array]:
    """Weight and bias of a product with a batch norm behind it, in double."""
    scale = (1.0 if gamma is None else gamma) / np.sqrt(var.astype(np.float64) + eps)
    bias = ((0.0 if b is None else b) - mean.astype(np.float64)) * scale + (
        0.0 if beta is None else beta
    )
    return w * scale.reshape(-1, *[1] * (w.ndim - 1)), bias


def _batch_norm(search: _Search, node: Node) -> Node | None:
    """batch_norm of a convolution or a linear that nothing else reads: in its weight and bias."""
    if node.op != "batch_norm":
        return None
    product = search.node(node.args["x"], "conv") or search.node(node.args["x"], "linear")
    if product is None or search.readers[node.args["x"].index] > 1:
        return None
    constants = search.graph.constants
    parts = [product.args[key] for key in ("weight", "bias")]
    parts += [node.args[key] for key in ("mean", "var", "weight", "bias")]
    if any(isinstance(part, Ref) for part in parts):
        return None
    if product.args["activation"] is not None or product.args["residual"] is not None:
        return None
    arrays = [None if part is None else constants[part.name] for part in parts]
    if len(node.shape) != len(constants[parts[0].name].shape):  # a linear of many rows, no batch
        return None
    w, b = _normed(node.args["eps"], *arrays)
    args = dict(product.args)
    for key, array in (("weight", w), ("bias", b)):
        args[key] = Const(f"{parts[0].name}.normed.{node.args['x'].index}.{key}")
        constants[args[key].name] = array.astype(np.float32)
    return changed(product, args=args, place=product.place or node.place)


def with_layers(graph: Graph) -> Graph:
    """The graph with these layers as one node each."""
    search = _Search(Graph(**vars(graph)))
    search.graph.nodes = list(graph.nodes)
    search.graph.constants = dict(graph.constants)
    for rule in (_rms_norm, _weighted, _gelu_tanh, _batch_norm):
        for number, node in enumerate(search.graph.nodes):
            found = rule(search, node)
            if found is not None:
                search.graph.nodes[number] = found
    return without_dead(search.graph)
