"""Counting parameters: what a network weighs before it has seen a single number.

    python examples/chapter/04_parameters.py [--plot parameters.png]

A Linear(n, m) has n * m weights and m biases; an Embedding(v, d) is a table of v * d numbers.
Counting draws no weights: layers here know their shapes, and make the values when first needed.
"""

from __future__ import annotations

from _chapter import BLUE, GREY, RED, figure, plot_path, save

from forwardpass import nn


def count(module: nn.Module) -> int:
    return sum(parameter.numel() for parameter in module.parameters())


def show(title: str, module: nn.Module, arithmetic: str) -> None:
    total = count(module)
    print(f"  {title:<28}{arithmetic:<38}{total:>11,}{4 * total / 1024:>12,.1f} KiB")


def mlp() -> nn.Sequential:
    """100 numbers to 10, through 50 and 25."""
    return nn.Sequential(
        nn.Linear(100, 50), nn.ReLU(), nn.Linear(50, 25), nn.ReLU(), nn.Linear(25, 10)
    )


def language_model() -> dict[str, int]:
    """Where the parameters of a small transformer are: 5000 words, 256 wide, 4 blocks."""
    attention = [nn.Linear(256, 256, bias=False) for _ in range(4)]
    feed_forward = [nn.Linear(256, 1024), nn.Linear(1024, 256)]
    return {
        "embedding": count(nn.Embedding(5000, 256)),
        "attention, 4 blocks": 4 * sum(map(count, attention)),
        "feed-forward, 4 blocks": 4 * sum(map(count, feed_forward)),
        "norms, 9": 9 * count(nn.RMSNorm(256)),
        "output over 5000 words": count(nn.Linear(256, 5000, bias=False)),
    }


def main() -> None:
    path = plot_path(__doc__)
    print(f"  {'layer':<28}{'weights + biases':<38}{'parameters':>11}{'float32':>16}")
    show("Linear(10, 5)", nn.Linear(10, 5), "10*5 + 5")
    show("Linear(256, 512)", nn.Linear(256, 512), "256*512 + 512")
    arithmetic = "(100*50+50) + (50*25+25) + (25*10+10)"
    show("100 -> 50 -> 25 -> 10", mlp(), arithmetic)
    show("Embedding(5000, 256)", nn.Embedding(5000, 256), "5000*256")
    show("Conv1d(8, 32, 3)", nn.Conv1d(8, 32, 3), "32*8*3 + 32")
    show("LayerNorm(256)", nn.LayerNorm(256), "256 + 256")
    show("ReLU()", nn.ReLU(), "")

    print("\nThe 100 -> 50 -> 25 -> 10 network, parameter by parameter (the names of a state_dict)")
    for name, parameter in mlp().named_parameters():
        print(f"  {name:<12}{parameter.shape!s:<12}{parameter.numel():>6,}")
    print("A Linear does one multiply-add a weight for each row it is given: 6,500 here.")
    print("An Embedding does none: it copies the rows that it is asked for.")

    parts = language_model()
    total = sum(parts.values())
    print(f"\nA small language model, {total:,} parameters: almost half are two word tables")
    for name, size in parts.items():
        print(f"  {name:<24}{size:>10,}{100 * size / total:>6.1f} %")
    if path:
        plot(path, parts)


def plot(path, parts: dict[str, int]) -> None:
    fig, (left, right) = figure(1, 2, 11, 3.6)
    names = [name for name, _ in mlp().named_parameters()]
    sizes = [parameter.numel() for parameter in mlp().parameters()]
    colours = [BLUE if name.endswith("weight") else GREY for name in names]
    left.barh(names, sizes, color=colours)
    for i, size in enumerate(sizes):
        left.text(size + 60, i, f"{size:,}", va="center")
    left.set(title="100 -> 50 -> 25 -> 10: 6,585 parameters", xlim=(0, 5900))
    left.invert_yaxis()
    total = sum(parts.values())
    right.barh(list(parts), [size / 1e6 for size in parts.values()], color=RED)
    for i, size in enumerate(parts.values()):
        right.text(size / 1e6 + 0.03, i, f"{100 * size / total:.1f} %", va="center")
    right.set(title="A small language model", xlabel="million parameters", xlim=(0, 2.5))
    right.invert_yaxis()
    save(fig, path)


if __name__ == "__main__":
    main()
