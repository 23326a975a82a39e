"""Ops that multiply and add: matrices and convolutions. Constant weights are packed once."""

from __future__ import annotations

from typing import Any

import numpy as np

from forwardpass import _core

from .ir import Array, Ref
from .ops import Packs, op

_EPILOGUE = {"activation": "str?", "slope": "number", "residual": "array?"}


def constant(*values: Any) -> bool:
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
    if constant(weight, bias):
        packed = packs.once(lambda: _core.PackedLinear(weight, bias))
        return packed, x, activation, slope, residual
    return _core.linear, x, weight, bias, activation, slope, residual


@op("matmul", "the product of two matrices, or of many", a="array", b="array")
def _matmul(packs: Packs, a: Any, b: Any) -> tuple[Any, ...]:
    if not isinstance(b, Ref) and b.ndim == 2:
        packed = packs.once(lambda: _core.PackedLinear(np.ascontiguousarray(b.T)))
        return packed, a, None, 0.01, None
    return _core.matmul, a, b


@op("dot", "the product where one factor is a vector", a="array", b="array")
def _dot(packs: Packs, a: Any, b: Any) -> tuple[Any, ...]:
    def dot(x: Array, y: Array, out: Array | None = None) -> Array:
        one, two = x.ndim == 1, y.ndim == 1
        if out is not None:
            out = np.expand_dims(out, (-2, -1) if one and two else -1 if two else -2)
        result = _core.matmul(x[None] if one else x, y[:, None] if two else y, out)
        if two:
            result = result[..., 0]
        return np.asarray(result[..., 0] if one and two else result[..., 0, :] if one else result)

    return dot, a, b


@op("grouped_matmul", "the product of each group of rows, up to an end, with a matrix of its own",
    x="array", weight="array", ends="array")  # fmt: skip
def _grouped_matmul(packs: Packs, x: Any, weight: Any, ends: Any) -> tuple[Any, ...]:
    packed: list[Any] = []
    if constant(weight):
        packed = packs.once(
            lambda: [_core.PackedLinear(np.ascontiguousarray(matrix.T)) for matrix in weight]
        )

    def multiply(rows: Array, matrices: Array, stops: Array, out: Array | None = None) -> Array:
        result = np.empty((len(rows), matrices.shape[2]), np.float32) if out is None else out
        start = 0
        for number, stop in enumerate(stops.tolist()):
            if start < stop <= len(rows):
                part, to = rows[start:stop], result[start:stop]
                if packed:
                    packed[number](part, None, 0.01, None, to)
                else:
                    _core.matmul(part, matrices[number], to)
                start = stop
        result[start:] = 0
        return result

    return multiply, x, weight, ends


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
    if not constant(weight, bias):
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
    if not constant(weight, bias):
        geometry = (stride, padding, output_padding, groups, dilation)
        fn = getattr(_core, name)
        return fn, x, weight, bias, *geometry, activation, slope, residual
    packed = packs.once(
        lambda: _core.PackedConv(
            name, weight, bias, stride, padding, dilation, groups, output_padding
        )
    )
    return packed, x, activation, slope, residual
