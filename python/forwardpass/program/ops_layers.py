"""Ops that are layers: norms, softmax, bags, recurrent ones. Constant weights are packed once."""

from __future__ import annotations

from typing import Any

from forwardpass import _core

from .ir import Array
from .ops import Packs, op, plain
from .ops_products import constant

plain(
    "layer_norm",
    "(x - mean) / std weight + bias over the last dimensions",
    _core.layer_norm,
    x="array",
    shape="ints",
    weight="array?",
    bias="array?",
    eps="number",
)
plain(
    "rms_norm",
    "x / rms weight over the last dimensions",
    _core.rms_norm,
    x="array",
    shape="ints",
    weight="array?",
    eps="number?",
)


def _pair(out: tuple[Array, Array] | None) -> tuple[Any, Any]:
    return (None, None) if out is None else out


@op("add_layer_norm", "layer_norm of x + residual, and that sum: two results",
    x="array", residual="array", shape="ints", weight="array?", bias="array?",
    eps="number")  # fmt: skip
def _add_layer_norm(
    packs: Packs, x: Any, residual: Any, shape: Any, weight: Any, bias: Any, eps: float
) -> tuple[Any, ...]:
    def both(a: Array, b: Array, factor: Any, term: Any, out: Any = None) -> Any:
        return _core.add_layer_norm(a, b, shape, factor, term, eps, *_pair(out))

    return both, x, residual, weight, bias


@op("add_rms_norm", "rms_norm of x + residual, and that sum: two results",
    x="array", residual="array", shape="ints", weight="array?", eps="number?")  # fmt: skip
def _add_rms_norm(
    packs: Packs, x: Any, residual: Any, shape: Any, weight: Any, eps: float | None
) -> tuple[Any, ...]:
    def both(a: Array, b: Array, factor: Any, out: Any = None) -> Any:
        return _core.add_rms_norm(a, b, shape, factor, eps, *_pair(out))

    return both, x, residual, weight


plain(
    "group_norm",
    "layer_norm of groups of channels",
    _core.group_norm,
    x="array",
    groups="int",
    weight="array?",
    bias="array?",
    eps="number",
)
plain(
    "batch_norm",
    "(x - mean) / std weight + bias by channel",
    _core.batch_norm,
    x="array",
    mean="array",
    var="array",
    weight="array?",
    bias="array?",
    eps="number",
)
plain("softmax", "e^x over its sum along a dimension", _core.softmax, x="array", dim="int")
plain("log_softmax", "the logarithm of softmax", _core.log_softmax, x="array", dim="int")


@op("bag", "rows of a table joined", indices="array", offsets="array", weight="array", mode="str")
def _bag(packs: Packs, indices: Any, offsets: Any, weight: Any, mode: str) -> tuple[Any, ...]:
    from forwardpass.nn import functional as F

    def bag(index: Array, start: Array, table: Array, out: Array | None = None) -> Array:
        return F.embedding_bag(index, table, start, mode=mode, out=out)

    return bag, indices, offsets, weight


@op(
    "recurrent",
    "a recurrent layer of several layers and directions: output, h, c",
    x="array",
    h="array?",
    c="array?",
    weights="arrays",
    parts="ints",
    mode="str",
    batch_first="bool",
    bidirectional="bool",
)
def _recurrent(
    packs: Packs, x: Any, h: Any, c: Any, weights: Any, parts: Any, mode: str, batch_first: bool,
    bidirectional: bool,
) -> tuple[Any, ...]:  # fmt: skip
    if not constant(*weights):
        raise ValueError("recurrent layers need constant weights")
    if mode not in ("rnn_tanh", "rnn_relu", "gru", "lstm") or sum(parts) != len(weights):
        raise ValueError(f"no recurrent layer {mode[:20]!r} with {len(weights)} weights")
    groups: list[Any] = []
    at = 0
    for count in parts:
        group = list(weights[at : at + count])  # weight_ih, weight_hh, biases?, weight_hr?
        last = [group.pop() if count % 2 else None]
        groups.append([*group, *[None] * (4 - len(group)), *last])
        at += count
    packed = packs.once(
        lambda: _core.PackedRecurrent(mode, groups, bidirectional, batch_first, mode)
    )

    def run(array: Array, state: tuple[Array, ...], out: Any = None) -> Any:
        hx = None if not state else state if mode == "lstm" else state[0]
        y, last = packed(array, hx, None if out is None else out[0])
        return (y, *last) if mode == "lstm" else (y, last, last)

    return run, x, tuple(s for s in (h, c) if s is not None)
