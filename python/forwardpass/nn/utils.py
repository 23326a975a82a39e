"""torch.nn.utils' names that model files use where a network is built."""

from __future__ import annotations

from typing import TypeVar

from .fusion import fuse
from .module import Module

T = TypeVar("T", bound=Module)

__all__ = ["fuse", "remove_weight_norm", "weight_norm"]


def weight_norm(module: T, name: str = "weight", dim: int | None = 0) -> T:
    """Returns the module as it is: a weight is held folded, as g / ||v|| * v.

    load_state_dict takes checkpoints with weight_norm's keys, of both spellings, without this; it
    is here so that code which builds a network under weight_norm runs. Unlike in torch, the
    state_dict has the weight itself. Raises AttributeError if the module has no such parameter.
    """
    module.get_parameter(name)
    return module


def remove_weight_norm(module: T, name: str = "weight") -> T:
    """Returns the module as it is."""
    module.get_parameter(name)
    return module
