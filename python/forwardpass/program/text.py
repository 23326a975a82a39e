"""A Program in words."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

from .ir import Graph


def _shape(shape: Sequence[Any]) -> str:
    return f"({', '.join(map(str, shape))}{',' if len(shape) == 1 else ''})"


def summary(graph: Graph) -> str:
    """One line an input and a node, and the size of the weights."""
    lines = [f"Program of {len(graph.nodes)} nodes"]
    lines += [f"  input {s.name}: {s.dtype} {_shape(s.shape)}" for s in graph.inputs]
    width = max((len(node.op) for node in graph.nodes), default=0)
    shapes = [_shape(node.shape) for node in graph.nodes]
    wide = min(max(map(len, shapes), default=0), 30)
    for number, (node, shape) in enumerate(zip(graph.nodes, shapes, strict=True)):
        at = len(graph.inputs) + number
        lines.append(f"  {at:4} {node.op:{width}} {shape:{wide}} {node.place}".rstrip())
    arrays = graph.constants.values()
    total, size = sum(a.size for a in arrays), sum(a.nbytes for a in arrays)
    lines.append(f"  {len(graph.constants)} constants, {total:,} numbers, {size / 1e6:.1f} MB")
    return "\n".join(lines)
