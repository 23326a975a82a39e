"""Memory of what stands between inputs and outputs: planned once, used by every call.

At the first call with new shapes every value is there to be looked at. A value gets a place in the
arena where its op writes into a given array and the output does not show its memory; it keeps the
place until the last reader of it, or of a view of it, has run. Then another value may have it. So
later calls allocate their outputs, and what ops without such an argument make.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from typing import Any, NamedTuple

import numpy as np

from .ir import Array, Graph, refs
from .run import Call, Compiled

ALIGNMENT = 64
MOST_BOUND = 32  # functions kept, one for each plan


def _names(text: str) -> frozenset[str]:
    return frozenset(text.split())


# Ops whose call takes the array to write to behind its other arguments: kernels of ours, NumPy's.
_KERNELS = _names(
    """linear matmul conv conv_transpose layer_norm rms_norm group_norm batch_norm softmax
    log_softmax attention attention_rows max_pool avg_pool adaptive_pool embedding exp expm1 log
    log1p sin cos erf relu relu6 silu sigmoid tanh hardsigmoid hardswish mish gelu leaky_relu elu
    softplus prelu glu swiglu"""
)
_UFUNCS = _names(
    """add sub mul div eq ne lt le gt ge and or xor neg abs sqrt floor ceil round trunc not isnan
    isinf"""
)
INTO = _KERNELS | _UFUNCS | _names("cat")
# Ops whose results are arrays of their own. Of all others a result may be a view of an argument.
FRESH = INTO | _names(
    """maximum minimum rsqrt reciprocal sign where pow sum mean var extreme arg_extreme logical
    cumsum clamp cast full arange stack copy gather take pick put place roll repeat repeat_each
    triangle dot recurrent bag floor_divide remainder fmod
    scatter put_add cumprod atan2 conv3d"""
)
# Ops in which NumPy does no arithmetic, and so does not warn of NaN and infinities.
QUIET = _KERNELS | _names("reshape transpose index expand stack cat copy item take recurrent")


class Spot(NamedTuple):
    """Where a value stands in the arena, and what it is."""

    start: int
    shape: tuple[int, ...]
    dtype: np.dtype[Any]

    def view(self, arena: Array) -> Array:
        count = int(np.prod(self.shape, dtype=np.int64)) * self.dtype.itemsize
        part: Array = arena[self.start : self.start + count].view(self.dtype)
        return part.reshape(self.shape)


class Layout(NamedTuple):
    size: int  # bytes
    spots: dict[int, Spot]  # by the number of the node


def layout(graph: Graph, calls: Sequence[Call], values: Sequence[Any]) -> Layout:
    """A layout for calls like the one whose values these are."""
    first = len(graph.inputs)
    roots = _roots(graph, calls)
    kept = {root for index in refs(graph.output) for root in roots[index]}
    last = _last_uses(graph, calls, roots)
    ends: dict[int, list[int]] = {}
    free: list[tuple[int, int]] = []  # (bytes, number) of blocks that nobody has
    sizes: list[int] = []  # of all blocks
    owner: dict[int, int] = {}
    for number, node in enumerate(graph.nodes):
        value, index = values[first + number], first + number
        if node.op in INTO and index not in kept and _plain(value):
            block = _take(free, sizes, value.nbytes)
            owner[number] = block
            ends.setdefault(last.get(index, number), []).append(block)
        for block in ends.pop(number, ()):
            free.append((sizes[block], block))
    starts = np.concatenate([[0], np.cumsum(sizes, dtype=np.int64)]).tolist() if sizes else [0]
    spots = {
        number: Spot(starts[block], values[first + number].shape, values[first + number].dtype)
        for number, block in owner.items()
    }
    return Layout(starts[-1], spots)


def _plain(value: Any) -> bool:
    return isinstance(value, np.ndarray) and value.size > 0 and bool(value.flags.c_contiguous)


def _take(free: list[tuple[int, int]], sizes: list[int], needed: int) -> int:
    """A block of at least so many bytes: the smallest that fits, or the largest, grown."""
    needed = -(-needed // ALIGNMENT) * ALIGNMENT
    fitting = [entry for entry in free if entry[0] >= needed]
    if fitting or free:
        entry = min(fitting) if fitting else max(free)
        free.remove(entry)
        block = entry[1]
        sizes[block] = max(sizes[block], needed)
        return block
    sizes.append(needed)
    return len(sizes) - 1


def _roots(graph: Graph, calls: Sequence[Call]) -> dict[int, set[int]]:
    """For each value the values whose memory it may show."""
    first = len(graph.inputs)
    roots: dict[int, set[int]] = {index: {index} for index in range(first)}
    for number, (node, call) in enumerate(zip(graph.nodes, calls, strict=True)):
        index = first + number
        if node.op in FRESH:
            roots[index] = {index}
        else:
            roots[index] = {index}.union(*(roots[i] for i in refs(call.args)))
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
        spots = self.layout.spots
        run = self.compiled.bound({number: spot.view(memory) for number, spot in spots.items()})
        if len(arena.bound) >= MOST_BOUND:
            arena.bound.pop(next(iter(arena.bound)))
        arena.bound[self] = run
        return run
