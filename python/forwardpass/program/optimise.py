"""What a graph goes through once, between torch and a Program."""

from __future__ import annotations

from dataclasses import replace as changed
from typing import Any

from .arena import VIEWS
from .fold import folded
from .fuse import fused
from .ir import Const, Graph, Node, Ref, refs, replace
from .patterns import with_layers


def optimised(graph: Graph) -> Graph:
    """The same function: constants computed, layers found, nodes joined, results of their own."""
    return owned(fused(with_layers(folded(graph))))


def owned(graph: Graph) -> Graph:
    """Copies in the place of results that would show an input's memory, or a constant's."""
    first = len(graph.inputs)
    foreign = dict.fromkeys(range(first), True) | {-1: True}  # whether its memory is not its own
    for number, node in enumerate(graph.nodes):
        lent = node.op in ("expand", "flip") or any(foreign[i] for i in _sources(node))
        foreign[first + number] = node.op in VIEWS and lent
    nodes = list(graph.nodes)
    copies: dict[Any, Ref] = {}

    def copied(value: Any) -> Any:
        if isinstance(value, Ref) and not foreign[value.index]:
            return value
        if value not in copies:
            nodes.append(_copy(graph, value))
            copies[value] = Ref(first + len(nodes) - 1)
        return copies[value]

    output = replace(graph.output, copied)
    return changed(graph, nodes=nodes, output=output)


def _sources(node: Node) -> list[int]:
    """The values that a node reads; -1 for constants."""
    found = refs(list(node.args.values()))
    replace(list(node.args.values()), lambda r: found.append(-1) if isinstance(r, Const) else r)
    return found


def _copy(graph: Graph, value: Ref | Const) -> Node:
    if isinstance(value, Const):
        array = graph.constants[value.name]
        return Node("copy", {"x": value}, "", array.shape, str(array.dtype))
    every: list[Any] = [*graph.inputs, *graph.nodes]
    spec = every[value.index]
    return Node("copy", {"x": value}, "", tuple(spec.shape), spec.dtype)
