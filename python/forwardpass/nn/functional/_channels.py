"""Norms with a weight and a bias for each channel, and p-norms."""

from __future__ import annotations

import math
from typing import TYPE_CHECKING

import numpy as np

from forwardpass import _core

from ._shape import float32, result, shape

if TYPE_CHECKING:
    from .._typing import Array, ArrayInput

_batch_norm = _core.batch_norm
_group_norm = _core.group_norm
_normalize = _core.normalize


def _more_than_one(values: int, sizes: tuple[int, ...]) -> None:
    if values == 1:
        raise ValueError(f"Expected more than 1 value per channel when training, got input {sizes}")


def group_norm(
    input: ArrayInput,
    num_groups: int,
    weight: ArrayInput | None = None,
    bias: ArrayInput | None = None,
    eps: float = 1e-5,
    *,
    out: Array | None = None,
) -> Array:
    """(input - mean) / sqrt(var + eps) * weight + bias, over each group of channels.

    input (N, C, *), weight and bias (C,); mean and var are those of the C / num_groups channels of
    a group, var the mean of squared differences. Follows torch.nn.functional.group_norm.
    """
    sizes = shape(input)
    if len(sizes) >= 2 and isinstance(num_groups, int) and num_groups > 0:
        _more_than_one(sizes[0] * sizes[1] // num_groups * math.prod(sizes[2:]), sizes)
    return _group_norm(input, num_groups, weight, bias, eps, out)


def batch_norm(
    input: ArrayInput,
    running_mean: ArrayInput | None,
    running_var: ArrayInput | None,
    weight: ArrayInput | None = None,
    bias: ArrayInput | None = None,
    training: bool = False,
    momentum: float = 0.1,
    eps: float = 1e-5,
    *,
    out: Array | None = None,
) -> Array:
    """(input - mean) / sqrt(var + eps) * weight + bias, a mean and a var for each channel.

    input (N, C, *), all others (C,). With `training` mean and var are those of the batch, so that a
    result depends on all of it; the running ones are not updated then, and `momentum` changes
    nothing. Follows torch.nn.functional.batch_norm.
    """
    if shape(input) == (0,):  # torch takes this one input without channels
        return result(np.zeros(0, np.float32), out, "batch_norm")  # type: ignore[no-any-return]
    if not training:
        return _batch_norm(input, running_mean, running_var, weight, bias, eps, out)
    x = float32(input, "batch_norm")
    if x.ndim < 2:
        raise ValueError(f"batch_norm(): argument 'input' must have 2 dimensions, got {x.shape}")
    _more_than_one(x.size // x.shape[1] if x.shape[1] else 0, x.shape)
    # A channel as one row: the norm of a group then is that of a channel.
    rows = np.ascontiguousarray(np.moveaxis(x, 1, 0))
    flat = rows.reshape(1, x.shape[1], x.size // max(x.shape[1], 1))
    normed = _group_norm(flat, max(x.shape[1], 1), weight, bias, eps, None)
    back = np.ascontiguousarray(np.moveaxis(normed.reshape(rows.shape), 0, 1))
    return result(back, out, "batch_norm")  # type: ignore[no-any-return]


def instance_norm(
    input: ArrayInput,
    running_mean: ArrayInput | None = None,
    running_var: ArrayInput | None = None,
    weight: ArrayInput | None = None,
    bias: ArrayInput | None = None,
    use_input_stats: bool = True,
    momentum: float = 0.1,
    eps: float = 1e-5,
    *,
    out: Array | None = None,
) -> Array:
    """As batch_norm, but mean and var are those of each channel of each item of the batch.

    input (N, C, *) with more than one element a channel. Without `use_input_stats` the running
    mean and var are used, as batch_norm does; they are never updated, and `momentum` changes
    nothing. Follows torch.nn.functional.instance_norm.
    """
    if not use_input_stats:
        return _batch_norm(input, running_mean, running_var, weight, bias, eps, out)
    sizes = shape(input)
    if len(sizes) < 2:
        raise ValueError(f"instance_norm(): argument 'input' must be (N, C, *), got {sizes}")
    if math.prod(sizes[2:]) == 1:
        raise ValueError(
            f"Expected more than 1 spatial element when training, got input size {sizes}"
        )
    return _group_norm(input, max(sizes[1], 1), weight, bias, eps, out)


def normalize(
    input: ArrayInput,
    p: float = 2.0,
    dim: int = 1,
    eps: float = 1e-12,
    out: Array | None = None,
) -> Array:
    """input / max(||input||_p, eps), the norm along `dim`.

    p is any number: 2 Euclid's norm, 1 the sum of magnitudes, infinity the largest, 0 the count of
    what is not 0. Follows torch.nn.functional.normalize.
    """
    return _normalize(input, p, dim, eps, out)
