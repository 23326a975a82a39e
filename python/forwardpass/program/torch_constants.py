"""What a module makes of its parameters alone, by an op that the table in aten/ lacks.

Such a value is the same in every call (position embeddings brought to another size), so torch
computes it once, at conversion.
"""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

import torch
from torch import fx


def of_parameters(node: fx.Node, known: Mapping[fx.Node, torch.Tensor]) -> Any:
    """The value of `node`, or None where it depends on an input, on chance or on a size.

    known: the parameters, buffers and constants of the module by the graph's places of them.
    """
    try:
        with torch.no_grad():
            return _value(node, known, {})
    except _UnknownError:
        return None


class _UnknownError(Exception):
    pass


def _value(node: fx.Node, known: Mapping[fx.Node, Any], found: dict[fx.Node, Any]) -> Any:
    if node in known:
        return known[node]
    if node not in found:
        target: Any = node.target
        if node.op != "call_function" or not _fixed(target, node):
            raise _UnknownError
        args, kwargs = fx.map_arg((node.args, node.kwargs), lambda n: _value(n, known, found))
        found[node] = target(*args, **kwargs)
    return found[node]


def _fixed(target: Any, node: fx.Node) -> bool:
    """Whether an op gives the same for the same tensors, of which it takes one at least."""
    if getattr(target, "__name__", "") == "getitem":
        return True
    if not isinstance(target, torch._ops.OpOverload) or target._schema.is_mutable:
        return False
    return torch.Tag.nondeterministic_seeded not in target.tags and bool(node.all_input_nodes)
