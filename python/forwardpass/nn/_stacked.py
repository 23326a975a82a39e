"""Linear children of one input whose weights are packed as one, and run as one product."""

from __future__ import annotations

from itertools import pairwise
from typing import TYPE_CHECKING, Any, ClassVar, NamedTuple

import numpy as np

from forwardpass import _core

from ._children import Children, plain
from ._layer import Layer
from ._structure import EPOCH, touch
from .linear import Linear
from .parameter import LOCK

if TYPE_CHECKING:
    from collections.abc import Sequence

# Up to this many outputs the number of chains of a product depends on the weight's shape
# (docs/numerics.md, linear), so that a stacked weight would give other bits than its parts.
CHAINED = 32


class Part:
    """The rows of one child in the stacked pack; in the place of the child's own pack.

    A child that is called on its own runs the stacked product and takes its part, so that its
    weight is held once. A child whose weight or bias changes drops it as it would its own pack,
    which is how the parent sees the change.
    """

    __slots__ = ("rows", "stacked")

    def __init__(self, stacked: _core.PackedLinear, rows: slice) -> None:
        self.stacked, self.rows = stacked, rows

    def __call__(
        self,
        input: Any,
        activation: Any = None,
        negative_slope: Any = 0.01,
        residual: Any = None,
    ) -> Any:
        both = self.stacked(input, activation, negative_slope)
        own = np.ascontiguousarray(both[..., self.rows])
        if residual is not None:
            with np.errstate(all="ignore"):
                own += residual
        return own

    def weight(self) -> Any:
        return self.stacked.weight()[self.rows].copy()


class Stacked(NamedTuple):
    """The weights packed as one, and which rows are whose."""

    pack: _core.PackedLinear
    parts: tuple[Part, ...]
    in_order: bool  # the children have not traded places since their weights were stacked


class StackingLayer(Layer):
    """A layer some of whose children, named by `_stacking`, are Linear and get the same input."""

    _stacking: ClassVar[tuple[str, ...]]
    # (epoch, the children that may run as one or None, names of the plain Linear children)
    _plan: tuple[int, tuple[Any, ...] | None, frozenset[str]] = (-1, None, frozenset())
    _transient: ClassVar[tuple[str, ...]] = (*Layer._transient, "_plan")
    _structural: ClassVar[frozenset[str]] = Layer._structural | {"_modules"}

    def __init__(self) -> None:
        super().__init__()
        self.__dict__["_modules"] = Children()

    def _current(self) -> Stacked | None:
        """The pack of all as they are now, or None where each is to be called on its own."""
        plan = self._plan
        if plan[0] != EPOCH[0]:
            plan = self._make_plan()
        children = plan[1]
        if children is None:
            return None
        stacked: Stacked | None = self._pack
        if stacked is not None:
            for child, part in zip(children, stacked.parts):  # noqa: B905 (they are as many)
                if child._pack is not part:
                    break
            else:
                return stacked
        return self._make_pack(children) if self._stackable(children) else None

    def _make_plan(self) -> tuple[int, tuple[Any, ...] | None, frozenset[str]]:
        epoch = EPOCH[0]  # read first: a change during what follows makes the plan old
        modules = self._modules
        ours = frozenset(name for name in modules if plain(modules[name], (Linear,)))
        children = tuple(modules.get(name) for name in self._stacking)
        fused = ours.issuperset(self._stacking) and len(set(map(id, children))) == len(children)
        if not fused:
            self._separate()
        plan = self.__dict__["_plan"] = (epoch, children if fused else None, ours)
        return plan

    def _one_product(self) -> Any:
        """One product in the place of all, or None where there is none that nobody watches."""
        stacked = self._current()
        return stacked.pack if stacked is not None and stacked.in_order else None

    def _last_product(self, name: str, x: Any, residual: Any) -> Any:
        """child(x) + residual, or child(x) for None, by one kernel if plain. After _current."""
        product: Any = self._modules[name]
        if name in self._plan[2]:
            pack = product._pack
            if pack is None:
                pack = product._make_pack()
            return pack(x, None, 0.01, residual)
        y = product(x)
        if residual is None:
            return y
        with np.errstate(all="ignore"):  # infinities and NaN go through, as in a kernel
            return y + residual

    def _separate(self) -> None:
        """Let the children pack for themselves again: someone watches one of them."""
        with LOCK:
            for child in self._modules.values():
                if child is not None and self._is_ours(child._pack):
                    child._changed()
            self.__dict__["_pack"] = None
            touch()

    def _is_ours(self, part: Any) -> bool:
        stacked: Stacked | None = self._pack
        return stacked is not None and any(part is mine for mine in stacked.parts)

    def _make_pack(self, children: Sequence[Linear]) -> Stacked | None:
        with LOCK:
            parts = [child._pack for child in children if isinstance(child._pack, Part)]
            if len(parts) == len(children) and all(
                part.stacked is parts[0].stacked for part in parts
            ):
                # Made by another thread, or by another layer that has these children too.
                stacked = Stacked(parts[0].stacked, tuple(parts), _in_order(parts))
            elif all(map(self._is_ours, parts)):
                stacked = stack(children)
            else:
                return None  # one child is in another layer too: it holds that one's part
            self.__dict__["_pack"] = stacked
        return stacked

    def _stackable(self, children: Sequence[Linear]) -> bool:
        """Whether one product with all weights has the bits of one for each."""
        weights = [child._parameters.get("weight") for child in children]
        shapes = [() if weight is None else weight.shape for weight in weights]
        return (
            all(len(shape) == 2 and shape[0] > CHAINED for shape in shapes)
            and len({shape[1] for shape in shapes}) == 1
            and len({child._given("bias") for child in children}) == 1
            and all(
                child.bias is None or child.bias.shape == shape[:1]
                for child, shape in zip(children, shapes, strict=True)
            )
        )


def stack(children: Sequence[Linear]) -> Stacked:
    """Pack all; the children keep parts of the pack, and no arrays. Under the lock."""
    ends = np.cumsum([0, *(len(child.weight) for child in children)]).tolist()
    weight = np.concatenate([child.weight for child in children])
    biases = [child.bias for child in children]
    bias = None if biases[0] is None else np.concatenate([b for b in biases if b is not None])
    pack = _core.PackedLinear(weight, bias)
    rows = pairwise(ends)
    parts = tuple(Part(pack, slice(first, end)) for first, end in rows)
    for child, part in zip(children, parts, strict=True):
        child._changed()  # drops what was made from the pack before
        child.__dict__["_pack"] = part
        child.get_parameter("weight")._release(part.weight)
    touch()
    return Stacked(pack, parts, True)


def _in_order(parts: Sequence[Part]) -> bool:
    starts = [part.rows.start for part in parts]
    return starts == [0, *(part.rows.stop for part in parts[:-1])]
