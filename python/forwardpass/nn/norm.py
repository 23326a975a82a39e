"""RMSNorm and LayerNorm."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any, ClassVar

from forwardpass import _core

from . import init
from ._checks import require_cpu, require_float32, shape
from ._layer import Layer
from .parameter import LOCK, Parameter

if TYPE_CHECKING:
    from collections.abc import Sequence

    from ._typing import Array, ArrayInput

_rms_norm = _core.rms_norm
_layer_norm = _core.layer_norm


class _Norm(Layer):
    """Keeps (weight, bias) as `_pack`, to spare every call the two look-ups."""

    _structural: ClassVar[frozenset[str]] = Layer._structural | {
        "weight",
        "bias",
        "eps",
        "normalized_shape",
    }

    def _make_pack(self) -> tuple[Array | None, Array | None]:
        with LOCK:
            pack: tuple[Array | None, Array | None] = (self.weight, getattr(self, "bias", None))
            self.__dict__["_pack"] = pack
        return pack


class RMSNorm(_Norm):
    """input / sqrt(mean(input**2) + eps) * weight over the trailing dimensions `normalized_shape`.

    eps None is float32's machine epsilon. weight starts as ones; without `elementwise_affine`
    there is none. Follows torch.nn.RMSNorm.
    """

    weight: Array | None

    def __init__(
        self,
        normalized_shape: int | Sequence[int],
        eps: float | None = None,
        elementwise_affine: bool = True,
        device: Any = None,
        dtype: Any = None,
    ) -> None:
        super().__init__()
        self.normalized_shape = shape("RMSNorm", "normalized_shape", normalized_shape)
        self.eps = eps
        self.elementwise_affine = elementwise_affine
        require_cpu("RMSNorm", device)
        require_float32("RMSNorm", dtype)
        ones = Parameter.drawn(init.constant, self.normalized_shape, 1.0)
        self.register_parameter("weight", ones if elementwise_affine else None)

    def forward(self, x: ArrayInput) -> Array:
        pack = self._pack
        if pack is None:
            pack = self._make_pack()
        return _rms_norm(x, self.normalized_shape, pack[0], self.eps, None)

    def extra_repr(self) -> str:
        return (
            f"{self.normalized_shape}, eps={self.eps}, elementwise_affine={self.elementwise_affine}"
        )


class LayerNorm(_Norm):
    """(input - mean) / sqrt(var + eps) * weight + bias over the trailing `normalized_shape`.

    weight starts as ones, bias as zeros; without `elementwise_affine` there is neither. Follows
    torch.nn.LayerNorm.
    """

    weight: Array | None
    bias: Array | None

    def __init__(
        self,
        normalized_shape: int | Sequence[int],
        eps: float = 1e-5,
        elementwise_affine: bool = True,
        bias: bool = True,
        device: Any = None,
        dtype: Any = None,
    ) -> None:
        super().__init__()
        self.normalized_shape = shape("LayerNorm", "normalized_shape", normalized_shape)
        self.eps = eps
        self.elementwise_affine = elementwise_affine
        require_cpu("LayerNorm", device)
        require_float32("LayerNorm", dtype)
        for name, value, present in (("weight", 1.0, True), ("bias", 0.0, bias)):
            start = Parameter.drawn(init.constant, self.normalized_shape, value)
            self.register_parameter(name, start if elementwise_affine and present else None)

    def forward(self, input: ArrayInput) -> Array:
        pack = self._pack
        if pack is None:
            pack = self._make_pack()
        return _layer_norm(input, self.normalized_shape, pack[0], pack[1], self.eps, None)

    def extra_repr(self) -> str:
        return (
            f"{self.normalized_shape}, eps={self.eps}, "
            f"elementwise_affine={self.elementwise_affine}, "
            f"bias={self._given('bias')}"
        )
