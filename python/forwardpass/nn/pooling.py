"""Pooling layers: the maximum or the average of windows."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

from ._checks import single
from ._layer import Layer
from .functional import (
    adaptive_avg_pool1d,
    adaptive_avg_pool2d,
    adaptive_max_pool1d,
    adaptive_max_pool2d,
    avg_pool1d,
    avg_pool2d,
    max_pool1d,
    max_pool2d,
)

if TYPE_CHECKING:
    from ._typing import Array, ArrayInput


class _MaxPool(Layer):
    def __init__(
        self,
        kernel_size: int | tuple[int, ...],
        stride: int | tuple[int, ...] | None = None,
        padding: int | tuple[int, ...] = 0,
        dilation: int | tuple[int, ...] = 1,
        return_indices: bool = False,
        ceil_mode: bool = False,
    ) -> None:
        super().__init__()
        self.kernel_size = kernel_size
        self.stride = kernel_size if stride is None else stride
        self.padding = padding
        self.dilation = dilation
        self.return_indices = return_indices
        self.ceil_mode = ceil_mode

    def extra_repr(self) -> str:
        return (
            f"kernel_size={self.kernel_size}, stride={self.stride}, padding={self.padding}, "
            f"dilation={self.dilation}, ceil_mode={self.ceil_mode}"
        )


class MaxPool1d(_MaxPool):
    """The largest of each window: (B, C, L) to (B, C, L'), the batch optional.

    With `return_indices` also where it stands. Follows torch.nn.MaxPool1d.
    """

    def forward(self, input: ArrayInput) -> Any:
        return max_pool1d(
            input,
            self.kernel_size,
            self.stride,
            self.padding,
            self.dilation,
            self.ceil_mode,
            self.return_indices,
        )


class MaxPool2d(_MaxPool):
    """The largest of each window: (B, C, H, W) to (B, C, H', W'), the batch optional.

    With `return_indices` also where it stands. Follows torch.nn.MaxPool2d.
    """

    def forward(self, input: ArrayInput) -> Any:
        return max_pool2d(
            input,
            self.kernel_size,
            self.stride,
            self.padding,
            self.dilation,
            self.ceil_mode,
            self.return_indices,
        )


class _AvgPool(Layer):
    kernel_size: Any
    stride: Any
    padding: Any

    def extra_repr(self) -> str:
        return f"kernel_size={self.kernel_size}, stride={self.stride}, padding={self.padding}"


class AvgPool1d(_AvgPool):
    """The mean of each window: (B, C, L) to (B, C, L'), the batch optional.

    Follows torch.nn.AvgPool1d.
    """

    def __init__(
        self,
        kernel_size: int | tuple[int],
        stride: int | tuple[int] | None = None,
        padding: int | tuple[int] = 0,
        ceil_mode: bool = False,
        count_include_pad: bool = True,
    ) -> None:
        super().__init__()
        self.kernel_size = single("AvgPool1d", "kernel_size", kernel_size, 1)
        steps = kernel_size if stride is None else stride
        self.stride = single("AvgPool1d", "stride", steps, 1)
        self.padding = single("AvgPool1d", "padding", padding, 0)
        self.ceil_mode = ceil_mode
        self.count_include_pad = count_include_pad

    def forward(self, input: ArrayInput) -> Array:
        return avg_pool1d(
            input,
            self.kernel_size,
            self.stride,
            self.padding,
            self.ceil_mode,
            self.count_include_pad,
        )


class AvgPool2d(_AvgPool):
    """The mean of each window: (B, C, H, W) to (B, C, H', W'), the batch optional.

    Follows torch.nn.AvgPool2d.
    """

    def __init__(
        self,
        kernel_size: int | tuple[int, int],
        stride: int | tuple[int, int] | None = None,
        padding: int | tuple[int, int] = 0,
        ceil_mode: bool = False,
        count_include_pad: bool = True,
        divisor_override: int | None = None,
    ) -> None:
        super().__init__()
        self.kernel_size = kernel_size
        self.stride = kernel_size if stride is None else stride
        self.padding = padding
        self.ceil_mode = ceil_mode
        self.count_include_pad = count_include_pad
        self.divisor_override = divisor_override

    def forward(self, input: ArrayInput) -> Array:
        return avg_pool2d(
            input,
            self.kernel_size,
            self.stride,
            self.padding,
            self.ceil_mode,
            self.count_include_pad,
            self.divisor_override,
        )


class _AdaptivePool(Layer):
    output_size: Any

    def extra_repr(self) -> str:
        return f"output_size={self.output_size}"


class _AdaptiveAvgPool(_AdaptivePool):
    def __init__(self, output_size: int | tuple[int | None, ...] | None) -> None:
        super().__init__()
        self.output_size = output_size


class AdaptiveAvgPool1d(_AdaptiveAvgPool):
    """Means of `output_size` windows that cover the last dimension of (B, C, L) evenly.

    Follows torch.nn.AdaptiveAvgPool1d.
    """

    def forward(self, input: ArrayInput) -> Array:
        return adaptive_avg_pool1d(input, self.output_size)


class AdaptiveAvgPool2d(_AdaptiveAvgPool):
    """Means of windows that cover the last two dimensions of (B, C, H, W) evenly.

    `output_size` is one number or two, None for a dimension that stays. Follows
    torch.nn.AdaptiveAvgPool2d.
    """

    def forward(self, input: ArrayInput) -> Array:
        return adaptive_avg_pool2d(input, self.output_size)


class _AdaptiveMaxPool(_AdaptivePool):
    def __init__(
        self, output_size: int | tuple[int | None, ...] | None, return_indices: bool = False
    ) -> None:
        super().__init__()
        self.output_size = output_size
        self.return_indices = return_indices


class AdaptiveMaxPool1d(_AdaptiveMaxPool):
    """The largest of each of `output_size` windows that cover (B, C, L) evenly.

    Follows torch.nn.AdaptiveMaxPool1d.
    """

    def forward(self, input: ArrayInput) -> Any:
        return adaptive_max_pool1d(input, self.output_size, self.return_indices)


class AdaptiveMaxPool2d(_AdaptiveMaxPool):
    """The largest of each window, cut as AdaptiveAvgPool2d's are; None keeps a dimension's size.

    Follows torch.nn.AdaptiveMaxPool2d.
    """

    def forward(self, input: ArrayInput) -> Any:
        return adaptive_max_pool2d(input, self.output_size, self.return_indices)
