"""Which modules a forward pass calls, in which order, and by which path.

Hooks on every module watch one call of the model. A layer with a hook is never fused away, so each
layer is seen, and its value has the bits it has unwatched. The hooks come off when the call ends,
however it ends. They listen to the calling thread only: other threads may use the same model, and
any number of recordings may run at once or inside one another.
"""

from __future__ import annotations

from _thread import RLock, get_ident
from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Any, Protocol

from forwardpass.nn import Module

if TYPE_CHECKING:
    from forwardpass.nn._hooks import RemovableHandle

# Adding and removing a hook are several steps, which two recordings must not interleave.
_LOCK = RLock()


class Keep(Protocol):
    """What to keep of a finished call. `last` is what the last call inside it returned, or None."""

    def __call__(
        self, module: Module, inputs: tuple[Any, ...], output: Any, last: Any
    ) -> object: ...


@dataclass(eq=False)
class Call:
    """One call of one module; `kept` is what Keep made of it."""

    path: str
    module: Module
    parent: Call | None
    kept: Any = None
    done: bool = False
    inside: int = 0  # calls of other modules that it made
    last: Any = None
    counts: dict[int, int] = field(default_factory=dict)  # of the modules it called, by id


def record(
    model: Module, args: tuple[Any, ...], kwargs: dict[str, Any], keep: Keep
) -> tuple[list[Call], Any]:
    """Run model(*args, **kwargs); the finished calls in the order they began, and the output.

    An exception of the model passes through, with a note that says in which module it was raised.
    """
    recorder = _Recorder(keep)
    handles: list[RemovableHandle] = []
    try:
        with _LOCK:
            for module in model.modules():
                handles.append(module.register_forward_pre_hook(recorder.enter))
                handles.append(module.register_forward_hook(recorder.leave, with_kwargs=True))
        output = model(*args, **kwargs)
    except Exception as error:
        recorder.annotate(error)
        raise
    finally:
        with _LOCK:
            for handle in handles:
                handle.remove()
    return [call for call in recorder.calls if call.done], output


class _Recorder:
    def __init__(self, keep: Keep) -> None:
        self.calls: list[Call] = []
        self._keep = keep
        self._open: list[Call] = []  # from the model down to the call that runs now
        self._paths: dict[int, dict[int, list[str]]] = {}
        self._thread = get_ident()

    def enter(self, module: Module, args: tuple[Any, ...]) -> None:
        if get_ident() != self._thread:
            return
        parent = self._open[-1] if self._open else None
        call = Call(self._path(module), module, parent)
        if parent is not None:
            parent.inside += 1
        self.calls.append(call)
        self._open.append(call)

    def leave(
        self, module: Module, args: tuple[Any, ...], kwargs: dict[str, Any], output: Any
    ) -> None:
        if get_ident() != self._thread:
            return
        # Calls above this one ended in an exception that the model caught.
        while self._open and self._open[-1].module is not module:
            self._open.pop()
        if not self._open:
            return
        call = self._open.pop()
        call.kept = self._keep(module, (*args, *kwargs.values()), output, call.last)
        call.done, call.last = True, None
        if self._open:
            self._open[-1].last = output

    def _path(self, module: Module) -> str:
        """Where in the model this call is: a module may have several places, or be called twice.

        The innermost running module that has it inside knows it by one or more names; its nth
        call there goes by the nth of them (a Sequential with the same activation at 1 and 3).
        """
        for call in reversed(self._open):
            names = self._names(call.module).get(id(module))
            if names:
                count = call.counts.get(id(module), 0)
                call.counts[id(module)] = count + 1
                name = names[min(count, len(names) - 1)]
                return f"{call.path}.{name}" if call.path else name
        return ""

    def _names(self, module: Module) -> dict[int, list[str]]:
        """By id: the shortest paths from `module` to each module inside it."""
        names = self._paths.get(id(module))
        if names is None:
            names = self._paths[id(module)] = {}
            for path, inner in module.named_modules(remove_duplicate=False):
                known = names.setdefault(id(inner), [])
                dots = path.count(".")
                if path and known and dots < known[0].count("."):
                    known.clear()
                if path and (not known or dots == known[0].count(".")):
                    known.append(path)
        return names

    def annotate(self, error: Exception) -> None:
        """Python 3.11 and newer print notes below the message."""
        if self._open and hasattr(error, "add_note"):
            call = self._open[-1]
            where = f"'{call.path}'" if call.path else "the model itself"
            before = next((c for c in reversed(self.calls) if c.done), None)
            after = f", after '{before.path}' was done" if before else ""
            error.add_note(f"raised in {where}, of type {type(call.module).__name__}{after}")
