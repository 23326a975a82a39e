"""Forward hooks: how they are kept, removed and run."""

from __future__ import annotations

import itertools
import weakref
from typing import TYPE_CHECKING, Any

from ._structure import touch
from .parameter import LOCK

if TYPE_CHECKING:
    from collections.abc import Callable

    from .module import Module

_ids = itertools.count()


class RemovableHandle:
    """What registering a hook returns: `remove()` takes the hook away, as does leaving `with`."""

    def __init__(self, module: Module | None, id: int = -1) -> None:
        self.id = id
        self._module = None if module is None else weakref.ref(module)

    def remove(self) -> None:
        """Remove the hook; does nothing the second time or when the module is gone."""
        module = None if self._module is None else self._module()
        if module is not None:
            module._forward_hooks.pop(self.id, None)
            module._forward_pre_hooks.pop(self.id, None)
            refresh(module)

    def __reduce__(self) -> tuple[Any, ...]:
        """Copies and pickles of a module carry no hooks: there is nothing left to remove."""
        return RemovableHandle, (None, self.id)

    def __enter__(self) -> RemovableHandle:
        return self

    def __exit__(self, *exception: object) -> None:
        self.remove()


def register(
    module: Module,
    hooks: dict[int, tuple[Callable[..., Any], bool]],
    hook: Callable[..., Any],
    prepend: bool,
    with_kwargs: bool,
) -> RemovableHandle:
    """Add `hook` to one of the module's two tables, last or first."""
    handle = RemovableHandle(module, next(_ids))
    others = dict(hooks) if prepend else {}
    for id in others:
        del hooks[id]
    hooks[handle.id] = (hook, with_kwargs)
    hooks.update(others)
    refresh(module)
    return handle


def refresh(module: Module) -> None:
    """Note on the module whether calls must look at its hooks, and that fusion plans are old."""
    with LOCK:  # two threads may add and remove hooks at once
        module.__dict__["_hooked"] = bool(module._forward_hooks or module._forward_pre_hooks)
        module.__dict__["_quick"] = None
    touch()


def call(module: Module, args: tuple[Any, ...], kwargs: dict[str, Any]) -> Any:
    """Pre-hooks in order, forward, hooks in order; each may replace what passes by returning it."""
    for hook, with_kwargs in tuple(module._forward_pre_hooks.values()):
        if with_kwargs:
            changed = hook(module, args, kwargs)
            if changed is None:
                continue
            if not isinstance(changed, tuple) or len(changed) != 2:
                raise RuntimeError(
                    "forward pre-hook must return None or a tuple "
                    f"of (new_args, new_kwargs), but got {changed}."
                )
            args, kwargs = changed
        else:
            changed = hook(module, args)
            if changed is not None:
                args = changed if isinstance(changed, tuple) else (changed,)
    result = module.forward(*args, **kwargs)
    for hook, with_kwargs in tuple(module._forward_hooks.values()):
        changed = hook(module, args, kwargs, result) if with_kwargs else hook(module, args, result)
        if changed is not None:
            result = changed
    return result
