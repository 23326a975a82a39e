"""What takes part in a race: one expression, how to read its result, what to say about it."""

from __future__ import annotations

import timeit
from collections.abc import Callable
from dataclasses import dataclass, field
from typing import Any, Protocol

import numpy as np

import transformers
from cases import Arguments, Case
from forwardpass import _core, nn
from forwardpass._timing import statement
from forwardpass.nn import functional as F


class UnsupportedError(Exception):
    """A peer cannot do a case; the message says why."""


@dataclass
class Contender:
    """An expression over `names`. `read` makes a NumPy array of its value."""

    code: str
    names: dict[str, Any]
    read: Callable[[Any], Any] = np.asarray
    way: str = ""  # which of a peer's ways this is
    fresh_only: bool = field(default=False)  # asked to reuse an output, but cannot

    def timer(self) -> timeit.Timer:
        return statement(self.code, **self.names)

    def result(self) -> Any:
        return self.read(eval(self.code, self.names))  # our own code string


class Peer(Protocol):
    """One library. `contenders` gives every way worth trying; the quickest takes part."""

    name: str
    version: str

    def use_threads(self, n: int) -> None: ...

    def contenders(self, case: Case, arguments: Arguments, reuse: bool) -> list[Contender]: ...


_ACTIVATIONS: dict[str, Callable[[], nn.Module]] = {
    "relu": nn.ReLU,
    "gelu": nn.GELU,
    "gelu_tanh": lambda: nn.GELU("tanh"),
    "silu": nn.SiLU,
    "sigmoid": nn.Sigmoid,
    "tanh": nn.Tanh,
}
_PRODUCT = ("input", "weight", "bias")
CONVOLUTIONS: dict[str, type[nn.Module]] = {
    "conv1d": nn.Conv1d,
    "conv2d": nn.Conv2d,
    "conv_transpose1d": nn.ConvTranspose1d,
    "conv_transpose2d": nn.ConvTranspose2d,
}
RECURRENT = ("LSTM", "GRU", "RNN")
_GEOMETRY = ("stride", "padding", "dilation", "groups", "output_padding")
_FIRST = {"embedding": "indices"}  # else "input"


def output(case: Case, arguments: Arguments) -> np.ndarray:
    """A place for the result, its pages touched."""
    a = arguments
    shape: tuple[int, ...]
    if case.op in CONVOLUTIONS:
        batch, _, *sizes = a["input"].shape
        step, cut = a["stride"], 2 * a["padding"]
        spans = [a["dilation"] * (k - 1) + 1 for k in a["weight"].shape[2:]]
        pairs = zip(sizes, spans, strict=True)
        if "transpose" in case.op:
            outputs = a["weight"].shape[1] * a["groups"]
            more = a["output_padding"] - cut
            shape = (batch, outputs, *((n - 1) * step + span + more for n, span in pairs))
        else:
            outputs = a["weight"].shape[0]
            shape = (batch, outputs, *((n + cut - span) // step + 1 for n, span in pairs))
    elif case.op == "linear":
        shape = (*a["input"].shape[:-1], a["weight"].shape[0])
    elif case.op == "attention":
        shape = (*a["query"].shape[:3], a["value"].shape[3])
    elif case.op == "sequential":
        shape = (1, 2)
    elif case.op == "embedding":
        shape = (*a["indices"].shape, a["weight"].shape[1])
    elif case.op in ("max_pool2d", "avg_pool2d"):
        batch, channels, *sizes = a["input"].shape
        span = 2 * a["padding"] - a["kernel_size"]
        shape = (batch, channels, *((n + span) // a["stride"] + 1 for n in sizes))
    elif case.op in RECURRENT:
        shape = (*a["input"].shape[:2], a["h0"].shape[2])
    else:
        shape = a["input"].shape
    return np.zeros(shape, np.float32)


def ours(case: Case, arguments: Arguments, reuse: bool) -> Contender:
    """The public call where it can say the case, else the packed layer behind it."""
    if case.group in ("F.linear", "F.conv1d"):
        return _functional(case, arguments, reuse)
    if case.op == "sequential":
        return _sequential(arguments, reuse)
    if case.op in RECURRENT:
        return _recurrent(case, arguments, reuse)
    if case.op == "attention":
        return _attention(case, arguments, reuse)
    if case.op == transformers.OP:
        names = {"f": transformers.ours(arguments), "x": arguments["input"]}
        return Contender("f(x)", names, way="TransformerEncoderLayer", fresh_only=reuse)
    if case.op == "linear" or case.op in CONVOLUTIONS:
        return _layer(case, arguments, reuse)
    return _functional(case, arguments, reuse)


def _functional(case: Case, arguments: Arguments, reuse: bool) -> Contender:
    """F's function, positional arguments first as a user would write them."""
    names = dict(arguments)
    first = _FIRST.get(case.op, "input")
    rest = [n for n in names if n != first]
    code = f"f({first}, " + ", ".join(f"{n}={n}" for n in rest)
    if case.op == "linear":
        code = "f(input, weight, bias"
    elif case.op == "embedding":
        code = "f(indices, weight"
    elif not rest:
        code = f"f({first}"
    names["f"] = getattr(F, case.op)
    if reuse:
        names["out"] = output(case, arguments)
        code += ", out=out"
    return Contender(code + ")", names, way=f"F.{case.op}")


def _attention(case: Case, arguments: Arguments, reuse: bool) -> Contender:
    names = {**arguments, "f": F.scaled_dot_product_attention}
    names["gqa"] = arguments["query"].shape[1] != arguments["key"].shape[1]
    code = "f(query, key, value, is_causal=causal, enable_gqa=gqa"
    if reuse:
        names["out"] = output(case, arguments)
        code += ", out=out"
    return Contender(code + ")", names, way="F.scaled_dot_product_attention")


def _layer(case: Case, arguments: Arguments, reuse: bool) -> Contender:
    """nn.Linear or a convolution; their pack where there is a residual or an output to write to."""
    a = arguments
    if reuse or a.get("residual") is not None:
        return _pack(case, arguments, reuse)
    weight, bias = a["weight"], a["bias"]
    layer: nn.Module
    if case.op == "linear":
        layer = nn.Linear(weight.shape[1], weight.shape[0])
    else:
        geometry = {n: a[n] for n in _GEOMETRY if n in a}
        inner, outer = weight.shape[1] * a["groups"], weight.shape[0]
        channels = (outer, inner) if "transpose" in case.op else (inner, outer)
        layer = CONVOLUTIONS[case.op](*channels, weight.shape[2:], **geometry)
    layer.weight = weight
    layer.bias = bias
    if a.get("activation"):
        layer = nn.Sequential(layer, _ACTIVATIONS[a["activation"]]())
    return Contender("f(x)", {"f": layer, "x": a["input"]}, way=type(layer).__name__)


def _recurrent(case: Case, arguments: Arguments, reuse: bool) -> Contender:
    """The layer with its state; it has no out=."""
    a = arguments
    sizes = (a["input"].shape[2], a["h0"].shape[2], len(a["h0"]))
    layer = getattr(nn, case.op)(*sizes)
    layer.load_state_dict({n: v for n, v in a.items() if n.startswith(("weight", "bias"))})
    state = (a["h0"], a["c0"]) if "c0" in a else a["h0"]
    names = {"f": layer, "x": a["input"], "s": state}
    return Contender("f(x, s)", names, lambda r: r[0], f"nn.{case.op}", fresh_only=reuse)


def _pack(case: Case, arguments: Arguments, reuse: bool) -> Contender:
    a = arguments
    if case.op == "linear":
        pack: Any = _core.PackedLinear(a["weight"], a["bias"])
    else:
        values = [a[n] for n in (*_PRODUCT[1:], *_GEOMETRY) if n in a]
        one = case.op == "conv1d"
        pack = _core.PackedConv1d(*values) if one else _core.PackedConv(case.op, *values)
    out = output(case, arguments) if reuse else None
    bound = {"f": pack, "x": a["input"], "act": a.get("activation"), "r": a.get("residual")}
    return Contender("f(x, act, 0.01, r, out)", {**bound, "out": out}, way=type(pack).__name__)


def empty_call(reuse: bool) -> Contender:
    """What a linear layer of one weight costs: the call, and next to no arithmetic."""
    one = np.ones((1, 1), np.float32)
    arguments = {"input": one, "weight": one, "bias": one[0]}
    return _layer(Case("linear", "1x1-1", "linear", dict), arguments, reuse)


def _sequential(arguments: Arguments, reuse: bool) -> Contender:
    a = arguments
    net = nn.Sequential(nn.Linear(3, 4), nn.ReLU(), nn.Linear(4, 2), nn.Sigmoid())
    for index, layer in ((1, net[0]), (2, net[2])):
        layer.weight = a[f"weight{index}"]
        layer.bias = a[f"bias{index}"]
    return Contender("f(x)", {"f": net, "x": a["input"]}, way="Sequential", fresh_only=reuse)
