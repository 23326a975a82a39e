"""One neuron decides whether a message is spam.

    python examples/chapter/01_neuron.py [--plot neuron.png]

A neuron multiplies each input by a weight, adds the products and a bias (z), and squeezes the sum
into a number from 0 to 1 with the sigmoid 1 / (1 + exp(-z)).
"""

from __future__ import annotations

import numpy as np
from _chapter import BLUE, GREY, RED, figure, plot_path, save

from forwardpass import nn

FEATURES = ["exclamation marks", "the word 'free'", "unknown links"]
MESSAGE = [3, 2, 1]
WEIGHTS = [0.5, 2.0, 1.5]
BIAS = -3.0


def spam_neuron() -> nn.Sequential:
    """3 inputs to 1 output. A trained network gets its weights from a file, this one by hand."""
    neuron = nn.Sequential(nn.Linear(3, 1), nn.Sigmoid())
    neuron[0].weight = np.array([WEIGHTS], np.float32)  # (outputs, inputs), as in torch
    neuron[0].bias = np.array([BIAS], np.float32)
    return neuron


def explain(x: np.ndarray, z: float, p: float) -> None:
    print("A message, as three numbers")
    print(f"  {'feature':<20}{'input':>7}{'weight':>9}{'product':>10}")
    for name, value, weight in zip(FEATURES, x, WEIGHTS, strict=True):
        print(f"  {name:<20}{value:>7.0f}{weight:>9.1f}{value * weight:>10.1f}")
    print(f"  {'bias':<36}{BIAS:>10.1f}")
    print(f"  {'z, their sum':<36}{z:>10.1f}")
    print(f"  {'sigmoid(z)':<36}{p:>10.3f}")
    print(f"\nThe neuron is {100 * p:.1f} % sure that this is spam.")


def others(neuron: nn.Sequential) -> None:
    """Several messages in one call: each row of x is a message."""
    x = np.array([MESSAGE, [0, 0, 0], [2, 1, 0], [0, 1, 2]], np.float32)
    p = neuron(x)
    print(f"\nFour messages in one call: x {x.shape} gives p {p.shape}")
    for row, value in zip(x, p[:, 0], strict=True):
        verdict = "spam" if value > 0.5 else "undecided" if value == 0.5 else "fine"
        print(f"  {row.astype(int).tolist()}  ->  {value:.3f}  {verdict}")
    print(
        "Nothing suspicious leaves the bias alone: sigmoid(-3). At z = 0 the neuron is undecided."
    )
    same = (neuron(x[:1]) == p[:1]).all()
    print(f"The first message alone gives the same bits as among four: {same}.")


def plot(path, x: np.ndarray, z: float, p: float) -> None:
    fig, (left, right) = figure(1, 2, 10, 3.8)
    steps = [*(x * WEIGHTS), BIAS]
    starts = np.concatenate([[0], np.cumsum(steps)[:-1]])
    names = [*FEATURES, "bias", "z"]
    colours = [BLUE, BLUE, BLUE, RED, GREY]
    left.barh(names, [*steps, z], left=[*starts, 0], color=colours)
    for i, (start, step) in enumerate(zip([*starts, 0], [*steps, z], strict=True)):
        left.text(max(start, start + step) + 0.1, i, f"{step:+.1f}", va="center")
    left.set(title=f"The products and the bias add up to z = {z:.0f}", xlim=(0, 8.2))
    left.invert_yaxis()
    curve = np.linspace(-8, 8, 200, dtype=np.float32)
    right.plot(curve, nn.Sigmoid()(curve), color=GREY)
    right.plot([z, z, -8], [0, p, p], "--", color=RED, linewidth=1)
    right.plot(z, p, "o", color=RED)
    right.annotate(f"{p:.3f}", (z, p), (z + 0.3, p - 0.09), color=RED)
    right.set(title="The sigmoid makes it a probability", xlabel="z", xlim=(-8, 8), ylim=(0, 1.05))
    save(fig, path)


def main() -> None:
    path = plot_path(__doc__)
    neuron = spam_neuron()
    x = np.array(MESSAGE, np.float32)
    z = neuron[0](x).item()
    p = neuron(x).item()
    explain(x, z, p)
    others(neuron)
    if path:
        plot(path, x, z, p)


if __name__ == "__main__":
    main()
