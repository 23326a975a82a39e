"""Nodes joined where no bit can change (docs/numerics.md says why): the epilogues of products,
gates, views of views, repeated heads, and attention that writes the layout that its reader wants.

A rule looks at a node and at the nodes that it reads; where they match, it gives the node that does
the work of both, which takes the place of the reader. What nothing reads any more goes away at the
end. Only a node with a single reader is joined to it.
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Callable
from dataclasses import replace as changed
from typing import Any

from .fold import without_dead
from .fuse_norms import with_sums
from .ir import Graph, Node, Ref, refs

# As the epilogues of linear and the convolutions call them; gelu and leaky_relu in `_activation`.
_EPILOGUES = ("relu", "relu6", "silu", "mish", "sigmoid", "tanh", "hardsigmoid", "hardswish")
_PRODUCTS = ("linear", "conv", "conv_transpose")


class _View:
    """The graph as rules see it."""

    def __init__(self, graph: Graph) -> None:
        self.first = len(graph.inputs)
        self.inputs = [tuple(spec.shape) for spec in graph.inputs]
        self.nodes = list(graph.nodes)
        self.output = graph.output
        self.count()

    def count(self) -> None:
        """Counts readers; nodes that nothing reads any more read nothing."""
        alive = set(refs(self.output))
        for number in range(len(self.nodes) - 1, -1, -1):
            if self.first + number in alive:
                alive.update(refs(list(self.nodes[number].args.values())))
            else:
                self.nodes[number] = changed(self.nodes[number], op="dead", args={})
        self.readers = Counter(refs([node.args for node in self.nodes]))
        self.readers.update(refs(self.output))

    def shape(self, value: Any) -> tuple[Any, ...] | None:
        """The shape of a value; None for a constant."""
        if not isinstance(value, Ref):
            return None
        if value.index < self.first:
            return self.inputs[value.index]
        return tuple(self.nodes[value.index - self.first].shape)

    def alone(self, value: Any, *ops: str) -> Node | None:
        """The node of a value, if it is one of these ops and has one reader."""
        if not isinstance(value, Ref) or value.index < self.first:
            return None
        node = self.nodes[value.index - self.first]
        return node if node.op in ops and self.readers[value.index] == 1 else None


def _activation(node: Node) -> tuple[str, float] | None:
    """(name, slope) of an activation that an epilogue can do."""
    if node.op in _EPILOGUES:
        return node.op, 0.01
    if node.op == "gelu":
        return ("gelu_tanh" if node.args["approximate"] == "tanh" else "gelu"), 0.01
    return ("leaky_relu", node.args["slope"]) if node.op == "leaky_relu" else None


def _product_activation(view: _View, node: Node) -> Node | None:
    """f(product): the activation in the epilogue."""
    activation = _activation(node)
    product = view.alone(node.args.get("x"), *_PRODUCTS) if activation else None
    if activation is None or product is None:
        return None
    if product.args["activation"] is not None or product.args["residual"] is not None:
        return None
    args = {**product.args, "activation": activation[0], "slope": activation[1]}
    return changed(product, args=args, place=product.place or node.place)


def _product_residual(view: _View, node: Node) -> Node | None:
    """product + residual, of one shape: the epilogue's last step."""
    if node.op != "add":
        return None
    for one, other in (("a", "b"), ("b", "a")):
        product = view.alone(node.args[one], *_PRODUCTS)
        residual = node.args[other]
        if product is None or product.args["residual"] is not None or residual == node.args[one]:
            continue
        if not isinstance(residual, Ref) or product.shape != node.shape:
            continue
        if view.shape(residual) == node.shape:
            return changed(product, args={**product.args, "residual": residual})
    return None


def _swiglu(view: _View, node: Node) -> Node | None:
    """silu(gate) up"""
    if node.op != "mul":
        return None
    for one, other in (("a", "b"), ("b", "a")):
        gate, up = view.alone(node.args[one], "silu"), node.args[other]
        if gate is not None and gate.shape == node.shape and view.shape(up) == node.shape:
            return changed(node, op="swiglu", args={"gate": gate.args["x"], "up": up})
    return None


def _reshapes(view: _View, node: Node) -> Node | None:
    if node.op != "reshape":
        return None
    inner = view.alone(node.args["x"], "reshape")
    return inner and changed(node, args={**node.args, "x": inner.args["x"]})


def _unrepeated(view: _View, value: Any) -> Any:
    """What a value repeats for each query head of a group: (B, H, L, D) of (B, H G, L, D)."""
    joined = view.alone(value, "reshape")
    spread = view.alone(joined.args["x"], "expand") if joined else None
    inner = view.alone(spread.args["x"], "reshape") if spread else None
    if joined is None or spread is None or inner is None:
        return None
    source, shape = inner.args["x"], tuple(spread.shape)
    few = view.shape(source)
    if few is None or len(few) != 4 or len(shape) != 5 or len(joined.shape) != 4:
        return None
    heads, times = few[1], shape[2]
    if not isinstance(heads, int) or not isinstance(times, int):
        return None
    wanted = (*few[:2], times, *few[2:]), (*few[:2], 1, *few[2:]), (few[0], heads * times, *few[2:])
    return source if (shape, tuple(inner.shape), tuple(joined.shape)) == wanted else None


def _grouped(view: _View, node: Node) -> Node | None:
    """attention whose keys and values are repeated: the kernel reads each for its whole group."""
    if node.op != "attention" or len(node.shape) != 4:
        return None
    k, v = (_unrepeated(view, node.args[name]) for name in ("k", "v"))
    if k is None or v is None or view.shape(k)[:2] != view.shape(v)[:2]:  # type: ignore[index]
        return None
    return changed(node, args={**node.args, "k": k, "v": v, "grouped": True})


def _attention_rows(view: _View, node: Node) -> Node | None:
    """attention, its heads moved behind the queries and joined: written so at once."""
    if node.op != "reshape" or len(node.shape) != 3:
        return None
    turned = view.alone(node.args["x"], "transpose")
    if turned is None or list(turned.args["axes"]) != [0, 2, 1, 3]:
        return None
    attention = view.alone(turned.args["x"], "attention")
    if attention is None or turned.shape[:2] != tuple(node.shape[:2]):
        return None
    keys = [view.shape(attention.args[name]) for name in ("q", "k", "v")]
    if any(shape is None or len(shape) != 4 or shape[0] != node.shape[0] for shape in keys):
        return None
    return changed(node, op="attention_rows", args=attention.args, place=attention.place)


Rule = Callable[[_View, Node], "Node | None"]
_RULES: tuple[Rule, ...] = (
    _grouped, _swiglu, _product_activation, _product_residual, _reshapes, _attention_rows,
)  # fmt: skip


def fused(graph: Graph) -> Graph:
    """The same function, with the same bits, in fewer nodes."""
    view = _View(graph)
    for rule in _RULES:
        for number, node in enumerate(view.nodes):
            joined = rule(view, node)
            if joined is not None:
                view.nodes[number] = joined
                view.count()
    return without_dead(with_sums(without_dead(changed(graph, nodes=view.nodes))))
