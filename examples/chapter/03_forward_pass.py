"""A forward pass by hand and by network: 3 inputs, 4 hidden neurons, 2 outputs.

    python examples/chapter/03_forward_pass.py [--plot pass.png]

Each layer takes what the one before returned. By hand first, then the same with forwardpass.trace,
which runs a model and keeps every layer's value.
"""

from __future__ import annotations

import math

import numpy as np
from _chapter import plot_path

import forwardpass as fp
from forwardpass import nn

X = [1.0, 0.5, -1.0]
W1 = [[1.0, 0.0, -1.0], [0.5, 0.5, 0.5], [-1.0, 2.0, 0.0], [0.0, 1.0, 1.0]]  # 4 rows of 3
B1 = [0.0, -1.0, 0.5, 1.0]
W2 = [[1.0, -1.0, 0.5, 0.0], [-0.5, 1.0, 1.0, 1.0]]  # 2 rows of 4
B2 = [0.25, 0.0]


def network() -> nn.Sequential:
    net = nn.Sequential(nn.Linear(3, 4), nn.ReLU(), nn.Linear(4, 2), nn.Softmax(-1))
    arrays = {"0.weight": W1, "0.bias": B1, "2.weight": W2, "2.bias": B2}
    net.load_state_dict({key: np.array(value, np.float32) for key, value in arrays.items()})
    return net


def weighted_sums(x: list[float], weight: list[list[float]], bias: list[float]) -> list[float]:
    """What Linear does, a neuron a line."""
    sums = []
    for i, (row, b) in enumerate(zip(weight, bias, strict=True)):
        terms = [f"{w:g}*{v:g}" for w, v in zip(row, x, strict=True)]
        sums.append(sum(w * v for w, v in zip(row, x, strict=True)) + b)
        print(f"  neuron {i}: {' + '.join(terms)} + ({b:g}) = {sums[-1]:g}")
    return sums


def by_hand() -> list[float]:
    print(f"Input: {X}")
    print("\nFirst layer, 4 neurons: each multiplies the inputs by its weights and adds its bias")
    hidden = weighted_sums(X, W1, B1)
    print("\nReLU: what is negative becomes 0")
    hidden = [max(value, 0.0) for value in hidden]
    print(f"  {hidden}; the neuron that was below zero is silent for this input")
    print("\nSecond layer, 2 neurons: the same again, on the hidden values")
    scores = weighted_sums(hidden, W2, B2)
    print("\nSoftmax: scores to shares of 1")
    exponentials = [math.exp(score) for score in scores]
    shares = [e / sum(exponentials) for e in exponentials]
    print(f"  exp: {exponentials[0]:.3f} and {exponentials[1]:.3f}, together ", end="")
    print(f"{sum(exponentials):.3f}; shares {shares[0]:.3f} and {shares[1]:.3f}")
    return shares


def main() -> None:
    path = plot_path(__doc__)
    shares = by_hand()
    net = network()
    x = np.array([X], np.float32)  # a batch of one row
    trace = fp.trace(net, x)
    print("\n\nThe same by network: forwardpass.trace(net, x)\n")
    print(trace)
    gap = np.abs(trace.output[0] - shares).max()
    print(f"\nBy hand and by network differ by at most {gap:.0e}.")
    print(f"Watched or not, the bits are the same: {(trace.output == net(x)).all()}.")
    if path:
        trace.plot(path)
        print(f"\nDrawn: {path}")


if __name__ == "__main__":
    main()
