"""Convolutions of three dimensions: linear of their windows."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import numpy as np

from forwardpass import _core

from .ir import Array
from .ops import Packs, op
from .ops_arrays import checked, copied
from .ops_products import constant


@op("conv3d", "a convolution of three dimensions, as linear of its windows, + bias",
    x="array", weight="array", bias="array?", stride="ints", padding="ints", dilation="ints",
    groups="int")  # fmt: skip
def _conv3d(
    packs: Packs, x: Any, weight: Any, bias: Any, stride: Any, padding: Any, dilation: Any,
    groups: int,
) -> tuple[Any, ...]:  # fmt: skip
    if not constant(weight, bias) or weight.ndim != 5 or groups < 1:
        raise ValueError("a convolution of three dimensions needs a constant weight")
    if min(*stride, *dilation) < 1 or min(padding) < 0:
        raise ValueError(f"stride {stride}, padding {padding}, dilation {dilation}")
    checked(padding)
    rows = weight.reshape(groups, weight.shape[0] // groups, -1)
    parts = [None] * groups if bias is None else np.split(bias, groups)
    packed = packs.once(
        lambda: [_core.PackedLinear(row, part) for row, part in zip(rows, parts, strict=True)]
    )

    def convolve(array: Array, out: Array | None = None) -> Array:
        windows = _windows(array, weight.shape[2:], stride, padding, dilation)
        batch, channels, *spans = windows.shape[:5]
        inner = channels // groups
        results = []
        for number, layer in enumerate(packed):
            part = windows[:, number * inner : (number + 1) * inner]
            part = np.ascontiguousarray(part.transpose(0, 2, 3, 4, 1, 5, 6, 7))
            results.append(layer(part.reshape(batch, *spans, -1)))
        whole = results[0] if groups == 1 else np.concatenate(results, -1)
        turned = np.moveaxis(whole, -1, 1)
        return np.ascontiguousarray(turned) if out is None else copied(turned, out)

    return convolve, x


def _windows(
    array: Array, kernel: Sequence[int], stride: Sequence[int], padding: Sequence[int],
    dilation: Sequence[int],
) -> Array:  # fmt: skip
    """(B, C, D, H, W) as (B, C, D', H', W', windows), a view of a padded copy."""
    around = [(0, 0), (0, 0), *((p, p) for p in padding)]
    padded = np.pad(array, around) if any(padding) else array
    reach = [d * (k - 1) + 1 for k, d in zip(kernel, dilation, strict=True)]
    every = np.lib.stride_tricks.sliding_window_view(padded, reach, axis=(2, 3, 4))
    steps = [slice(None), slice(None), *(slice(None, None, s) for s in (*stride, *dilation))]
    result: Array = every[tuple(steps)]
    return result
