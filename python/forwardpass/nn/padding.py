"""ConstantPad1d and ZeroPad1d, which also pad a signal that comes in chunks."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

import numpy as np

from ._checks import integer
from ._layer import Layer
from .functional import pad
from .functional._shape import float32
from .streaming import ConvState, Streamed, check_continues

if TYPE_CHECKING:
    from ._typing import Array, ArrayInput


class ConstantPad1d(Streamed, Layer):
    """(*, L) to (*, before + L + after), `value` around; negative numbers cut.

    padding is a number for both sides or (before, after). Follows torch.nn.ConstantPad1d.
    """

    def __init__(self, padding: int | tuple[int, int], value: float) -> None:
        super().__init__()
        both = padding if isinstance(padding, (tuple, list)) else (padding, padding)
        name = self._get_name()
        if len(both) != 2:
            raise ValueError(f"{name}: padding must be an integer or a tuple of two, got {both!r}")
        before, after = (integer(name, "padding", n, -(1 << 62)) for n in both)
        self.padding = (before, after)
        self.value = value

    def forward(self, input: ArrayInput) -> Array:
        return pad(input, self.padding, "constant", self.value)

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

    def extra_repr(self) -> str:
        return f"padding={self.padding}, value={self.value}"


class ZeroPad1d(ConstantPad1d):
    """(*, L) to (*, before + L + after), zeros around; negative numbers cut.

    padding is a number for both sides or (before, after). Follows torch.nn.ZeroPad1d.
    """

    def __init__(self, padding: int | tuple[int, int]) -> None:
        super().__init__(padding, 0.0)

    def extra_repr(self) -> str:
        return f"{self.padding}"
