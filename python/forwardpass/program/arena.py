"""Memory of what stands between inputs and outputs: planned once, used by every call.

At the first call with new shapes every value is there to be looked at. A value that is no view and
that the output does not show gets a place in the arena; it keeps the place until the last reader of
it, or of a view of it, has run. Then another value may have it. So later calls allocate their
outputs, and what NumPy needs inside an op: to sort, to gather by several arrays of indices, to add
in double.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from typing import Any, NamedTuple

import numpy as np

from .ir import Array, Graph, Node, refs
from .run import Call, Compiled

ALIGNMENT = 64
MOST_BOUND = 32  # functions kept, one for each plan


def _names(text: str) -> frozenset[str]:
    return frozenset(text.split())


# Ops whose result may be a view of an argument. Others, but for those of MADE, take the array to
# write to, or a tuple of them, behind their other arguments.
VIEWS = _names("reshape transpose index diagonal expand real imag item flip unfold")
# Ops whose results NumPy allocates.
MADE = _names("sort gather median cumulative_extreme max_pool_indices adaptive_pool_indices")
# Ops that do no arithmetic in NumPy, which would warn of NaN and infinities.
QUIET = _names(
    """linear matmul conv conv_transpose layer_norm rms_norm group_norm batch_norm softmax
    log_softmax attention attention_rows max_pool avg_pool adaptive_pool embedding exp expm1 log
    log1p sin cos erf relu relu6 silu sigmoid tanh hardsigmoid hardswish mish gelu leaky_relu elu
    softplus prelu glu swiglu sum mean var recurrent add_layer_norm add_rms_norm
    reshape transpose index expand real imag item complex stack cat copy take pick gather full
    arange where"""
)


class Spot(NamedTuple):
    """Where an array stands in the arena, and what it is."""

    start: int
    shape: tuple[int, ...]
    dtype: np.dtype[Any]
    strides: tuple[int, ...]

    def view(self, arena: Array) -> Array:
        return np.ndarray(self.shape, self.dtype, arena, self.start, self.strides)


Spots = tuple[Spot, ...]  # of the arrays that a value has, one behind the other


class Layout(NamedTuple):
    size: int  # bytes
    spots: dict[int, Spots]  # by the number of the node

    def views(self, arena: Array) -> dict[int, Any]:
        """What each op is given to write to."""
        made = {n: tuple(s.view(arena) for s in spots) for n, spots in self.spots.items()}
        return {n: views[0] if len(views) == 1 else views for n, views in made.items()}


def layout(graph: Graph, calls: Sequence[Call], values: Sequence[Any]) -> Layout:
    """A layout for calls like the one whose values these are."""
    first = len(graph.inputs)
    own = [_is_own(node, call, values, first + n)
           for n, (node, call) in enumerate(zip(graph.nodes, calls, strict=True))]  # fmt: skip
    roots = _roots(first, own, calls)
    kept = {root for index in refs(graph.output) for root in roots[index]}
    last = _last_uses(graph, calls, roots)
    ends: dict[int, list[int]] = {}
    free: list[tuple[int, int]] = []  # (bytes, number) of blocks that nobody has
    sizes: list[int] = []  # of all blocks
    owner: dict[int, int] = {}
    for number in range(len(graph.nodes)):
        value, index = values[first + number], first + number
        lent = own[number] and graph.nodes[number].op not in MADE
        if lent and index not in kept and all(map(_dense, _arrays(value))):
            block = _take(free, sizes, sum(_whole(a.nbytes) for a in _arrays(value)))
            owner[number] = block
            ends.setdefault(last.get(index, number), []).append(block)
        for block in ends.pop(number, ()):
            free.append((sizes[block], block))
    starts = np.concatenate([[0], np.cumsum(sizes, dtype=np.int64)]).tolist() if sizes else [0]
    spots = {number: _spots(starts[block], _arrays(values[first + number]))
             for number, block in owner.items()}  # fmt: skip
    return Layout(starts[-1], spots)


def _spots(start: int, arrays: Sequence[Array]) -> Spots:
    found = []
    for array in arrays:
        found.append(Spot(start, array.shape, array.dtype, array.strides))
        start += _whole(array.nbytes)
    return tuple(found)


def _arrays(value: Any) -> tuple[Any, ...]:
    return value if isinstance(value, tuple) else (value,)


def _dense(value: Any) -> bool:
    """An array that fills its memory, in whatever order its dimensions have there."""
    if not isinstance(value, np.ndarray) or value.size == 0 or min(value.strides, default=0) < 0:
        return False
    reach = sum((n - 1) * step for n, step in zip(value.shape, value.strides, strict=True))
    return bool(reach + value.itemsize == value.nbytes)


def _whole(count: int) -> int:
    return -(-count // ALIGNMENT) * ALIGNMENT


def _is_own(node: Node, call: Call, values: Sequence[Any], index: int) -> bool:
    """Whether a value's memory is its own: also that of a reshape that had to copy."""
    if node.op == "reshape":
        sources = [values[i] for i in refs(call.args)] or call.args
        return not any(np.may_share_memory(source, values[index]) for source in sources)
    return node.op not in VIEWS


def _take(free: list[tuple[int, int]], sizes: list[int], needed: int) -> int:
    """A block of at least so many bytes: the smallest that fits, or the largest, grown."""
    fitting = [entry for entry in free if entry[0] >= needed]
    if fitting or free:
        entry = min(fitting) if fitting else max(free)
        free.remove(entry)
        block = entry[1]
        sizes[block] = max(sizes[block], needed)
        return block
    sizes.append(needed)
    return len(sizes) - 1


def _roots(first: int, own: Sequence[bool], calls: Sequence[Call]) -> dict[int, set[int]]:
    """For each value the values whose memory it may show."""
    roots: dict[int, set[int]] = {index: {index} for index in range(first)}
    for number, call in enumerate(calls):
        shown = () if own[number] else refs(call.args)
        roots[first + number] = {first + number}.union(*(roots[i] for i in shown))
    return roots


def _last_uses(graph: Graph, calls: Sequence[Call], roots: dict[int, set[int]]) -> dict[int, int]:
    """The number of the node that is the last to read a value or a view of it."""
    last: dict[int, int] = {}
    for number, call in enumerate(calls):
        for index in refs(call.args):
            for root in roots[index]:
                last[root] = number
    return last


class Arena:
    """Memory for one call at a time, with the functions that are bound to it."""

    def __init__(self) -> None:
        self.memory: Array = np.empty(0, np.uint8)
        self.bound: dict[Any, Any] = {}

    def grown(self, size: int) -> Array:
        """At least so many bytes, from a multiple of 64 on."""
        if self.memory.size < size:
            self.bound.clear()
            whole = np.empty(size + ALIGNMENT, np.uint8)
            start = -whole.ctypes.data % ALIGNMENT
            self.memory = whole[start : start + size]
        return self.memory


class Plan:
    """The calls for one set of input shapes, and where their results stand."""

    def __init__(self, graph: Graph, calls: list[Call], values: Sequence[Any]) -> None:
        self.layout = layout(graph, calls, values)
        self.compiled = Compiled(graph, calls, self.layout.spots)
        self.quiet = all(node.op in QUIET for node in graph.nodes)  # nothing of NumPy's warns

    def bound(self, arena: Arena) -> Callable[..., list[Any]]:
        """The function of the inputs that works in this arena."""
        memory = arena.grown(self.layout.size)
        run = self.compiled.bound(self.layout.views(memory))
        if len(arena.bound) >= MOST_BOUND:
            arena.bound.pop(next(iter(arena.bound)))
        arena.bound[self] = run
        return run
