"""What containers are made of: a table of children that says when it changes, a list's methods."""

from __future__ import annotations

import operator
from collections.abc import Iterable
from typing import TYPE_CHECKING, Any, overload

from ._structure import touch
from .module import Module

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator

    from typing_extensions import Self


def _touching(method: Callable[..., Any]) -> Callable[..., Any]:
    def changed(self: Children, *args: Any, **kwargs: Any) -> Any:
        try:
            return method(self, *args, **kwargs)
        finally:
            touch()

    return changed


class Children(dict[str, "Module | None"]):
    """A table of children that says when it changes, also when users write to it directly."""

    __setitem__ = _touching(dict.__setitem__)
    __delitem__ = _touching(dict.__delitem__)
    __ior__ = _touching(dict.__ior__)
    clear = _touching(dict.clear)
    pop = _touching(dict.pop)
    popitem = _touching(dict.popitem)
    setdefault = _touching(dict.setdefault)
    update = _touching(dict.update)


def plain(module: Module | None, kinds: tuple[type[Module], ...]) -> bool:
    """Exactly one of our types (a subclass may mean something else), and nobody watches it."""
    return (
        module is not None
        and type(module) in kinds
        and not module._hooked
        and "forward" not in module.__dict__
    )


class Numbered(Module):
    """Children under the names "0", "1", ..., and the methods of a list."""

    def __len__(self) -> int:
        return len(self._modules)

    def __iter__(self) -> Iterator[Any]:
        return iter(self._modules.values())

    def _name_at(self, index: int) -> str:
        index = operator.index(index)
        if not -len(self) <= index < len(self):
            raise IndexError(f"index {index} is out of range")
        return list(self._modules)[index]

    def _sliced(self, chosen: list[tuple[str, Any]]) -> Self:
        raise NotImplementedError

    @overload
    def __getitem__(self, index: slice) -> Self: ...

    @overload
    def __getitem__(self, index: int) -> Any: ...

    def __getitem__(self, index: int | slice) -> Any:
        if isinstance(index, slice):
            return self._sliced(list(self._modules.items())[index])
        return self._modules[self._name_at(index)]

    def __setitem__(self, index: int, module: Module) -> None:
        setattr(self, self._name_at(index), module)

    def __delitem__(self, index: int | slice) -> None:
        names = list(self._modules)[index] if isinstance(index, slice) else [self._name_at(index)]
        for name in names:
            del self._modules[name]
        self._renumber(list(self._modules.values()))

    def _renumber(self, modules: list[Module | None]) -> None:
        self.__dict__["_modules"] = Children((str(i), m) for i, m in enumerate(modules))
        touch()

    def append(self, module: Module) -> Self:
        """Add a module at the end."""
        self.add_module(str(len(self)), module)
        return self

    def extend(self, modules: Iterable[Module]) -> Self:
        """Add modules at the end."""
        if not isinstance(modules, Iterable):
            raise TypeError(
                f"{self._get_name()}.extend should be called with an iterable, "
                f"but got {type(modules).__name__}"
            )
        for module in list(modules):  # a copy: the list itself may be what is added
            self.append(module)
        return self

    def insert(self, index: int, module: Module) -> Self:
        """Add a module in front of the one at `index`; all are renumbered."""
        if not isinstance(module, Module):
            raise TypeError(f"module should be of type: {Module}")
        if not -len(self) <= index <= len(self):
            raise IndexError(f"Index out of range: {index}")
        modules = list(self._modules.values())
        modules.insert(index, module)
        self._renumber(modules)
        return self

    def pop(self, key: int | slice) -> Any:
        """Remove and return a module, or a slice as a container of the same type."""
        removed = self[key]
        del self[key]
        return removed
