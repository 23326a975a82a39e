"""ModuleDict, ParameterList and ParameterDict: containers without a forward."""

from __future__ import annotations

import operator
from collections import OrderedDict
from collections.abc import Iterable, Mapping
from typing import TYPE_CHECKING, Any, ClassVar

import numpy as np

from .module import Module
from .parameter import Parameter

if TYPE_CHECKING:
    from collections.abc import ItemsView, Iterator, KeysView, ValuesView

    from typing_extensions import Self


def _pairs(owner: str, values: Any) -> Iterator[tuple[Any, Any]]:
    """The (key, value) pairs of a mapping or of an iterable of pairs."""
    if not isinstance(values, Iterable):
        raise TypeError(
            f"{owner}.update should be called with an iterable of key/value pairs, "
            f"but got {type(values).__name__}"
        )
    if isinstance(values, (Mapping, ModuleDict)):
        yield from values.items()
        return
    for i, pair in enumerate(values):
        if not isinstance(pair, Iterable):
            raise TypeError(
                f"{owner} update sequence element #{i} should be Iterable; is {type(pair).__name__}"
            )
        pair = tuple(pair)
        if len(pair) != 2:
            raise ValueError(
                f"{owner} update sequence element #{i} has length {len(pair)}; 2 is required"
            )
        yield pair


class ModuleDict(Module):
    """A dict of modules by name, in order of insertion, whose parameters are registered.

    Takes a mapping or an iterable of pairs. Follows torch.nn.ModuleDict.
    """

    def __init__(self, modules: Mapping[str, Module] | None = None) -> None:
        super().__init__()
        if modules is not None:
            self.update(modules)

    def __getitem__(self, key: str) -> Any:
        return self._modules[key]

    def __setitem__(self, key: str, module: Module) -> None:
        self.add_module(key, module)

    def __delitem__(self, key: str) -> None:
        del self._modules[key]

    def __len__(self) -> int:
        return len(self._modules)

    def __iter__(self) -> Iterator[str]:
        return iter(self._modules)

    def __contains__(self, key: object) -> bool:
        return key in self._modules

    def clear(self) -> None:
        """Remove all modules."""
        self._modules.clear()

    def pop(self, key: str) -> Any:
        """Remove and return a module."""
        return self._modules.pop(key)

    def keys(self) -> KeysView[str]:
        return self._modules.keys()

    def values(self) -> ValuesView[Any]:
        return self._modules.values()

    def items(self) -> ItemsView[str, Any]:
        return self._modules.items()

    def update(self, modules: Any) -> None:
        """Add modules from a mapping or an iterable of (name, module)."""
        for key, module in _pairs("ModuleDict", modules):
            self[key] = module


class _ParameterHolder(Module):
    """What ParameterList and ParameterDict share: arrays become Parameters; no call."""

    _kind: ClassVar[str]  # what torch's repr calls the values

    def _hold(self, name: str, value: Any) -> None:
        is_array = hasattr(value, "__array__") or hasattr(value, "__dlpack__")
        if is_array and not isinstance(value, (Parameter, np.generic)):
            value = Parameter(value)
        setattr(self, name, value)

    def _entry(self, key: Any) -> Any:
        """The Parameter itself where there is one: copies of a container share it, as in torch."""
        parameter = self._parameters.get(str(key))
        return getattr(self, str(key)) if parameter is None else parameter

    def _held(self) -> Iterable[Any]:
        """The names in order."""
        raise NotImplementedError

    def extra_repr(self) -> str:
        lines = []
        for key in self._held():
            entry = self._entry(key)
            if isinstance(entry, Parameter):
                size = "x".join(map(str, entry.shape))
                text = f"Parameter containing: [{self._kind} of size {size}]"
            else:
                text = f"Object of type: {type(entry).__name__}"
            lines.append(f"  ({key}): {text}")
        return "\n".join(lines)

    def __call__(self, *args: Any, **kwargs: Any) -> Any:
        raise RuntimeError(f"{self._get_name()} should not be called.")


class ParameterList(_ParameterHolder):
    """A list of parameters: arrays put in become Parameters, reading one gives its array.

    Indexing, slices, len, iteration, append, extend and += work; other objects are kept as they
    are. Follows torch.nn.ParameterList.
    """

    _kind = "torch.float32"

    def __init__(self, values: Iterable[Any] | None = None) -> None:
        super().__init__()
        self._size = 0
        if values is not None:
            self.extend(values)

    def _held(self) -> Iterable[Any]:
        return range(self._size)

    def _name_at(self, index: int) -> str:
        index = operator.index(index)
        if not -self._size <= index < self._size:
            raise IndexError(f"index {index} is out of range")
        return str(index % self._size)

    def __getitem__(self, index: int | slice) -> Any:
        if not isinstance(index, slice):
            return getattr(self, self._name_at(index))
        part = type(self)()
        for i in range(*index.indices(self._size)):
            part.append(self._entry(i))
        return part

    def __setitem__(self, index: int, value: Any) -> None:
        self._hold(self._name_at(index), value)

    def __len__(self) -> int:
        return self._size

    def __iter__(self) -> Iterator[Any]:
        return iter([self[i] for i in range(self._size)])

    def __iadd__(self, values: Iterable[Any]) -> Self:
        return self.extend(values)

    def append(self, value: Any) -> Self:
        """Add a value at the end."""
        self._hold(str(self._size), value)
        self._size += 1
        return self

    def extend(self, values: Iterable[Any]) -> Self:
        """Add values at the end."""
        is_array = hasattr(values, "__array__") or hasattr(values, "__dlpack__")
        if not isinstance(values, Iterable) or is_array:  # an array is one value, not many
            raise TypeError(
                "ParameterList.extend should be called with an iterable, "
                f"but got {type(values).__name__}"
            )
        if isinstance(values, ParameterList):
            values = [values._entry(i) for i in range(len(values))]
        for value in list(values):  # a copy: the list itself may be what is added
            self.append(value)
        return self


class ParameterDict(_ParameterHolder):
    """A dict of parameters: arrays put in become Parameters, reading one gives its array.

    Takes a mapping or an iterable of pairs. Follows torch.nn.ParameterDict, which adds the keys of
    a plain dict in sorted order.
    """

    _kind = "torch.FloatTensor"

    def __init__(self, parameters: Any = None) -> None:
        super().__init__()
        self._keys: dict[str, None] = {}
        if parameters is not None:
            self.update(parameters)

    def _held(self) -> Iterable[Any]:
        return self._keys

    def __getitem__(self, key: str) -> Any:
        if key not in self._keys:
            raise KeyError(key)
        return getattr(self, key)

    def __setitem__(self, key: str, value: Any) -> None:
        if not isinstance(key, str):
            raise TypeError(f"ParameterDict: a key must be a string, got {type(key).__name__}")
        self._hold(key, value)
        self._keys[key] = None

    def __delitem__(self, key: str) -> None:
        del self._keys[key]
        delattr(self, key)

    def __len__(self) -> int:
        return len(self._keys)

    def __iter__(self) -> Iterator[str]:
        return iter(self._keys)

    def __reversed__(self) -> Iterator[str]:
        return reversed(self._keys)

    def __contains__(self, key: object) -> bool:
        return key in self._keys

    def keys(self) -> KeysView[str]:
        return self._keys.keys()

    def values(self) -> Iterator[Any]:
        return (self[key] for key in self._keys)

    def items(self) -> Iterator[tuple[str, Any]]:
        return ((key, self[key]) for key in self._keys)

    def get(self, key: str, default: Any = None) -> Any:
        """The value of `key`, or `default`."""
        return self[key] if key in self._keys else default

    def pop(self, key: str) -> Any:
        """Remove and return a value."""
        value = self[key]
        del self[key]
        return value

    def clear(self) -> None:
        """Remove all values."""
        for key in list(self._keys):
            del self[key]

    def update(self, parameters: Any) -> None:
        """Add values from a mapping or an iterable of (name, value)."""
        if isinstance(parameters, ParameterDict):
            parameters = [(key, parameters._entry(key)) for key in parameters]
        elif isinstance(parameters, Mapping) and not isinstance(parameters, OrderedDict):
            parameters = [(key, parameters[key]) for key in sorted(parameters)]
        for key, value in _pairs("ParameterDict", parameters):
            self[key] = value
