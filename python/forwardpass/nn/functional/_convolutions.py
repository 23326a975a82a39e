"""The convolutions of nn.functional in two dimensions and transposed."""

from __future__ import annotations

from typing import TYPE_CHECKING

from forwardpass import _core

if TYPE_CHECKING:
    from collections.abc import Sequence

    from .._typing import Array, ArrayInput


def conv2d(
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

    input (B, C, H, W) or (C, H, W), weight (O, C / groups, kh, kw), bias (O,); gives (B, O, H', W')
    or (O, H', W') with H' = (H + 2 padding - dilation (kh - 1) - 1) // stride + 1, W' likewise.
    Numbers are for both dimensions or (rows, columns); `padding` also takes "valid" (none) and
    "same" (H' = H, W' = W, stride 1; an odd total has its extra zero at the end). `activation`,
    `negative_slope` and `residual` as in `linear`. Follows torch.nn.functional.conv2d.
    """
    return _core.conv2d(
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


def conv_transpose1d(
    input: ArrayInput,
    weight: ArrayInput,
    bias: ArrayInput | None = None,
    stride: int | Sequence[int] = 1,
    padding: int | Sequence[int] = 0,
    output_padding: int | Sequence[int] = 0,
    groups: int = 1,
    dilation: int | Sequence[int] = 1,
    *,
    activation: str | None = None,
    negative_slope: float = 0.01,
    residual: ArrayInput | None = None,
    out: Array | None = None,
) -> Array:
    """activation(conv1d's transpose of input + bias) + residual.

    input (B, C, L) or (C, L), weight (C, O / groups, k), bias (O,); gives (B, O, L') or (O, L'),
    L' = (L - 1) stride - 2 padding + dilation (k - 1) + output_padding + 1. output_padding is less
    than stride or dilation. `activation`, `negative_slope` and `residual` as in `linear`. Follows
    torch.nn.functional.conv_transpose1d.
    """
    return _core.conv_transpose1d(
        input,
        weight,
        bias,
        stride,
        padding,
        output_padding,
        groups,
        dilation,
        activation,
        negative_slope,
        residual,
        out,
    )


def conv_transpose2d(
    input: ArrayInput,
    weight: ArrayInput,
    bias: ArrayInput | None = None,
    stride: int | Sequence[int] = 1,
    padding: int | Sequence[int] = 0,
    output_padding: int | Sequence[int] = 0,
    groups: int = 1,
    dilation: int | Sequence[int] = 1,
    *,
    activation: str | None = None,
    negative_slope: float = 0.01,
    residual: ArrayInput | None = None,
    out: Array | None = None,
) -> Array:
    """activation(conv2d's transpose of input + bias) + residual.

    input (B, C, H, W) or (C, H, W), weight (C, O / groups, kh, kw), bias (O,); gives (B, O, H', W')
    or (O, H', W'), H' and W' as L' in `conv_transpose1d`. Numbers are for both dimensions or (rows,
    columns). Follows torch.nn.functional.conv_transpose2d.
    """
    return _core.conv_transpose2d(
        input,
        weight,
        bias,
        stride,
        padding,
        output_padding,
        groups,
        dilation,
        activation,
        negative_slope,
        residual,
        out,
    )
