"""What is timed: every case names an operator of ``forwardpass.reference.OPS`` and its arguments.

A case's arrays come from the reference's generator (fixed, never zeros); weights are scaled by
1/sqrt(fan-in), so that values stay where a network's values are. ``flop`` counts a multiply-add as
two; ``moved`` is every input and the output once, in bytes.
"""

from __future__ import annotations

import math
from collections.abc import Callable, Iterator, Sequence
from fnmatch import fnmatchcase
from functools import partial

import numpy as np

import attention
import convolutions
import planes
import recurrent
import transformers
from case import Arguments, Case
from forwardpass.reference.arrays import make, make_indices

ROWS_M = (1, 2, 3, 4, 8, 16, 64, 256, 1024)
TRANSFORMER = ((256, 1024), (384, 1536), (576, 1536), (768, 3072), (2048, 2048))
HEADS = ((256, 32000), (576, 49152))
ODD = (1, 3, 17, 100, 1000)
FUSED = {(256, 1024): "gelu", (384, 1536): "gelu", (768, 3072): "gelu_tanh", (576, 1536): "silu"}
CHANNELS = ((128, 800), (64, 6400), (32, 12800), (16, 25600))  # HiFi-GAN, 100 frames
KERNELS = ((3, 1), (5, 2), (7, 3), (11, 5))  # (k, dilation)
WIDTHS = (64, 256, 768, 2048, 8192)
COUNTS = (1, 16, 256, 4096)
LENGTHS = {
    "16": 16,
    "256": 256,
    "4Ki": 1 << 12,
    "64Ki": 1 << 16,
    "1Mi": 1 << 20,
    "16Mi": 1 << 24,
}
ELEMENTWISE = ("gelu", "gelu_tanh", "silu", "tanh", "sigmoid")


def _weight(name: str, shape: Sequence[int]) -> np.ndarray:
    array = make(name, shape)
    array *= np.float32(1.0 / math.sqrt(math.prod(shape[1:])))
    return array


def _linear_arguments(m: int, k: int, n: int, extra: str) -> Arguments:
    call: Arguments = {
        "input": make("linear/input", (m, k)),
        "weight": _weight("linear/weight", (n, k)),
        "bias": make("linear/bias", (n,)),
    }
    if extra == "residual":
        call["residual"] = make("linear/residual", (m, n))
    elif extra:
        call["activation"] = extra
    return call


def _linear(m: int, k: int, n: int, extra: str = "", group: str = "linear") -> Case:
    shape = f"{m}x{k}-{n}" + (f"+{extra}" if extra else "")
    moved = 4.0 * (m * k + n * k + n + m * n * (2 if extra == "residual" else 1))
    quick = (m, k, n) in {(1, 256, 1024), (16, 384, 1536), (64, 384, 1536), (3, 17, 256)}
    build = partial(_linear_arguments, m, k, n, extra)
    return Case(group, shape, "linear", build, moved, 2.0 * m * k * n, quick)


def linear() -> Iterator[Case]:
    for k, n in (*TRANSFORMER, *HEADS):
        for m in ROWS_M:
            yield _linear(m, k, n)
    for k, n in TRANSFORMER:
        for m in (1, 16, 256):
            yield _linear(m, k, n, FUSED.get((k, n), "residual"))
    for m in (1, 4, 16, 64, 1024):
        yield _linear(m, 64, 64)
    for m in (1, 64):
        yield _linear(m, 256, 256)
        for odd in ODD:
            yield _linear(m, odd, 256)
            yield _linear(m, 256, odd)
    for m in (1, 16, 256):
        yield _linear(m, 4096, 1)


def raw_linear() -> Iterator[Case]:
    for k, n in (*TRANSFORMER, (256, 32000)):
        for m in (1, 4, 16, 64, 256):
            yield _linear(m, k, n, group="F.linear")


def _conv_arguments(
    batch: int, channels: int, outputs: int, k: int, length: int, more: Arguments
) -> Arguments:
    weight = _weight("conv1d/weight", (outputs, channels // more.get("groups", 1), k))
    call = {
        "input": make("conv1d/input", (batch, channels, length)),
        "weight": weight,
        "bias": make("conv1d/bias", (outputs,)),
    }
    return {**call, **more}


def _conv(
    channels: int,
    outputs: int,
    k: int,
    length: int,
    stride: int = 1,
    padding: int | None = None,
    dilation: int = 1,
    groups: int = 1,
    batch: int = 1,
    activation: str | None = None,
    group: str = "conv1d",
) -> Case:
    padding = dilation * (k - 1) // 2 if padding is None else padding
    size = (length + 2 * padding - dilation * (k - 1) - 1) // stride + 1
    shape = f"{channels}-{outputs}k{k}"
    for letter, value in (("s", stride), ("d", dilation), ("g", groups)):
        shape += f"{letter}{value}" if value != 1 else ""
    shape += f"L{length}" + (f"b{batch}" if batch > 1 else "")
    shape += f"+{activation}" if activation else ""
    more: Arguments = {"stride": stride, "padding": padding, "dilation": dilation, "groups": groups}
    if activation:
        more["activation"] = activation
    taps = channels // groups * k
    moved = 4.0 * (batch * channels * length + outputs * (taps + 1) + batch * outputs * size)
    build = partial(_conv_arguments, batch, channels, outputs, k, length, more)
    quick = (channels, outputs, k, length) in {(16, 16, 3, 25600), (256, 256, 5, 200)}
    return Case(group, shape, "conv1d", build, moved, 2.0 * batch * outputs * size * taps, quick)


def conv1d() -> Iterator[Case]:
    for channels, length in CHANNELS:
        for k, dilation in KERNELS:
            yield _conv(channels, channels, k, length, dilation=dilation)
    yield _conv(128, 128, 7, 800, dilation=2)
    yield _conv(128, 128, 3, 800, dilation=12)
    yield _conv(16, 16, 3, 51200)
    yield _conv(16, 1, 7, 25600)
    yield _conv(80, 384, 3, 3000)  # Whisper's stem
    yield _conv(80, 384, 3, 3000, activation="gelu")
    yield _conv(384, 384, 3, 3000, stride=2)
    yield _conv(1, 258, 256, 16000, stride=128, padding=0)  # an STFT as a convolution
    yield _conv(1, 256, 400, 16000, stride=160, padding=0)
    yield _conv(256, 256, 5, 200, groups=256)
    yield _conv(512, 512, 31, 64, groups=512)
    yield _conv(64, 64, 3, 1000, groups=4)
    yield _conv(128, 256, 5, 500, groups=8)
    yield _conv(256, 256, 1, 400)
    yield _conv(64, 64, 3, 400, batch=8)
    yield _conv(16, 16, 5, 2000, batch=8)
    for length in (1, 2, 7, 16, 33, 50, 100):
        yield _conv(64, 64, 3, length)


def raw_conv1d() -> Iterator[Case]:
    new = partial(_conv, group="F.conv1d")
    yield new(128, 128, 7, 800, dilation=2)
    yield new(32, 32, 5, 12800, dilation=2)
    yield new(16, 16, 3, 25600)
    yield new(16, 1, 7, 25600)
    yield new(80, 384, 3, 3000)
    yield new(384, 384, 3, 3000, stride=2)
    yield new(1, 258, 256, 16000, stride=128, padding=0)
    yield new(256, 256, 5, 200, groups=256)
    yield new(64, 64, 3, 33)
    yield new(64, 64, 3, 1)


def _row_arguments(op: str, rows: int, n: int) -> Arguments:
    if op == "softmax":
        return {"input": make("softmax/input", (rows, n), "span"), "dim": -1}
    call: Arguments = {"input": make(f"{op}/input", (rows, n)), "normalized_shape": (n,)}
    call["weight"] = make(f"{op}/weight", (n,))
    if op == "layer_norm":
        call["bias"] = make(f"{op}/bias", (n,))
    return {**call, "eps": 1e-5}


def rows(op: str) -> Iterator[Case]:
    vectors = {"rms_norm": 1, "layer_norm": 2, "softmax": 0}[op]
    for n in WIDTHS:
        for count in COUNTS:
            moved = 4.0 * (2 * count * n + vectors * n)
            quick = (count, n) in {(1, 256), (256, 768)}
            build = partial(_row_arguments, op, count, n)
            yield Case(op, f"{count}x{n}", op, build, moved, quick=quick)


def _element_arguments(group: str, count: int) -> Arguments:
    values = make(f"{group}/input", (count,), "span")
    values *= np.float32(0.25)  # -4 to 4
    if group == "gelu_tanh":
        return {"input": values, "approximate": "tanh"}
    return {"input": values}


def elementwise(group: str) -> Iterator[Case]:
    op = "gelu" if group == "gelu_tanh" else group
    for label, count in LENGTHS.items():
        build = partial(_element_arguments, group, count)
        yield Case(group, label, op, build, 8.0 * count, quick=label in ("256", "64Ki"))


def _embedding_arguments(vocabulary: int, width: int, count: int) -> Arguments:
    indices = make_indices("embedding/indices", (count,), vocabulary)
    return {"indices": indices, "weight": make("embedding/weight", (vocabulary, width))}


def embedding() -> Iterator[Case]:
    sizes = ((32000, 256, 1), (32000, 256, 16), (30522, 384, 128), (49152, 576, 256))
    for vocabulary, width, count in (*sizes, (32000, 768, 4096)):
        shape = f"{count}of{vocabulary}x{width}"
        moved = count * (8.0 + 8.0 * width)
        build = partial(_embedding_arguments, vocabulary, width, count)
        yield Case("embedding", shape, "embedding", build, moved, quick=count == 16)


def _sequential_arguments() -> Arguments:
    return {
        "input": make("sequential/input", (1, 3)),
        "weight1": _weight("sequential/weight1", (4, 3)),
        "bias1": make("sequential/bias1", (4,)),
        "weight2": _weight("sequential/weight2", (2, 4)),
        "bias2": make("sequential/bias2", (2,)),
    }


def overhead() -> Iterator[Case]:
    """Calls whose arithmetic is nothing: what is timed is the way in and out."""
    build = partial(_linear_arguments, 1, 16, 16, "")
    yield Case("overhead", "Linear(16,16)", "linear", build, quick=True)
    yield Case("overhead", "gelu(16)", "gelu", partial(_element_arguments, "gelu", 16), quick=True)
    yield Case("overhead", "Sequential", "sequential", _sequential_arguments, quick=True)


GROUPS: dict[str, Callable[[], Iterator[Case]]] = {
    "linear": linear,
    "conv1d": conv1d,
    **{op: partial(rows, op) for op in ("rms_norm", "layer_norm", "softmax")},
    **{group: partial(elementwise, group) for group in ELEMENTWISE},
    **convolutions.GROUPS,
    **planes.GROUPS,
    **recurrent.GROUPS,
    **attention.GROUPS,
    **transformers.GROUPS,
    "embedding": embedding,
    "F.linear": raw_linear,
    "F.conv1d": raw_conv1d,
    "overhead": overhead,
}


def select(groups: Sequence[str], shapes: Sequence[str], quick: bool) -> list[Case]:
    """The cases of these groups (all: none named) whose shape matches one of the patterns."""
    unknown = set(groups) - set(GROUPS)
    if unknown:
        raise ValueError(f"no op {', '.join(sorted(unknown))}; there are {', '.join(GROUPS)}")
    chosen = [case for name in groups or GROUPS for case in GROUPS[name]()]
    if shapes:
        chosen = [c for c in chosen if any(fnmatchcase(c.shape, pattern) for pattern in shapes)]
    elif quick:
        chosen = [case for case in chosen if case.quick]
    if not chosen:
        raise ValueError("no case has such a shape; --list shows them")
    return chosen
