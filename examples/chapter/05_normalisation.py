"""Normalisation: numbers of any size become numbers of size one.

    python examples/chapter/05_normalisation.py [--plot normalisation.png]

RMSNorm divides a row by its root mean square. LayerNorm first takes the mean away, then divides by
the standard deviation.
"""

from __future__ import annotations

import math

import numpy as np
from _chapter import BLUE, GREEN, GREY, RED, figure, plot_path, save

from forwardpass import manual_seed, nn

ROW = [-100.0, 50.0, 200.0, 10.0]
DEPTH, WIDTH = 30, 64


def text(values) -> str:
    return "[" + ", ".join(f"{value:8.4f}" for value in values) + "]"


def by_hand() -> None:
    """The formulas in Python's float64, to compare with the layers."""
    squares = [v * v for v in ROW]
    rms = math.sqrt(sum(squares) / 4)
    mean = sum(ROW) / 4
    deviation = math.sqrt(sum((v - mean) ** 2 for v in ROW) / 4)
    print("By hand, for the row [-100, 50, 200, 10]")
    print(f"  mean of squares = {sum(squares):,.0f} / 4 = {sum(squares) / 4:,.0f}; rms {rms:.4f}")
    print(f"  row / rms                = {text(v / rms for v in ROW)}")
    print(f"  mean {mean:.0f}, standard deviation {deviation:.4f}")
    print(f"  (row - mean) / deviation = {text((v - mean) / deviation for v in ROW)}")


def by_layer() -> tuple[np.ndarray, np.ndarray]:
    rms_norm, layer_norm = nn.RMSNorm(4), nn.LayerNorm(4)
    x = np.array(ROW, np.float32)
    print("\nBy layer (their weights start at one, the bias at zero)")
    print(f"  RMSNorm(4)               = {text(rms_norm(x))}")
    print(f"  LayerNorm(4)             = {text(layer_norm(x))}")
    print("\nWhat each ignores")
    for what, changed in (("row * 1000", x * 1000), ("row + 1000", x + 1000)):
        print(f"  RMSNorm({what})      = {text(rms_norm(changed))}")
        print(f"  LayerNorm({what})    = {text(layer_norm(changed))}")
    print("Scale means nothing to either; a shift means nothing to LayerNorm alone.")
    return rms_norm(x), layer_norm(x)


def growth(normalised: bool) -> list[float]:
    """The root mean square behind each layer of a deep stack."""
    manual_seed(1)
    value = np.linspace(-1, 1, WIDTH, dtype=np.float32).reshape(1, WIDTH)
    sizes = []
    for _ in range(DEPTH):
        linear, norm = nn.Linear(WIDTH, WIDTH, bias=False), nn.RMSNorm(WIDTH)
        linear.weight = linear.weight * np.float32(4)  # weights a little too large
        value = nn.ReLU()(linear(norm(value) if normalised else value))
        sizes.append(math.sqrt(math.fsum(float(v) ** 2 for v in value[0]) / WIDTH))
    return sizes


def plot(path, rms: np.ndarray, layer: np.ndarray, plain: list[float], calm: list[float]) -> None:
    fig, axes = figure(1, 4, 13, 3.4)
    panels = (("the row", ROW, GREY), ("RMSNorm", rms, BLUE), ("LayerNorm", layer, GREEN))
    for ax, (title, values, colour) in zip(axes, panels, strict=False):
        ax.bar(range(4), values, color=colour)
        ax.axhline(0, color=GREY, linewidth=0.8)
        ax.set(title=title, xticks=range(4), xticklabels=[f"{v:.0f}" for v in ROW])
        if colour != GREY:
            ax.set_ylim(-2, 2)
    axes[3].semilogy(range(1, DEPTH + 1), plain, color=RED, label="without a norm")
    axes[3].semilogy(range(1, DEPTH + 1), calm, color=BLUE, label="RMSNorm first")
    axes[3].set(title="rms behind each layer", xlabel="layer")
    axes[3].legend(frameon=False)
    save(fig, path)


def main() -> None:
    path = plot_path(__doc__)
    by_hand()
    rms, layer = by_layer()
    plain, calm = growth(False), growth(True)
    print(f"\n{DEPTH} layers Linear({WIDTH}, {WIDTH}) + ReLU with weights a little too large")
    print(f"  {'layer':<16}" + "".join(f"{n:>12}" for n in (1, 10, 20, 30)))
    for title, sizes in (("without a norm", plain), ("RMSNorm first", calm)):
        print(f"  {title:<16}" + "".join(f"{sizes[n - 1]:>12,.1f}" for n in (1, 10, 20, 30)))
    print("Without a norm the numbers grow by about the same factor at every layer.")
    if path:
        plot(path, rms, layer, plain, calm)


if __name__ == "__main__":
    main()
