"""What our own layers share: a short way through `__call__`, and packed weights."""

from __future__ import annotations

from typing import Any, ClassVar

from . import _hooks
from .module import Module
from .parameter import LOCK


def _takes_input_only(forward: Any) -> bool:
    """Whether a function's signature is exactly (self, input)."""
    code = getattr(forward, "__code__", None)
    return (
        code is not None
        and code.co_varnames[1:2] == ("input",)
        and code.co_argcount == 2
        and code.co_kwonlyargcount == 0
        and not code.co_flags & 0x0C  # *args, **kwargs
        and not forward.__defaults__
    )


class Layer(Module):
    """A Module whose forward takes one argument, `input`.

    Its call does not go through *args and **kwargs, which would be a third of the time Python
    spends on a layer. A subclass whose forward takes anything else gets Module's call back.
    """

    def __call__(self, input: Any) -> Any:
        if self._hooked:
            return _hooks.call(self, (input,), {})
        return self.forward(input)

    def _given(self, name: str) -> bool:
        """Whether a weight or bias is there, without drawing or unpacking it."""
        attributes = self.__dict__
        found = attributes["_parameters"].get(name)
        return (attributes.get(name) if found is None else found) is not None

    _pack_forward: ClassVar[Any] = None

    def __init_subclass__(cls, calls_pack: bool = False, **kwargs: Any) -> None:
        """`calls_pack`: forward(input) is pack(input) and nothing else."""
        super().__init_subclass__(**kwargs)
        own = cls.__dict__
        if calls_pack:
            cls._pack_forward = own["forward"]
        elif "forward" in own and "__call__" not in own:
            plain = _takes_input_only(own["forward"])
            cls.__call__ = Layer.__call__ if plain else Module.__call__  # type: ignore[method-assign]


class PackedLayer(Layer):
    """A layer whose forward calls `_pack`, made on the first call from weight and bias.

    The call looks at `_pack` without a lock; making it takes the lock, so eight threads that call
    a new layer pack it once. Afterwards the parameter forgets its array and unpacks on demand,
    unless the array is mapped from a file or the parameter has another owner too. Assigning or
    loading a parameter drops the pack.

    Where nothing stands between a call of the layer and its pack (no hook, no forward of another
    class or of this instance), `_quick` holds the pack's own call: two Python frames less.
    """

    def __call__(self, input: Any) -> Any:
        quick = self._quick
        if quick is not None:
            return quick(input)
        result = Layer.__call__(self, input)
        if type(self).forward is type(self)._pack_forward and "forward" not in self.__dict__:
            with LOCK:
                if self._pack is not None and not self._hooked:
                    self.__dict__["_quick"] = self._pack.__call__
        return result

    def _build_pack(self) -> Any:
        """The packed form: called with an input, and weight() gives the weight back."""
        raise NotImplementedError

    def _make_pack(self) -> Any:
        with LOCK:
            pack = self._pack
            if pack is None:
                pack = self._build_pack()
                self.__dict__["_pack"] = pack
                weight = self._parameters.get("weight")
                if weight is not None:
                    weight._release(pack.weight)
        return pack
