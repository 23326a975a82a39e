"""What one call of a layer gives and takes: shapes, multiply-adds, newly allocated bytes."""

from __future__ import annotations

import math
from typing import TYPE_CHECKING, Any, NamedTuple

from forwardpass.nn._checks import typename

from ._arrays import arrays_in, same_memory, shape_text

if TYPE_CHECKING:
    from collections.abc import Sequence

    import numpy.typing as npt

    from forwardpass.nn import Module

# Layers whose every output is a sum of products with one row of a weight (outputs, ...): each
# output takes prod(weight.shape[1:]) multiply-adds. By name, so that no layer must be imported.
_PRODUCTS = ("Linear", "Conv1d", "Conv2d")  # each output meets a row of the weight
_SCATTERS = ("ConvTranspose1d", "ConvTranspose2d")  # each input does
_STEPS = ("RNNBase", "RNNCellBase")  # each row of the input meets every row of all weights
_PROJECTS = ("MultiheadAttention",)  # each element of query, key and value meets a column of one


class Measured(NamedTuple):
    output: str
    mult_adds: int
    output_bytes: int
    view: bool


def measure(module: Module, inputs: tuple[Any, ...], output: Any, last: Any) -> Measured:
    arrays = arrays_in(output)
    sources = arrays_in((inputs, last))
    new = [array for array in arrays if not same_memory([array], sources)]
    return Measured(
        shape_text(arrays) or typename(output),
        _mult_adds(module, arrays_in(inputs), arrays),
        sum(array.nbytes for array in new),
        bool(arrays) and not new,
    )


def _mult_adds(
    module: Module, inputs: Sequence[npt.NDArray[Any]], outputs: Sequence[npt.NDArray[Any]]
) -> int:
    weight = module._parameters.get("weight")
    if weight is not None and outputs and _is_a(module, _PRODUCTS):
        return outputs[0].size * math.prod(weight.shape[1:])
    if weight is not None and inputs and _is_a(module, _SCATTERS):
        return inputs[0].size * math.prod(weight.shape[1:])
    if inputs and inputs[0].size and _is_a(module, _STEPS):
        weights: list[int] = [
            p.size for n, p in module._parameters.items() if p is not None and "weight" in n
        ]
        return math.prod(inputs[0].shape[:-1]) * sum(weights)
    if _is_a(module, _PROJECTS):
        return sum(x.size for x in inputs[:3]) * int(getattr(module, "embed_dim", 0))
    return 0


def _is_a(module: Module, names: tuple[str, ...]) -> bool:
    """Whether the module is one of our own layers of these names, or of a subclass of one."""
    return any(
        kind.__name__ in names and kind.__module__.startswith("forwardpass.nn.")
        for kind in type(module).__mro__
    )
