"""Linear, Bilinear and Identity."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any, ClassVar

from forwardpass import _core

from . import init
from ._checks import integer, require_cpu, require_float32
from ._layer import Layer, PackedLayer
from .functional import bilinear
from .parameter import Parameter

if TYPE_CHECKING:
    from ._typing import Array, ArrayInput


class Identity(Layer):
    """Returns its input. Takes any arguments and ignores them, as torch.nn.Identity does."""

    def __init__(self, *args: Any, **kwargs: Any) -> None:
        super().__init__()

    def forward(self, input: Any) -> Any:
        return input


class Linear(PackedLayer, calls_pack=True):
    """input @ weight.T + bias: (*, in_features) to (*, out_features).

    weight (out_features, in_features) and bias (out_features,) start as
    U(-1/sqrt(in_features), 1/sqrt(in_features)). Follows torch.nn.Linear.
    """

    weight: Array
    bias: Array | None
    _structural: ClassVar[frozenset[str]] = Layer._structural | {"weight", "bias"}

    def __init__(
        self,
        in_features: int,
        out_features: int,
        bias: bool = True,
        device: Any = None,
        dtype: Any = None,
    ) -> None:
        super().__init__()
        self.in_features = integer("Linear", "in_features", in_features, 0)
        self.out_features = integer("Linear", "out_features", out_features, 0)
        require_cpu("Linear", device)
        require_float32("Linear", dtype)
        bound = init.fan_in_bound(self.in_features)
        shape = (self.out_features, self.in_features)
        self.register_parameter("weight", Parameter.drawn(init.uniform, shape, bound))
        self.register_parameter(
            "bias", Parameter.drawn(init.uniform, shape[:1], bound) if bias else None
        )

    def _build_pack(self) -> _core.PackedLinear:
        return _core.PackedLinear(self.weight, self.bias)

    def forward(self, input: ArrayInput) -> Array:
        pack: _core.PackedLinear | None = self._pack
        if pack is None:
            pack = self._make_pack()
        return pack(input)

    def extra_repr(self) -> str:
        return (
            f"in_features={self.in_features}, out_features={self.out_features}, "
            f"bias={self._given('bias')}"
        )


class Bilinear(Layer):
    """y[o] = sum over i, j of input1[i] * weight[o, i, j] * input2[j], + bias[o].

    input1 (*, in1_features), input2 (*, in2_features) to (*, out_features). weight (O, I, J) and
    bias (O,) start as U(-1/sqrt(I), 1/sqrt(I)). Follows torch.nn.Bilinear.
    """

    weight: Array
    bias: Array | None

    def __init__(
        self,
        in1_features: int,
        in2_features: int,
        out_features: int,
        bias: bool = True,
        device: Any = None,
        dtype: Any = None,
    ) -> None:
        super().__init__()
        self.in1_features = integer("Bilinear", "in1_features", in1_features, 1)
        self.in2_features = integer("Bilinear", "in2_features", in2_features, 0)
        self.out_features = integer("Bilinear", "out_features", out_features, 0)
        require_cpu("Bilinear", device)
        require_float32("Bilinear", dtype)
        bound = init.fan_in_bound(self.in1_features)
        shape = (self.out_features, self.in1_features, self.in2_features)
        self.register_parameter("weight", Parameter.drawn(init.uniform, shape, bound))
        self.register_parameter(
            "bias", Parameter.drawn(init.uniform, shape[:1], bound) if bias else None
        )

    def forward(self, input1: ArrayInput, input2: ArrayInput) -> Array:
        return bilinear(input1, input2, self.weight, self.bias)

    def extra_repr(self) -> str:
        return (
            f"in1_features={self.in1_features}, in2_features={self.in2_features}, "
            f"out_features={self.out_features}, bias={self._given('bias')}"
        )
