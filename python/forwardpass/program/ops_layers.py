"""Ops that are layers: products, convolutions, norms, attention, pooling. Constant weights are
packed once.
"""

from __future__ import annotations

from typing import Any

import numpy as np

from forwardpass import _core

from .ir import Array, Ref
from .ops import Packs, op, plain
from .ops_arrays import checked

_EPILOGUE = {"activation": "str?", "slope": "number", "residual": "array?"}


def _constant(*values: Any) -> bool:
    return not any(isinstance(value, Ref) for value in values)


@op(
    "linear",
    "x weight^T + bias, activation, + residual",
    x="array",
    weight="array",
    bias="array?",
    **_EPILOGUE,
)
def _linear(
    packs: Packs,
    x: Any,
    weight: Any,
    bias: Any,
    activation: str | None,
    slope: float,
    residual: Any,
) -> tuple[Any, ...]:
    if _constant(weight, bias):
        packed = packs.once(lambda: _core.PackedLinear(weight, bias))
        return packed, x, activation, slope, residual
    return _core.linear, x, weight, bias, activation, slope, residual


@op("matmul", "the product of two matrices, or of many", a="array", b="array")
def _matmul(packs: Packs, a: Any, b: Any) -> tuple[Any, ...]:
    if not isinstance(b, Ref) and b.ndim == 2:
        packed = packs.once(lambda: _core.PackedLinear(np.ascontiguousarray(b.T)))
        return packed, a
    return _core.matmul, a, b


@op("dot", "the product where one factor is a vector", a="array", b="array")
def _dot(packs: Packs, a: Any, b: Any) -> tuple[Any, ...]:
    def dot(x: Array, y: Array) -> Array:
        one, two = x.ndim == 1, y.ndim == 1
        result = _core.matmul(x[None] if one else x, y[:, None] if two else y)
        if two:
            result = result[..., 0]
        return np.asarray(result[..., 0] if one and two else result[..., 0, :] if one else result)

    return dot, a, b


@op(
    "conv",
    "a convolution of one or two dimensions, + bias, activation, + residual",
    x="array",
    weight="array",
    bias="array?",
    stride="ints",
    padding="ints",
    dilation="ints",
    groups="int",
    **_EPILOGUE,
)
def _conv(
    packs: Packs, x: Any, weight: Any, bias: Any, stride: Any, padding: Any, dilation: Any,
    groups: int, activation: str | None, slope: float, residual: Any,
) -> tuple[Any, ...]:  # fmt: skip
    geometry = (stride, padding, dilation, groups)
    if not _constant(weight, bias):
        fn = _core.conv1d if len(stride) == 1 else _core.conv2d
        return fn, x, weight, bias, *geometry, activation, slope, residual
    if len(stride) == 1:
        one = packs.once(lambda: _core.PackedConv1d(weight, bias, *geometry))
        return one, x, activation, slope, residual
    two = packs.once(lambda: _core.PackedConv("conv2d", weight, bias, *geometry))
    return two, x, activation, slope, residual


@op(
    "conv_transpose",
    "the transpose of a convolution, + bias, activation, + residual",
    x="array",
    weight="array",
    bias="array?",
    stride="ints",
    padding="ints",
    output_padding="ints",
    dilation="ints",
    groups="int",
    **_EPILOGUE,
)
def _conv_transpose(
    packs: Packs, x: Any, weight: Any, bias: Any, stride: Any, padding: Any, output_padding: Any,
    dilation: Any, groups: int, activation: str | None, slope: float, residual: Any,
) -> tuple[Any, ...]:  # fmt: skip
    name = f"conv_transpose{len(stride)}d"
    if not _constant(weight, bias):
        geometry = (stride, padding, output_padding, groups, dilation)
        fn = getattr(_core, name)
        return fn, x, weight, bias, *geometry, activation, slope, residual
    packed = packs.once(
        lambda: _core.PackedConv(
            name, weight, bias, stride, padding, dilation, groups, output_padding
        )
    )
    return packed, x, activation, slope, residual


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


@op(
    "attention",
    "softmax(q k^T scale + mask) v for each head",
    q="array",
    k="array",
    v="array",
    mask="array?",
    causal="bool",
    scale="number?",
    grouped="bool",
)
def _attention(
    packs: Packs,
    q: Any,
    k: Any,
    v: Any,
    mask: Any,
    causal: bool,
    scale: float | None,
    grouped: bool,
) -> tuple[Any, ...]:
    from forwardpass.nn import functional as F

    def attention(query: Array, key: Array, value: Array, seen: Any = None) -> Array:
        if query.ndim == 4 and key.shape[:2] == value.shape[:2] and key.shape[0] == query.shape[0]:
            return _core.attention(query, key, value, seen, causal, 0, scale)
        return F.scaled_dot_product_attention(
            query, key, value, seen, is_causal=causal, scale=scale, enable_gqa=grouped
        )

    return (attention, q, k, v) if mask is None else (attention, q, k, v, mask)


@op(
    "attention_rows",
    "attention whose result is (batch, queries, heads width)",
    q="array",
    k="array",
    v="array",
    mask="array?",
    causal="bool",
    scale="number?",
    grouped="bool",
)
def _attention_rows(
    packs: Packs,
    q: Any,
    k: Any,
    v: Any,
    mask: Any,
    causal: bool,
    scale: float | None,
    grouped: bool,
) -> tuple[Any, ...]:
    def attention(query: Array, key: Array, value: Array, seen: Any = None) -> Array:
        batch, heads, length, _ = query.shape
        out = np.empty((batch, length, heads, value.shape[3]), np.float32)
        _core.attention(query, key, value, seen, causal, 0, scale, out.transpose(0, 2, 1, 3))
        return out.reshape(batch, length, -1)

    return (attention, q, k, v) if mask is None else (attention, q, k, v, mask)


@op(
    "max_pool",
    "the largest of each window",
    x="array",
    kernel="ints",
    stride="ints",
    padding="ints",
    dilation="ints",
    ceil="bool",
)
def _max_pool(
    packs: Packs, x: Any, kernel: Any, stride: Any, padding: Any, dilation: Any, ceil: bool
) -> tuple[Any, ...]:
    fn = _core.max_pool1d if len(kernel) == 1 else _core.max_pool2d
    return fn, x, kernel, stride or None, padding, dilation, ceil


@op(
    "avg_pool",
    "the mean of each window",
    x="array",
    kernel="ints",
    stride="ints",
    padding="ints",
    ceil="bool",
    count_padding="bool",
    divisor="int?",
)
def _avg_pool(
    packs: Packs, x: Any, kernel: Any, stride: Any, padding: Any, ceil: bool, count_padding: bool,
    divisor: int | None,
) -> tuple[Any, ...]:  # fmt: skip
    fn = _core.avg_pool1d if len(kernel) == 1 else _core.avg_pool2d
    return fn, x, kernel, stride or None, padding, ceil, count_padding, divisor


@op(
    "adaptive_pool",
    "the mean, or the largest, of windows that cover all",
    x="array",
    size="ints",
    largest="bool",
)
def _adaptive_pool(packs: Packs, x: Any, size: Any, largest: bool) -> tuple[Any, ...]:
    checked(size)
    kind = f"adaptive_{'max' if largest else 'avg'}_pool{len(size)}d"
    return getattr(_core, kind), x, size


@op(
    "resize",
    "planes of another size",
    x="array",
    size="ints",
    mode="str",
    align_corners="bool",
    factors="array?",
)
def _resize(
    packs: Packs, x: Any, size: Any, mode: str, align_corners: bool, factors: Any
) -> tuple[Any, ...]:
    from forwardpass.nn import functional as F

    checked(size)
    align = align_corners if "linear" in mode else None
    if factors is None or isinstance(factors, Ref):
        return (lambda a: F.interpolate(a, size=size, mode=mode, align_corners=align)), x
    given = [float(f) for f in factors]
    return (lambda a: F.interpolate(a, scale_factor=given, mode=mode, align_corners=align)), x


@op("pixel_shuffle", "channels to pixels", x="array", factor="int")
def _pixel_shuffle(packs: Packs, x: Any, factor: int) -> tuple[Any, ...]:
    from forwardpass.nn import functional as F

    return F.pixel_shuffle, x, factor


@op("bag", "rows of a table joined", indices="array", offsets="array", weight="array", mode="str")
def _bag(packs: Packs, indices: Any, offsets: Any, weight: Any, mode: str) -> tuple[Any, ...]:
    from forwardpass.nn import functional as F

    return (lambda i, o, w: F.embedding_bag(i, w, o, mode=mode)), indices, offsets, weight


def has_recurrent() -> bool:
    return hasattr(_core, "PackedRecurrent")


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
    if not has_recurrent() or not _constant(*weights):
        raise ValueError("recurrent layers need constant weights, and kernels for them")
    if mode not in ("rnn_tanh", "rnn_relu", "gru", "lstm") or sum(parts) != len(weights):
        raise ValueError(f"no recurrent layer {mode[:20]!r} with {len(weights)} weights")
    kernels: Any = _core
    groups, at = [], 0
    for count in parts:
        group = list(weights[at : at + count])  # weight_ih, weight_hh, biases?, weight_hr?
        last = [group.pop() if count % 2 else None]
        groups.append([*group, *[None] * (4 - len(group)), *last])
        at += count
    packed = packs.once(
        lambda: kernels.PackedRecurrent(mode, groups, bidirectional, batch_first, mode)
    )

    def run(array: Array, *state: Array) -> Any:
        if mode != "lstm":
            y, h_n = packed(array, state[0] if state else None)
            return y, h_n, h_n
        y, (h_n, c_n) = packed(array, state if state else None)
        return y, h_n, c_n

    return run, x, *(s for s in (h, c) if s is not None)
