"""summary(): what a network is made of, and what one forward pass takes."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Any, NamedTuple

import numpy as np

from forwardpass.nn import Module
from forwardpass.nn._checks import typename

from ._arrays import arrays_in, shape_text
from ._measure import Measured, measure
from ._record import Call, record
from ._text import branches, clean, printable, size_text, table

if TYPE_CHECKING:
    import numpy.typing as npt

_NOTE = (
    "Multiply-adds: products of Linear, convolutions, recurrent layers; biases, other layers and\n"
    "what happens outside layers count 0. Activations: all that the pass allocates when it goes\n"
    "layer by layer; pairs that Sequential fuses allocate less."
)
_NOTE_COLUMN = {"not called": 1, "again": 2, "shared": 2, "view": 4}


class Row(NamedTuple):
    """One line of the table: a call of a module, or a module that was not called."""

    path: str
    name: str  # the last part of the path; all of it where the caller is not on the path
    type: str
    depth: int
    output: str  # shapes
    parameters: int  # elements that no earlier line has counted
    mult_adds: int
    output_bytes: int  # of newly allocated output
    note: str  # "" or "again", "shared", "not called" or "view"


@dataclass(frozen=True, repr=False)
class Summary:
    """What `summary` found; its text is the table. All sizes are in bytes, parameters as float32.

    `output_bytes` is the sum over everything the pass allocates; views of other arrays and layers
    that return their input count 0. A pass needs less at a time: what is used up is freed.
    """

    rows: list[Row]
    input_shapes: str
    total_params: int
    total_mult_adds: int
    input_bytes: int
    param_bytes: int
    buffer_bytes: int
    output_bytes: int
    passed: bool

    @property
    def total_bytes(self) -> int:
        return self.input_bytes + self.param_bytes + self.buffer_bytes + self.output_bytes

    def __str__(self) -> str:
        return printable("\n".join([*_lines(self.rows, self.passed), *_totals(self)]))

    __repr__ = __str__


@dataclass
class _Node:
    path: str
    module: Module
    call: Call | None = None
    label: str = ""
    children: list[_Node] = field(default_factory=list)


def summary(
    model: Module, input: Any = None, *, depth: int | None = None, dtype: npt.DTypeLike = np.float32
) -> Summary:
    """A table of the model's layers with output shapes, parameters, multiply-adds and memory.

    The numbers come from one real forward pass. Without `input` there is none: only parameters.

    Args:
        model: any Module.
        input: an array; a tuple or list of arrays, which become the arguments; a dict, which
            becomes keyword arguments; or a shape as a tuple of ints, which becomes zeros. Shapes
            may also stand in the place of arrays within tuples and dicts.
        depth: show so many levels below the model and add up what is further inside.
        dtype: of those zeros; np.int64 for a model that starts with an Embedding.

    Raises:
        TypeError: `model` is no Module. What the model raises passes through.
    """
    if not isinstance(model, Module):
        raise TypeError(f"summary: model must be an nn.Module, got {typename(model)}")
    args, kwargs = _arguments(input, np.dtype(dtype))
    calls = [] if input is None else record(model, args, kwargs, measure)[0]
    tree = _tree(model, calls)
    rows = _fold(_rows(tree, set(), 0, input is not None), depth)
    params = sum(parameter.size for parameter in model.parameters())
    return Summary(
        rows=rows,
        input_shapes=shape_text(arrays_in((args, kwargs))),
        total_params=params,
        total_mult_adds=sum(row.mult_adds for row in rows),
        input_bytes=sum(array.nbytes for array in arrays_in((args, kwargs))),
        param_bytes=4 * params,
        buffer_bytes=sum(buffer.nbytes for buffer in model.buffers()),
        output_bytes=sum(row.output_bytes for row in rows),
        passed=input is not None,
    )


# ---- the pass ----------------------------------------------------------------------------------


def _arguments(input: Any, dtype: np.dtype[Any]) -> tuple[tuple[Any, ...], dict[str, Any]]:
    if isinstance(input, Mapping):
        return (), {name: _zeros_or(value, dtype) for name, value in input.items()}
    if isinstance(input, (tuple, list)) and not _is_shape(input):
        return tuple(_zeros_or(value, dtype) for value in input), {}
    return (_zeros_or(input, dtype),), {}


def _is_shape(value: object) -> bool:
    return isinstance(value, (tuple, list)) and all(isinstance(n, (int, np.integer)) for n in value)


def _zeros_or(value: Any, dtype: np.dtype[Any]) -> Any:
    return np.zeros(value, dtype) if _is_shape(value) else value


# ---- the tree ----------------------------------------------------------------------------------


def _tree(model: Module, calls: list[Call]) -> _Node:
    """Calls inside calls, with the containers that are on the way, and modules nobody called."""
    root = _Node("", model)
    nodes: dict[int, _Node] = {}
    for call in calls:
        if call.module is model and call.parent is None:
            root.call = call
            nodes[id(call)] = root
            continue
        caller = call.parent
        while caller is not None and not caller.done:  # one that raised, and the model went on
            caller = caller.parent
        above = root if caller is None else nodes[id(caller)]
        node = _Node(call.path, call.module, call)
        nodes[id(call)] = node
        _holder(above, model, node).children.append(node)
    _add_uncalled(root, {id(call.module) for call in calls})
    return root


def _holder(above: _Node, model: Module, node: _Node) -> _Node:
    """Where below `above` the node belongs, after making a line for each container in between."""
    prefix = f"{above.path}." if above.path else ""
    if not node.path.startswith(prefix):  # it was called through a reference from elsewhere
        node.label = node.path
        return above
    *containers, node.label = node.path[len(prefix) :].split(".")
    for name in containers:
        path = f"{above.path}.{name}" if above.path else name
        found = next((n for n in above.children if n.path == path and n.call is None), None)
        if found is None:
            found = _Node(path, model.get_submodule(path), None, name)
            above.children.append(found)
        above = found
    return above


def _add_uncalled(node: _Node, called: set[int]) -> None:
    """Lines for modules that were not called and hold none that was, so that totals add up."""
    shown = {id(child.module) for child in node.children}
    for child in node.children:
        _add_uncalled(child, called)
    for name, module in node.module.named_children():
        if id(module) in shown or any(id(inner) in called for inner in module.modules()):
            continue
        path = f"{node.path}.{name}" if node.path else name
        child = _Node(path, module, None, name)
        node.children.append(child)
        _add_uncalled(child, called)


def _rows(node: _Node, counted: set[int], depth: int, passed: bool) -> list[Row]:
    parameters = [p for p in node.module._parameters.values() if p is not None]
    new = [p for p in parameters if id(p) not in counted]
    again = id(node.module) in counted
    counted.update(map(id, (*parameters, node.module)))
    kept = node.call.kept if node.call else Measured("", 0, 0, False)
    if again:
        note = "again"
    elif parameters and not new:
        note = "shared"
    elif passed and node.call is None and (parameters or not node.children):
        note = "not called"
    else:
        note = "view" if kept.view and not node.children else ""
    kind = type(node.module).__name__
    counts = (sum(p.size for p in new), kept.mult_adds, kept.output_bytes)
    rows = [Row(node.path, node.label, kind, depth, kept.output, *counts, note)]
    for child in node.children:
        rows += _rows(child, counted, depth + 1, passed)
    return rows


def _fold(rows: list[Row], depth: int | None) -> list[Row]:
    """The rows down to `depth`, the last level with the sums of what is inside."""
    if depth is None:
        return rows
    folded: list[Row] = []
    for row in rows:
        if row.depth <= depth:
            folded.append(row)
            continue
        into = folded[-1]
        folded[-1] = into._replace(
            parameters=into.parameters + row.parameters,
            mult_adds=into.mult_adds + row.mult_adds,
            output_bytes=into.output_bytes + row.output_bytes,
        )
    return folded


# ---- the text ----------------------------------------------------------------------------------


def _lines(rows: list[Row], passed: bool) -> list[str]:
    cells = []
    for row, branch in zip(rows, branches([row.depth for row in rows]), strict=True):
        name = clean(f"{row.name}: {row.type}" if row.depth else row.type)
        parameters = f"{row.parameters:,}" if row.parameters else ""
        products = f"{row.mult_adds:,}" if row.mult_adds else ""
        size = size_text(row.output_bytes) if row.output_bytes else ""
        line = [branch + name, row.output, parameters, products, size]
        line[_NOTE_COLUMN.get(row.note, 2)] += row.note
        cells.append(line if passed else [line[0], line[2]])
    head = ["layer", "output shape", "parameters", "multiply-adds", "allocates"]
    if passed:
        return table(head, cells, right=(2, 3, 4))
    return table([head[0], head[2]], cells, right=(1,))


def _totals(s: Summary) -> list[str]:
    lines = [f"{'parameters':<15}{s.total_params:>16,}{size_text(s.param_bytes):>12}"]
    if s.buffer_bytes:
        lines.append(f"{'buffers':<31}{size_text(s.buffer_bytes):>12}")
    if s.passed:
        lines += [
            f"{'multiply-adds':<15}{s.total_mult_adds:>16,}",
            f"{'input':<31}{size_text(s.input_bytes):>12}  {s.input_shapes}",
            f"{'activations':<31}{size_text(s.output_bytes):>12}",
            f"{'all together':<31}{size_text(s.total_bytes):>12}",
            "",
            _NOTE,
        ]
    return lines
