"""The arguments of a module's forward: their nesting, their names, and what torch.export takes."""

from __future__ import annotations

import inspect
from collections.abc import Iterator, Mapping
from typing import Any

import torch
from torch.utils import _pytree as pytree

from .ir import Graph, Ref


def named_arguments(module: Any, args: tuple[Any, ...], kwargs: dict[str, Any]) -> dict[str, Any]:
    """The arguments by the names of forward's parameters; those of *args by name and number."""
    parameters, variadic = _parameters(module)
    named = {}
    for number, value in enumerate(args):
        name = parameters[min(number, variadic)]
        named[name if number < variadic else f"{name}_{number}"] = value
    return named | kwargs


def _parameters(module: Any) -> tuple[list[str], int]:
    """The names of forward's parameters, and the number of the one with a star."""
    parameters = list(inspect.signature(module.forward).parameters.values())
    stars = [i for i, p in enumerate(parameters) if p.kind == p.VAR_POSITIONAL]
    return [p.name for p in parameters], stars[0] if stars else len(parameters)


def leaves(named: Mapping[str, Any]) -> list[tuple[str, Any]]:
    """(path, value) of every array and literal, in torch.export's order: "state.0", "mask"."""
    found = []
    for name, value in named.items():
        for path, leaf in pytree.tree_flatten_with_path(value)[0]:
            keys = [str(getattr(k, "key", getattr(k, "idx", k))) for k in path]
            found.append((".".join([name, *keys]), leaf))
    return found


def shapes_of(
    module: Any, args: tuple[Any, ...], kwargs: dict[str, Any], wanted: list[dict[int, str]]
) -> Any:
    """`dynamic_shapes` for torch.export: the nesting of the arguments, with what may change."""
    each = iter(wanted)

    def auto(value: Any) -> Any:
        axes = next(each)
        if isinstance(value, torch.Tensor):
            return {axis: torch.export.Dim.AUTO for axis in axes}
        return None

    given = [pytree.tree_map(auto, value) for value in [*args, *kwargs.values()]]
    parameters, variadic = _parameters(module)
    shapes = dict(zip(parameters[:variadic], given[: len(args)], strict=False))
    if len(args) > variadic:
        shapes[parameters[variadic]] = tuple(given[variadic : len(args)])
    return shapes | dict(zip(kwargs, given[len(args) :], strict=True))


def name_inputs(graph: Graph, named: Mapping[str, Any], positional: int) -> None:
    """Give the graph its inputs' names and its arguments; what is no tensor is no input."""
    tensors = [path for path, leaf in leaves(named) if isinstance(leaf, torch.Tensor)]
    for spec, path in zip(graph.inputs, tensors, strict=True):
        spec.name = path
    numbers = iter(range(len(tensors)))
    arguments = [(name, _nesting(name, value, numbers)) for name, value in named.items()]
    holds = [_holds_tensors(nested) for _, nested in arguments]
    lead = [*holds[:positional], False].index(False)
    graph.arguments = [pair for pair, wanted in zip(arguments, holds, strict=True) if wanted]
    graph.positional = lead


def _nesting(name: str, value: Any, numbers: Iterator[int]) -> Any:
    """An argument with a Ref in the place of each tensor."""
    if isinstance(value, torch.Tensor):
        return Ref(next(numbers))
    if type(value) in (tuple, list):
        return type(value)(_nesting(name, item, numbers) for item in value)
    if type(value) is dict and all(isinstance(key, str) for key in value):
        keys = [k.key for (k, *_), _ in pytree.tree_flatten_with_path(dict.fromkeys(value, 0))[0]]
        made = {key: _nesting(name, value[key], numbers) for key in keys}  # in torch's order
        return {key: made[key] for key in value}
    if isinstance(value, (bool, int, float, str)) or value is None:
        return value
    raise NotImplementedError(
        f"forwardpass.from_torch: the input {name!r} is a {type(value).__name__}; inputs are "
        "tensors in tuples, lists and dicts"
    )


def _holds_tensors(nested: Any) -> bool:
    if isinstance(nested, Ref):
        return True
    parts = nested.values() if isinstance(nested, dict) else nested
    return isinstance(nested, (dict, list, tuple)) and any(map(_holds_tensors, parts))


def spread(named: Mapping[str, Any], dynamic: Any) -> list[dict[Any, Any]]:
    """For every leaf what `dynamic` says about it: {axis: name}."""
    if dynamic is None:
        return [{} for _ in leaves(named)]
    if isinstance(dynamic, Mapping):
        return [
            dict(dynamic) if isinstance(leaf, torch.Tensor) else {} for _, leaf in leaves(named)
        ]
    if len(dynamic) != len(named):
        raise ValueError(
            f"dynamic must have a dict for each of the {len(named)} inputs, got {len(dynamic)}"
        )
    found: list[dict[Any, Any]] = []
    for (name, value), axes in zip(named.items(), dynamic, strict=True):
        found += _spread(name, value, axes)
    return found


def _spread(name: str, value: Any, axes: Any) -> list[dict[Any, Any]]:
    """The same for one argument: axes for each of its tensors, or a nesting like its own."""
    count = len(leaves({name: value}))
    if not axes:
        return [{}] * count
    if isinstance(axes, Mapping) and all(isinstance(axis, int) for axis in axes):
        if isinstance(value, torch.Tensor) or not isinstance(value, (dict, list, tuple)):
            return [dict(axes)] * count
        return [dict(axes) if isinstance(v, torch.Tensor) else {} for _, v in leaves({name: value})]
    parts = dict(axes) if isinstance(axes, Mapping) else dict(enumerate(axes))
    if isinstance(value, (dict, list, tuple)):
        items = value if isinstance(value, dict) else dict(enumerate(value))
        if items.keys() == parts.keys():
            return [d for key, item in items.items() for d in _spread(name, item, parts[key])]
    raise ValueError(f"dynamic: input {name!r} must have {{axis: name}}, or its own nesting")
