"""The attributes of a Module: how assignment registers, and how values are replaced and copied."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any, ClassVar

import numpy as np

from ._checks import typename
from ._structure import touch
from .parameter import LOCK, Parameter

if TYPE_CHECKING:
    from collections.abc import Callable

    import numpy.typing as npt

    from .module import Module


class Attributes:
    """The half of Module that keeps its parameters, buffers and children."""

    _parameters: dict[str, Parameter | None]
    _buffers: dict[str, npt.NDArray[Any] | None]
    _modules: dict[str, Module | None]
    _non_persistent_buffers_set: set[str]
    _forward_hooks: dict[int, tuple[Callable[..., Any], bool]]
    _forward_pre_hooks: dict[int, tuple[Callable[..., Any], bool]]
    _hooked: bool = False

    # What forward made from the parameters for its kernel; None until the first call.
    _pack: Any = None
    # What a call of the layer comes down to, where that is one call of the pack: see PackedLayer.
    _quick: Any = None
    # Plain attributes that the pack or a fusion plan was made from.
    _structural: ClassVar[frozenset[str]] = frozenset({"forward", "__class__"})
    # Keys that a checkpoint may lack.
    _optional_state: ClassVar[frozenset[str]] = frozenset()
    # Not part of copies and pickles.
    _transient: ClassVar[tuple[str, ...]] = (
        "_forward_hooks",
        "_forward_pre_hooks",
        "_hooked",
        "_pack",
        "_quick",
    )

    def __init__(self) -> None:
        attributes = self.__dict__  # not by assignment: __setattr__ needs these tables
        attributes["_parameters"] = {}
        attributes["_buffers"] = {}
        attributes["_modules"] = {}
        attributes["_non_persistent_buffers_set"] = set()
        attributes["_forward_hooks"] = {}
        attributes["_forward_pre_hooks"] = {}

    # ---- registration ----------------------------------------------------------------------

    def register_parameter(self, name: str, param: Parameter | None) -> None:
        """Add or replace a parameter; None registers the name without a value."""
        self._check_name("parameter", name, "_parameters")
        if param is not None and not isinstance(param, Parameter):
            raise TypeError(
                f"cannot assign '{typename(param)}' object to parameter '{name}' "
                "(nn.Parameter or None required)"
            )
        with LOCK:
            old = self._parameters.get(name)
            if old is not None:
                old._disown(self)
            self._parameters[name] = param
            if param is not None:
                param._adopt(self)
            self._changed()
            touch()

    def register_buffer(
        self, name: str, tensor: npt.NDArray[Any] | None, persistent: bool = True
    ) -> None:
        """Add or replace an array that is not a parameter; in the state_dict if persistent."""
        self._check_name("buffer", name, "_buffers")
        if tensor is not None and not isinstance(tensor, (np.ndarray, np.generic)):
            raise TypeError(
                f"cannot assign '{typename(tensor)}' object to buffer '{name}' "
                "(ndarray or None required)"
            )
        with LOCK:
            self._buffers[name] = None if tensor is None else np.asarray(tensor)
            (set.discard if persistent else set.add)(self._non_persistent_buffers_set, name)
            self._changed()

    def add_module(self, name: str, module: Module | None) -> None:
        """Add or replace a child."""
        if module is not None and not isinstance(module, Attributes):
            raise TypeError(f"{typename(module)} is not a Module subclass")
        self._check_name("module", name, "_modules")
        self._modules[name] = module

    def register_module(self, name: str, module: Module | None) -> None:
        """Alias of add_module."""
        self.add_module(name, module)

    def _check_name(self, kind: str, name: str, table: str) -> None:
        if table not in self.__dict__:
            raise AttributeError(f"cannot assign {kind} before Module.__init__() call")
        if not isinstance(name, str):
            raise TypeError(f"{kind} name should be a string. Got {typename(name)}")
        if "." in name:
            got = f", got: {name}" if kind == "module" else ""
            raise KeyError(f'{kind} name can\'t contain "."{got}')
        if name == "":
            raise KeyError(f'{kind} name can\'t be empty string ""')
        if name not in self.__dict__[table] and self._has(name):
            raise KeyError(f"attribute '{name}' already exists")

    def _has(self, name: str) -> bool:
        """hasattr, without drawing or unpacking a parameter."""
        attributes = self.__dict__
        tables = (attributes["_parameters"], attributes["_buffers"], attributes["_modules"])
        return any(name in table for table in (*tables, attributes)) or hasattr(type(self), name)

    def _changed(self) -> None:
        """A value that the pack was made from is another one now."""
        with LOCK:  # else a call in another thread might note the old pack's call in between
            self.__dict__["_pack"] = None
            self.__dict__["_quick"] = None

    def _stale_state(self, prefix: str, state: Any) -> tuple[list[str], str]:
        """Keys of an old checkpoint that a load refuses, and the text that says why."""
        return [], ""

    # ---- attributes ------------------------------------------------------------------------

    def __getattr__(self, name: str) -> Any:
        attributes = self.__dict__
        modules = attributes.get("_modules")
        if modules is None:
            raise AttributeError(
                f"'{type(self).__name__}' object has no attribute '{name}' "
                "before Module.__init__() call; call super().__init__() first"
            )
        if name in modules:
            return modules[name]
        if name in attributes["_parameters"]:
            parameter = attributes["_parameters"][name]
            return None if parameter is None else parameter.data
        if name in attributes["_buffers"]:
            return attributes["_buffers"][name]
        raise AttributeError(f"'{type(self).__name__}' object has no attribute '{name}'")

    def __setattr__(self, name: str, value: Any) -> None:
        attributes = self.__dict__
        if isinstance(value, Parameter):
            if "_parameters" not in attributes:
                raise AttributeError("cannot assign parameters before Module.__init__() call")
            self._forget(name, "_parameters")
            self.register_parameter(name, value)
        elif isinstance(value, Attributes):
            if "_modules" not in attributes:
                raise AttributeError("cannot assign module before Module.__init__() call")
            self._forget(name, "_modules")
            attributes["_modules"][name] = value
        elif name in attributes.get("_parameters", ()):
            self._replace_parameter(name, value)
        elif name in attributes.get("_modules", ()):
            if value is not None:
                raise TypeError(
                    f"cannot assign '{typename(value)}' as child module '{name}' "
                    "(nn.Module or None expected)"
                )
            self._modules[name] = None
        elif name in attributes.get("_buffers", ()):
            self.register_buffer(name, value, name not in self._non_persistent_buffers_set)
        else:
            object.__setattr__(self, name, value)
            if name in self._structural:
                self._changed()
                touch()

    def _replace_parameter(self, name: str, value: Any) -> None:
        old = self._parameters[name]
        if value is None:
            self.register_parameter(name, None)
            return
        if not hasattr(value, "__array__") and not hasattr(value, "__dlpack__"):
            raise TypeError(
                f"cannot assign '{typename(value)}' as parameter '{name}' "
                "(nn.Parameter, float32 ndarray or None expected)"
            )
        new = Parameter(value)
        if old is not None and new.shape != old.shape:
            raise ValueError(
                f"{type(self).__name__}.{name} has shape {old.shape}, got {new.shape}; "
                "assign an nn.Parameter to change the shape"
            )
        self.register_parameter(name, new)

    def _forget(self, name: str, keep: str) -> None:
        """Remove `name` from everything but the table it is about to be assigned in."""
        attributes = self.__dict__
        attributes.pop(name, None)
        for table in ("_parameters", "_buffers", "_modules"):
            if table != keep and name in attributes[table]:
                delattr(self, name)

    def __delattr__(self, name: str) -> None:
        if name in self._parameters:
            with LOCK:
                old = self._parameters.pop(name)
                if old is not None:
                    old._disown(self)
                self._changed()
                touch()
        elif name in self._buffers:
            del self._buffers[name]
            self._non_persistent_buffers_set.discard(name)
            self._changed()
        elif name in self._modules:
            del self._modules[name]
        else:
            object.__delattr__(self, name)
            if name in self._structural:
                self._changed()
                touch()

    def __dir__(self) -> list[str]:
        names = {*dir(type(self)), *self.__dict__}
        names.update(self._parameters, self._buffers, self._modules)
        return sorted(name for name in names if not name[:1].isdigit())

    # ---- copies and pickles ----------------------------------------------------------------

    def __getstate__(self) -> dict[str, Any]:
        state = self.__dict__.copy()
        for name in self._transient:
            state.pop(name, None)
        return state

    def __setstate__(self, state: dict[str, Any]) -> None:
        attributes = self.__dict__
        attributes.update(state)
        for table in ("_parameters", "_buffers", "_modules", "_non_persistent_buffers_set"):
            attributes[table] = type(attributes[table])(attributes[table])
        attributes["_forward_hooks"] = {}
        attributes["_forward_pre_hooks"] = {}
        for parameter in self._parameters.values():
            if parameter is not None:
                parameter._adopt(self)
