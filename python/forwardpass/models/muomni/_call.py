"""A layer's call with what stands behind it in the same kernel; sums."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

import numpy as np

from forwardpass.nn import Conv1d, ConvTranspose1d, Linear
from forwardpass.nn import functional as F
from forwardpass.nn.containers import plain

if TYPE_CHECKING:
    from forwardpass.nn._typing import Array

_LAYERS = (Linear, Conv1d, ConvTranspose1d)


def call(
    layer: Any,
    x: Array,
    activation: str | None = None,
    slope: float = 0.01,
    residual: Array | None = None,
) -> Array:
    """activation(layer(x)) + residual; activation "gelu" or "leaky_relu".

    In one kernel where nobody watches the layer, else step by step: the same bytes.
    """
    if plain(layer, _LAYERS):
        pack = layer._pack
        if pack is None:
            pack = layer._make_pack()
        fused: Array = pack(x, activation, slope, residual)
        return fused
    y: Array = layer(x)
    if activation == "gelu":
        y = F.gelu(y)
    elif activation == "leaky_relu":
        y = F.leaky_relu(y, slope)
    return y if residual is None else add(y, residual)


def add(first: Array, *more: Array) -> Array:
    """The sum in order, each addition rounded."""
    with np.errstate(all="ignore"):  # infinities and NaN go through, as in a kernel
        for array in more:
            first = first + array
    return first
