"""Parts of a graph that depend on constants alone, computed once; what nothing uses, dropped."""

from __future__ import annotations

from dataclasses import replace as changed
from typing import Any

import numpy as np

from .ir import Array, Const, Graph, Node, Ref, Size, refs, replace
from .ops import Packs
from .run import calls_of, stepwise

MOST_GROWTH = 1 << 18  # bytes that a folded constant may have; a larger one is computed each time


def folded(graph: Graph) -> Graph:
    """The same function, with constants in the place of nodes that always give the same."""
    first = len(graph.inputs)
    kept: list[Node] = []
    now: dict[int, Any] = {i: Ref(i) for i in range(first)}  # what each value has become
    for number, node in enumerate(graph.nodes):
        args = {key: replace(v, lambda r: now.get(r.index, r) if isinstance(r, Ref) else r)
                for key, v in node.args.items()}  # fmt: skip
        node = Node(node.op, args, node.place, node.shape, node.dtype)
        value = _value(graph, node)
        if value is None:
            kept.append(node)
            now[first + number] = Ref(first + len(kept) - 1)
        else:
            name = f"folded.{number}"
            graph.constants[name] = value
            now[first + number] = Const(name)
    output = replace(graph.output, lambda r: now.get(r.index, r) if isinstance(r, Ref) else r)
    return without_dead(changed(graph, nodes=kept, output=output))


def _value(graph: Graph, node: Node) -> Array | None:
    if refs(list(node.args.values())) or _sizes(list(node.args.values())):
        return None
    alone = Graph([], graph.constants, [node], Ref(0))
    if node.op in ("expand", "full", "repeat", "arange"):
        count = int(np.prod([n for n in node.shape if isinstance(n, int)], dtype=np.float64))
        if count * 8 > MOST_GROWTH:
            return None
    with np.errstate(all="ignore"):
        (value,) = stepwise(alone, calls_of(alone, {}, Packs()), [])
    if not isinstance(value, (np.ndarray, np.generic)):
        return None
    return np.array(value)  # a copy: not a view that keeps another array alive


def _sizes(value: Any) -> bool:
    if isinstance(value, Size):
        return True
    if isinstance(value, (list, tuple)) and not isinstance(value, (Ref, Const)):
        return any(_sizes(item) for item in value)
    return False


def without_dead(graph: Graph) -> Graph:
    """Without nodes and constants that the output does not depend on."""
    first = len(graph.inputs)
    alive = set(refs(graph.output))
    for number in range(len(graph.nodes) - 1, -1, -1):
        if first + number in alive:
            alive.update(refs(list(graph.nodes[number].args.values())))
    order = [i for i in range(len(graph.nodes)) if first + i in alive]
    place = {i: i for i in range(first)} | {
        first + old: first + new for new, old in enumerate(order)
    }

    def moved(value: Any) -> Any:
        return replace(value, lambda r: Ref(place[r.index]) if isinstance(r, Ref) else r)

    nodes = [graph.nodes[i] for i in order]
    nodes = [Node(n.op, moved(n.args), n.place, n.shape, n.dtype) for n in nodes]
    used: set[str] = set()
    replace([[n.args for n in nodes], graph.output],
            lambda r: used.add(r.name) or r if isinstance(r, Const) else r)  # type: ignore[func-returns-value]  # fmt: skip
    constants = {name: array for name, array in graph.constants.items() if name in used}
    return changed(graph, constants=constants, nodes=nodes, output=moved(graph.output))
