"""The cases of linear and conv1d; see ``cases`` for what a case is and which edges matter."""

from __future__ import annotations

from collections.abc import Callable, Iterator, Sequence
from functools import partial
from typing import Any

from .arrays import uniform
from .cases import LENGTHS, Arguments, Case, Namer
from .products import pads

ACTIVATIONS = (
    *(None, "relu", "gelu", "gelu_tanh", "silu", "sigmoid", "tanh", "leaky_relu"),
    *("relu6", "hardsigmoid", "hardswish", "mish"),
)
FEATURES = (1, 2, 4, 5, 8, 16, 17, 31, 32, 33, 48, 63, 64, 65, 127, 128, 129, 193)
REDUCTIONS = (1, 2, 3, 4, 15, 16, 17, 63, 64, 65, 127, 128, 129, 255, 257, 515)
ROW_COUNTS = (1, 2, 3, 4, 5, 6, 7, 8, 11, 12, 13, 19, 49)

Calls = Callable[[str], Iterator[Arguments]]


def _linear_call(new: Namer, m: int, k: int, n: int, kind: str, **more: Any) -> Arguments:
    new.call += 1
    weight_kind = "sprinkled" if kind == "special" else "unit" if kind == "subnormal" else kind
    input_kind = "sprinkled" if kind == "special" else kind
    call: Arguments = {"input": new("input", (m, k), input_kind)}
    call["weight"] = new("weight", (n, k), weight_kind)
    call["bias"] = new("bias", (n,), input_kind) if new.call % 4 else None
    if more.pop("residual", False):
        call["residual"] = new("residual", (m, n), input_kind)
    return {**call, **more}


def _linear_sizes(name: str, n: int) -> Iterator[Arguments]:
    new = Namer(name)
    for k in REDUCTIONS:
        for m in ROW_COUNTS:
            yield _linear_call(new, m, k, n, "unit")


def _linear_kind(name: str, kind: str) -> Iterator[Arguments]:
    new = Namer(name)
    for n in (1, 4, 5, 16, 17, 33, 64, 70):
        for k in (1, 5, 64, 67, 130):
            for m in (1, 3, 6, 13):
                yield _linear_call(new, m, k, n, kind)


def _linear_fused(name: str, activation: str | None) -> Iterator[Arguments]:
    new = Namer(name)
    for m, k, n in ((1, 40, 1), (1, 70, 3), (2, 33, 16), (5, 20, 31), (6, 65, 64), (13, 12, 97)):
        for residual in (False, True):
            for slope in (0.01, 0.3) if activation == "leaky_relu" else (0.01,):
                more: Arguments = {
                    "activation": activation,
                    "negative_slope": slope,
                    "residual": residual,
                }
                yield _linear_call(new, m, k, n, "span", **more)


def _linear_odd(name: str) -> Iterator[Arguments]:
    """No reduction (the result is the bias), no rows, no features, one vector, 3-D, large."""
    new = Namer(name)
    for m, k, n in ((3, 0, 5), (0, 7, 5), (3, 7, 0), (1, 4097, 1), (2, 4099, 3), (70, 1025, 1)):
        yield _linear_call(new, m, k, n, "unit")
    for m, k, n in ((193, 96, 200), (64, 384, 576), (5, 1030, 1000), (1, 768, 1536)):
        yield _linear_call(new, m, k, n, "unit")
    new.call += 1
    yield {
        "input": new("input", (70,)),
        "weight": new("weight", (9, 70)),
        "bias": new("bias", (9,)),
    }
    new.call += 1
    yield {"input": new("input", (2, 3, 4, 21)), "weight": new("weight", (34, 21))}
    new.call += 1
    yield {"input": new("input", (2, 3, 70)), "weight": new("weight", (70,))}


def linear() -> list[Case]:
    named: list[tuple[str, Calls, bool]] = [
        (f"linear/n{n}", partial(_linear_sizes, n=n), True) for n in FEATURES
    ]
    for kind in ("wide", "subnormal", "special"):
        named.append((f"linear/{kind}", partial(_linear_kind, kind=kind), kind != "special"))
    for activation in ACTIVATIONS:
        label = activation or "none"
        named.append((f"linear/fused/{label}", partial(_linear_fused, activation=activation), True))
    named.append(("linear/odd", _linear_odd, True))
    return [Case(name, partial(calls, name), finite) for name, calls, finite in named]


def _conv_call(
    new: Namer, batch: int, shape: Sequence[int], kind: str = "unit", **more: Any
) -> Arguments:
    """shape: channels, length, outputs, kernel."""
    channels, length, outputs, kernel = shape
    new.call += 1
    groups = more.get("groups", 1)
    call: Arguments = {"input": new("input", (batch, channels, length), kind)}
    weight_kind = "unit" if kind == "subnormal" else kind
    call["weight"] = new("weight", (outputs, channels // groups, kernel), weight_kind)
    call["bias"] = new("bias", (outputs,), kind) if new.call % 4 else None
    if more.pop("residual", False):
        # With "same" padding the result is as long as the input.
        call["residual"] = new("residual", (batch, outputs, length), kind)
    return {**call, **more}


def _conv_lengths(name: str, kernel: int) -> Iterator[Arguments]:
    new = Namer(name)
    for length in (*LENGTHS, 143, 144, 145, 191, 193):
        if length >= kernel:
            yield _conv_call(new, 1, (3, length, 9, kernel))
        yield _conv_call(new, 2, (2, length, 7, kernel), padding=kernel // 2)


def _conv_channels(name: str, channels: int) -> Iterator[Arguments]:
    new = Namer(name)
    for outputs in (1, 2, 3, 5, 6, 7, 8, 9, 12, 13, 16, 17, 24, 25, 48, 65):
        for length, kernel in ((20, 3), (51, 1), (70, 5)):
            yield _conv_call(new, 1, (channels, length, outputs, kernel), padding=1)


def _conv_strides(name: str, stride: int) -> Iterator[Arguments]:
    new = Namer(name)
    for kernel in (1, 2, 3, 4, 5, 8, 11):
        for length in (11, 33, 49, 100, 150):
            for padding in (0, 1, kernel - 1):
                more: Arguments = {
                    "stride": stride,
                    "padding": padding,
                    "dilation": 1 + new.call % 2,
                }
                if length + 2 * padding > 2 * (kernel - 1):
                    yield _conv_call(new, 1, (3, length, 10, kernel), **more)


def _conv_dilations(name: str, dilation: int) -> Iterator[Arguments]:
    new = Namer(name)
    for kernel in (2, 3, 4, 5, 7):
        for length in (30, 49, 65, 96, 129):
            for padding in ("valid", "same", dilation):
                if length + sum(pads(padding, kernel, dilation)) > dilation * (kernel - 1):
                    more: Arguments = {"dilation": dilation, "padding": padding}
                    yield _conv_call(new, 1, (4, length, 6, kernel), **more)


def _conv_groups(name: str) -> Iterator[Arguments]:
    new = Namer(name)
    for groups, per_in, per_out in (
        (2, 1, 1),
        (2, 3, 5),
        (3, 2, 8),
        (4, 8, 9),
        (8, 2, 1),
        (16, 1, 2),
    ):
        for length, kernel in ((10, 3), (48, 1), (50, 4), (97, 5)):
            shape = (groups * per_in, length, groups * per_out, kernel)
            yield _conv_call(new, 2, shape, groups=groups, padding=kernel // 2)
            yield _conv_call(new, 1, shape, groups=groups, stride=2, dilation=2)


def _conv_depthwise(name: str) -> Iterator[Arguments]:
    new = Namer(name)
    for channels in (1, 2, 7, 8, 16, 33):
        for kernel in (1, 2, 3, 5, 7, 9, 31):
            for length in (31, 48, 64, 65, 113):
                shape = (channels, length, channels, kernel)
                more: Arguments = {"groups": channels, "padding": kernel // 2}
                yield _conv_call(new, 1, shape, **more)
                yield _conv_call(new, 1, shape, stride=1 + new.call % 3, **more)


def _conv_fused(name: str, activation: str | None) -> Iterator[Arguments]:
    new = Namer(name)
    for shape in ((1, 17, 1, 3), (3, 50, 6, 1), (4, 49, 9, 4), (8, 100, 16, 3), (2, 200, 5, 7)):
        for residual in (False, True):
            more: Arguments = {"activation": activation, "residual": residual, "padding": "same"}
            yield _conv_call(new, 2, shape, "span", **more)
    more = {"activation": activation, "residual": True, "padding": "same", "groups": 6}
    yield _conv_call(new, 1, (6, 70, 6, 5), "span", **more)


def _conv_odd(name: str) -> Iterator[Arguments]:
    """Unbatched, empty batch, no channels, output of length one, long kernels, padding alone."""
    new = Namer(name)
    unbatched = _conv_call(new, 1, (3, 40, 5, 3))
    yield {**unbatched, "input": unbatched["input"][0]}
    yield _conv_call(new, 0, (3, 40, 5, 3))
    yield _conv_call(new, 1, (3, 40, 5, 40))
    yield _conv_call(new, 1, (2, 3, 5, 9), padding=3)
    yield _conv_call(new, 1, (2, 1, 5, 3), padding=8, dilation=8)
    yield _conv_call(new, 1, (1, 4000, 33, 400), stride=160)
    yield _conv_call(new, 1, (16, 3000, 1, 7), padding=3)
    yield _conv_call(new, 1, (32, 700, 40, 5), dilation=2, padding=4)
    yield _conv_call(new, 1, (128, 150, 128, 3), padding=1)
    yield _conv_call(new, 3, (256, 40, 70, 1))


def _choose(z: int, options: Sequence[Any]) -> Any:
    return options[z % len(options)]


def _conv_mixed(name: str, kind: str) -> Iterator[Arguments]:
    """Combinations drawn by the generator: what the sweeps hold fixed varies together."""
    new = Namer(name)
    draw = iter(uniform(7, 10000).tolist())
    for _ in range(60):
        groups = _choose(next(draw), (1, 1, 1, 2, 3))
        channels = groups * _choose(next(draw), (1, 2, 4, 5))
        outputs = groups * _choose(next(draw), (1, 3, 6, 8, 9, 17))
        kernel = _choose(next(draw), (1, 2, 3, 4, 5, 7))
        length = _choose(next(draw), (7, 16, 33, 48, 50, 64, 97, 130))
        dilation = _choose(next(draw), (1, 1, 2, 3))
        stride = _choose(next(draw), (1, 1, 2, 3, 5))
        padding = _choose(next(draw), (0, 1, 2, 5))
        if length + 2 * padding > dilation * (kernel - 1):
            more: Arguments = {
                "stride": stride,
                "padding": padding,
                "dilation": dilation,
                "groups": groups,
            }
            yield _conv_call(new, 2, (channels, length, outputs, kernel), kind, **more)


def conv1d() -> list[Case]:
    named: list[tuple[str, Calls]] = []
    named += [(f"conv1d/length/k{k}", partial(_conv_lengths, kernel=k)) for k in (1, 2, 3, 7)]
    named += [(f"conv1d/channels/{c}", partial(_conv_channels, channels=c)) for c in (1, 2, 5, 16)]
    named += [(f"conv1d/stride/{s}", partial(_conv_strides, stride=s)) for s in (1, 2, 3, 4, 7)]
    named += [(f"conv1d/dilation/{d}", partial(_conv_dilations, dilation=d)) for d in (1, 2, 3, 5)]
    for activation in ACTIVATIONS:
        label = f"conv1d/fused/{activation or 'none'}"
        named.append((label, partial(_conv_fused, activation=activation)))
    for kind in ("unit", "wide", "subnormal", "sprinkled"):
        named.append((f"conv1d/mixed/{kind}", partial(_conv_mixed, kind=kind)))
    named += [("conv1d/groups", _conv_groups), ("conv1d/depthwise", _conv_depthwise)]
    named += [("conv1d/odd", _conv_odd)]
    return [Case(name, partial(calls, name), "sprinkled" not in name) for name, calls in named]
