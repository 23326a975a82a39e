"""Resizing, and channels to pixels."""

from __future__ import annotations

import math
import operator
from typing import TYPE_CHECKING, Any

import numpy as np

from forwardpass import _core

from ._pools import adaptive_avg_pool1d, adaptive_avg_pool2d
from ._shape import float32, result

if TYPE_CHECKING:
    from collections.abc import Sequence

    from .._typing import Array, ArrayInput

# Spatial dimensions that a mode takes; what torch has and we have not is named in _MISSING.
_MODES = {"linear": (1,), "bilinear": (2,), "bicubic": (2,), "lanczos": (2,), "trilinear": (3,)}
_ANY = ("nearest", "nearest-exact", "area")
_MISSING = ("bicubic", "lanczos", "trilinear")


def pixel_shuffle(input: ArrayInput, upscale_factor: int, *, out: Array | None = None) -> Array:
    """(*, C r^2, H, W) to (*, C, H r, W r): r^2 channels become r x r pixels, r `upscale_factor`.

    Moves data only. Follows torch.nn.functional.pixel_shuffle.
    """
    x, r = float32(input, "pixel_shuffle"), operator.index(upscale_factor)
    if x.ndim < 3:
        raise ValueError(f"pixel_shuffle expects input to have at least 3 dimensions, got {x.ndim}")
    if r <= 0:
        raise ValueError(f"pixel_shuffle expects a positive upscale_factor, got {r}")
    *lead, channels, height, width = x.shape
    if channels % (r * r):
        raise ValueError(
            "pixel_shuffle expects its input's channel dimension to be divisible by the square of "
            f"upscale_factor, but input.size(-3)={channels} is not divisible by {r * r}"
        )
    n = len(lead)
    parts = x.reshape(*lead, channels // (r * r), r, r, height, width)
    moved = parts.transpose(*range(n), n, n + 3, n + 1, n + 4, n + 2)
    shape = (*lead, channels // (r * r), height * r, width * r)
    return result(np.ascontiguousarray(moved).reshape(shape), out, "pixel_shuffle")  # type: ignore[no-any-return]


def pixel_unshuffle(input: ArrayInput, downscale_factor: int, *, out: Array | None = None) -> Array:
    """(*, C, H r, W r) to (*, C r^2, H, W), r `downscale_factor`: undoes pixel_shuffle.

    Moves data only. Follows torch.nn.functional.pixel_unshuffle.
    """
    x, r = float32(input, "pixel_unshuffle"), operator.index(downscale_factor)
    if x.ndim < 3:
        raise ValueError(
            f"pixel_unshuffle expects input to have at least 3 dimensions, got {x.ndim}"
        )
    if r <= 0:
        raise ValueError(f"pixel_unshuffle expects a positive downscale_factor, got {r}")
    *lead, channels, height, width = x.shape
    if height % r or width % r:
        raise ValueError(
            f"pixel_unshuffle expects height and width to be divisible by downscale_factor={r}, "
            f"got {height} and {width}"
        )
    n = len(lead)
    parts = x.reshape(*lead, channels, height // r, r, width // r, r)
    moved = parts.transpose(*range(n), n, n + 2, n + 4, n + 1, n + 3)
    shape = (*lead, channels * r * r, height // r, width // r)
    return result(np.ascontiguousarray(moved).reshape(shape), out, "pixel_unshuffle")  # type: ignore[no-any-return]


def channel_shuffle(input: ArrayInput, groups: int, *, out: Array | None = None) -> Array:
    """The channels of (N, C, *), in `groups` equal parts, dealt out: one of each part by turns.

    Moves data only. Follows torch.nn.functional.channel_shuffle.
    """
    x, parts = float32(input, "channel_shuffle"), operator.index(groups)
    if x.ndim < 3:
        raise ValueError(f"channel_shuffle expects input with 3 dimensions or more, got {x.ndim}")
    if parts <= 0 or x.shape[1] % parts:
        raise ValueError(
            "channel_shuffle expects a positive number of groups that divides the channels, got "
            f"{parts} for {x.shape[1]}"
        )
    split = x.reshape(x.shape[0], parts, x.shape[1] // parts, *x.shape[2:])
    dealt = np.ascontiguousarray(split.swapaxes(1, 2)).reshape(x.shape)
    return result(dealt, out, "channel_shuffle")  # type: ignore[no-any-return]


def _per_dimension(value: Any, dims: int, name: str) -> list[Any]:
    if not isinstance(value, (tuple, list)):
        return [value] * dims
    if len(value) != dims:
        raise ValueError(
            f"interpolate: {name} must have one element for each of the {dims} "
            f"spatial dimensions of the input, got {value}"
        )
    return list(value)


def _target(
    sizes: Sequence[int], size: Any, scale_factor: Any, recompute: bool
) -> tuple[list[int], list[float]]:
    """The result's sizes, and the scales that were given (0 where none counts)."""
    if (size is None) == (scale_factor is None):
        which = "only one of" if size is not None else "either"
        raise ValueError(f"interpolate: {which} size or scale_factor should be defined")
    dims = len(sizes)
    if size is not None:
        if recompute:
            raise ValueError(
                "interpolate: recompute_scale_factor is not meaningful with an explicit size."
            )
        target = [operator.index(n) for n in _per_dimension(size, dims, "size")]
        scales = [0.0] * dims
    else:
        given = [float(s) for s in _per_dimension(scale_factor, dims, "scale_factor")]
        if not all(math.isfinite(s) and s > 0 for s in given):
            raise ValueError(f"interpolate: scale_factor must be positive, got {scale_factor}")
        target = [math.floor(n * s) for n, s in zip(sizes, given, strict=True)]
        scales = [0.0] * dims if recompute else given
    if min(target) < 1 or min(sizes) < 1:
        raise ValueError(
            f"interpolate: input and output sizes should be greater than 0, got {list(sizes)} and "
            f"{target}"
        )
    return target, scales


def _check_mode(mode: str, dims: int, align_corners: bool | None, antialias: bool) -> None:
    if mode in _ANY:
        if align_corners is not None:
            raise ValueError(
                "interpolate: align_corners option can only be set with the interpolating modes: "
                "linear | bilinear | bicubic | trilinear"
            )
        if dims not in (1, 2, 3):
            raise ValueError(f"interpolate: input must have 3 to 5 dimensions, got {dims + 2}")
    elif dims not in _MODES.get(mode, ()):
        raise ValueError(f"interpolate: no mode {mode!r} for an input of {dims + 2} dimensions")
    if antialias and mode not in ("bilinear", "bicubic", "lanczos"):
        raise ValueError("interpolate: antialias is restricted to bilinear and bicubic modes")
    if antialias:
        raise NotImplementedError("interpolate: antialias")
    if mode in _MISSING or (mode == "area" and dims == 3):
        raise NotImplementedError(f"interpolate: mode={mode!r}")


def _planes(
    resize: Any, x: Any, target: Sequence[int], scales: Sequence[float], option: bool
) -> Any:
    """resize, which takes (*, H, W), along one, two or three dimensions."""
    if len(target) == 1:
        return resize(x[:, :, None], 1, target[0], 0.0, scales[0], option)[:, :, 0]
    y = resize(x, *target[-2:], *scales[-2:], option)
    if len(target) == 2:
        return y
    # Depth last: planes of it and of everything behind it.
    flat = y.reshape(*y.shape[:3], y.shape[3] * y.shape[4])
    flat = resize(flat, target[0], flat.shape[3], scales[0], 0.0, option)
    return flat.reshape(*flat.shape[:3], *y.shape[3:])


def interpolate(
    input: ArrayInput,
    size: int | Sequence[int] | None = None,
    scale_factor: float | Sequence[float] | None = None,
    mode: str = "nearest",
    align_corners: bool | None = None,
    recompute_scale_factor: bool | None = None,
    antialias: bool = False,
    *,
    out: Array | None = None,
) -> Array:
    """The input (N, C, *) resized to `size`, or to its size times `scale_factor`, rounded down.

    mode "nearest" and "nearest-exact" copy the nearest element ("nearest" in the way of torch,
    whose pixels begin at their centre); "linear" (one spatial dimension) and "bilinear" (two) weigh
    the neighbours; "area" is adaptive_avg_pool. `align_corners` lets the corner elements keep their
    place. `recompute_scale_factor` takes the step from the rounded sizes. Other modes and
    `antialias` raise NotImplementedError. Follows torch.nn.functional.interpolate.
    """
    x = float32(input, "interpolate")
    dims = x.ndim - 2
    _check_mode(mode, dims, align_corners, antialias)
    recompute = bool(recompute_scale_factor) or (mode == "area" and size is None)
    target, scales = _target(x.shape[2:], size, scale_factor, recompute)
    y: Any
    if mode == "area":
        pool: Any = adaptive_avg_pool1d if dims == 1 else adaptive_avg_pool2d
        y = pool(x, target)
    elif mode in _ANY:
        y = _planes(_core.resize_nearest, x, target, scales, mode == "nearest-exact")
    else:
        y = _planes(_core.resize_linear, x, target, scales, bool(align_corners))
    return result(y, out, "interpolate")  # type: ignore[no-any-return]
