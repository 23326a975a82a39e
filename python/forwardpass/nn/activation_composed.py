"""Layers of the activations in functional/_composed.py, which are made of others."""

from __future__ import annotations

from typing import TYPE_CHECKING

from . import functional as F
from ._layer import Layer
from .activation_shaped import Softmax
from .functional._shape import shape

if TYPE_CHECKING:
    from ._typing import Array, ArrayInput


class SELU(Layer):
    """scale * elu(input, alpha), constants of self-normalising nets. Follows torch.nn.SELU."""

    def __init__(self, inplace: bool = False) -> None:
        super().__init__()
        self.inplace = inplace

    def forward(self, input: ArrayInput) -> Array:
        return F.selu(input)

    def extra_repr(self) -> str:
        return "inplace=True" if self.inplace else ""


class CELU(Layer):
    """input where positive, else alpha * (exp(input / alpha) - 1). Follows torch.nn.CELU."""

    def __init__(self, alpha: float = 1.0, inplace: bool = False) -> None:
        super().__init__()
        self.alpha = alpha
        self.inplace = inplace

    def forward(self, input: ArrayInput) -> Array:
        return F.celu(input, self.alpha)

    def extra_repr(self) -> str:
        return f"alpha={self.alpha}{', inplace=True' if self.inplace else ''}"


class LogSigmoid(Layer):
    """log(1 / (1 + exp(-input))). Follows torch.nn.LogSigmoid."""

    def forward(self, input: ArrayInput) -> Array:
        return F.logsigmoid(input)


class Softsign(Layer):
    """input / (1 + |input|). Follows torch.nn.Softsign."""

    def forward(self, input: ArrayInput) -> Array:
        return F.softsign(input)


class Tanhshrink(Layer):
    """input - tanh(input). Follows torch.nn.Tanhshrink."""

    def forward(self, input: ArrayInput) -> Array:
        return F.tanhshrink(input)


class Hardshrink(Layer):
    """0 where -lambd <= input <= lambd, else input. Follows torch.nn.Hardshrink."""

    def __init__(self, lambd: float = 0.5) -> None:
        super().__init__()
        self.lambd = lambd

    def forward(self, input: ArrayInput) -> Array:
        return F.hardshrink(input, self.lambd)

    def extra_repr(self) -> str:
        return f"{self.lambd}"


class Softshrink(Layer):
    """input moved towards 0 by lambd, as far as 0. Follows torch.nn.Softshrink."""

    def __init__(self, lambd: float = 0.5) -> None:
        super().__init__()
        self.lambd = lambd

    def forward(self, input: ArrayInput) -> Array:
        return F.softshrink(input, self.lambd)

    def extra_repr(self) -> str:
        return f"{self.lambd}"


class Threshold(Layer):
    """input where above `threshold`, else `value`. Follows torch.nn.Threshold."""

    def __init__(self, threshold: float, value: float, inplace: bool = False) -> None:
        super().__init__()
        self.threshold = threshold
        self.value = value
        self.inplace = inplace

    def forward(self, input: ArrayInput) -> Array:
        return F.threshold(input, self.threshold, self.value)

    def extra_repr(self) -> str:
        text = f"threshold={self.threshold}, value={self.value}"
        return text + (", inplace=True" if self.inplace else "")


class RReLU(Layer):
    """input where positive, else (lower + upper) / 2 * input, as torch.nn.RReLU after eval()."""

    def __init__(
        self, lower: float = 1.0 / 8, upper: float = 1.0 / 3, inplace: bool = False
    ) -> None:
        super().__init__()
        self.lower = lower
        self.upper = upper
        self.inplace = inplace

    def forward(self, input: ArrayInput) -> Array:
        return F.rrelu(input, self.lower, self.upper)

    def extra_repr(self) -> str:
        text = f"lower={self.lower}, upper={self.upper}"
        return text + (", inplace=True" if self.inplace else "")


# What knows one number alone, and so runs on any cut of a signal (streaming.py).
POINTWISE = (
    SELU,
    CELU,
    LogSigmoid,
    Softsign,
    Tanhshrink,
    Hardshrink,
    Softshrink,
    Threshold,
    RReLU,
)


class Softmin(Softmax):
    """softmax(-input) along `dim`, None as in Softmax. Follows torch.nn.Softmin."""

    def forward(self, input: ArrayInput) -> Array:
        return F.softmin(input, self.dim)


class Softmax2d(Layer):
    """softmax over the channels of (N, C, H, W) or (C, H, W). Follows torch.nn.Softmax2d."""

    def forward(self, input: ArrayInput) -> Array:
        dims = len(shape(input))
        if dims not in (3, 4):
            raise ValueError(f"Softmax2d: expected input to be 3D or 4D, got {dims}D instead")
        return F.softmax(input, -3)
