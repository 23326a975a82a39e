"""The keys of a state_dict: those a module has, and hints when a checkpoint's are others."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

from . import _weight_norm

if TYPE_CHECKING:
    from collections.abc import Collection, Iterator

    from .module import Module

# What stands in front of every key when a wrapper was saved, alone or one in the other:
# DataParallel, torch.compile, and a model that is a part of another one.
_PREFIXES = ("module.", "_orig_mod.", "model.")
_WRAPPED = (*_PREFIXES, *(a + b for a in _PREFIXES for b in _PREFIXES if a != b))


def own_state(module: Module) -> dict[str, Any]:
    """The Parameters and persistent buffers of the module itself."""
    state: dict[str, Any] = {k: v for k, v in module._parameters.items() if v is not None}
    for name, buffer in module._buffers.items():
        if buffer is not None and name not in module._non_persistent_buffers_set:
            state[name] = buffer
    return state


def expected(module: Module, prefix: str = "") -> Iterator[str]:
    """The keys of the module's state_dict, without making any of its values."""
    for name in own_state(module):
        yield prefix + name
    for name, child in module._modules.items():
        if child is not None:
            yield from expected(child, f"{prefix}{name}.")


def hints(module: Module, keys: Collection[str]) -> list[str]:
    """One line, if taking a usual prefix from the keys, or adding one, makes all of them match."""
    names = set(expected(module))

    def match(renamed: list[str]) -> bool:
        state = dict.fromkeys(renamed)
        return len(state) == len(keys) and _weight_norm.folded(state, names).keys() == names

    for prefix in _WRAPPED:
        if match([key.removeprefix(prefix) for key in keys]):
            how, key = "without", f"k.removeprefix({prefix!r})"
        elif match([prefix + key for key in keys]):
            how, key = "behind", f"{prefix!r} + k"
        else:
            continue
        return [
            f"Hint: the keys match {how} {prefix!r}: {{{key}: v for k, v in state_dict.items()}}"
        ]
    return []
