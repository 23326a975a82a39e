"""`forwardpass demo`: a trained network reads scanned digits, layer by layer and against the clock.

The weights and the pictures come from data/digits.safetensors, made by examples/digits/train.py.
demo_numpy.py holds the same network in plain NumPy.
"""

from __future__ import annotations

import shutil
from pathlib import Path
from typing import Any, NamedTuple, TypeAlias

import numpy as np
from numpy.typing import NDArray

import forwardpass
from forwardpass import _core, nn
from forwardpass._terminal import SHADES, bars, beside, say
from forwardpass.demo_numpy import NumpyDigits
from forwardpass.demo_race import race
from forwardpass.io.safetensors import load_file
from forwardpass.nn import functional as F

F32: TypeAlias = NDArray[np.float32]

DATA = Path(__file__).with_name("data") / "digits.safetensors"
CREDITS = """\
Pictures: Optical Recognition of Handwritten Digits, E. Alpaydin and C. Kaynak,
UCI Machine Learning Repository, 1998, https://doi.org/10.24432/C50P49,
CC BY 4.0; a selection, otherwise unchanged. Training: examples/digits/train.py"""


class DataError(Exception):
    """The file of weights and pictures is missing or is not what it should be."""


class Digits(NamedTuple):
    state: dict[str, Any]  # the state_dict of network()
    images: NDArray[np.uint8]  # (n, 8, 8), ink from 0 to 16
    labels: NDArray[np.uint8]  # (n,), 0 to 9


class Reading(NamedTuple):
    logits: F32
    digit: NDArray[np.int64]
    sure: F32  # the probability of that digit


def network() -> nn.Sequential:
    """Rows of the picture are channels, columns the length: a tap sees a column and its neighbours.

    examples/digits/train.py builds the same layers in torch; the state_dict keys are the same.
    """
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


def load(path: str | Path = DATA) -> tuple[nn.Sequential, Digits]:
    """The trained network and the pictures that were held out of its training."""
    try:
        state = dict(load_file(path))
        digits = Digits(images=state.pop("images"), labels=state.pop("labels"), state=state)
        _check(digits)
        net = network()
        net.load_state_dict(state, strict=True)
    except (OSError, ValueError, TypeError, KeyError, RuntimeError) as error:
        reason = f"no tensor {error}" if isinstance(error, KeyError) else str(error)
        advice = "reinstall forwardpass, or run" if Path(path) == DATA else "make a new one with"
        raise DataError(
            f"cannot use the demo's data file {path}\n  {type(error).__name__}: {reason}\n"
            f"  {advice} examples/digits/train.py"
        ) from error
    return net, digits


def _check(digits: Digits) -> None:
    images, labels = digits.images, digits.labels
    if images.dtype != np.uint8 or images.shape[1:] != (8, 8) or len(images) == 0:
        raise ValueError(f"images: expected uint8 (n, 8, 8), got {images.dtype} {images.shape}")
    if labels.dtype != np.uint8 or labels.shape != images.shape[:1]:
        raise ValueError(f"labels: expected uint8 (n,), got {labels.dtype} {labels.shape}")
    if images.max() > 16 or labels.max() > 9:
        raise ValueError("expected ink from 0 to 16 and labels from 0 to 9")


def pixels(images: NDArray[np.uint8]) -> F32:
    """What the network takes: float32 from 0 to 1. Exact, 16 being a power of two."""
    return images.astype(np.float32) / np.float32(16)


def read(net: nn.Module, x: F32) -> Reading:
    logits = net(x)
    probabilities = F.softmax(logits, 1)
    return Reading(logits, logits.argmax(1), probabilities.max(1))


def run(path: str | Path | None = None, *, images: int = 5, timing: bool = True) -> int:
    """Show everything; the exit status says whether all the checks on the way held."""
    path = DATA if path is None else Path(path)
    net, digits = load(path)
    x = pixels(digits.images)
    reading = read(net, x)
    special, why = _special(digits, reading)
    parameters = sum(value.size for value in digits.state.values())
    right = int((reading.digit == digits.labels).sum())

    say(f"forwardpass {forwardpass.__version__} reads handwriting")
    say(f"{len(x)} scanned digits that a network of {parameters:,} parameters has not seen before")
    say()
    shown = _choose(digits.labels, special, images)
    if shown:
        blocks = _pictures(digits, reading, shown)
        say(beside(blocks, shutil.get_terminal_size((80, 24)).columns))
        say(f"  (the last one: {why})")
        say()
    say(f"Accuracy: {right} of {len(x)} = {100 * right / len(x):.1f} %")
    say()
    same_bits = _show_flow(net, x, reading, special)
    say()
    agrees = _show_numpy(net, path, digits, x, timing)
    say()
    say(CREDITS)
    return 0 if same_bits and agrees else 1


def _special(digits: Digits, reading: Reading) -> tuple[int, str]:
    """The picture most worth a look: a misread one if there is one, else the least certain."""
    wrong = np.flatnonzero(reading.digit != digits.labels)
    if len(wrong):
        return int(wrong[0]), f"one of the {len(wrong)} that it misreads"
    return int(reading.sure.argmin()), "of all pictures, it is least sure of this"


def _choose(labels: NDArray[np.uint8], special: int, count: int) -> list[int]:
    """`count` pictures: as many different digits as can be, and the special one at the end."""
    if count == 0:
        return []
    seen = [0] * 10
    seen[labels[special]] = 1  # it is shown in any case
    ranked = []
    for i, label in enumerate(labels.tolist()):
        if i != special:
            ranked.append((seen[label], i))
            seen[label] += 1
    return [i for _, i in sorted(ranked)[: count - 1]] + [special]


def _pictures(digits: Digits, reading: Reading, shown: list[int]) -> list[list[str]]:
    """Each picture in shades, two characters a pixel, with what it is and what was read."""
    shade = digits.images[shown].astype(int) * len(SHADES) // 17  # 0..16 in five equal steps
    inked = np.flatnonzero(shade.any(axis=(0, 1)))  # leave out columns that are blank in all
    left, right = (inked[0], inked[-1] + 1) if len(inked) else (0, 8)
    blocks = []
    for i, rows in zip(shown, shade[:, :, left:right], strict=True):
        label, digit = int(digits.labels[i]), int(reading.digit[i])
        lines = ["".join(SHADES[v] * 2 for v in row) for row in rows]
        mark = "✓" if label == digit else "✗"
        caption = [f"label {label}", f"read {digit}  {mark}", f"{100 * reading.sure[i]:.1f} % sure"]
        blocks.append([*lines, "", *caption])
    return blocks


def _show_flow(net: nn.Sequential, x: F32, reading: Reading, index: int) -> bool:
    """One picture through one layer after the other; True if the bits are those of the batch."""
    say("One forward pass, layer by layer (the last picture, from 64 pixels to a digit)")
    header = f"{'output':<10}{'params':>7}{'min':>6}{'mean':>7}{'max':>7}  first ten"
    say(f"  {'layer':<29}{header}")
    value = x[index : index + 1]
    _show_step("the picture", value, None)
    for layer in net:
        value = layer(value)
        count = sum(weight.size for weight in layer.state_dict().values())
        _show_step(_title(layer), value, count)
    probabilities = F.softmax(value, 1)
    _show_step("softmax", probabilities, 0)
    best = np.argsort(-probabilities[0])[:3]
    say("  → " + ", ".join(f"{digit} with {100 * probabilities[0, digit]:.1f} %" for digit in best))

    alone = net(x[index : index + 1])
    same = np.array_equal(value, alone) and np.array_equal(value[0], reading.logits[index])
    ways = f"Layer by layer, in one call, or as one of a batch of {len(x)}:"
    say(f"  {ways} {'the same bits.' if same else 'the bits DIFFER, which is a bug.'}")
    return same


def _show_step(title: str, value: F32, params: int | None) -> None:
    low, high = float(value.min()), float(value.max())
    mean = round(float(value.mean()), 2) + 0.0  # not -0.00
    shape = "(" + ",".join(map(str, value.shape)) + ")"
    count = "" if params is None else f"{params:,}"
    numbers = f"{low:6.2f}{mean:7.2f}{high:7.2f}"
    glimpse = bars(value.reshape(-1)[:10].tolist(), low, high)
    say(f"  {title:<29}{shape:<10}{count:>7}{numbers}  {glimpse}")


def _title(layer: nn.Module) -> str:
    """The layer as one would write it, in at most 28 columns."""
    if isinstance(layer, nn.Conv1d):
        sizes = f"{layer.in_channels}, {layer.out_channels}, {layer.kernel_size[0]}"
        return f"Conv1d({sizes}, padding={layer.padding[0]})"
    if isinstance(layer, nn.Linear):
        return f"Linear({layer.in_features}, {layer.out_features})"
    if isinstance(layer, nn.RMSNorm):
        return f"RMSNorm({layer.normalized_shape[0]})"
    return f"{type(layer).__name__}()"


def _show_numpy(net: nn.Module, path: Path, digits: Digits, x: F32, timing: bool) -> bool:
    """The same network in plain NumPy: its answers and, if wanted, its time."""
    ours, theirs = net(x), NumpyDigits(digits.state)(x)
    difference, size = float(np.abs(theirs - ours).max()), float(np.abs(ours).max())
    same_digits = int((theirs.argmax(1) == ours.argmax(1)).sum())
    if timing:
        say("Time per picture, best of many runs  forwardpass  plain NumPy    ratio")
        _show_times(path, len(x))
    else:
        say("The same network in plain NumPy")
    closeness = f"logits (up to {size:.1f}) within {difference:.1e}"
    say(f"  Both read the same digit in {same_digits} of {len(x)}; {closeness}")
    return difference <= 1e-4 * size


def _show_times(path: Path, count: int) -> None:
    try:
        one, every = race(path)
    except RuntimeError as error:
        say(f"  not measured: {error}")
        return
    for title, times, n in (
        ("one picture a call", one, 1),
        (f"all {count} in one call", every, count),
    ):
        ours, theirs = 1e6 * times.ours / n, 1e6 * times.theirs / n
        ratio = f"{theirs / ours:.1f}" if theirs > ours else f"{theirs / ours:.2g}"
        say(f"  {title:<34}{ours:9.2f} µs {theirs:9.2f} µs {ratio:>6} ×")
    default = f"{forwardpass.get_num_threads()} ({_core.thread_source()})"
    say(f"  {forwardpass.isa()}, one thread each, by default {default}; NumPy {np.__version__}")
