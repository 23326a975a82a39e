"""trace(): every layer's value in one forward pass."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any, NamedTuple, overload

from forwardpass.nn import Module
from forwardpass.nn._checks import typename

from . import _arrays
from ._record import Call, record
from ._text import clean, printable
from .words import describe

if TYPE_CHECKING:
    import os
    from collections.abc import Sequence
    from typing import BinaryIO

    import numpy.typing as npt
    from matplotlib.figure import Figure


@dataclass(frozen=True, repr=False)
class Step:
    """One call of one layer. Nothing in it refers to the model.

    `value` is a read-only copy of what the layer returned, bit by bit: an array, or a structure
    of tuples, lists and dicts with arrays.
    """

    path: str  # "" is the model itself
    type: str
    depth: int  # how many calls it ran inside
    leaf: bool  # it called no other module
    input_shapes: list[tuple[int, ...]]
    value: Any
    unchanged: bool  # its value is that of the last layer it called, bit by bit
    words: str

    @property
    def arrays(self) -> list[npt.NDArray[Any]]:
        """The arrays in `value`, in order."""
        return _arrays.arrays_in(self.value)

    @property
    def title(self) -> str:
        """Path and type as in a module's repr: "(blocks.0.up) Linear"."""
        return f"({self.path}) {self.type}" if self.path else self.type

    def __repr__(self) -> str:
        return f"<Step {self.title} {_flow(self)}>"


class Trace:
    """The values of a forward pass: a sequence of Steps in the order in which the calls began.

    `trace[3]` and `trace[2:5]` are steps by position, `trace["blocks.0.up"]` is the first call at
    a path, `trace.at(path)` all of them. Printing it tells the data flow step by step.
    """

    def __init__(self, name: str, steps: list[Step], input: Any, output: Any) -> None:
        self.name = name  # the model's type
        self.steps = steps
        self.input = input  # a copy of the arguments: the one value, or a tuple of them
        self.output = output  # a copy of what the model returned

    def at(self, path: str) -> list[Step]:
        """Every call at a path, in order. Raises KeyError if there is none."""
        found = [step for step in self.steps if step.path == path]
        if not found:
            known = ", ".join(dict.fromkeys(repr(step.path) for step in self.steps))
            raise KeyError(f"no layer was called at {path!r}; there are {clean(known, 400)}")
        return found

    @property
    def leaves(self) -> list[Step]:
        """The steps of layers that call no other layer: in this order the data pass them."""
        return [step for step in self.steps if step.leaf]

    def __len__(self) -> int:
        return len(self.steps)

    def __iter__(self) -> Iterator[Step]:
        return iter(self.steps)

    @overload
    def __getitem__(self, index: int | str) -> Step: ...

    @overload
    def __getitem__(self, index: slice) -> list[Step]: ...

    def __getitem__(self, index: int | str | slice) -> Step | list[Step]:
        return self.at(index)[0] if isinstance(index, str) else self.steps[index]

    def __str__(self) -> str:
        return printable("\n".join(_lines(self)))

    __repr__ = __str__

    def plot(
        self,
        path: str | os.PathLike[str] | BinaryIO | None = None,
        *,
        layers: Sequence[str | int] | None = None,
        item: int = 0,
        batched: bool | None = None,
        title: str | None = None,
    ) -> Figure:
        """Draw the activations of every layer and write the picture to `path` (.png, .svg, ...).

        Feature maps (C, L) and (C, H, W) and tokens (T, width) are images, vectors are bars. Needs
        matplotlib: pip install 'forwardpass[plot]'.

        Args:
            path: the file; None only returns the Figure.
            layers: paths or positions of the steps to draw; by default the input, all layers that
                call no other, and results that were computed outside of layers.
            item: which input of the batch to draw.
            batched: whether the first dimension is a batch; by default a guess.
            title: above the picture.

        Raises:
            ImportError: matplotlib is missing.
            KeyError, IndexError: no such layer or item.
        """
        from . import plot

        return plot.activations(self, path, layers=layers, item=item, batched=batched, title=title)


class _Kept(NamedTuple):
    input_shapes: list[tuple[int, ...]]
    value: Any


def trace(model: Module, /, *args: Any, **kwargs: Any) -> Trace:
    """Call model(*args, **kwargs) once and keep the value of every layer on the way.

    Every module inside the model is seen, also those that a Sequential otherwise fuses; the values
    have the bits of an ordinary call. The memory of all values is needed at once. Hooks that do
    this are removed afterwards, whatever happens; other threads may use the model meanwhile.

    Raises:
        TypeError: `model` is no Module. What the model raises passes through.
    """
    if not isinstance(model, Module):
        raise TypeError(f"trace: model must be an nn.Module, got {typename(model)}")
    inputs = _arrays.copied((*args, *kwargs.values()))
    calls, output = record(model, args, kwargs, _keep)
    last = {call.parent: call for call in calls}  # the last one that each of them called
    steps = [_step(call, last.get(call)) for call in calls]
    input = inputs[0] if len(inputs) == 1 else inputs
    return Trace(type(model).__name__, steps, input, _arrays.copied(output))


def _keep(module: Module, inputs: tuple[Any, ...], output: Any, last: Any) -> _Kept:
    shapes = [array.shape for array in _arrays.arrays_in(inputs)]
    return _Kept(shapes, _arrays.copied(output))


def _step(call: Call, last: Call | None) -> Step:
    depth, caller = 0, call.parent
    while caller is not None:
        depth, caller = depth + caller.done, caller.parent
    unchanged = last is not None and _arrays.same_bits(
        _arrays.arrays_in(call.kept.value), _arrays.arrays_in(last.kept.value)
    )
    return Step(
        path=call.path,
        type=type(call.module).__name__,
        depth=depth,
        leaf=call.inside == 0,
        input_shapes=call.kept.input_shapes,
        value=call.kept.value,
        unchanged=unchanged,
        words=describe(call.module),
    )


# ---- the text ----------------------------------------------------------------------------------


def _flow(step: Step) -> str:
    """ "(1, 64) → (1, 10)"."""
    output = _arrays.shape_text(step.arrays) or typename(step.value)
    return f"{', '.join(map(str, step.input_shapes)) or '()'} → {output}"


def _lines(trace: Trace) -> list[str]:
    inputs = _arrays.arrays_in(trace.input)
    lines = [f"input: {_arrays.shape_text(inputs)}", *_values(inputs, "  ")]
    width = len(str(len(trace.leaves)))
    waiting: list[Step] = []  # calls around the one that is told, outermost first
    count = 0
    for step in trace.steps:
        while waiting and waiting[-1].depth >= step.depth:
            lines += _result(waiting.pop())
        indent = "  " * step.depth
        if not step.leaf:
            lines.append(f"{indent}{clean(step.title)} takes {_inputs(step)}")
            waiting.append(step)
            continue
        count += 1
        does = f": {clean(step.words)}" if step.words else ""
        lines.append(f"{indent}{count:>{width}}. {clean(step.title)}{does}")
        lines.append(f"{indent}{' ' * width}  {_flow(step)}")
        lines += _values(step.arrays, f"{indent}{' ' * width}  ")
    while waiting:
        lines += _result(waiting.pop())
    return lines


def _inputs(step: Step) -> str:
    return ", ".join(map(str, step.input_shapes)) or "no array"


def _result(step: Step) -> list[str]:
    """What a module that called others gives back, unless the last of them has just shown it."""
    indent = "  " * step.depth
    shapes = _arrays.shape_text(step.arrays) or typename(step.value)
    if step.unchanged:
        return [f"{indent}{clean(step.title)} returns that: {shapes}"]
    return [f"{indent}{clean(step.title)} returns {shapes}", *_values(step.arrays, f"{indent}  ")]


def _values(arrays: list[npt.NDArray[Any]], indent: str) -> list[str]:
    return [
        f"{indent}{_arrays.in_words(a)}" + (f"; first: {_arrays.first_values(a)}" if a.size else "")
        for a in arrays
    ]
