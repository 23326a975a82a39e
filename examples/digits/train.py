#!/usr/bin/env python3
"""Train the digits network of `python -m forwardpass demo` and write its data file.

    pip install . torch scikit-learn                # forwardpass itself writes the file
    python examples/digits/train.py                 # two minutes on one core
    python examples/digits/train.py --cross-check   # other splits; writes nothing

Pictures: "Optical Recognition of Handwritten Digits", E. Alpaydin and C. Kaynak, UCI Machine
Learning Repository (https://doi.org/10.24432/C50P49), CC BY 4.0; the 1797 scans of 8x8 pixels
that scikit-learn ships as load_digits().

Network: the 8 rows of a picture are channels and its 8 columns the length, so that a Conv1d sees
a whole column and slides from left to right.

How the numbers stay honest: HELD_OUT pictures are set aside first, with the same share of every
digit, and nothing is chosen by looking at them. The recipe is chosen among RECIPES on a validation
split of the *remaining* pictures; the network is then trained once, with a seed fixed in advance,
on all of the remaining pictures, and measured once on the held-out ones.

Same file again? On one machine with the same torch: the same bytes. torch's own bits differ between
processors and versions, so elsewhere the result is an equivalent network (accuracy within an image
or two), not the same file. The split and the pictures are the same everywhere.
"""

from __future__ import annotations

import argparse
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
import torch
from numpy.typing import NDArray
from sklearn.datasets import load_digits
from torch import Tensor, nn

from forwardpass.io.safetensors import save_file

OUT = Path(__file__).resolve().parents[2] / "python" / "forwardpass" / "data" / "digits.safetensors"
HELD_OUT = 360
SPLIT_SEED = 1998  # the year of the data set
TRAIN_SEED = 0
VALIDATION_SEEDS = (1, 2, 3)
SOURCE = (
    "E. Alpaydin and C. Kaynak, Optical Recognition of Handwritten Digits, UCI Machine Learning "
    "Repository, 1998, https://doi.org/10.24432/C50P49"
)


@dataclass(frozen=True)
class Recipe:
    """What the validation split decides between."""

    shift: float  # how often a training picture is moved by one pixel, per axis
    weight_decay: float
    epochs: int
    rate: float = 3e-3
    batch: int = 32
    smoothing: float = 0.02  # label smoothing


RECIPES = (
    Recipe(shift=0.0, weight_decay=0.01, epochs=40),
    Recipe(shift=0.3, weight_decay=0.01, epochs=40),
    Recipe(shift=0.3, weight_decay=0.1, epochs=40),
    Recipe(shift=0.6, weight_decay=0.1, epochs=40),
    Recipe(shift=0.3, weight_decay=0.1, epochs=80),
    Recipe(shift=0.6, weight_decay=0.1, epochs=80),
)


def network() -> nn.Sequential:
    """The four kernels of forwardpass 0.1. forwardpass.demo builds the same one, layer by layer."""
    return nn.Sequential(
        nn.Conv1d(8, 32, 3, padding=1),
        nn.GELU(),
        nn.Conv1d(32, 32, 3, padding=1),
        nn.GELU(),
        nn.Flatten(),
        nn.RMSNorm(256),
        nn.Linear(256, 64),
        nn.GELU(),
        nn.Linear(64, 10),
    )


def stratified(labels: NDArray[Any], count: int, seed: int) -> NDArray[np.bool_]:
    """A mask of `count` of the pictures with every digit's share equal to within one picture."""
    rng = np.random.default_rng(seed)
    order = rng.permutation(len(labels))
    order = order[np.argsort(labels[order], kind="stable")]  # by digit, shuffled inside a digit
    mask = np.zeros(len(labels), dtype=bool)
    step = len(labels) / count
    mask[order[(np.arange(count) * step + step / 2).astype(int)]] = True
    return mask


def shifted(images: Tensor, probability: float, generator: torch.Generator) -> Tensor:
    """Each picture moved by at most one pixel along each axis, zeros coming in at the edge."""
    n = len(images)
    moves = torch.randint(0, 2, (n, 2), generator=generator) * 2 - 1
    moves = moves * (torch.rand((n, 2), generator=generator) < probability)
    padded = nn.functional.pad(images, (1, 1, 1, 1))
    rows = torch.arange(8) + 1 + moves[:, :1]
    columns = torch.arange(8) + 1 + moves[:, 1:]
    return padded[torch.arange(n)[:, None, None], rows[:, :, None], columns[:, None, :]]


def train(images: Tensor, labels: Tensor, recipe: Recipe, seed: int) -> nn.Sequential:
    torch.manual_seed(seed)
    generator = torch.Generator().manual_seed(seed)
    net = network()
    steps = recipe.epochs * -(-len(images) // recipe.batch)
    optimizer = torch.optim.AdamW(net.parameters(), recipe.rate, weight_decay=recipe.weight_decay)
    schedule = torch.optim.lr_scheduler.OneCycleLR(optimizer, recipe.rate, total_steps=steps)
    loss_of = nn.CrossEntropyLoss(label_smoothing=recipe.smoothing)
    for _ in range(recipe.epochs):
        order = torch.randperm(len(images), generator=generator)
        for chosen in order.split(recipe.batch):
            batch = shifted(images[chosen], recipe.shift, generator)
            optimizer.zero_grad()
            loss_of(net(batch), labels[chosen]).backward()
            optimizer.step()
            schedule.step()
    return net.eval()


def correct(net: nn.Sequential, images: Tensor, labels: Tensor) -> int:
    with torch.no_grad():
        return int((net(images).argmax(1) == labels).sum())


def choose(images: Tensor, labels: Tensor) -> Recipe:
    """The recipe that reads most of a fifth of the training pictures, trained on the other four."""
    held = torch.from_numpy(stratified(labels.numpy(), len(labels) // 5, SPLIT_SEED + 1))
    best, best_score = RECIPES[0], -1.0
    for recipe in RECIPES:
        nets = [train(images[~held], labels[~held], recipe, seed) for seed in VALIDATION_SEEDS]
        scores = [correct(net, images[held], labels[held]) / int(held.sum()) for net in nets]
        score = sum(scores) / len(scores)
        print(f"validation {100 * score:6.2f} %  {recipe}", flush=True)
        if score > best_score:
            best, best_score = recipe, score
    return best


def cross_check(images: Tensor, labels: Tensor, recipe: Recipe) -> None:
    """How much of the accuracy is luck of the split: other splits, each with its own training."""
    splits = [(f"split seed {s}", stratified(labels.numpy(), HELD_OUT, s)) for s in (1, 2, 3)]
    block = np.arange(len(labels)) // HELD_OUT  # neighbours seem to be by one writer
    splits += [(f"block {b} of neighbours", block == b) for b in range(5)]
    for name, held in splits:
        net = train(images[~held], labels[~held], recipe, TRAIN_SEED)
        print(f"{name}: {correct(net, images[held], labels[held])} of {held.sum()}", flush=True)


def main() -> None:
    parser = argparse.ArgumentParser(description="train the digits network of the demo")
    parser.add_argument("--out", type=Path, default=OUT, help="data file to write")
    parser.add_argument("--cross-check", action="store_true", help="try other splits instead")
    options = parser.parse_args()
    torch.set_num_threads(1)
    torch.use_deterministic_algorithms(True)

    data = load_digits()
    pixels = data.images.astype(np.uint8)  # 0..16: ink in a block of 4x4 dots of the scan
    targets = data.target.astype(np.uint8)
    held = stratified(targets, HELD_OUT, SPLIT_SEED)
    images = torch.from_numpy(pixels.astype(np.float32) / 16)
    labels = torch.from_numpy(targets.astype(np.int64))

    recipe = choose(images[~held], labels[~held])
    if options.cross_check:
        cross_check(images, labels, recipe)
        return
    net = train(images[~held], labels[~held], recipe, TRAIN_SEED)
    right = correct(net, images[held], labels[held])
    print(f"held out   {right} of {HELD_OUT} = {100 * right / HELD_OUT:.1f} %  {recipe}")
    tensors = {name: value.numpy() for name, value in net.state_dict().items()}
    write(options.out, tensors | {"images": pixels[held], "labels": targets[held]}, recipe, right)


def write(out: Path, tensors: dict[str, NDArray[Any]], recipe: Recipe, right: int) -> None:
    metadata = {
        "source": SOURCE,
        "licence": "CC BY 4.0, https://creativecommons.org/licenses/by/4.0/",
        "changes": "360 of the 1797 pictures of scikit-learn's load_digits(), as uint8 0..16",
        "held_out_accuracy": f"{right} of {HELD_OUT}",
        "training": f"{recipe}, all other pictures, seed {TRAIN_SEED}",
        "split_seed": str(SPLIT_SEED),
        "torch": torch.__version__,
    }
    out.parent.mkdir(parents=True, exist_ok=True)
    save_file(tensors, out, metadata)
    print(f"wrote {out}: {out.stat().st_size} bytes")


if __name__ == "__main__":
    main()
