"""Conv1d and Conv2d, and what they share with the transposed convolutions."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any, ClassVar

from forwardpass import _core

from . import init
from ._checks import integer, require_cpu, require_float32, sizes
from ._layer import PackedLayer
from .functional import pad
from .parameter import LOCK, Parameter
from .streaming import ConvStreamer, Streamed, Streamer

if TYPE_CHECKING:
    from ._typing import Array, ArrayInput

_PADDINGS = ("same", "valid")
_PADDINGS_1D = (*_PADDINGS, "causal")  # causal is ours, by Keras's name
_PADDING_MODES = ("zeros", "reflect", "replicate", "circular")


class _PaddedPack:
    """A packed convolution behind a padding that is not of zeros; called as the pack is."""

    def __init__(self, pack: Any, pads: tuple[int, ...], mode: str) -> None:
        self._pack, self._pads, self._mode = pack, pads, mode
        self.weight = pack.weight

    def __call__(self, input: ArrayInput, *fusion: Any) -> Any:
        return self._pack(pad(input, self._pads, self._mode), *fusion)


class _Convolution(PackedLayer):
    """The constructor's arguments and the parameters of all convolutions."""

    weight: Array
    bias: Array | None
    transposed: ClassVar[bool] = False
    _dims: ClassVar[int]
    # What stream made from the parameters; None until its first call.
    _streamer: Any = None
    _transient: ClassVar[tuple[str, ...]] = (*PackedLayer._transient, "_streamer")
    _structural: ClassVar[frozenset[str]] = PackedLayer._structural | {
        "weight",
        "bias",
        "stride",
        "padding",
        "output_padding",
        "dilation",
        "groups",
        "padding_mode",
    }

    def _set_up(
        self,
        channels: tuple[Any, Any],
        kernel_size: Any,
        stride: Any,
        padding: Any,
        output_padding: Any,
        dilation: Any,
        groups: int,
        bias: bool,
        padding_mode: str,
        device: Any,
        dtype: Any,
    ) -> None:
        name, dims = self._get_name(), self._dims
        self.in_channels = integer(name, "in_channels", channels[0], 0)
        self.out_channels = integer(name, "out_channels", channels[1], 0)
        self.kernel_size = sizes(name, "kernel_size", kernel_size, 1, dims)
        self.stride = sizes(name, "stride", stride, 1, dims)
        self.dilation = sizes(name, "dilation", dilation, 1, dims)
        self.padding = self._checked_padding(padding)
        self.output_padding = sizes(name, "output_padding", output_padding, 0, dims)
        self.groups = self._checked_groups(groups)
        if padding_mode not in _PADDING_MODES:
            raise ValueError(
                f"padding_mode must be one of {_PADDING_MODES}, "
                f"but got padding_mode='{padding_mode}'"
            )
        self.padding_mode = padding_mode
        require_cpu(name, device)
        require_float32(name, dtype)
        outer, inner = self.out_channels, self.in_channels
        if self.transposed:
            outer, inner = inner, outer
        shape = (outer, inner // self.groups, *self.kernel_size)
        fan_in = shape[1]
        for size in self.kernel_size:
            fan_in *= size
        bound = init.fan_in_bound(fan_in)
        self.register_parameter("weight", Parameter.drawn(init.uniform, shape, bound))
        self.register_parameter(
            "bias", Parameter.drawn(init.uniform, (self.out_channels,), bound) if bias else None
        )

    def _checked_padding(self, padding: Any) -> str | tuple[int, ...]:
        if not isinstance(padding, str) or self.transposed:
            return sizes(self._get_name(), "padding", padding, 0, self._dims)
        names = _PADDINGS_1D if self._dims == 1 else _PADDINGS
        if padding not in names:
            raise ValueError(f"Invalid padding string {padding!r}, should be one of {names}")
        if padding == "same" and any(s != 1 for s in self.stride):
            raise ValueError("padding='same' is not supported for strided convolutions")
        return padding

    def _checked_groups(self, groups: int) -> int:
        if groups <= 0:
            raise ValueError("groups must be a positive integer")
        groups = integer(self._get_name(), "groups", groups, 1)
        if self.in_channels % groups != 0:
            raise ValueError("in_channels must be divisible by groups")
        if self.out_channels % groups != 0:
            raise ValueError("out_channels must be divisible by groups")
        return groups

    def _pads(self) -> tuple[int, ...]:
        """What F.pad takes: (before, after) of the last dimension first."""
        pads: list[int] = []
        for i in reversed(range(self._dims)):
            total = self.dilation[i] * (self.kernel_size[i] - 1)
            if self.padding == "same":
                pads += [total // 2, total - total // 2]
            elif self.padding == "causal":
                pads += [total, 0]
            elif self.padding == "valid":
                pads += [0, 0]
            else:
                pads += [int(self.padding[i])] * 2
        return tuple(pads)

    def _packed(self, padding: Any) -> Any:
        raise NotImplementedError

    def _changed(self) -> None:
        with LOCK:
            super()._changed()
            self.__dict__["_streamer"] = None

    def _build_pack(self) -> Any:
        if self.padding_mode == "zeros":
            return self._packed(self.padding)
        return _PaddedPack(self._packed(0), self._pads(), self.padding_mode)

    def extra_repr(self) -> str:
        text = (
            f"{self.in_channels}, {self.out_channels}, "
            f"kernel_size={self.kernel_size}, stride={self.stride}"
        )
        zeros = (0,) * self._dims
        # torch prints a padding given by name too: the name never equals a tuple of zeros.
        if self.padding != zeros:
            text += f", padding={self.padding}"
        if self.dilation != (1,) * self._dims:
            text += f", dilation={self.dilation}"
        if self.output_padding != zeros:
            text += f", output_padding={self.output_padding}"
        if self.groups != 1:
            text += f", groups={self.groups}"
        if not self._given("bias"):
            text += ", bias=False"
        if self.padding_mode != "zeros":
            text += f", padding_mode={self.padding_mode}"
        return text


class StreamedConvolution(Streamed, _Convolution):
    """A convolution of one dimension."""

    _dims = 1
    _streamed_forward: ClassVar[Any]  # what stream computes: another forward is not that

    def _new_streamer(self) -> Streamer:
        raise NotImplementedError

    def _make_streamer(self) -> Streamer:
        cls, name = type(self), self._get_name()
        if cls.forward is not cls._streamed_forward or "forward" in self.__dict__:
            raise NotImplementedError(f"{name}.stream(): {name} has a forward of its own")
        if self.padding_mode != "zeros":
            raise NotImplementedError(f"{name}.stream(): padding_mode={self.padding_mode!r}")
        with LOCK:
            found: Streamer | None = self._streamer
            if found is None:
                found = self._new_streamer()
                self.__dict__["_streamer"] = found
                self.get_parameter("weight")._release(found.pack.weight)
        return found


class Conv1d(StreamedConvolution, calls_pack=True):
    """Cross-correlation over the last dimension: (B, C, L) or (C, L) to (B, O, L') or (O, L').

    L' = (L + 2 padding - dilation (kernel_size - 1) - 1) // stride + 1; padding also takes "same",
    "valid" and (not torch's) "causal", dilation (kernel_size - 1) in front and nothing behind;
    padding_mode says what it consists of: "zeros", "reflect", "replicate" or "circular". `stream`
    takes the signal in chunks. weight (O, C / groups, kernel_size) and bias (O,) start as U(-b, b),
    b = 1/sqrt(C / groups * kernel_size). Follows torch.nn.Conv1d.
    """

    def __init__(
        self,
        in_channels: int,
        out_channels: int,
        kernel_size: int | tuple[int],
        stride: int | tuple[int] = 1,
        padding: str | int | tuple[int] = 0,
        dilation: int | tuple[int] = 1,
        groups: int = 1,
        bias: bool = True,
        padding_mode: str = "zeros",
        device: Any = None,
        dtype: Any = None,
    ) -> None:
        super().__init__()
        channels = (in_channels, out_channels)
        rest = (dilation, groups, bias, padding_mode, device, dtype)
        self._set_up(channels, kernel_size, stride, padding, 0, *rest)

    def _packed(self, padding: Any) -> _core.PackedConv1d:
        return _core.PackedConv1d(
            self.weight, self.bias, self.stride, padding, self.dilation, self.groups
        )

    def _new_streamer(self) -> Streamer:
        # Without padding the layer's own pack will do.
        pack = self._packed("valid") if any(self._pads()) else self._make_pack()
        return ConvStreamer(self, pack)

    def forward(self, input: ArrayInput) -> Array:
        pack: Any = self._pack
        if pack is None:
            pack = self._make_pack()
        found: Array = pack(input)
        return found

    _streamed_forward = forward


class Conv2d(_Convolution, calls_pack=True):
    """Cross-correlation over the last two dimensions: (*, C, H, W) to (*, O, H', W').

    H' = (H + 2 padding - dilation (kernel_size - 1) - 1) // stride + 1, W' likewise; each argument
    is a number for both or (rows, columns), * a batch or nothing. padding also takes "same" and
    "valid", and padding_mode says what it consists of: "zeros", "reflect", "replicate" or
    "circular". weight (O, C / groups, rows, columns) and bias (O,) start as U(-b, b),
    b = 1/sqrt(C / groups * rows * columns). Follows torch.nn.Conv2d.
    """

    _dims = 2

    def __init__(
        self,
        in_channels: int,
        out_channels: int,
        kernel_size: int | tuple[int, int],
        stride: int | tuple[int, int] = 1,
        padding: str | int | tuple[int, int] = 0,
        dilation: int | tuple[int, int] = 1,
        groups: int = 1,
        bias: bool = True,
        padding_mode: str = "zeros",
        device: Any = None,
        dtype: Any = None,
    ) -> None:
        super().__init__()
        channels = (in_channels, out_channels)
        rest = (dilation, groups, bias, padding_mode, device, dtype)
        self._set_up(channels, kernel_size, stride, padding, 0, *rest)

    def _packed(self, padding: Any) -> _core.PackedConv:
        geometry = (self.stride, padding, self.dilation, self.groups)
        return _core.PackedConv("conv2d", self.weight, self.bias, *geometry)

    def forward(self, input: ArrayInput) -> Array:
        pack: Any = self._pack
        if pack is None:
            pack = self._make_pack()
        found: Array = pack(input)
        return found
