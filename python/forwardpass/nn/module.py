"""Module: what every layer and every user's network is made of, as in torch.nn."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

from . import _hooks, _state
from ._attributes import Attributes
from ._checks import require_cpu, require_float32
from ._files import Files

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator, Mapping

    import numpy.typing as npt
    from typing_extensions import Self

    from ._hooks import RemovableHandle
    from ._state import IncompatibleKeys
    from .parameter import Parameter


def _forward_missing(self: Module, *input: Any) -> None:
    raise NotImplementedError(
        f'Module [{type(self).__name__}] is missing the required "forward" function'
    )


class Module(Attributes, Files):
    """Base class of all layers and networks; follows torch.nn.Module.

    Subclasses call `super().__init__()`, assign Parameters and Modules to attributes, which
    registers them, and define `forward`. There are no gradients and no training mode: `training`
    is always False.

    Reading a parameter's attribute gives a read-only float32 ndarray. Assigning a float32 array of
    the same shape replaces it. `parameters()` gives Parameter objects, which know their shape
    without being in memory.
    """

    training: bool = False
    forward: Callable[..., Any] = _forward_missing

    def __call__(self, *args: Any, **kwargs: Any) -> Any:
        if self._hooked:
            return _hooks.call(self, args, kwargs)
        return self.forward(*args, **kwargs)

    # ---- walking ---------------------------------------------------------------------------

    def named_modules(
        self,
        memo: set[Module] | None = None,
        prefix: str = "",
        remove_duplicate: bool = True,
    ) -> Iterator[tuple[str, Module]]:
        """(name, module) for this module and everything below it, parents first."""
        memo = set() if memo is None else memo
        if self in memo:
            return
        if remove_duplicate:
            memo.add(self)
        yield prefix, self
        for name, module in self._modules.items():
            if module is not None:
                inner = f"{prefix}.{name}" if prefix else name
                yield from module.named_modules(memo, inner, remove_duplicate)

    def modules(self, remove_duplicate: bool = True) -> Iterator[Module]:
        """This module and everything below it, parents first."""
        for _, module in self.named_modules(remove_duplicate=remove_duplicate):
            yield module

    def named_children(self) -> Iterator[tuple[str, Module]]:
        """(name, module) for the modules directly inside this one, each once."""
        seen: set[Module] = set()
        for name, module in self._modules.items():
            if module is not None and module not in seen:
                seen.add(module)
                yield name, module

    def children(self) -> Iterator[Module]:
        """The modules directly inside this one, each once."""
        for _, module in self.named_children():
            yield module

    def _named_members(
        self, table: str, prefix: str, recurse: bool, remove_duplicate: bool
    ) -> Iterator[tuple[str, Any]]:
        modules = (
            self.named_modules(prefix=prefix, remove_duplicate=remove_duplicate)
            if recurse
            else [(prefix, self)]
        )
        seen: set[int] = set()
        for path, module in modules:
            for name, member in module.__dict__[table].items():
                if member is None or id(member) in seen:
                    continue
                if remove_duplicate:
                    seen.add(id(member))
                yield (f"{path}.{name}" if path else name), member

    def named_parameters(
        self, prefix: str = "", recurse: bool = True, remove_duplicate: bool = True
    ) -> Iterator[tuple[str, Parameter]]:
        """(name, Parameter) for this module and those below it, each parameter once."""
        return self._named_members("_parameters", prefix, recurse, remove_duplicate)

    def parameters(self, recurse: bool = True) -> Iterator[Parameter]:
        """The Parameters of this module and those below it, each once."""
        for _, parameter in self.named_parameters(recurse=recurse):
            yield parameter

    def named_buffers(
        self, prefix: str = "", recurse: bool = True, remove_duplicate: bool = True
    ) -> Iterator[tuple[str, npt.NDArray[Any]]]:
        """(name, array) for the buffers of this module and those below it, each once."""
        return self._named_members("_buffers", prefix, recurse, remove_duplicate)

    def buffers(self, recurse: bool = True) -> Iterator[npt.NDArray[Any]]:
        """The buffers of this module and those below it, each once."""
        for _, buffer in self.named_buffers(recurse=recurse):
            yield buffer

    def get_submodule(self, target: str) -> Module:
        """The module at a dotted path; "" is this one. Raises AttributeError where it ends."""
        module = self
        for name in target.split(".") if target else ():
            if not module._has(name):
                raise AttributeError(f"{module._get_name()} has no attribute `{name}`")
            found = getattr(module, name)
            if not isinstance(found, Module):
                raise AttributeError(f"`{name}` is not an nn.Module")
            module = found
        return module

    def get_parameter(self, target: str) -> Parameter:
        """The Parameter at a dotted path. Raises AttributeError if there is none."""
        path, _, name = target.rpartition(".")
        module = self.get_submodule(path)
        if not module._has(name):
            raise AttributeError(f"{module._get_name()} has no attribute `{name}`")
        parameter = module._parameters.get(name)
        if parameter is None:
            raise AttributeError(f"`{name}` is not an nn.Parameter")
        return parameter

    def get_buffer(self, target: str) -> npt.NDArray[Any]:
        """The buffer at a dotted path. Raises AttributeError if there is none."""
        path, _, name = target.rpartition(".")
        module = self.get_submodule(path)
        if not module._has(name):
            raise AttributeError(f"{module._get_name()} has no attribute `{name}`")
        buffer = module._buffers.get(name)
        if buffer is None:
            raise AttributeError(f"`{name}` is not a buffer")
        return buffer

    def apply(self, fn: Callable[[Module], object]) -> Self:
        """Call fn on everything below this module, then on the module itself."""
        for module in self.children():
            module.apply(fn)
        fn(self)
        return self

    # ---- state -----------------------------------------------------------------------------

    def state_dict(
        self,
        *,
        destination: dict[str, Any] | None = None,
        prefix: str = "",
        keep_vars: bool = False,
    ) -> dict[str, Any]:
        """Parameters and persistent buffers by dotted name, in torch's order.

        Parameters are read-only arrays that later loads leave as they are; with `keep_vars` they
        are the Parameters themselves. A layer that keeps only its packed weight unpacks it for an
        array.
        """
        state = {} if destination is None else destination
        for name, parameter in self._parameters.items():
            if parameter is not None:
                state[prefix + name] = parameter if keep_vars else parameter.data
        for name, buffer in self._buffers.items():
            if buffer is not None and name not in self._non_persistent_buffers_set:
                state[prefix + name] = buffer
        for name, module in self._modules.items():
            if module is not None:
                module.state_dict(destination=state, prefix=f"{prefix}{name}.", keep_vars=keep_vars)
        return state

    def load_state_dict(
        self, state_dict: Mapping[str, Any], strict: bool = True, assign: bool = False
    ) -> IncompatibleKeys:
        """Replace parameters and persistent buffers by the values in `state_dict`.

        Values are float32, or float16, bfloat16 or float64, which are converted (out of range
        becomes infinity); arrays, torch tensors or anything else with __array__ or __dlpack__.
        float32 arrays that are read-only down to a memory-mapped file are used where they are,
        all others are copied. `assign` is accepted and changes nothing.

        Raises RuntimeError with everything that does not fit, in torch's wording: missing and
        unexpected keys if `strict`, sizes always; TypeError if only dtypes are wrong (integers for
        a parameter). Nothing is changed then. Returns the missing and the unexpected keys.
        """
        return _state.load(self, state_dict, strict)

    # ---- hooks -----------------------------------------------------------------------------

    def register_forward_pre_hook(
        self, hook: Callable[..., Any], *, prepend: bool = False, with_kwargs: bool = False
    ) -> RemovableHandle:
        """Call hook(module, args) before every forward; what it returns replaces the arguments.

        With `with_kwargs`, hook(module, args, kwargs) returns None or (args, kwargs).
        """
        return _hooks.register(self, self._forward_pre_hooks, hook, prepend, with_kwargs)

    def register_forward_hook(
        self,
        hook: Callable[..., Any],
        *,
        prepend: bool = False,
        with_kwargs: bool = False,
        always_call: bool = False,
    ) -> RemovableHandle:
        """Call hook(module, args, output) after every forward; a return value replaces the output.

        With `with_kwargs`, hook(module, args, kwargs, output). `always_call` is not supported.
        """
        if always_call:
            raise NotImplementedError("register_forward_hook: always_call=True")
        return _hooks.register(self, self._forward_hooks, hook, prepend, with_kwargs)

    # ---- what torch code calls on its way to inference -------------------------------------

    def train(self, mode: bool = True) -> Self:
        """train(False) returns self; there is no training mode, so train(True) raises."""
        if not isinstance(mode, bool):
            raise ValueError("training mode is expected to be boolean")
        if mode:
            raise NotImplementedError("train(True): forwardpass runs the forward pass only")
        return self

    def eval(self) -> Self:
        """Returns self: modules are always in evaluation mode."""
        return self.train(False)

    def requires_grad_(self, requires_grad: bool = True) -> Self:
        """requires_grad_(False) returns self; there are no gradients, so True raises."""
        if requires_grad:
            raise NotImplementedError("requires_grad_(True): forwardpass has no gradients")
        return self

    def float(self) -> Self:
        """Returns self: parameters are always float32."""
        return self

    def cpu(self) -> Self:
        """Returns self."""
        return self

    def to(self, *args: Any, **kwargs: Any) -> Self:
        """Returns self for the CPU and float32; NotImplementedError for every other target."""
        for name in kwargs:
            if name not in ("device", "dtype", "non_blocking", "copy", "memory_format"):
                raise TypeError(f"to() received an invalid combination of arguments: {name}")
        require_cpu("to", kwargs.get("device"))
        require_float32("to", kwargs.get("dtype"))
        for value in args:  # device, dtype, non_blocking, copy in one of torch's orders
            if not isinstance(value, bool) and str(value) != "cpu":
                require_float32("to", value)
        return self

    # ---- text ------------------------------------------------------------------------------

    def _get_name(self) -> str:
        return type(self).__name__

    def extra_repr(self) -> str:
        """The arguments that repr shows; for subclasses to define."""
        return ""

    def __repr__(self) -> str:
        extra = self.extra_repr()
        lines = extra.split("\n") if extra else []
        if len(lines) == 1 and not self._modules:
            return f"{self._get_name()}({extra})"
        for name, module in self._modules.items():
            lines.append(f"({name}): {module!r}".replace("\n", "\n  "))
        inner = "\n  ".join(lines)
        return f"{self._get_name()}(\n  {inner}\n)" if lines else f"{self._get_name()}()"
