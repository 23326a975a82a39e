"""Activations, softmax and dropout."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

import numpy as np

from forwardpass import _core

from ._shape import shape

if TYPE_CHECKING:
    from .._typing import Array, ArrayInput

_gelu = _core.gelu
_log_softmax = _core.log_softmax
_leaky_relu = _core.leaky_relu
_relu = _core.relu
_sigmoid = _core.sigmoid
_silu = _core.silu
_softmax = _core.softmax
_tanh = _core.tanh


def relu(input: ArrayInput, inplace: bool = False, *, out: Array | None = None) -> Array:
    """max(input, 0), elementwise; NaN stays NaN. Follows torch.nn.functional.relu."""
    return _relu(input, out)


def leaky_relu(
    input: ArrayInput,
    negative_slope: float = 0.01,
    inplace: bool = False,
    *,
    out: Array | None = None,
) -> Array:
    """input where positive, else negative_slope * input. Follows torch.nn.functional.leaky_relu."""
    return _leaky_relu(input, negative_slope, out)


def gelu(input: ArrayInput, approximate: str = "none", *, out: Array | None = None) -> Array:
    """input * Phi(input), Phi the normal distribution function; elementwise.

    approximate "tanh": 0.5 x (1 + tanh(sqrt(2/pi) (x + 0.044715 x**3))). Follows
    torch.nn.functional.gelu.
    """
    return _gelu(input, approximate, out)


def silu(input: ArrayInput, inplace: bool = False, *, out: Array | None = None) -> Array:
    """input * sigmoid(input), elementwise. Follows torch.nn.functional.silu."""
    return _silu(input, out)


def sigmoid(input: ArrayInput, *, out: Array | None = None) -> Array:
    """1 / (1 + exp(-input)), elementwise. Follows torch.nn.functional.sigmoid."""
    return _sigmoid(input, out)


def tanh(input: ArrayInput, *, out: Array | None = None) -> Array:
    """The hyperbolic tangent, elementwise. Follows torch.nn.functional.tanh."""
    return _tanh(input, out)


def softmax(
    input: ArrayInput,
    dim: int | None = None,
    _stacklevel: int = 3,
    dtype: Any = None,
    *,
    out: Array | None = None,
) -> Array:
    """exp(input - max) / sum(exp(input - max)) along `dim`; same shape as input.

    dim None is the choice that torch makes, without its warning: 0 for arrays of 0, 1 or 3
    dimensions, else 1. A slice that is all -inf gives NaN. `_stacklevel` changes nothing; dtype
    other than None and float32 raises NotImplementedError. Follows torch.nn.functional.softmax.
    """
    if dim is None:
        dim = 0 if len(shape(input)) in (0, 1, 3) else 1
    if dtype is not None:
        from .._checks import require_float32

        require_float32("softmax", dtype)
    return _softmax(input, dim, out)


def log_softmax(
    input: ArrayInput,
    dim: int | None = None,
    _stacklevel: int = 3,
    dtype: Any = None,
    *,
    out: Array | None = None,
) -> Array:
    """input - max - log(sum(exp(input - max))) along `dim`; same shape as input.

    `dim` and the other arguments as in softmax. Follows torch.nn.functional.log_softmax.
    """
    if dim is None:
        dim = 0 if len(shape(input)) in (0, 1, 3) else 1
    if dtype is not None:
        from .._checks import require_float32

        require_float32("log_softmax", dtype)
    return _log_softmax(input, dim, out)


def dropout(
    input: ArrayInput,
    p: float = 0.5,
    training: bool = False,
    inplace: bool = False,
    *,
    out: Array | None = None,
) -> Any:
    """`input` itself, as in torch's evaluation mode.

    `training` is False by default, unlike in torch; True raises NotImplementedError. p outside
    [0, 1] raises ValueError.
    """
    if not 0 <= p <= 1:
        raise ValueError(f"dropout probability has to be between 0 and 1, but got {p}")
    if training:
        raise NotImplementedError("dropout: training=True; forwardpass runs the forward pass only")
    if out is None:
        return input
    if out.shape != shape(input):
        raise ValueError(f"dropout: out must have shape {shape(input)}, got {out.shape}")
    np.copyto(out, np.asarray(input), casting="no")
    return out
