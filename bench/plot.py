"""Two pictures a thread count: products under their roofline, the rest under the bandwidth."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path
from typing import Any

import matplotlib

from measure import Row

matplotlib.use("Agg")
import matplotlib.pyplot as plt

INK, GRID = "#333333", "#e4e4e4"
COLOURS = ("#0072b2", "#d55e00", "#009e73", "#cc79a7", "#e69f00", "#56b4e9", "#7f7f7f", "#000000",
           "#8c564b", "#4b0082")  # fmt: skip
MARKERS = "os^Dvph*XP"


def draw(rows: Sequence[Row], facts: dict[str, Any], path: Path) -> None:
    """One line of axes for each instruction set and thread count."""
    limits = facts["limits"]
    figure, axes = plt.subplots(
        len(limits), 2, figsize=(13, 5.2 * len(limits)), squeeze=False, layout="constrained"
    )
    for line, known in zip(axes, limits, strict=True):
        here = [r for r in rows if r.times and _key(r) == (known["isa"], known["threads"])]
        title = f"{known['isa']}, {known['threads']} thread" + "s" * (known["threads"] > 1)
        _roofline(line[0], [r for r in here if r.case.flop], known)
        _bandwidth(line[1], [r for r in here if r.case.moved and not r.case.flop], known)
        line[0].set_title(f"Products: {title}", loc="left", color=INK)
        line[1].set_title(f"Rows, elements, copies: {title}", loc="left", color=INK)
    figure.savefig(path, dpi=130)
    plt.close(figure)


def _key(row: Row) -> tuple[str, int]:
    return row.setting.isa, row.setting.threads


def _style(axes: Any, x: str, y: str) -> None:
    axes.set_xscale("log", base=2)
    axes.set_yscale("log")
    axes.set_xlabel(x)
    axes.set_ylabel(y)
    axes.grid(True, color=GRID, linewidth=0.7)
    axes.set_axisbelow(True)
    axes.spines[["top", "right"]].set_visible(False)


def _points(axes: Any, rows: Sequence[Row], x: Any, work: Any) -> None:
    """Ours filled, the best peer hollow, joined by a line as long as the gap."""
    groups = list(dict.fromkeys(row.case.group for row in rows))
    for index, group in enumerate(groups):
        mine = [row for row in rows if row.case.group == group]
        style = {"marker": MARKERS[index % 10], "s": 26, "zorder": 3}
        colour = COLOURS[index % 10]
        xs = [x(row) for row in mine]
        ys = [work(row) / row.times["ours"].minimum / 1e9 for row in mine]
        axes.scatter(xs, ys, color=colour, label=group, **style)
        for at, top, row in zip(xs, ys, mine, strict=True):
            if row.best_peer:
                peer = work(row) / row.times[row.best_peer].minimum / 1e9
                axes.plot([at, at], [peer, top], color=colour, linewidth=0.8, alpha=0.6)
                axes.scatter([at], [peer], facecolors="white", edgecolors=colour, **style)
    if groups:
        hollow = {"facecolors": "white", "edgecolors": INK}
        axes.scatter([], [], label="best peer (hollow)", **hollow)
        axes.legend(fontsize=8, frameon=False, loc="lower right")


def _roofline(axes: Any, rows: Sequence[Row], known: dict[str, Any]) -> None:
    """GFLOP/s over flop a byte, under the FMA peak and three of the bandwidths."""
    _style(axes, "flop per byte moved", "GFLOP/s")
    peak = max([known["fma"], *(row.rates.get("fma", 0.0) for row in rows)]) / 1e9
    intensities = [2.0**e for e in range(-4, 11)]
    axes.plot(intensities, [peak] * len(intensities), color=INK, linewidth=1.2)
    axes.annotate(f"FMA peak {peak:.0f}", (2**10, peak), (0, 4), textcoords="offset points",
                  ha="right", fontsize=8, color=INK)  # fmt: skip
    curve = known["read"]
    for size, rate in (curve[0], curve[len(curve) // 2], curve[-1]):
        xs = [i for i in intensities if i * rate / 1e9 <= peak] + [peak * 1e9 / rate]
        axes.plot(xs, [i * rate / 1e9 for i in xs], color=INK, linewidth=0.8, linestyle=":")
        label = f"{size / 2**20:g} MiB: {rate / 1e9:.0f} GB/s"
        axes.annotate(label, (xs[0], xs[0] * rate / 1e9), (4, 2), textcoords="offset points",
                      fontsize=7, color=INK)  # fmt: skip
    _points(axes, rows, lambda r: r.case.flop / r.case.moved, lambda r: r.case.flop)


def _bandwidth(axes: Any, rows: Sequence[Row], known: dict[str, Any]) -> None:
    """GB/s read and written over the bytes moved, under the measured read bandwidth."""
    _style(axes, "bytes moved", "GB/s (read + write)")
    sizes, rates = zip(*known["read"], strict=True)
    axes.plot(sizes, [rate / 1e9 for rate in rates], color=INK, linewidth=1.2)
    axes.annotate("read bandwidth", (sizes[0], rates[0] / 1e9), (0, 6),
                  textcoords="offset points", fontsize=8, color=INK)  # fmt: skip
    _points(axes, rows, lambda r: r.case.moved, lambda r: r.case.moved)
