"""Pictures of activations and of weights. Needs matplotlib: pip install 'forwardpass[plot]'."""

from __future__ import annotations

import math
from typing import TYPE_CHECKING, Any, NamedTuple

import numpy as np

from forwardpass.nn import Module
from forwardpass.nn._checks import typename

from . import _arrays, _pictures
from ._text import clean

if TYPE_CHECKING:
    import os
    from collections.abc import Sequence
    from typing import BinaryIO, TypeAlias

    import numpy.typing as npt
    from matplotlib.figure import Figure

    from .trace import Step, Trace

    Target: TypeAlias = str | os.PathLike[str] | BinaryIO | None

_MOST_PANELS = 60
_MOST_TILES = _pictures.MOST_TILES
# In inches: a panel with its margins, the picture in it, and what is above all panels.
_WIDTH, _HEIGHT = 2.9, 2.35
_PICTURE = (2.0, 1.6)
_TITLE = 0.7


def activations(
    trace: Trace,
    path: Target = None,
    *,
    layers: Sequence[str | int] | None = None,
    item: int = 0,
    batched: bool | None = None,
    title: str | None = None,
) -> Figure:
    """See Trace.plot."""
    if batched is None:
        batched = _has_batch(trace)
    panels = _panels(trace, layers)
    drawn = panels[:_MOST_PANELS]
    columns = min(4, len(drawn)) or 1
    rows = max(1, math.ceil(len(drawn) / columns))
    figure = _pictures.new_figure(max(_WIDTH * columns, 6.0), _HEIGHT * rows + _TITLE + 0.1)
    for place, panel in enumerate(drawn):
        row, column = divmod(place, columns)
        left, top = _WIDTH * column + 0.45, _HEIGHT * row + _TITLE
        axes = _pictures.place(figure, left, top, *_PICTURE)
        array = _item(panel.array, item) if batched else panel.array
        shows = _pictures.draw(axes, array, panel.names)
        _pictures.caption(axes, clean(panel.title, 46), shows, _arrays.in_words(array))
    left = len(panels) - len(drawn)
    notes = [_pictures.LEGEND] + ([f"{left} more layers: choose with layers="] if left else [])
    which = f" (item {item} of the batch)" if batched else ""
    _finish(figure, title or f"{trace.name}: the input and what each layer gives{which}", notes)
    return _pictures.save(figure, path)


def filters(
    layer: Module,
    path: Target = None,
    *,
    shape: tuple[int, int] | None = None,
    title: str | None = None,
) -> Figure:
    """Draw a layer's weight and write the picture to `path`; None only returns the Figure.

    Linear (O, I): one row of colours an output; with `shape` = (h, w), h * w = I, one picture an
    output. Conv1d (O, I, k): one picture of I x k an output, a row for each input channel. Conv2d
    (O, I, kh, kw): one picture of kh x kw for each output and input. At most 64 pictures.

    Raises:
        ImportError: matplotlib is missing.
        TypeError: the layer has no weight. ValueError: the weight has one dimension, or another
            size than `shape`.
    """
    if not isinstance(layer, Module):
        raise TypeError(f"filters: layer must be an nn.Module, got {typename(layer)}")
    weight = getattr(layer, "weight", None)
    if not isinstance(weight, np.ndarray):
        raise TypeError(f"filters: {type(layer).__name__} has no weight")
    if weight.ndim < 2:
        raise ValueError(f"filters: a weight of shape {weight.shape} has no filters")
    tiles, columns, what = _tiles(weight, shape)
    figure = _pictures.new_figure(6.0, 5.6)
    axes = _pictures.place(figure, 0.6, 0.75, 4.6, 4.1)
    if tiles.ndim == 2 or tiles.size == 0:
        _pictures.draw(axes, tiles)
    else:
        _pictures.maps(axes, np.asarray(tiles, np.float64), columns)
    axes.set_ylabel("output" if columns or tiles.ndim == 2 else "output, first of each row")
    axes.yaxis.label.set_fontsize(7.5)
    _pictures.caption(axes, f"weight {weight.shape}: {what}", _arrays.in_words(weight))
    name = f"{type(layer).__name__}({' '.join(layer.extra_repr().split())})"
    _finish(figure, title or clean(name, 90), [_pictures.LEGEND])
    return _pictures.save(figure, path)


def _tiles(
    weight: npt.NDArray[Any], shape: tuple[int, int] | None
) -> tuple[npt.NDArray[Any], int | None, str]:
    """What to draw of a weight: a matrix, or (N, h, w) tiles with how many go in a row; in words.

    More than 64 tiles are cut here if that takes care, else by what draws them.
    """
    outputs, inputs = weight.shape[:2]
    most = f"; the first {_MOST_TILES} are drawn" if outputs > _MOST_TILES else ""
    if shape is not None:
        size = math.prod(weight.shape[1:])
        if math.prod(shape) != size:
            raise ValueError(f"filters: shape {shape} does not hold the {size} weights of a filter")
        return weight.reshape(outputs, *shape), None, f"one picture for each output{most}"
    if weight.ndim == 2:
        return weight, None, "a row for each output, a column for each input"
    if weight.ndim == 3:
        what = "one picture for each output, its rows are input channels"
        return weight, None, what + most
    tiles = weight.reshape(outputs, -1, *weight.shape[-2:])
    if inputs == 1 and weight.ndim == 4:
        return tiles[:, 0], None, f"one picture for each output{most}"
    columns = min(tiles.shape[1], 8)
    rows = min(outputs, _MOST_TILES // columns)
    what = f"outputs 0 to {rows - 1}, each with its inputs 0 to {columns - 1}"
    return tiles[:rows, :columns].reshape(-1, *weight.shape[-2:]), columns, what


def _finish(figure: Figure, title: str, notes: Sequence[str]) -> None:
    """The line above everything and the one below."""
    width, height = figure.get_size_inches()
    figure.text(0.15 / width, 1 - 0.3 / height, title, fontsize=11, parse_math=False)
    below = "; ".join(notes)
    figure.text(0.15 / width, 0.08 / height, below, fontsize=7.5, color="#444444")


# ---- what of a trace to draw -------------------------------------------------------------------


class _Panel(NamedTuple):
    title: str
    array: npt.NDArray[Any]
    names: tuple[str, str]  # of the two dimensions that an array without its batch may have


# Layers after which these names change; the other layers keep what their input has.
_NAMES = {
    "Conv1d": ("channels", "positions"),
    "Embedding": ("rows", "values"),
    "Linear": ("rows", "values"),
}


def _panels(trace: Trace, layers: Sequence[str | int] | None) -> list[_Panel]:
    """The pictures in the order of the flow, numbered as in the trace's text."""
    names = ("rows", "columns")
    panels = _titled("input", _arrays.arrays_in(trace.input), names)
    by_step: dict[int, list[_Panel]] = {}
    waiting: list[Step] = []
    count = 0
    for step in [*trace.steps, None]:
        while waiting and (step is None or waiting[-1].depth >= step.depth):
            done = waiting.pop()
            by_step[id(done)] = _titled(f"result of {done.title}", done.arrays, names)
            panels += [] if done.unchanged else by_step[id(done)]
        if step is not None and step.leaf:
            count += 1
            names = _NAMES.get(step.type, names)
            by_step[id(step)] = _titled(f"{count}. {step.title}", step.arrays, names)
            panels += by_step[id(step)]
        elif step is not None:
            waiting.append(step)
    if layers is None:
        return panels
    chosen = (trace.at(key) if isinstance(key, str) else [trace[key]] for key in layers)
    return [panel for steps in chosen for step in steps for panel in by_step[id(step)]]


def _titled(title: str, arrays: Sequence[npt.NDArray[Any]], names: tuple[str, str]) -> list[_Panel]:
    if len(arrays) == 1:
        return [_Panel(title, arrays[0], names)]
    return [_Panel(f"{title} [{i}]", array, names) for i, array in enumerate(arrays)]


def _item(array: npt.NDArray[Any], item: int) -> npt.NDArray[Any]:
    """One element of the batch; IndexError says how many there are."""
    if array.ndim == 0:
        return array
    if not -len(array) <= item < len(array):
        raise IndexError(f"item {item} is not in a batch of {len(array)}")
    chosen: npt.NDArray[Any] = array[item]
    return chosen


def _has_batch(trace: Trace) -> bool:
    """A guess: the input has a first dimension that every layer's value keeps.

    A convolution with one dimension fewer than a batch needs settles it.
    """
    inputs = _arrays.arrays_in(trace.input)
    if not inputs or inputs[0].ndim < 2:
        return False
    for step in trace.leaves:
        dims = {"Conv1d": 3, "Conv2d": 4}.get(step.type)
        if dims is not None and step.input_shapes and len(step.input_shapes[0]) < dims:
            return False
    first = inputs[0].shape[0]
    outputs = [array for step in trace.leaves for array in step.arrays[:1]]
    return all(array.ndim > 0 and array.shape[0] == first for array in outputs)
