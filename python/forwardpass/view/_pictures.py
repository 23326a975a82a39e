"""Arrays as pictures: which picture for which array, its colours, and the sheet they go on.

matplotlib is imported here only, inside functions. Figures are made without pyplot, so that the
user's backend and open figures stay as they are; a figure nobody holds is gone.
"""

from __future__ import annotations

import math
from typing import TYPE_CHECKING, Any

import numpy as np
from numpy.typing import NDArray

from . import _arrays

if TYPE_CHECKING:
    import os
    from typing import BinaryIO

    from matplotlib.axes import Axes
    from matplotlib.figure import Figure

_GAP_COLOUR = "#c9c9c9"  # between tiles
_BAD_COLOUR = "#e8c500"  # NaN and infinities
_POSITIVE, _NEGATIVE = "#b2182b", "#2166ac"  # the ends of matplotlib's RdBu
LEGEND = (
    "red: above 0, blue: below 0, white: 0; grey shades: nothing is below 0; yellow: not finite"
)
MOST_TILES = 64
_MOST_PIXELS = 2048  # a side; longer ones are thinned out


def new_figure(width: float, height: float) -> Figure:
    """An empty figure of `width` x `height` inches that belongs to no window."""
    try:
        from matplotlib.backends.backend_agg import FigureCanvasAgg
        from matplotlib.figure import Figure
    except ImportError as error:
        raise ImportError(
            "plots need matplotlib, which is not installed: pip install 'forwardpass[plot]'"
        ) from error
    figure = Figure(figsize=(width, height), facecolor="white")
    FigureCanvasAgg(figure)
    return figure


def save(figure: Figure, path: str | os.PathLike[str] | BinaryIO | None) -> Figure:
    if path is not None:
        figure.savefig(path, dpi=120)
    return figure


def place(figure: Figure, left: float, top: float, width: float, height: float) -> Axes:
    """Axes of that size in inches, so far from the left and the top edge of the figure."""
    across, down = figure.get_size_inches()
    where = (left / across, 1 - (top + height) / down, width / across, height / down)
    return figure.add_axes(where)


def caption(axes: Axes, title: str, *below: str) -> None:
    """A title, and lines under the picture; a '$' in them is no formula."""
    axes.set_title(title, fontsize=8.5, loc="left", pad=4).set_parse_math(False)
    axes.set_xlabel("\n".join(below), fontsize=7, loc="left", labelpad=3, color="#444444")
    axes.xaxis.label.set_parse_math(False)


def draw(axes: Axes, array: NDArray[Any], names: tuple[str, str] = ("rows", "columns")) -> str:
    """One array without its batch dimension; returns in words what the picture shows.

    `names` are those of the two dimensions of an array that has two.
    """
    axes.tick_params(labelsize=6, length=2, pad=1.5)
    axes.yaxis.get_offset_text().set_fontsize(6)
    for side in axes.spines.values():
        side.set_linewidth(0.5)
    if array.size == 0 or not _arrays.is_real(array):
        axes.set_xticks([])
        axes.set_yticks([])
        axes.text(0.5, 0.5, _arrays.in_words(array), ha="center", va="center", fontsize=8)
        return str(array.shape)
    values = np.asarray(array, np.float64)
    if array.ndim < 2 or (array.ndim == 2 and len(array) == 1):
        return bars(axes, values.reshape(-1))
    if array.size > array.shape[-1] * array.shape[-2]:
        return maps(axes, values.reshape(-1, *array.shape[-2:]))
    rows, columns = array.shape[-2:]
    values = values.reshape(rows, columns)
    image(axes, values)
    if names[0] == "channels" and len(values) <= MOST_TILES:
        axes.hlines(np.arange(1, len(values)) - 0.5, *axes.get_xlim(), "white", linewidth=0.8)
    return f"{rows} {names[0]} x {columns} {names[1]}"


def bars(axes: Axes, values: NDArray[np.float64]) -> str:
    """A bar for each value: red upwards, blue downwards."""
    bad = np.flatnonzero(~np.isfinite(values))
    shown = np.where(np.isfinite(values), values, 0.0)
    places = np.arange(len(values))
    if len(values) <= MOST_TILES:
        axes.bar(places, shown, 0.8, color=[_POSITIVE if v > 0 else _NEGATIVE for v in shown])
    else:  # too many for bars with gaps
        edges = np.arange(len(values) + 1) - 0.5
        axes.stairs(np.maximum(shown, 0), edges, fill=True, color=_POSITIVE)
        axes.stairs(np.minimum(shown, 0), edges, fill=True, color=_NEGATIVE)
    for place in bad[:200]:
        axes.axvspan(place - 0.5, place + 0.5, color=_BAD_COLOUR, linewidth=0)
    axes.axhline(0, color="black", linewidth=0.5)
    axes.set_xlim(-0.5, len(values) - 0.5)
    if len(values) <= 12:
        axes.set_xticks(places)
    if not shown.any():
        axes.set_ylim(-1, 1)
    return "1 value" if len(values) == 1 else f"{len(values)} values"


def image(axes: Axes, values: NDArray[np.float64], gaps: NDArray[np.bool_] | None = None) -> None:
    """A colour for each value, with a scale beside it; `gaps` marks what lies between tiles."""
    from matplotlib import colormaps
    from matplotlib.ticker import MaxNLocator

    bad = ~np.isfinite(values)
    finite = values[~bad]
    low, high = (finite.min(), finite.max()) if finite.size else (0.0, 0.0)
    limit = max(abs(low), abs(high)) or 1.0
    colours = colormaps["RdBu_r" if low < 0 else "Greys"].with_extremes(
        bad=_BAD_COLOUR if gaps is None else _GAP_COLOUR
    )
    rows, columns = (slice(None, None, max(1, n // _MOST_PIXELS)) for n in values.shape)
    shown = axes.imshow(
        np.ma.masked_array(values, bad)[rows, columns],
        cmap=colours,
        vmin=-limit if low < 0 else 0.0,
        vmax=limit,
        aspect="auto" if _is_long(values) else "equal",
        interpolation="nearest",
        extent=(-0.5, values.shape[1] - 0.5, values.shape[0] - 0.5, -0.5),
    )
    if gaps is not None and (bad & ~gaps).any():
        y, x = np.nonzero(bad & ~gaps)
        axes.plot(x[:1000], y[:1000], "s", color=_BAD_COLOUR, markersize=2)
    for axis in (axes.xaxis, axes.yaxis):
        axis.set_major_locator(MaxNLocator(5, integer=True))
    axes.set_anchor("NW")
    scale = axes.figure.colorbar(shown, cax=axes.inset_axes((1.03, 0.0, 0.05, 1.0)))
    scale.ax.tick_params(labelsize=6, length=2, pad=1.5)
    scale.ax.yaxis.set_major_locator(MaxNLocator(4))
    scale.ax.yaxis.get_offset_text().set_fontsize(6)
    scale.outline.set_linewidth(0.5)


def maps(axes: Axes, values: NDArray[np.float64], columns: int | None = None) -> str:
    """(N, H, W) as N tiles in reading order, all on one scale; tick labels number the tiles.

    With `columns`, the labels number the rows of tiles instead.
    """
    count, height, width = values.shape
    shown = values[:MOST_TILES]
    step = 1
    if columns is None:
        step = columns = _columns(len(shown), height, width)
    sheet, gaps = _tiled(shown, columns)
    image(axes, sheet, gaps)
    rows = range(-(-len(shown) // columns))
    axes.set_xticks([])
    axes.set_yticks(
        [(height + 1) * row + height / 2 for row in rows], [str(step * row) for row in rows]
    )
    axes.tick_params(length=0, labelsize=6)
    most = "" if len(shown) == count else f", the first {len(shown)} drawn"
    return f"{count} maps of {height} x {width}{most}"


def _columns(count: int, height: int, width: int) -> int:
    """How many tiles a row: a sheet a little wider than high, without an incomplete last row."""
    wanted = math.sqrt(1.3 * count * height / width)
    full = [n for n in range(1, count + 1) if count % n == 0 and wanted / 1.6 <= n <= wanted * 1.6]
    if full:
        return min(full, key=lambda n: abs(n - wanted))
    rows = -(-count // min(max(1, round(wanted)), count))
    return -(-count // rows)


def _tiled(tiles: NDArray[Any], columns: int) -> tuple[NDArray[np.float64], NDArray[np.bool_]]:
    """One array with the tiles and NaN between them, and where it has these NaN."""
    count, height, width = tiles.shape
    rows = -(-count // columns)
    sheet = np.full((rows * (height + 1) + 1, columns * (width + 1) + 1), np.nan)
    gaps = np.ones(sheet.shape, bool)
    for i, tile in enumerate(tiles):
        top, left = i // columns * (height + 1) + 1, i % columns * (width + 1) + 1
        sheet[top : top + height, left : left + width] = tile
        gaps[top : top + height, left : left + width] = False
    return sheet, gaps


def _is_long(values: NDArray[Any]) -> bool:
    """So much longer than wide, or the reverse, that square pixels would make a thread of it."""
    height, width = values.shape
    return bool(max(height, width) > 3 * min(height, width))
