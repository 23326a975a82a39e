"""What the examples of this chapter share: the option --plot, and figures of one style."""

from __future__ import annotations

import argparse
import sys
from pathlib import Path

BLUE, RED, GREEN, GREY = "#0072b2", "#d55e00", "#009e73", "#7f7f7f"


def plot_path(description: str | None) -> Path | None:
    """Read the command line: the file that --plot names, or None."""
    first_line = (description or "").splitlines()[0]
    parser = argparse.ArgumentParser(description=first_line)
    parser.add_argument("--plot", type=Path, metavar="FILE", help="draw it too, e.g. out.png")
    path: Path | None = parser.parse_args().plot
    return path


def figure(rows: int, columns: int, width: float, height: float):
    """(figure, axes) of matplotlib, without a window; sizes in inches."""
    try:
        from matplotlib.figure import Figure
    except ImportError:
        sys.exit("--plot needs matplotlib: pip install 'forwardpass[plot]'")
    fig = Figure(figsize=(width, height), layout="constrained")
    axes = fig.subplots(rows, columns)
    for ax in fig.axes:
        ax.spines[["top", "right"]].set_visible(False)
    return fig, axes


def save(fig, path: Path) -> None:
    fig.savefig(path, dpi=120)
    print(f"\nDrawn: {path}")
