"""Matrix products and convolutions."""

from __future__ import annotations

import math
from typing import TYPE_CHECKING

import numpy as np

from forwardpass import _core

from ._shape import float32, result

if TYPE_CHECKING:
    from collections.abc import Sequence

    from .._typing import Array, ArrayInput

_conv1d = _core.conv1d
_linear = _core.linear


def linear(
    input: ArrayInput,
    weight: ArrayInput,
    bias: ArrayInput | None = None,
    *,
    activation: str | None = None,
    negative_slope: float = 0.01,
    residual: ArrayInput | None = None,
    out: Array | None = None,
) -> Array:
    """activation(input @ weight.T + bias) + residual.

    input (*, K), weight (N, K) or (K,), bias (N,); gives (*, N), or (*) for a weight of one
    dimension. `activation` is None, "relu", "relu6", "gelu", "gelu_tanh", "silu", "mish",
    "sigmoid", "tanh", "hardsigmoid", "hardswish" or "leaky_relu" (which uses `negative_slope`);
    `residual` has the shape of the result. Fusing them changes no bit of the result. Follows
    torch.nn.functional.linear; nn.Linear, which packs its weight once, gives the same bits faster.
    """
    return _linear(input, weight, bias, activation, negative_slope, residual, out)


def conv1d(
    input: ArrayInput,
    weight: ArrayInput,
    bias: ArrayInput | None = None,
    stride: int | Sequence[int] = 1,
    padding: str | int | Sequence[int] = 0,
    dilation: int | Sequence[int] = 1,
    groups: int = 1,
    *,
    activation: str | None = None,
    negative_slope: float = 0.01,
    residual: ArrayInput | None = None,
    out: Array | None = None,
) -> Array:
    """activation(cross-correlation of input and weight + bias) + residual.

    input (B, C, L) or (C, L), weight (O, C / groups, k), bias (O,); gives (B, O, L') or (O, L')
    with L' = (L + 2 padding - dilation (k - 1) - 1) // stride + 1. `padding` also takes "valid"
    (none), "same" (L' = L, stride 1; an odd total has its extra zero on the right) and, which
    torch does not have, "causal" (dilation (k - 1) on the left, none on the right).
    `activation`, `negative_slope` and `residual` as in `linear`. Follows
    torch.nn.functional.conv1d.
    """
    return _conv1d(
        input,
        weight,
        bias,
        stride,
        padding,
        dilation,
        groups,
        activation,
        negative_slope,
        residual,
        out,
    )


# Floats of products that bilinear holds at a time.
_MOST = 1 << 22


def bilinear(
    input1: ArrayInput,
    input2: ArrayInput,
    weight: ArrayInput,
    bias: ArrayInput | None = None,
    *,
    out: Array | None = None,
) -> Array:
    """y[o] = sum over i, j of input1[i] * weight[o, i, j] * input2[j], + bias[o].

    input1 (*, I), input2 (*, J), weight (O, I, J), bias (O,); gives (*, O). The products
    input1[i] * input2[j] are rounded, and then it is a linear layer over (i, j). Follows
    torch.nn.functional.bilinear.
    """
    a, b = float32(input1, "bilinear", "input1"), float32(input2, "bilinear", "input2")
    w = float32(weight, "bilinear", "weight")
    if w.ndim != 3:
        raise ValueError(f"bilinear: weight must have shape (O, I, J), got {w.shape}")
    if a.ndim < 1 or a.shape[:-1] != b.shape[:-1]:
        raise ValueError(f"bilinear: input batch dimensions do not match: {a.shape} and {b.shape}")
    if (a.shape[-1], b.shape[-1]) != w.shape[1:]:
        raise ValueError(
            f"bilinear: inputs of {a.shape[-1]} and {b.shape[-1]} features do not fit the weight "
            f"{w.shape}"
        )
    lead = a.shape[:-1]
    rows, flat = math.prod(lead), w.reshape(len(w), w.shape[1] * w.shape[2])
    a, b = a.reshape(rows, a.shape[-1]), b.reshape(rows, b.shape[-1])
    step = max(1, _MOST // max(1, flat.shape[1]))
    parts = [
        _linear(_core.outer_product(a[i : i + step], b[i : i + step]), flat, bias)
        for i in range(0, max(rows, 1), step)
    ]
    y = parts[0] if len(parts) == 1 else np.concatenate(parts)
    return result(y.reshape(*lead, len(w)), out, "bilinear")  # type: ignore[no-any-return]
