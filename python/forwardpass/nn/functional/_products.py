"""Matrix products and convolutions."""

from __future__ import annotations

from typing import TYPE_CHECKING

from forwardpass import _core

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
    (none) and "same" (L' = L, stride 1; an odd total has its extra zero on the right).
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
