"""Norms."""

from __future__ import annotations

from typing import TYPE_CHECKING

from forwardpass import _core

if TYPE_CHECKING:
    from collections.abc import Sequence

    from .._typing import Array, ArrayInput

_add_layer_norm = _core.add_layer_norm
_add_rms_norm = _core.add_rms_norm
_layer_norm = _core.layer_norm
_rms_norm = _core.rms_norm


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


def add_layer_norm(
    input: ArrayInput,
    residual: ArrayInput,
    normalized_shape: int | Sequence[int],
    weight: ArrayInput | None = None,
    bias: ArrayInput | None = None,
    eps: float = 1e-5,
    *,
    out: Array | None = None,
    out_sum: Array | None = None,
) -> tuple[Array, Array]:
    """(layer_norm(s), s) with s = input + residual, in one pass over memory.

    The bits are those of the two steps. `out` receives the first, `out_sum` the second. torch has
    no such function.
    """
    return _add_layer_norm(input, residual, normalized_shape, weight, bias, eps, out, out_sum)
