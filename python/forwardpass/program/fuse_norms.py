"""A sum and the norm behind it as one node, for any other readers of the sum too."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import replace as changed
from typing import Any

from .ir import Const, Graph, Node, Ref, replace

_JOINED = {"layer_norm": "add_layer_norm", "rms_norm": "add_rms_norm"}


def with_sums(graph: Graph) -> Graph:
    """The same function, with the same bits; `add` in front of a norm is gone."""
    first = len(graph.inputs)
    norms = dict(_pairs(graph))  # by the number of the sum's node: the norm's
    nodes: list[Node] = []
    now: dict[int, Ref] = {i: Ref(i) for i in range(first)}  # what each value has become
    ready: dict[int, Ref] = {}  # results of norms, by the number of their node

    def put(node: Node) -> Ref:
        nodes.append(node)
        return Ref(first + len(nodes) - 1)

    def moved(value: Any) -> Any:
        return replace(value, lambda r: now[r.index] if isinstance(r, Ref) else r)

    for number, node in enumerate(graph.nodes):
        if number in norms:
            norm = graph.nodes[norms[number]]
            both = {"x": node.args["a"], "residual": node.args["b"]}
            args = moved({**norm.args, **both})
            pair = put(changed(norm, op=_JOINED[norm.op], args=args))
            ready[norms[number]] = put(changed(norm, op="item", args={"x": pair, "number": 0}))
            now[first + number] = put(changed(node, op="item", args={"x": pair, "number": 1}))
        elif number in ready:
            now[first + number] = ready[number]
        else:
            now[first + number] = put(changed(node, args=moved(node.args)))
    return changed(graph, nodes=nodes, output=moved(graph.output))


def _pairs(graph: Graph) -> Iterator[tuple[int, int]]:
    """(number of an add's node, that of the first norm that reads it)"""
    first, taken = len(graph.inputs), set()
    for number, norm in enumerate(graph.nodes):
        if norm.op not in _JOINED or not isinstance(norm.args["x"], Ref):
            continue
        at = norm.args["x"].index - first
        if at < 0 or at in taken or graph.nodes[at].op != "add":
            continue
        weights = (norm.args.get("weight"), norm.args.get("bias"))
        if any(isinstance(w, Ref) for w in weights) or not _of_one_shape(graph, graph.nodes[at]):
            continue
        taken.add(at)
        yield at, number


def _of_one_shape(graph: Graph, node: Node) -> bool:
    every: list[Any] = [*graph.inputs, *graph.nodes]
    for key in ("a", "b"):
        value = node.args[key]
        if isinstance(value, Const):
            array = graph.constants[value.name]
            shape, dtype = tuple(array.shape), str(array.dtype)
        else:
            shape, dtype = tuple(every[value.index].shape), every[value.index].dtype
        if shape != tuple(node.shape) or dtype != "float32":
            return False
    return node.dtype == "float32"
