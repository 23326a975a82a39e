"""What depth buys: every layer can fold the curve once more.

    python examples/chapter/08_folding.py [--plot folding.png]

A network of ReLUs with one input and one output draws a curve of straight pieces. A neuron beside
the others adds one corner; a layer behind the others can double all that there is (M. Telgarsky,
Benefits of depth in neural networks, 2016).
"""

from __future__ import annotations

import numpy as np
from _chapter import GREEN, GREY, figure, plot_path, save

from forwardpass import nn


def layers(up: list[float], down: list[float]) -> list[nn.Module]:
    """x to the sum of down[i] * relu(x - up[i])."""
    first, second = nn.Linear(1, len(up)), nn.Linear(len(up), 1)
    first.weight, first.bias = np.ones((len(up), 1), np.float32), -np.array(up, np.float32)
    second.weight, second.bias = np.array([down], np.float32), np.zeros(1, np.float32)
    return [first, nn.ReLU(), second]


def folding(depth: int) -> nn.Sequential:
    """`depth` times the tent: 2x up to x = 1/2, from there 2 - 2x. 7 parameters each."""
    return nn.Sequential(*(layer for _ in range(depth) for layer in layers([0, 0.5], [2, -4])))


def zigzag(neurons: int) -> nn.Sequential:
    """One hidden layer whose neurons turn the curve round at 0, 1/n, 2/n, ..."""
    up = [i / neurons for i in range(neurons)]
    down = [float(neurons)] + [2.0 * neurons * (-1) ** i for i in range(1, neurons)]
    return nn.Sequential(*layers(up, down))


def parameters(net: nn.Module) -> int:
    return sum(p.numel() for p in net.parameters())


def pieces(net: nn.Module) -> int:
    """Straight pieces over 0 <= x <= 1, on a grid that contains the corners of folding(1..9)."""
    x = np.linspace(0, 1, 1025, dtype=np.float32).reshape(-1, 1)  # exact: multiples of 1/1024
    slope = np.diff(net(x)[:, 0])  # exact too: small multiples of 1/1024
    return 1 + int((slope[1:] != slope[:-1]).sum())


def one_number() -> None:
    """A number on its way through three folds."""
    print("0.3 through three folds")
    value = np.array([0.3], np.float32)
    for n in range(1, 4):
        folded = folding(1)(value)
        rule = "2 * x" if value[0] <= 0.5 else "2 - 2 * x"
        print(f"  fold {n}: {rule} = {folded[0]:.1f}")
        value = folded


def compare() -> None:
    print("\nStraight pieces in the curve")
    print("  folds  parameters  pieces   one hidden layer of as many parameters")
    for depth in (1, 2, 3, 5, 8):
        net = folding(depth)
        size = parameters(net)
        hidden = (size - 1) // 3  # Linear(1, h) and Linear(h, 1) have 3 h + 1 parameters
        print(f"{depth:>7}{size:>12}{pieces(net):>8}   {hidden} neurons: up to {hidden + 1} pieces")
    print("One more fold doubles the pieces; one more neuron adds one at most.")


def plot(path) -> None:
    fig, axes = figure(1, 4, 14, 3.2)
    x = np.linspace(0, 1, 2113, dtype=np.float32).reshape(-1, 1)  # the corners of both kinds
    for ax, depth in zip(axes, (1, 3, 5), strict=False):
        net = folding(depth)
        ax.plot(x, net(x), color=GREEN)
        ax.set_title(f"{depth} fold{'s' * (depth > 1)}: {2**depth} pieces")
        ax.set_xlabel(f"{parameters(net)} parameters")
    axes[3].plot(x, zigzag(11)(x), color=GREY)
    axes[3].set_title("1 layer of 11 neurons: 11 pieces")
    axes[3].set_xlabel(f"{parameters(zigzag(11))} parameters")
    save(fig, path)


def main() -> None:
    path = plot_path(__doc__)
    one_number()
    compare()
    if path:
        plot(path)


if __name__ == "__main__":
    main()
