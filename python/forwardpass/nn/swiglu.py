"""SwiGLU, the gated block of Llama and its relatives."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any, ClassVar, NamedTuple

import numpy as np

from forwardpass import _core

from ._checks import integer
from ._layer import Layer
from ._structure import EPOCH
from .containers import Children, plain
from .linear import Linear
from .parameter import LOCK

if TYPE_CHECKING:
    from ._typing import Array, ArrayInput

_swiglu = _core.swiglu
_swiglu_halves = _core._swiglu_halves

# Up to this many outputs the number of chains of a product depends on the weight's shape
# (docs/numerics.md, linear), so that a stacked weight would give other bits than its halves.
_CHAINED = 32


class _Half:
    """The rows of one child in the stacked pack; in the place of the child's own pack.

    A child that is called on its own runs the stacked product and takes its half, so that its
    weight is held once. A child whose weight or bias changes drops it as it would its own pack,
    which is how SwiGLU sees the change.
    """

    __slots__ = ("rows", "stacked")

    def __init__(self, stacked: _core.PackedLinear, rows: slice) -> None:
        self.stacked, self.rows = stacked, rows

    def __call__(self, input: Any, activation: Any = None, negative_slope: Any = 0.01) -> Array:
        both = self.stacked(input, activation, negative_slope)
        return np.ascontiguousarray(both[..., self.rows])

    def weight(self) -> Array:
        return self.stacked.weight()[self.rows].copy()


class _Stacked(NamedTuple):
    """Both weights packed as one, and which rows are whose."""

    pack: _core.PackedLinear
    gate: _Half
    up: _Half


class SwiGLU(Layer):
    """down_proj(silu(gate_proj(x)) * up_proj(x)): (*, dim) to (*, dim), inside (*, hidden).

    gate_proj and up_proj are Linear(dim, hidden), down_proj is Linear(hidden, dim), as in Llama's
    checkpoints; torch.nn has no such layer. gate_proj and up_proj run as one product, unless
    hidden is at most 32, or one of them has a hook, is of a subclass or has its forward replaced.
    The result has the same bits.
    """

    gate_proj: Any
    up_proj: Any
    down_proj: Any
    # (epoch, whether gate_proj and up_proj may run as one)
    _plan: tuple[int, bool] = (-1, False)
    _transient: ClassVar[tuple[str, ...]] = (*Layer._transient, "_plan")
    _structural: ClassVar[frozenset[str]] = Layer._structural | {"_modules"}

    def __init__(
        self, dim: int, hidden: int, bias: bool = False, device: Any = None, dtype: Any = None
    ) -> None:
        super().__init__()
        self.__dict__["_modules"] = Children()
        dim, hidden = integer("SwiGLU", "dim", dim, 0), integer("SwiGLU", "hidden", hidden, 0)
        self.gate_proj = Linear(dim, hidden, bias, device, dtype)
        self.up_proj = Linear(dim, hidden, bias, device, dtype)
        self.down_proj = Linear(hidden, dim, bias, device, dtype)

    def forward(self, input: ArrayInput) -> Array:
        epoch, fused = self._plan
        if epoch != EPOCH[0]:
            fused = self._make_plan()
        stacked = self._stacked() if fused else None
        if stacked is None:
            inner = _swiglu(self.gate_proj(input), self.up_proj(input), None)
        elif stacked.gate.rows.start == 0:
            inner = _swiglu_halves(stacked.pack(input))
        else:  # the children have traded places since their weights were stacked
            both = stacked.pack(input)
            inner = _swiglu(both[..., stacked.gate.rows], both[..., stacked.up.rows], None)
        down: Any = self._modules["down_proj"]
        return down(inner)  # type: ignore[no-any-return]

    def _make_plan(self) -> bool:
        epoch = EPOCH[0]  # read first: a change during what follows makes the plan old
        gate, up = self._modules.get("gate_proj"), self._modules.get("up_proj")
        fused = gate is not up and plain(gate, (Linear,)) and plain(up, (Linear,))
        if not fused:
            self._separate()
        self.__dict__["_plan"] = (epoch, fused)
        return fused

    def _separate(self) -> None:
        """Let the children pack for themselves again: someone watches one of them."""
        with LOCK:
            for child in self._modules.values():
                if child is not None and self._is_ours(child._pack):
                    child._changed()
            self.__dict__["_pack"] = None

    def _is_ours(self, half: Any) -> bool:
        stacked: _Stacked | None = self._pack
        return stacked is not None and (half is stacked.gate or half is stacked.up)

    def _stacked(self) -> _Stacked | None:
        """The pack of both weights as they are now, or None if they cannot be stacked."""
        children: Any = self._modules  # not by attribute, which for children is the slow way
        gate, up = children["gate_proj"], children["up_proj"]
        stacked: _Stacked | None = self._pack
        if stacked is not None and gate._pack is stacked.gate and up._pack is stacked.up:
            return stacked
        return self._make_pack(gate, up) if _stackable(gate, up) else None

    def _make_pack(self, gate: Linear, up: Linear) -> _Stacked | None:
        with LOCK:
            halves = [pack for pack in (gate._pack, up._pack) if isinstance(pack, _Half)]
            if len(halves) == 2 and halves[0].stacked is halves[1].stacked:
                # Made by another thread, or by another SwiGLU that has these children too.
                stacked = _Stacked(halves[0].stacked, *halves)
            elif all(map(self._is_ours, halves)):
                stacked = _stack(gate, up)
            else:
                return None  # one child is in another SwiGLU too: it holds that one's half
            self.__dict__["_pack"] = stacked
        return stacked


def _stackable(gate: Linear, up: Linear) -> bool:
    """Whether one product with both weights has the bits of two."""
    first, second = gate._parameters.get("weight"), up._parameters.get("weight")
    return (
        first is not None
        and second is not None
        and first.shape == second.shape
        and first.ndim == 2
        and first.shape[0] > _CHAINED
        and gate._given("bias") == up._given("bias")
        and all(child.bias is None or child.bias.shape == first.shape[:1] for child in (gate, up))
    )


def _stack(gate: Linear, up: Linear) -> _Stacked:
    """Pack both; the children keep halves of the pack, and no arrays. Under the lock."""
    rows = gate.weight.shape[0]
    weight = np.concatenate([gate.weight, up.weight])
    bias = None if gate.bias is None or up.bias is None else np.concatenate([gate.bias, up.bias])
    pack = _core.PackedLinear(weight, bias)
    halves = _Half(pack, slice(0, rows)), _Half(pack, slice(rows, 2 * rows))
    for child, half in zip((gate, up), halves, strict=True):
        child._changed()  # drops what was made from the pack before
        child.__dict__["_pack"] = half
        child.get_parameter("weight")._release(half.weight)
    return _Stacked(pack, *halves)
