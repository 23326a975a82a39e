"""ConvTranspose1d and ConvTranspose2d."""

from __future__ import annotations

from collections.abc import Sequence
from typing import TYPE_CHECKING, Any

import numpy as np

from forwardpass import _core

from ._checks import integer
from .conv import StreamedConvolution, _Convolution
from .streaming import Streamer, TransposedStreamer

if TYPE_CHECKING:
    from ._typing import Array, ArrayInput


class _Transposed(_Convolution):
    transposed = True

    def _set_up_transposed(self, padding_mode: str, *arguments: Any) -> None:
        if padding_mode != "zeros":
            raise ValueError(f'Only "zeros" padding mode is supported for {self._get_name()}')
        self._set_up(*arguments)

    def _packed(self, padding: Any, output_padding: Any = None) -> _core.PackedConv:
        op = f"conv_transpose{self._dims}d"
        more = self.output_padding if output_padding is None else output_padding
        geometry = (self.stride, padding, self.dilation, self.groups, more)
        return _core.PackedConv(op, self.weight, self.bias, *geometry)

    def forward(self, input: ArrayInput, output_size: Sequence[int] | None = None) -> Array:
        pack: Any = self._pack
        if pack is None:
            pack = self._make_pack()
        found: Array
        if output_size is None:
            found = pack(input)
        else:
            more = self._output_padding_for(input, output_size)
            found = pack(input, None, 0.01, None, None, more)
        return found

    def _output_padding_for(self, input: Any, output_size: Sequence[int]) -> tuple[int, ...]:
        """The output_padding that gives a result of that size; torch's words where none does."""
        name, dims = self._get_name(), self._dims
        shape = np.shape(input)
        size = [integer(name, "output_size", n, 0) for n in output_size]
        if len(shape) not in (dims + 1, dims + 2):
            raise ValueError(f"{name}: input must have {dims + 1} or {dims + 2} dimensions")
        if len(size) == len(shape):
            size = size[-dims:]
        if len(size) != dims:
            raise ValueError(
                f"{name}: for {len(shape)}D input, output_size must have {dims} or {len(shape)} "
                f"elements (got {len(output_size)})"
            )
        least = [
            (n - 1) * s - 2 * p + d * (k - 1) + 1
            for n, s, p, d, k in zip(
                shape[-dims:],
                self.stride,
                self._pads()[::-2],
                self.dilation,
                self.kernel_size,
                strict=True,
            )
        ]
        most = [n + s - 1 for n, s in zip(least, self.stride, strict=True)]
        if any(not lo <= n <= hi for n, lo, hi in zip(size, least, most, strict=True)):
            raise ValueError(
                f"requested an output size of {size}, but valid sizes range from {least} to {most} "
                f"(for an input of {list(shape[-dims:])})"
            )
        return tuple(n - lo for n, lo in zip(size, least, strict=True))


class ConvTranspose1d(_Transposed, StreamedConvolution):
    """Conv1d's transpose, which upsamples by `stride`: (*, C, L) to (*, O, L').

    L' = (L - 1) stride - 2 padding + dilation (kernel_size - 1) + output_padding + 1; forward takes
    output_size (L', or the whole shape) in place of output_padding; `stream` takes the signal in
    chunks. * is a batch or nothing. weight (C, O / groups, kernel_size) and bias (O,) start as
    U(-b, b), b = 1/sqrt(O / groups * kernel_size). Follows torch.nn.ConvTranspose1d.
    """

    _streamed_forward = _Transposed.forward

    def __init__(
        self,
        in_channels: int,
        out_channels: int,
        kernel_size: int | tuple[int],
        stride: int | tuple[int] = 1,
        padding: int | tuple[int] = 0,
        output_padding: int | tuple[int] = 0,
        groups: int = 1,
        bias: bool = True,
        dilation: int | tuple[int] = 1,
        padding_mode: str = "zeros",
        device: Any = None,
        dtype: Any = None,
    ) -> None:
        super().__init__()
        sizes = (kernel_size, stride, padding, output_padding, dilation)
        rest = (groups, bias, "zeros", device, dtype)
        self._set_up_transposed(padding_mode, (in_channels, out_channels), *sizes, *rest)

    def _new_streamer(self) -> Streamer:
        return TransposedStreamer(self, self._packed(*TransposedStreamer.geometry(self)))


class ConvTranspose2d(_Transposed):
    """Conv2d's transpose, which upsamples by `stride`: (*, C, H, W) to (*, O, H', W').

    H' = (H - 1) stride - 2 padding + dilation (kernel_size - 1) + output_padding + 1, W' likewise;
    each argument is a number for both or (rows, columns). forward takes output_size ((H', W'),
    or the whole shape) in place of output_padding. * is a batch or nothing. weight (C, O / groups,
    rows, columns) and bias (O,) start as U(-b, b), b = 1/sqrt(O / groups * rows * columns). Follows
    torch.nn.ConvTranspose2d.
    """

    _dims = 2

    def __init__(
        self,
        in_channels: int,
        out_channels: int,
        kernel_size: int | tuple[int, int],
        stride: int | tuple[int, int] = 1,
        padding: int | tuple[int, int] = 0,
        output_padding: int | tuple[int, int] = 0,
        groups: int = 1,
        bias: bool = True,
        dilation: int | tuple[int, int] = 1,
        padding_mode: str = "zeros",
        device: Any = None,
        dtype: Any = None,
    ) -> None:
        super().__init__()
        sizes = (kernel_size, stride, padding, output_padding, dilation)
        rest = (groups, bias, "zeros", device, dtype)
        self._set_up_transposed(padding_mode, (in_channels, out_channels), *sizes, *rest)
