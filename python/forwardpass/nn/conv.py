"""Conv1d."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any, ClassVar

from forwardpass import _core

from . import init
from ._checks import integer, require_cpu, require_float32, single
from ._layer import PackedLayer
from .parameter import Parameter

if TYPE_CHECKING:
    from ._typing import Array, ArrayInput

_PADDINGS = ("same", "valid")
_PADDING_MODES = ("zeros", "reflect", "replicate", "circular")


class Conv1d(PackedLayer, calls_pack=True):
    """Cross-correlation over the last dimension: (B, C, L) or (C, L) to (B, O, L') or (O, L').

    L' = (L + 2 padding - dilation (kernel_size - 1) - 1) // stride + 1; padding also takes "same"
    and "valid". weight (O, C / groups, kernel_size) and bias (O,) start as U(-b, b),
    b = 1/sqrt(C / groups * kernel_size). padding_mode other than "zeros" raises
    NotImplementedError. Follows torch.nn.Conv1d.
    """

    weight: Array
    bias: Array | None
    _structural: ClassVar[frozenset[str]] = PackedLayer._structural | {
        "weight",
        "bias",
        "stride",
        "padding",
        "dilation",
        "groups",
        "padding_mode",
    }

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
        self.in_channels = integer("Conv1d", "in_channels", in_channels, 0)
        self.out_channels = integer("Conv1d", "out_channels", out_channels, 0)
        self.kernel_size = single("Conv1d", "kernel_size", kernel_size, 1)
        self.stride = single("Conv1d", "stride", stride, 1)
        self.dilation = single("Conv1d", "dilation", dilation, 1)
        self.padding = self._checked_padding(padding)
        self.groups = self._checked_groups(groups)
        if padding_mode not in _PADDING_MODES:
            raise ValueError(
                f"padding_mode must be one of {_PADDING_MODES}, "
                f"but got padding_mode='{padding_mode}'"
            )
        self.padding_mode = padding_mode
        self._check_supported()
        require_cpu("Conv1d", device)
        require_float32("Conv1d", dtype)
        inner = self.in_channels // self.groups
        bound = init.fan_in_bound(inner * self.kernel_size[0])
        shape = (self.out_channels, inner, *self.kernel_size)
        self.register_parameter("weight", Parameter.drawn(init.uniform, shape, bound))
        self.register_parameter(
            "bias", Parameter.drawn(init.uniform, shape[:1], bound) if bias else None
        )

    def _checked_padding(self, padding: str | int | tuple[int]) -> str | tuple[int]:
        if not isinstance(padding, str):
            return single("Conv1d", "padding", padding, 0)
        if padding not in _PADDINGS:
            raise ValueError(f"Invalid padding string {padding!r}, should be one of {_PADDINGS}")
        if padding == "same" and self.stride != (1,):
            raise ValueError("padding='same' is not supported for strided convolutions")
        return padding

    def _checked_groups(self, groups: int) -> int:
        if groups <= 0:
            raise ValueError("groups must be a positive integer")
        groups = integer("Conv1d", "groups", groups, 1)
        if self.in_channels % groups != 0:
            raise ValueError("in_channels must be divisible by groups")
        if self.out_channels % groups != 0:
            raise ValueError("out_channels must be divisible by groups")
        return groups

    def _check_supported(self) -> None:
        if self.padding_mode != "zeros":
            raise NotImplementedError(f"Conv1d: padding_mode={self.padding_mode!r}")

    def _build_pack(self) -> _core.PackedConv1d:
        self._check_supported()
        return _core.PackedConv1d(
            self.weight, self.bias, self.stride, self.padding, self.dilation, self.groups
        )

    def forward(self, input: ArrayInput) -> Array:
        pack: _core.PackedConv1d | None = self._pack
        if pack is None:
            pack = self._make_pack()
        return pack(input)

    def extra_repr(self) -> str:
        text = (
            f"{self.in_channels}, {self.out_channels}, "
            f"kernel_size={self.kernel_size}, stride={self.stride}"
        )
        # torch prints a padding given by name too: the name never equals a tuple of zeros.
        if self.padding != (0,):
            text += f", padding={self.padding}"
        if self.dilation != (1,):
            text += f", dilation={self.dilation}"
        if self.groups != 1:
            text += f", groups={self.groups}"
        if not self._given("bias"):
            text += ", bias=False"
        return text
