"""Pooling: the maximum or the average of windows."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

from forwardpass import _core

if TYPE_CHECKING:
    from collections.abc import Callable, Sequence

    from .._typing import Array, ArrayInput


def _with_indices(
    values: Callable[..., Any], indices: Callable[..., Any], wanted: bool, out: Any, *args: Any
) -> Any:
    """The values, or (values, indices), from the two compiled functions of a maximum."""
    result = values(*args, out)
    return (result, indices(*args)) if wanted else result


def max_pool1d(
    input: ArrayInput,
    kernel_size: int | Sequence[int],
    stride: int | Sequence[int] | None = None,
    padding: int | Sequence[int] = 0,
    dilation: int | Sequence[int] = 1,
    ceil_mode: bool = False,
    return_indices: bool = False,
    *,
    out: Array | None = None,
) -> Any:
    """The largest of each window of `kernel_size`; NaN if there is one in it.

    input (B, C, L), the batch optional; windows lie `stride` apart (None:
    kernel_size), their elements `dilation`. Padding, at most half a window, never wins. With
    `ceil_mode` the size of the result is rounded up. With `return_indices` gives (result,
    indices): where each maximum stands in its signal, int64. Follows
    torch.nn.functional.max_pool1d.
    """
    return _with_indices(
        _core.max_pool1d,
        _core._max_pool1d_indices,
        return_indices,
        out,
        *(input, kernel_size, stride, padding, dilation, ceil_mode),
    )


def max_pool2d(
    input: ArrayInput,
    kernel_size: int | Sequence[int],
    stride: int | Sequence[int] | None = None,
    padding: int | Sequence[int] = 0,
    dilation: int | Sequence[int] = 1,
    ceil_mode: bool = False,
    return_indices: bool = False,
    *,
    out: Array | None = None,
) -> Any:
    """The largest of each window of `kernel_size`; NaN if there is one in it.

    input (B, C, H, W), the batch optional; windows lie `stride` apart (None:
    kernel_size), their elements `dilation`. Padding, at most half a window, never wins. With
    `ceil_mode` the size of the result is rounded up. With `return_indices` gives (result,
    indices): where each maximum stands in its plane, row * W + column, int64. Follows
    torch.nn.functional.max_pool2d.
    """
    return _with_indices(
        _core.max_pool2d,
        _core._max_pool2d_indices,
        return_indices,
        out,
        *(input, kernel_size, stride, padding, dilation, ceil_mode),
    )


def avg_pool1d(
    input: ArrayInput,
    kernel_size: int | Sequence[int],
    stride: int | Sequence[int] | None = None,
    padding: int | Sequence[int] = 0,
    ceil_mode: bool = False,
    count_include_pad: bool = True,
    *,
    out: Array | None = None,
) -> Array:
    """The mean of each window of `kernel_size`.

    input (B, C, L), the batch optional; windows lie `stride` apart (None: kernel_size). Padding
    with zeros, at most half a window, counts unless `count_include_pad` is False. With `ceil_mode`
    the size of the result is rounded up. Follows torch.nn.functional.avg_pool1d.
    """
    return _core.avg_pool1d(
        input, kernel_size, stride, padding, ceil_mode, count_include_pad, None, out
    )


def avg_pool2d(
    input: ArrayInput,
    kernel_size: int | Sequence[int],
    stride: int | Sequence[int] | None = None,
    padding: int | Sequence[int] = 0,
    ceil_mode: bool = False,
    count_include_pad: bool = True,
    divisor_override: int | None = None,
    *,
    out: Array | None = None,
) -> Array:
    """The mean of each window of `kernel_size`, or its sum over `divisor_override`.

    input (B, C, H, W), the batch optional; the rest as in avg_pool1d. Follows
    torch.nn.functional.avg_pool2d.
    """
    return _core.avg_pool2d(
        input, kernel_size, stride, padding, ceil_mode, count_include_pad, divisor_override, out
    )


def adaptive_avg_pool1d(
    input: ArrayInput, output_size: int | Sequence[int], *, out: Array | None = None
) -> Array:
    """Means of `output_size` windows that cover (B, C, L) evenly; the batch is optional.

    Window i is [floor(i L / n), ceil((i + 1) L / n)). Follows
    torch.nn.functional.adaptive_avg_pool1d.
    """
    return _core.adaptive_avg_pool1d(input, output_size, out)


def adaptive_avg_pool2d(
    input: ArrayInput, output_size: int | Sequence[int | None] | None, *, out: Array | None = None
) -> Array:
    """The same over both dimensions of (B, C, H, W); None keeps a dimension's size.

    Follows torch.nn.functional.adaptive_avg_pool2d.
    """
    return _core.adaptive_avg_pool2d(input, output_size, out)


def adaptive_max_pool1d(
    input: ArrayInput,
    output_size: int | Sequence[int],
    return_indices: bool = False,
    *,
    out: Array | None = None,
) -> Any:
    """The largest of each of `output_size` windows, as adaptive_avg_pool1d cuts them.

    `return_indices` as in max_pool1d. Follows torch.nn.functional.adaptive_max_pool1d.
    """
    return _with_indices(
        _core.adaptive_max_pool1d,
        _core._adaptive_max_pool1d_indices,
        return_indices,
        out,
        *(input, output_size),
    )


def adaptive_max_pool2d(
    input: ArrayInput,
    output_size: int | Sequence[int | None] | None,
    return_indices: bool = False,
    *,
    out: Array | None = None,
) -> Any:
    """The same over both dimensions of (B, C, H, W); None keeps a dimension's size.

    Follows torch.nn.functional.adaptive_max_pool2d.
    """
    return _with_indices(
        _core.adaptive_max_pool2d,
        _core._adaptive_max_pool2d_indices,
        return_indices,
        out,
        *(input, output_size),
    )
