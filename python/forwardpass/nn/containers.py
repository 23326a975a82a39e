"""Sequential, which fuses a layer with the activation behind it, and ModuleList."""

from __future__ import annotations

from collections import OrderedDict
from collections.abc import Iterable
from itertools import groupby
from typing import TYPE_CHECKING, Any, ClassVar, TypeAlias, overload

from ._children import Children, Numbered, plain
from ._layer import Layer
from ._structure import EPOCH
from .activation import (
    GELU,
    Activation,
    Hardsigmoid,
    Hardswish,
    LeakyReLU,
    Mish,
    ReLU,
    Sigmoid,
    SiLU,
    Tanh,
)
from .activation_shaped import ReLU6
from .conv import Conv1d, Conv2d
from .conv_transpose import ConvTranspose1d, ConvTranspose2d
from .functional._shape import float32
from .linear import Linear
from .module import Module
from .streaming import SequentialState, flush, stream_child

if TYPE_CHECKING:
    from typing_extensions import Self

    from ._typing import Array, ArrayInput
    from .streaming import StreamState

# (callable, None, 0) or (layer, activation, slope)
Step: TypeAlias = tuple[Any, "str | None", float]

_LAYERS = (Linear, Conv1d, Conv2d, ConvTranspose1d, ConvTranspose2d)
FUSED_ACTIVATIONS = (
    *(ReLU, GELU, SiLU, Sigmoid, Tanh, LeakyReLU),
    *(ReLU6, Hardsigmoid, Hardswish, Mish),
)


class Sequential(Numbered, Layer):
    """Calls its modules in order, each on what the one before returned.

    Takes modules, or one OrderedDict of them. Indexing, slices (which give a Sequential), len,
    iteration, append, insert, extend, pop, + and * work as in torch.nn.Sequential.

    A Linear or a convolution and an activation right behind it run as one kernel, unless one of
    them has a hook, is of a subclass or has its forward replaced. The result has the same bits.
    """

    _plan: tuple[int, tuple[Step, ...]] = (-1, ())
    _transient: ClassVar[tuple[str, ...]] = (*Layer._transient, "_plan")
    _structural: ClassVar[frozenset[str]] = Layer._structural | {"_modules"}

    @overload
    def __init__(self, *args: Module) -> None: ...

    @overload
    def __init__(self, arg: OrderedDict[str, Module], /) -> None: ...

    def __init__(self, *args: Any) -> None:
        super().__init__()
        self.__dict__["_modules"] = Children()
        if len(args) == 1 and isinstance(args[0], OrderedDict):
            for name, module in args[0].items():
                self.add_module(name, module)
        else:
            self.extend(args)

    def forward(self, input: Any) -> Any:
        epoch, steps = self._plan
        if epoch != EPOCH[0]:
            steps = self._make_plan()
        for step, activation, slope in steps:
            if activation is None:
                input = step(input)
            else:
                pack = step._pack
                if pack is None:
                    pack = step._make_pack()
                input = pack(input, activation, slope)
        return input

    def _make_plan(self) -> tuple[Step, ...]:
        epoch = EPOCH[0]  # read first: a change during what follows makes the plan old
        modules = list(self._modules.values())
        steps: list[Step] = []
        i = 0
        while i < len(modules):
            behind = modules[i + 1] if i + 1 < len(modules) else None
            if (
                isinstance(behind, Activation)
                and plain(modules[i], _LAYERS)
                and plain(behind, FUSED_ACTIVATIONS)
            ):
                steps.append((modules[i], *behind.fused()))
                i += 2
            else:
                steps.append((modules[i], None, 0.0))
                i += 1
        self.__dict__["_plan"] = (epoch, tuple(steps))
        return tuple(steps)

    # ---- signals in chunks -----------------------------------------------------------------

    def stream(
        self, input: ArrayInput, state: StreamState | None = None, last: bool = False
    ) -> tuple[Array, StreamState | None]:
        """The outputs that this chunk of a signal decides, and the state for the next one.

        As `Conv1d.stream`, through all modules: those with a `stream(input, state, last)` of their
        own (convolutions of one dimension, Sequentials, yours) and those that work on each time
        alone (element-wise activations, BatchNorm1d, GLU over the channels, Dropout, Identity).
        All outputs one after the other are self(signal), byte for byte. Forward hooks of the
        streamed layers do not run.

        Raises NotImplementedError for other modules, else what the modules raise.
        """
        x = float32(input, "Sequential.stream")
        old = self._states(state, x)
        epoch, steps = self._plan
        if epoch != EPOCH[0]:
            steps = self._make_plan()
        new: list[Any] = []  # one for each module; a fused step is two of them
        shape = x.shape[:-1]
        for step, activation, slope in steps:
            fusion = () if activation is None else (activation, slope)
            x, found = stream_child(step, x, old[len(new)], last, *fusion)
            new += (found, None) if fusion else (found,)
        return x, None if last else SequentialState(shape, tuple(new))

    def flush(self, state: StreamState | None) -> Array:
        """The outputs that are left at the end of the signal: `stream` of nothing, `last`."""
        return flush(self, state)

    def _states(self, state: Any, x: Array) -> tuple[Any, ...]:
        """The modules' states, checked as far as no module does it."""
        if type(self).forward is not Sequential.forward or "forward" in self.__dict__:
            raise NotImplementedError(f"{self._get_name()}.stream(): it has a forward of its own")
        if state is None:
            return (None,) * len(self)
        if not isinstance(state, SequentialState):
            raise TypeError(
                f"{self._get_name()}.stream(): argument 'state' must be None or what stream "
                f"returned, got {type(state).__name__}"
            )
        if len(state.states) != len(self):
            raise ValueError(
                f"{self._get_name()}.stream(): argument 'state' is of another network: it has "
                f"{len(state.states)} modules, this one {len(self)}"
            )
        if x.shape[:-1] != state.shape:
            raise ValueError(
                f"{self._get_name()}.stream(): argument 'input' of shape {x.shape} does not go on "
                f"with a stream of shape ({', '.join(map(str, state.shape))}, length)"
            )
        return state.states

    # ---- as a list -------------------------------------------------------------------------

    def _sliced(self, chosen: list[tuple[str, Any]]) -> Self:
        return type(self)(OrderedDict(chosen))

    def __add__(self, other: Sequential) -> Sequential:
        if not isinstance(other, Sequential):
            return NotImplemented
        return Sequential(*self, *other)

    def __iadd__(self, other: Sequential) -> Self:
        if not isinstance(other, Sequential):
            return NotImplemented
        return self.extend(other)

    def _times(self, times: int) -> list[Any]:
        if not isinstance(times, int):
            raise TypeError(f"unsupported operand type(s) for *: {type(self)} and {type(times)}")
        if times <= 0:
            raise ValueError(f"Non-positive multiplication factor {times} for {type(self)}")
        return list(self) * times

    def __mul__(self, times: int) -> Sequential:
        return Sequential(*self._times(times))

    __rmul__ = __mul__

    def __imul__(self, times: int) -> Self:
        return self.extend(self._times(times)[len(self) :])


class ModuleList(Numbered):
    """A list of modules whose parameters are registered; it has no forward of its own.

    Indexing, slices (which give a ModuleList), len, iteration, append, insert, extend, pop and +
    work as in torch.nn.ModuleList; the keys in a state_dict are the positions.
    """

    def __init__(self, modules: Iterable[Module] | None = None) -> None:
        super().__init__()
        self.__dict__["_modules"] = Children()
        if modules is not None:
            self.extend(modules)

    def _sliced(self, chosen: list[tuple[str, Any]]) -> Self:
        return type(self)([module for _, module in chosen])

    def __add__(self, other: Iterable[Module]) -> ModuleList:
        return ModuleList([*self, *other])

    def __iadd__(self, modules: Iterable[Module]) -> Self:
        return self.extend(modules)

    def __repr__(self) -> str:
        """As torch writes it: neighbours of equal text share one entry, "(0-2): 3 x ..."."""
        lines = []
        first = 0
        for text, equal in groupby(map(repr, self)):
            count = len(list(equal))
            label = f"({first}): " if count == 1 else f"({first}-{first + count - 1}): {count} x "
            lines.append((label + text).replace("\n", "\n  "))
            first += count
        inner = "\n  ".join(lines)
        return f"{self._get_name()}(\n  {inner}\n)" if lines else f"{self._get_name()}()"
