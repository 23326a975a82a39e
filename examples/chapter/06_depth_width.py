"""Depth against width at equal parameters: what each costs.

    python examples/chapter/06_depth_width.py [--plot depth.png]

Networks 64 -> hidden layers -> 10 of about 100,000 parameters each: one hidden layer 1,333 wide,
or 16 layers of 79. They do the same number of multiply-adds; their time differs. What depth buys
for that is in 08_folding.py.
"""

from __future__ import annotations

import timeit
from bisect import bisect_left
from itertools import pairwise

import numpy as np
from _chapter import BLUE, RED, figure, plot_path, save

from forwardpass import nn, threads

INPUTS, OUTPUTS, BUDGET = 64, 10, 100_000
DEPTHS = [1, 2, 4, 8, 16]


def network(depth: int, width: int) -> nn.Sequential:
    sizes = [INPUTS] + [width] * depth
    hidden = [layer for n, m in pairwise(sizes) for layer in (nn.Linear(n, m), nn.ReLU())]
    return nn.Sequential(*hidden, nn.Linear(width, OUTPUTS))


def parameters(net: nn.Module) -> int:
    return sum(p.numel() for p in net.parameters())


def multiply_adds(net: nn.Module) -> int:
    """One a weight for each row; biases are only added."""
    return sum(p.numel() for p in net.parameters() if p.ndim == 2)


def best_width(depth: int) -> int:
    """The width whose network comes closest to the budget; layers draw no weights for this."""

    def size(width: int) -> int:
        return parameters(network(depth, width))

    above = bisect_left(range(2000), BUDGET, key=size)
    return min(above - 1, above, key=lambda width: abs(size(width) - BUDGET))


def microseconds(net: nn.Module, rows: int) -> float:
    """Of a row, when `rows` of them come in one call; the best of many calls."""
    x = np.full((rows, INPUTS), 0.1, np.float32)
    calls = timeit.repeat(lambda: net(x), number=1, repeat=200 if rows == 1 else 20)
    return 1e6 * min(calls) / rows


def compare() -> list[tuple[int, float, float]]:
    print("                                            microseconds a row, in calls of")
    print("  depth  width  parameters  multiply-adds         1 row    256 rows")
    times = []
    for depth in DEPTHS:
        width = best_width(depth)
        net = network(depth, width)
        alone, many = microseconds(net, 1), microseconds(net, 256)
        times.append((depth, alone, many))
        counts = f"{depth:>7}{width:>7,}{parameters(net):>12,}{multiply_adds(net):>15,}"
        print(f"{counts}{alone:>14.2f}{many:>12.2f}")
    print("The work is the same. A deep network does it in more steps, each of which waits for the")
    print("one before and has a cost of its own: it shows where a call brings little work.")
    print("A batch of rows shares the reading of the weights, so each row takes less time.")
    return times


def plot(path, times: list[tuple[int, float, float]]) -> None:
    fig, (left, right) = figure(1, 2, 11, 3.6)
    depths, alone, many = zip(*times, strict=True)
    names = [str(depth) for depth in depths]
    widths = [best_width(depth) for depth in depths]
    left.barh(names, widths, color=BLUE)
    for i, width in enumerate(widths):
        left.text(width + 15, i, f"{depths[i]} x {width:,}", va="center")
    left.set(title="100,000 parameters", xlabel="width", ylabel="hidden layers", xlim=(0, 1600))
    right.plot(names, alone, "o-", color=RED, label="1 row a call")
    right.plot(names, many, "s-", color=BLUE, label="256 rows a call")
    right.set(title="Time of equal work", xlabel="hidden layers", ylabel="microseconds a row")
    right.set_ylim(0, None)
    right.legend(frameon=False)
    save(fig, path)


def main() -> None:
    path = plot_path(__doc__)
    with threads(1):  # for calm timings; results do not depend on it
        times = compare()
    if path:
        plot(path, times)


if __name__ == "__main__":
    main()
