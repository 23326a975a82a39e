"""torch.nn.functional's names on NumPy arrays.

Every function takes float32 arrays of any strides (also float32 scalars and objects with __array__
or __dlpack__) and returns a new C-contiguous array, or writes to `out`: an array of exactly the
result's shape, float32, writeable, of any strides, which may overlap the inputs. `inplace` is
accepted and changes nothing: inputs are never written to.

Raised by all, from C++: TypeError for every other dtype, naming the cast to use; ValueError for
shapes and values that do not fit. The arithmetic of each, step by step, is in docs/numerics.md.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

import numpy as np

from forwardpass import _core

from ._functional_conv import conv2d, conv_transpose1d, conv_transpose2d
from ._pad import pad

if TYPE_CHECKING:
    from collections.abc import Sequence

    from ._typing import Array, ArrayInput

__all__ = [
    "add_rms_norm",
    "conv1d",
    "conv2d",
    "conv_transpose1d",
    "conv_transpose2d",
    "dropout",
    "embedding",
    "gelu",
    "layer_norm",
    "leaky_relu",
    "linear",
    "pad",
    "relu",
    "rms_norm",
    "sigmoid",
    "silu",
    "softmax",
    "tanh",
]

_add_rms_norm = _core.add_rms_norm
_conv1d = _core.conv1d
_embedding = _core.embedding
_gelu = _core.gelu
_layer_norm = _core.layer_norm
_leaky_relu = _core.leaky_relu
_linear = _core.linear
_relu = _core.relu
_rms_norm = _core.rms_norm
_sigmoid = _core.sigmoid
_silu = _core.silu
_softmax = _core.softmax
_tanh = _core.tanh


def _shape(value: Any) -> tuple[int, ...]:
    """The shape of what an op takes; for what C++ does not check."""
    shape = getattr(value, "shape", None)
    return np.shape(value) if shape is None else tuple(shape)


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
    dimension. `activation` is None, "relu", "gelu", "gelu_tanh", "silu", "sigmoid", "tanh" or
    "leaky_relu" (which uses `negative_slope`); `residual` has the shape of the result. Fusing them
    changes no bit of the result. Follows torch.nn.functional.linear; nn.Linear, which packs its
    weight once, gives the same bits faster.
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


def rms_norm(
    input: ArrayInput,
    normalized_shape: int | Sequence[int],
    weight: ArrayInput | None = None,
    eps: float | None = None,
    *,
    out: Array | None = None,
) -> Array:
    """input / sqrt(mean(input**2) + eps) * weight, the mean over the trailing `normalized_shape`.

    weight has the shape `normalized_shape`; eps None is float32's machine epsilon, 2**-23. Follows
    torch.nn.functional.rms_norm.
    """
    return _rms_norm(input, normalized_shape, weight, eps, out)


def add_rms_norm(
    input: ArrayInput,
    residual: ArrayInput,
    normalized_shape: int | Sequence[int],
    weight: ArrayInput | None = None,
    eps: float | None = None,
    *,
    out: Array | None = None,
    out_sum: Array | None = None,
) -> tuple[Array, Array]:
    """(rms_norm(s), s) with s = input + residual, in one pass over memory.

    The bits are those of the two steps. `out` receives the first, `out_sum` the second. torch has
    no such function; it is what a transformer does between its blocks.
    """
    return _add_rms_norm(input, residual, normalized_shape, weight, eps, out, out_sum)


def layer_norm(
    input: ArrayInput,
    normalized_shape: int | Sequence[int],
    weight: ArrayInput | None = None,
    bias: ArrayInput | None = None,
    eps: float = 1e-5,
    *,
    out: Array | None = None,
) -> Array:
    """(input - mean) / sqrt(var + eps) * weight + bias over the trailing `normalized_shape`.

    var is the mean of squared differences; weight and bias have the shape `normalized_shape`.
    Follows torch.nn.functional.layer_norm.
    """
    return _layer_norm(input, normalized_shape, weight, bias, eps, out)


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
        dim = 0 if len(_shape(input)) in (0, 1, 3) else 1
    if dtype is not None:
        from ._checks import require_float32

        require_float32("softmax", dtype)
    return _softmax(input, dim, out)


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


def embedding(
    input: Any,
    weight: ArrayInput,
    padding_idx: int | None = None,
    max_norm: float | None = None,
    norm_type: float = 2.0,
    scale_grad_by_freq: bool = False,
    sparse: bool = False,
    *,
    out: Array | None = None,
) -> Array:
    """weight[input]: rows of `weight` (V, D) by index; gives input.shape + (D,).

    input holds integers of any width in [0, V): IndexError outside, TypeError for floats.
    `padding_idx`, `norm_type`, `scale_grad_by_freq` and `sparse` concern gradients or max_norm and
    change nothing; `max_norm` raises NotImplementedError. Follows torch.nn.functional.embedding.
    """
    if padding_idx is not None:
        rows = _shape(weight)[0]
        if not -rows <= padding_idx < max(rows, 1):
            raise ValueError("Padding_idx must be within num_embeddings")
    if max_norm is not None:
        raise NotImplementedError("embedding: max_norm")
    return _embedding(input, weight, out)


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
    if out.shape != _shape(input):
        raise ValueError(f"dropout: out must have shape {_shape(input)}, got {out.shape}")
    np.copyto(out, np.asarray(input), casting="no")
    return out
