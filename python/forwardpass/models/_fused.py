"""Layers that run together where nobody watches them; no bit depends on it (docs/numerics.md)."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any, ClassVar

import numpy as np

from forwardpass.nn import Conv1d, ConvTranspose1d, Linear, Module, RMSNorm
from forwardpass.nn import functional as F
from forwardpass.nn._children import Children, plain
from forwardpass.nn._structure import EPOCH

if TYPE_CHECKING:
    from forwardpass.nn._typing import Array

_PRODUCTS = (Linear, Conv1d, ConvTranspose1d)
_ACTIVATIONS = {
    "gelu": F.gelu,
    "gelu_tanh": lambda x: F.gelu(x, "tanh"),
    "relu": F.relu,
    "silu": F.silu,
}


class Planned(Module):
    """A module that works out once what of it may run without calls of its own.

    `_current()` gives what `_planned()` gave when a parameter or the structure of modules last
    changed: packed weights and other arguments of the kernels to call where all children are
    plain, say, and None where somebody watches one.
    """

    _plan: tuple[int, Any] = (-1, None)
    _transient: ClassVar[tuple[str, ...]] = (*Module._transient, "_plan")
    _structural: ClassVar[frozenset[str]] = Module._structural | {"_modules"}

    def __init__(self) -> None:
        super().__init__()
        self.__dict__["_modules"] = Children()

    def _planned(self) -> Any:
        raise NotImplementedError

    def _current(self) -> Any:
        epoch, plan = self._plan
        if epoch != EPOCH[0]:
            epoch = EPOCH[0]  # read first: a change during what follows makes the plan old
            plan = self._planned()
            self.__dict__["_plan"] = (epoch, plan)
        return plan


def packed(layer: Any) -> Any:
    """What a plain layer calls: a product's pack; of a norm (weight, bias)."""
    pack = layer._pack
    return layer._make_pack() if pack is None else pack


def rms_norm(norm: Any) -> tuple[Any, ...]:
    """What a plain RMSNorm's kernel gets behind x."""
    return norm.normalized_shape, packed(norm)[0], norm.eps, None


def layer_norm(norm: Any) -> tuple[Any, ...]:
    """What a plain LayerNorm's kernel gets behind x, without `out`."""
    return norm.normalized_shape, *packed(norm), norm.eps


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
