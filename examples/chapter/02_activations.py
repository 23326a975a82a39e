"""The activations side by side: what each does to a number.

    python examples/chapter/02_activations.py [--plot activations.png]

Without an activation between them two linear layers are one linear layer. These curves are what
makes a stack of layers more than that.
"""

from __future__ import annotations

import numpy as np
from _chapter import BLUE, GREY, RED, figure, plot_path, save

from forwardpass import manual_seed, nn

ACTIVATIONS = {
    "ReLU": (nn.ReLU(), "cuts off what is negative"),
    "LeakyReLU": (nn.LeakyReLU(0.1), "keeps a tenth of it (negative_slope=0.1)"),
    "GELU": (nn.GELU(), "a smooth ReLU: x times the chance that a normal number is below x"),
    "GELU tanh": (nn.GELU("tanh"), "the same by a formula with tanh; GPT-2's choice"),
    "SiLU": (nn.SiLU(), "x * sigmoid(x), also called swish; Llama's choice"),
    "Sigmoid": (nn.Sigmoid(), "any number to 0..1: probabilities, gates"),
    "Tanh": (nn.Tanh(), "any number to -1..1"),
}
POINTS = np.array([-4, -2, -1, -0.5, 0, 0.5, 1, 2, 4], np.float32)
FINE = np.linspace(-5, 5, 100_001, dtype=np.float32)


def table() -> None:
    print("Each activation at nine points")
    print(f"  {'x':<10}" + "".join(f"{x:>8.1f}" for x in POINTS))
    for name, (layer, _) in ACTIVATIONS.items():
        print(f"  {name:<10}" + "".join(f"{y:>8.3f}" for y in layer(POINTS)))
    print()
    for name, (_, words) in ACTIVATIONS.items():
        print(f"  {name:<10}{words}")


def facts() -> None:
    print("\nWorth noticing")
    for name in ("GELU", "SiLU"):
        y = ACTIVATIONS[name][0](FINE)
        lowest = y.argmin()
        print(f"  {name} dips below zero: lowest {y[lowest]:.3f}, at x = {FINE[lowest]:.2f}.")
    exact, tanh = ACTIVATIONS["GELU"][0](FINE), ACTIVATIONS["GELU tanh"][0](FINE)
    print(f"  The two GELUs differ by up to {np.abs(exact - tanh).max():.5f}.")
    ten = np.array([-10, 10], np.float32)
    low, high = nn.Sigmoid()(ten)
    print(
        f"  The sigmoid saturates: {low:.5f} at -10, {high:.5f} at 10; more input changes little."
    )


def softmax() -> np.ndarray:
    """Softmax is the one that looks at a whole row, not at one number."""
    scores = np.array([2.0, 1.0, 0.1], np.float32)
    p = nn.Softmax(-1)(scores)
    print("\nSoftmax turns scores into shares of 1")
    print("  scores " + "  ".join(f"{v:.3f}" for v in scores))
    print("  shares " + "  ".join(f"{v:.3f}" for v in p))
    shifted = nn.Softmax(-1)(scores + np.float32(100))
    print("  scores + 100: " + "  ".join(f"{v:.3f}" for v in shifted) + "; only differences count")
    return p


def two_linears_are_one() -> None:
    manual_seed(0)
    first, second = nn.Linear(4, 8, bias=False), nn.Linear(8, 3, bias=False)
    x = np.array([[1, -2, 3, -4]], np.float32)
    one = nn.Linear(4, 3, bias=False)
    one.weight = nn.functional.linear(second.weight, np.ascontiguousarray(first.weight.T))
    gap = np.abs(second(first(x)) - one(x)).max()
    bent = np.abs(second(nn.ReLU()(first(x))) - one(x)).max()
    print("\nTwo linear layers against the one whose weight is the product of theirs")
    print(f"  without an activation between: they differ by {gap:.7f}, which is rounding")
    print(f"  with ReLU between:             they differ by {bent:.2f}")


def plot(path, shares: np.ndarray) -> None:
    fig, axes = figure(2, 4, 12, 5.6)
    flat = axes.reshape(-1)
    for ax, (name, (layer, _)) in zip(flat, ACTIVATIONS.items(), strict=False):
        x = FINE[::100]
        ax.axhline(0, color=GREY, linewidth=0.6)
        ax.axvline(0, color=GREY, linewidth=0.6)
        ax.plot(x, layer(x), color=BLUE, linewidth=2)
        if name in ("Sigmoid", "Tanh"):
            ax.set(title=name, xlim=(-5, 5), ylim=(-1.2, 1.2))
        else:
            ax.plot(x, nn.ReLU()(x), ":", color=GREY)
            ax.set(title=name, xlim=(-4.5, 2.5), ylim=(-0.6, 2.5))
    flat[7].bar(["2.0", "1.0", "0.1"], shares, color=RED)
    for i, share in enumerate(shares):
        flat[7].text(i, share + 0.02, f"{share:.3f}", ha="center")
    flat[7].set(title="Softmax", xlabel="score", ylim=(0, 0.8))
    fig.suptitle("Activations (dotted: ReLU, for comparison)")
    save(fig, path)


def main() -> None:
    path = plot_path(__doc__)
    table()
    facts()
    shares = softmax()
    two_linears_are_one()
    if path:
        plot(path, shares)


if __name__ == "__main__":
    main()
