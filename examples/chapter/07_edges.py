"""A convolution's filter finds edges in a real picture, layer by layer.

    python examples/chapter/07_edges.py [--plot edges.png]

The Sobel filters of 3 x 3 pixels, as two layers of one dimension each. The first slides along the
rows and makes two maps: differences (-1 0 1) and the picture smoothed (1 2 1). The second slides
down their columns the other way round: smoothed differences are vertical edges, differences of the
smoothed picture are horizontal edges. Networks that learn to see find such filters by themselves.
"""

from __future__ import annotations

from pathlib import Path

import numpy as np
from _chapter import figure, plot_path, save

from forwardpass import load_file, nn

PICTURE = Path(__file__).with_name("pagoda.safetensors")  # by danielbuechele, CC BY 2.0
SMOOTH, DIFFERENCE = [0.25, 0.5, 0.25], [-1.0, 0.0, 1.0]
POOL = 4
SHADES = " .:*#"


class Sobel(nn.Module):
    """(H, W) to two maps (2, H - 2, W - 2): vertical edges, horizontal edges."""

    def __init__(self) -> None:
        super().__init__()
        self.along_rows = nn.Conv1d(1, 2, 3, bias=False)
        self.down_columns = nn.Conv1d(2, 2, 3, groups=2, bias=False)
        self.along_rows.weight = np.array([[DIFFERENCE], [SMOOTH]], np.float32)
        self.down_columns.weight = np.array([[SMOOTH], [DIFFERENCE]], np.float32)

    def forward(self, picture: np.ndarray) -> np.ndarray:
        rows = self.along_rows(picture[:, None, :])  # every row is a signal: (H, 2, W - 2)
        columns = rows.transpose(2, 1, 0)  # now every column is one: (W - 2, 2, H)
        return self.down_columns(columns).transpose(1, 2, 0)


def magnitude(maps: np.ndarray) -> np.ndarray:
    """How strong an edge is, whichever way it runs."""
    return np.sqrt(maps[0] * maps[0] + maps[1] * maps[1])


def pooled(values: np.ndarray) -> np.ndarray:
    """The largest of each block of POOL x POOL: a smaller picture that keeps the strong edges."""
    height, width = (n // POOL for n in values.shape)
    blocks = values[: height * POOL, : width * POOL].reshape(height, POOL, width, POOL)
    return blocks.max(axis=(1, 3))


def one_pixel(picture: np.ndarray, maps: np.ndarray, which: int, name: str) -> None:
    """The strongest answer of a filter, worked out by hand."""
    row, column = np.unravel_index(np.abs(maps[which]).argmax(), maps[which].shape)
    patch = picture[row : row + 3, column : column + 3].astype(float)
    kernel = np.outer(SMOOTH, DIFFERENCE) if which == 0 else np.outer(DIFFERENCE, SMOOTH)
    print(f"\nThe strongest {name} edge, around row {row + 1}, column {column + 1}")
    print("  brightness           filter               products")
    for lines in zip(patch, kernel, patch * kernel, strict=True):
        print("  " + "   ".join("".join(f"{v:6.2f}" for v in line) for line in lines))
    answer = maps[which][row, column]
    print(f"  the products add up to {(patch * kernel).sum():.3f}; the layers say {answer:.3f}")


def in_letters(values: np.ndarray) -> None:
    """For the terminal: two rows a line, as letters are tall."""
    shades = np.maximum(values[::2], values[1::2]) * len(SHADES) / 0.7
    for line in np.minimum(shades, len(SHADES) - 1).astype(int):
        print("  " + "".join(SHADES[step] for step in line).rstrip())


def plot(path: Path, picture: np.ndarray, maps: np.ndarray) -> None:
    fig, axes = figure(1, 5, 16, 4.8)
    panels = [
        ("the picture", picture, "gray", 0, 1),
        ("vertical edges", maps[0], "RdBu", -0.7, 0.7),
        ("horizontal edges", maps[1], "RdBu", -0.7, 0.7),
        ("magnitude", magnitude(maps), "gray_r", 0, 0.8),
        (f"largest of {POOL} x {POOL}", pooled(magnitude(maps)), "gray_r", 0, 0.8),
    ]
    for ax, (title, values, colours, low, high) in zip(axes, panels, strict=True):
        ax.imshow(values, cmap=colours, vmin=low, vmax=high, interpolation="nearest")
        ax.set(title=f"{title}\n{values.shape[0]} x {values.shape[1]}", xticks=[], yticks=[])
        ax.spines[:].set_visible(False)
    fig.supxlabel("Blue: brighter to the right, down; red: darker. By danielbuechele, CC BY 2.0")
    save(fig, path)


def main() -> None:
    path = plot_path(__doc__)
    picture = load_file(PICTURE)["picture"].astype(np.float32) / np.float32(255)
    sobel = Sobel()
    maps = sobel(picture)
    strength = magnitude(maps)
    small = pooled(strength)
    print(f"A tower with columns and eaves, {picture.shape[0]} x {picture.shape[1]} pixels, 0 to 1")
    print(sobel)
    print(f"\n  {'':<28}{'shape':<14}{'lowest':>7}{'highest':>9}{'> 0.5':>10}")
    for name, values in (
        ("picture", picture),
        ("vertical edges (columns)", np.abs(maps[0])),
        ("horizontal edges (eaves)", np.abs(maps[1])),
        ("magnitude", strength),
        (f"largest of {POOL} x {POOL}", small),
    ):
        low, high, share = values.min(), values.max(), (values > 0.5).mean()
        print(f"  {name:<28}{values.shape!s:<14}{low:>7.2f}{high:>9.2f}{100 * share:>8.1f} %")
    one_pixel(picture, maps, 0, "vertical")
    one_pixel(picture, maps, 1, "horizontal")
    print("\nThe edges that are left, for the terminal")
    in_letters(small)
    if path:
        plot(path, picture, maps)


if __name__ == "__main__":
    main()
