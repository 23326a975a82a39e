"""Element-wise activations that a layer's epilogue can apply.

`fused()` of an activation names it for the epilogue of the layer in front (containers.py).
"""

from __future__ import annotations

from typing import TYPE_CHECKING, ClassVar

from forwardpass import _core

from ._layer import Layer

if TYPE_CHECKING:
    from ._typing import Array, ArrayInput

_gelu = _core.gelu
_hardsigmoid = _core.hardsigmoid
_hardswish = _core.hardswish
_leaky_relu = _core.leaky_relu
_mish = _core.mish
_relu = _core.relu
_sigmoid = _core.sigmoid
_silu = _core.silu
_tanh = _core.tanh


class Activation(Layer):
    """An element-wise function that a layer's epilogue can apply."""

    def fused(self) -> tuple[str, float]:
        """The epilogue's name of this function, and its slope (used by leaky_relu alone)."""
        raise NotImplementedError


class ReLU(Activation):
    """max(input, 0); NaN stays NaN. Follows torch.nn.ReLU."""

    def __init__(self, inplace: bool = False) -> None:
        super().__init__()
        self.inplace = inplace

    def forward(self, input: ArrayInput) -> Array:
        return _relu(input, None)

    def fused(self) -> tuple[str, float]:
        return "relu", 0.01

    def extra_repr(self) -> str:
        return "inplace=True" if self.inplace else ""


class LeakyReLU(Activation):
    """input where positive, else negative_slope * input. Follows torch.nn.LeakyReLU."""

    _structural: ClassVar[frozenset[str]] = Layer._structural | {"negative_slope"}

    def __init__(self, negative_slope: float = 0.01, inplace: bool = False) -> None:
        super().__init__()
        self.negative_slope = negative_slope
        self.inplace = inplace

    def forward(self, input: ArrayInput) -> Array:
        return _leaky_relu(input, self.negative_slope, None)

    def fused(self) -> tuple[str, float]:
        return "leaky_relu", self.negative_slope

    def extra_repr(self) -> str:
        return f"negative_slope={self.negative_slope}{', inplace=True' if self.inplace else ''}"


class GELU(Activation):
    """input * Phi(input), or its approximation by tanh. Follows torch.nn.GELU."""

    _structural: ClassVar[frozenset[str]] = Layer._structural | {"approximate"}

    def __init__(self, approximate: str = "none") -> None:
        super().__init__()
        if approximate not in ("none", "tanh"):
            raise ValueError("approximate argument must be either none or tanh.")
        self.approximate = approximate

    def forward(self, input: ArrayInput) -> Array:
        return _gelu(input, self.approximate, None)

    def fused(self) -> tuple[str, float]:
        return "gelu" if self.approximate == "none" else "gelu_tanh", 0.01

    def extra_repr(self) -> str:
        return f"approximate={self.approximate!r}"


class SiLU(Activation):
    """input * sigmoid(input). Follows torch.nn.SiLU."""

    def __init__(self, inplace: bool = False) -> None:
        super().__init__()
        self.inplace = inplace

    def forward(self, input: ArrayInput) -> Array:
        return _silu(input, None)

    def fused(self) -> tuple[str, float]:
        return "silu", 0.01

    def extra_repr(self) -> str:
        return "inplace=True" if self.inplace else ""


class Sigmoid(Activation):
    """1 / (1 + exp(-input)). Follows torch.nn.Sigmoid."""

    def forward(self, input: ArrayInput) -> Array:
        return _sigmoid(input, None)

    def fused(self) -> tuple[str, float]:
        return "sigmoid", 0.01


class Tanh(Activation):
    """The hyperbolic tangent. Follows torch.nn.Tanh."""

    def forward(self, input: ArrayInput) -> Array:
        return _tanh(input, None)

    def fused(self) -> tuple[str, float]:
        return "tanh", 0.01


class Hardsigmoid(Activation):
    """min(max(input + 3, 0), 6) / 6. Follows torch.nn.Hardsigmoid."""

    def __init__(self, inplace: bool = False) -> None:
        super().__init__()
        self.inplace = inplace

    def forward(self, input: ArrayInput) -> Array:
        return _hardsigmoid(input, None)

    def fused(self) -> tuple[str, float]:
        return "hardsigmoid", 0.01


class Hardswish(Activation):
    """input * hardsigmoid(input). Follows torch.nn.Hardswish."""

    def __init__(self, inplace: bool = False) -> None:
        super().__init__()
        self.inplace = inplace

    def forward(self, input: ArrayInput) -> Array:
        return _hardswish(input, None)

    def fused(self) -> tuple[str, float]:
        return "hardswish", 0.01


class Mish(Activation):
    """input * tanh(softplus(input)). Follows torch.nn.Mish."""

    def __init__(self, inplace: bool = False) -> None:
        super().__init__()
        self.inplace = inplace

    def forward(self, input: ArrayInput) -> Array:
        return _mish(input, None)

    def fused(self) -> tuple[str, float]:
        return "mish", 0.01

    def extra_repr(self) -> str:
        return "inplace=True" if self.inplace else ""
