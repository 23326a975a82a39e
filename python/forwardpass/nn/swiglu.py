"""SwiGLU, the gated block of Llama and its relatives."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any, ClassVar

from forwardpass import _core

from ._checks import integer
from ._stacked import StackingLayer
from .linear import Linear

if TYPE_CHECKING:
    from collections.abc import Sequence

    from ._typing import Array, ArrayInput

_swiglu = _core.swiglu
_swiglu_halves = _core._swiglu_halves


class SwiGLU(StackingLayer):
    """down_proj(silu(gate_proj(x)) * up_proj(x)): (*, dim) to (*, dim), inside (*, hidden).

    gate_proj and up_proj are Linear(dim, hidden), down_proj is Linear(hidden, dim), as in Llama's
    checkpoints; torch.nn has no such layer. gate_proj and up_proj run as one product, unless
    hidden is at most 32, or one of them has a hook, is of a subclass or has its forward replaced.
    The result has the same bits.
    """

    gate_proj: Any
    up_proj: Any
    down_proj: Any
    _stacking: ClassVar[tuple[str, ...]] = ("gate_proj", "up_proj")

    def __init__(
        self, dim: int, hidden: int, bias: bool = False, device: Any = None, dtype: Any = None
    ) -> None:
        super().__init__()
        dim, hidden = integer("SwiGLU", "dim", dim, 0), integer("SwiGLU", "hidden", hidden, 0)
        self.gate_proj = Linear(dim, hidden, bias, device, dtype)
        self.up_proj = Linear(dim, hidden, bias, device, dtype)
        self.down_proj = Linear(hidden, dim, bias, device, dtype)

    def forward(self, input: ArrayInput) -> Array:
        return self._added(input, None)

    def _added(self, input: ArrayInput, residual: Array | None) -> Array:
        """The result, plus `residual` unless that is None."""
        stacked = self._current()
        if stacked is None:
            inner = _swiglu(self.gate_proj(input), self.up_proj(input), None)
        elif stacked.in_order:
            inner = _swiglu_halves(stacked.pack(input))
        else:
            gate, up = stacked.parts
            both = stacked.pack(input)
            inner = _swiglu(both[..., gate.rows], both[..., up.rows], None)
        return self._last_product("down_proj", inner, residual)  # type: ignore[no-any-return]

    def _stackable(self, children: Sequence[Linear]) -> bool:
        """As many gates as values; else the product of the two says what is wrong."""
        gate, up = (child._parameters.get("weight") for child in children)
        same = gate is not None and up is not None and gate.shape == up.shape
        return same and super()._stackable(children)
