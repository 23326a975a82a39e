"""Layers that run together where nobody watches them; no bit depends on it (docs/numerics.md)."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

import numpy as np

from forwardpass.nn import Conv1d, ConvTranspose1d, Linear, RMSNorm
from forwardpass.nn import functional as F
from forwardpass.nn._children import plain

if TYPE_CHECKING:
    from forwardpass.nn._typing import Array

_PRODUCTS = (Linear, Conv1d, ConvTranspose1d)
_ACTIVATIONS = {
    "gelu": F.gelu,
    "gelu_tanh": lambda x: F.gelu(x, "tanh"),
    "relu": F.relu,
    "silu": F.silu,
}


def call(
    layer: Any,
    x: Array,
    activation: str | None = None,
    slope: float = 0.01,
    residual: Array | None = None,
) -> Array:
    """activation(layer(x)) + residual, by one kernel for a plain product or convolution.

    activation: "gelu", "gelu_tanh", "relu", "silu", or "leaky_relu" with `slope`.
    """
    if plain(layer, _PRODUCTS):
        pack = layer._pack
        if pack is None:
            pack = layer._make_pack()
        fused: Array = pack(x, activation, slope, residual)
        return fused
    y: Array = layer(x)
    if activation == "leaky_relu":
        y = F.leaky_relu(y, slope)
    elif activation is not None:
        y = _ACTIVATIONS[activation](y)
    return y if residual is None else add(y, residual)


def add(first: Array, *more: Array) -> Array:
    """The sum in order, each addition rounded; infinities and NaN go through, as in a kernel."""
    with np.errstate(all="ignore"):
        for array in more:
            first = first + array
    return first


def add_norm(norm: Any, x: Array, residual: Array) -> tuple[Array, Array]:
    """(norm(x + residual), x + residual), by one kernel for a plain RMSNorm."""
    if plain(norm, (RMSNorm,)):
        return F.add_rms_norm(x, residual, norm.normalized_shape, norm.weight, norm.eps)
    total = add(x, residual)
    return norm(total), total
