"""Padding layers. ConstantPad1d and ZeroPad1d also pad a signal that comes in chunks."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any, ClassVar

import numpy as np

from ._checks import integer
from ._layer import Layer
from .functional import pad
from .functional._shape import float32
from .functional._shape import shape as shape_of
from .streaming import ConvState, Streamed, check_continues

if TYPE_CHECKING:
    from ._typing import Array, ArrayInput


class _Pad(Layer):
    """F.pad with the layer's mode; `padding` is one number, or two for each dimension."""

    _mode: ClassVar[str]
    _padded: ClassVar[int]  # dimensions

    def __init__(self, padding: int | tuple[int, ...]) -> None:
        super().__init__()
        name, count = self._get_name(), 2 * self._padded
        given = padding if isinstance(padding, (tuple, list)) else (padding,) * count
        if len(given) != count:
            words = {2: "two", 4: "four"}[count]
            raise ValueError(
                f"{name}: padding must be an integer or a tuple of {words}, got {given!r}"
            )
        self.padding = tuple(integer(name, "padding", n, -(1 << 62)) for n in given)

    def forward(self, input: ArrayInput) -> Array:
        return pad(input, self.padding, self._mode)

    def extra_repr(self) -> str:
        return f"{self.padding}"


class _ConstantPad(_Pad):
    _mode = "constant"

    def __init__(self, padding: int | tuple[int, ...], value: float) -> None:
        super().__init__(padding)
        self.value = value

    def forward(self, input: ArrayInput) -> Array:
        return pad(input, self.padding, "constant", self.value)

    def extra_repr(self) -> str:
        return f"padding={self.padding}, value={self.value}"


class ConstantPad1d(Streamed, _ConstantPad):
    """(*, L) to (*, before + L + after), `value` around; negative numbers cut.

    padding is a number for both sides or (before, after). Follows torch.nn.ConstantPad1d.
    """

    _padded = 1

    def _stream(self, input: Any, state: Any, last: bool, *fusion: Any) -> tuple[Array, Any]:
        name, text = f"{self._get_name()}.stream", f"{self._get_name()}({self.extra_repr()})"
        if min(self.padding) < 0:
            raise NotImplementedError(f"{name}(): padding={self.padding}, which cuts")
        x = float32(input, name)
        if x.ndim not in (2, 3):
            raise ValueError(
                f"{name}(): argument 'input' must have shape (batch, channels, length) or "
                f"(channels, length), got {x.shape}"
            )
        before = self.padding[0] if state is None else 0
        if state is None:
            state = ConvState(text, np.zeros((*x.shape[:-1], 0), np.float32))
        else:
            check_continues(name, text, state, x.shape)
        y = pad(x, (before, self.padding[1] if last else 0), "constant", self.value)
        return y, None if last else ConvState(text, state.past, state.inputs + x.shape[-1])


class ZeroPad1d(ConstantPad1d):
    """(*, L) to (*, before + L + after), zeros around; negative numbers cut.

    padding is a number for both sides or (before, after). Follows torch.nn.ZeroPad1d.
    """

    def __init__(self, padding: int | tuple[int, int]) -> None:
        super().__init__(padding, 0.0)

    def extra_repr(self) -> str:
        return f"{self.padding}"


class ConstantPad2d(_ConstantPad):
    """(*, H, W) with `value` around: padding is a number or (left, right, top, bottom).

    Negative numbers cut. Follows torch.nn.ConstantPad2d.
    """

    _padded = 2


class ZeroPad2d(ConstantPad2d):
    """(*, H, W) with zeros around, as ConstantPad2d. Follows torch.nn.ZeroPad2d."""

    def __init__(self, padding: int | tuple[int, int, int, int]) -> None:
        super().__init__(padding, 0.0)

    def extra_repr(self) -> str:
        return f"{self.padding}"


class ReflectionPad1d(_Pad):
    """(N, C, L) or (C, L) with mirrored ends, without the edge. Follows torch.nn.ReflectionPad1d.

    padding is a number for both sides or (before, after), each less than L.
    """

    _mode, _padded = "reflect", 1


class ReflectionPad2d(_Pad):
    """(N, C, H, W) or (C, H, W) with mirrored borders. Follows torch.nn.ReflectionPad2d.

    padding is a number or (left, right, top, bottom), each less than the size there.
    """

    _mode, _padded = "reflect", 2


class ReplicationPad1d(_Pad):
    """(N, C, L) or (C, L) with the ends repeated. Follows torch.nn.ReplicationPad1d.

    padding is a number for both sides or (before, after).
    """

    _mode, _padded = "replicate", 1


class ReplicationPad2d(_Pad):
    """(N, C, H, W) or (C, H, W) with the borders repeated. Follows torch.nn.ReplicationPad2d.

    padding is a number or (left, right, top, bottom).
    """

    _mode, _padded = "replicate", 2


class _CircularPad(_Pad):
    _mode = "circular"

    def forward(self, input: ArrayInput) -> Array:
        dims, least = len(shape_of(input)), self._padded + 1
        if dims not in (least, least + 1):
            raise ValueError(f"expected {least}D or {least + 1}D input (got {dims}D input)")
        return super().forward(input)


class CircularPad1d(_CircularPad):
    """(N, C, L) or (C, L) gone round at both ends. Follows torch.nn.CircularPad1d.

    padding is a number for both sides or (before, after), each at most L.
    """

    _padded = 1


class CircularPad2d(_CircularPad):
    """(N, C, H, W) or (C, H, W) gone round in both directions. Follows torch.nn.CircularPad2d.

    padding is a number or (left, right, top, bottom), each at most the size there.
    """

    _padded = 2
