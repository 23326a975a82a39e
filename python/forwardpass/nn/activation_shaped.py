"""Activations with parameters of their own, and Softmax, which runs over a dimension."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

from forwardpass import _core

from . import init
from ._checks import integer, require_cpu, require_float32
from ._layer import Layer
from .activation import Activation
from .functional import log_softmax, softmax
from .parameter import Parameter

if TYPE_CHECKING:
    from ._typing import Array, ArrayInput

_elu = _core.elu
_glu = _core.glu
_hardtanh = _core.hardtanh
_prelu = _core.prelu
_relu6 = _core.relu6
_softplus = _core.softplus


class ELU(Layer):
    """input where positive, else alpha * (exp(input) - 1). Follows torch.nn.ELU."""

    def __init__(self, alpha: float = 1.0, inplace: bool = False) -> None:
        super().__init__()
        self.alpha = alpha
        self.inplace = inplace

    def forward(self, input: ArrayInput) -> Array:
        return _elu(input, self.alpha, None)

    def extra_repr(self) -> str:
        return f"alpha={self.alpha}{', inplace=True' if self.inplace else ''}"


class Hardtanh(Layer):
    """min(max(input, min_val), max_val). Follows torch.nn.Hardtanh.

    `min_value` and `max_value` are torch's deprecated names of the bounds.
    """

    def __init__(
        self,
        min_val: float = -1.0,
        max_val: float = 1.0,
        inplace: bool = False,
        min_value: float | None = None,
        max_value: float | None = None,
    ) -> None:
        super().__init__()
        self.min_val = min_val if min_value is None else min_value
        self.max_val = max_val if max_value is None else max_value
        self.inplace = inplace
        if not self.max_val > self.min_val:
            raise ValueError(
                f"Hardtanh: max_val must be above min_val, got {self.min_val} and {self.max_val}"
            )

    def forward(self, input: ArrayInput) -> Array:
        return _hardtanh(input, self.min_val, self.max_val, None)

    def extra_repr(self) -> str:
        text = f"min_val={self.min_val}, max_val={self.max_val}"
        return text + (", inplace=True" if self.inplace else "")


class ReLU6(Activation, Hardtanh):
    """min(max(input, 0), 6). Follows torch.nn.ReLU6."""

    def __init__(self, inplace: bool = False) -> None:
        super().__init__(0.0, 6.0, inplace)

    def forward(self, input: ArrayInput) -> Array:
        return _relu6(input, None)

    def fused(self) -> tuple[str, float]:
        return "relu6", 0.01

    def extra_repr(self) -> str:
        return "inplace=True" if self.inplace else ""


class Softplus(Layer):
    """log(1 + exp(beta * input)) / beta; input where beta * input > threshold.

    Follows torch.nn.Softplus.
    """

    def __init__(self, beta: float = 1.0, threshold: float = 20.0) -> None:
        super().__init__()
        self.beta = beta
        self.threshold = threshold

    def forward(self, input: ArrayInput) -> Array:
        return _softplus(input, self.beta, self.threshold, None)

    def extra_repr(self) -> str:
        return f"beta={self.beta}, threshold={self.threshold}"


class GLU(Layer):
    """a * sigmoid(b), a and b the halves of dimension `dim`. Follows torch.nn.GLU."""

    def __init__(self, dim: int = -1) -> None:
        super().__init__()
        self.dim = dim

    def forward(self, input: ArrayInput) -> Array:
        return _glu(input, self.dim, None)

    def extra_repr(self) -> str:
        return f"dim={self.dim}"


class PReLU(Layer):
    """input where positive, else weight * input, one weight for all or one for each channel.

    weight (num_parameters,) starts as `init`; channels are dimension 1. Follows torch.nn.PReLU.
    """

    weight: Array

    def __init__(
        self, num_parameters: int = 1, init: float = 0.25, device: Any = None, dtype: Any = None
    ) -> None:
        super().__init__()
        self.num_parameters = integer("PReLU", "num_parameters", num_parameters, 0)
        self.init = init
        require_cpu("PReLU", device)
        require_float32("PReLU", dtype)
        self.register_parameter("weight", _filled((self.num_parameters,), init))

    def forward(self, input: ArrayInput) -> Array:
        return _prelu(input, self.weight, None)

    def extra_repr(self) -> str:
        return f"num_parameters={self.num_parameters}"


def _filled(shape: tuple[int, ...], value: float) -> Parameter:
    return Parameter.drawn(init.constant, shape, value)


class Softmax(Layer):
    """exp(input - max) / sum(exp(input - max)) along `dim`. Follows torch.nn.Softmax.

    dim None is torch's choice: 0 for inputs of 0, 1 or 3 dimensions, else 1; without its warning.
    """

    def __init__(self, dim: int | None = None) -> None:
        super().__init__()
        self.dim = dim

    def forward(self, input: ArrayInput) -> Array:
        return softmax(input, self.dim)

    def extra_repr(self) -> str:
        return f"dim={self.dim}"


class LogSoftmax(Softmax):
    """input - max - log(sum(exp(input - max))) along `dim`. Follows torch.nn.LogSoftmax.

    dim None as in Softmax.
    """

    def forward(self, input: ArrayInput) -> Array:
        return log_softmax(input, self.dim)
