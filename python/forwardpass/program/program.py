"""Program, and how to get one: from_torch and load."""

from __future__ import annotations

import os
from collections.abc import Mapping, Sequence
from typing import Any

import numpy as np

from .arena import Arena, Plan
from .ir import Array, Const, Graph, Ref
from .ops import Packs
from .run import calls_of, outputs_of, stepwise
from .shapes import check_shapes

MOST_PLANS = 32  # kept, one for each set of input shapes


class Program:
    """A network as a list of operations, with its weights: a function of NumPy arrays.

    Made by `from_torch` or `load`. Calls take what the module's forward took: arrays by position or
    by name, of the dtypes of the examples; and give what it gave, in tuples, lists and dicts. Torch
    tensors work too, and then tensors come back, without copies. A call may run in several threads.
    """

    def __init__(self, graph: Graph) -> None:
        self._graph = graph
        self._packs = Packs()
        self._plans: dict[Any, Plan] = {}
        self._arenas: list[Arena] = []
        self._inputs = [spec.name for spec in graph.inputs]
        self._arguments = graph.arguments or [(n, Ref(i)) for i, n in enumerate(self._inputs)]
        self._names = [name for name, _ in self._arguments]
        self._flat = all(nested == Ref(i) for i, (_, nested) in enumerate(self._arguments))
        self._places = {index: i for i, index in enumerate(outputs_of(graph))}
        out = graph.output
        self._single = self._places.get(out.index) if isinstance(out, Ref) else None

    def __call__(self, *args: Any, **kwargs: Any) -> Any:
        """The module's result for these inputs.

        Raises TypeError for missing or unknown inputs and other dtypes, ValueError for shapes that
        do not fit the examples', but for the sizes that `dynamic` named.
        """
        if kwargs or not self._flat or len(args) != len(self._names):
            args = self._ordered(args, kwargs)
        try:
            key = tuple([(x.shape, x.dtype) for x in args])
            plan = self._plans[key] if all(type(x) is np.ndarray for x in args) else None
        except (AttributeError, KeyError, TypeError):
            plan = None
        if plan is None:
            return self._slowly(args)
        return self._result(self._run(plan, args))

    def _result(self, values: list[Any]) -> Any:
        single = self._single
        return np.asarray(values[single]) if single is not None else self._nested(values)

    def _slowly(self, args: tuple[Any, ...]) -> Any:
        """A call whose shapes are new, or whose arrays are not NumPy's."""
        foreign = any(_is_tensor(x) for x in args)
        arrays = [_as_array(name, x) for name, x in zip(self._inputs, args, strict=True)]
        key = tuple((x.shape, x.dtype) for x in arrays)
        plan = self._plans.get(key)
        values = self._first(key, arrays) if plan is None else self._run(plan, arrays)
        result = self._result(values)
        return as_tensors(result) if foreign else result

    def _run(self, plan: Plan, arrays: Sequence[Array]) -> list[Any]:
        try:
            arena = self._arenas.pop()
        except IndexError:  # another thread has it
            arena = Arena()
        try:
            run = arena.bound.get(plan) or plan.bound(arena)
            if plan.quiet:
                return run(*arrays)
            with np.errstate(all="ignore"):  # infinities and NaN are results here
                return run(*arrays)
        finally:
            self._arenas.append(arena)

    def _first(self, key: Any, arrays: list[Array]) -> list[Any]:
        """The first call with these shapes, which makes the plan for others."""
        sizes = self._graph.bind(arrays)
        check_shapes(self._graph, sizes)
        calls = calls_of(self._graph, sizes, self._packs)
        with np.errstate(all="ignore"):
            values = stepwise(self._graph, calls, arrays)
        if len(self._plans) >= MOST_PLANS:
            self._plans.pop(next(iter(self._plans)), None)
        self._plans[key] = Plan(self._graph, calls, values)
        return [values[index] for index in self._places]

    def _ordered(self, args: tuple[Any, ...], kwargs: dict[str, Any]) -> tuple[Any, ...]:
        names = self._names
        if len(args) > len(names):
            raise TypeError(f"the program takes {len(names)} inputs {names}, got {len(args)}")
        given = dict(zip(names, args, strict=False))
        for name, value in kwargs.items():
            if name not in names:
                raise TypeError(f"the program has no input {name!r}; it takes {names}")
            if name in given:
                raise TypeError(f"input {name!r} is given twice")
            given[name] = value
        missing = [name for name in names if name not in given]
        if missing:
            raise TypeError(f"missing inputs {missing}; the program takes {names}")
        values = [given[name] for name in names]
        if self._flat:
            return tuple(values)
        found: dict[int, Any] = {}
        for (name, nested), value in zip(self._arguments, values, strict=True):
            _match(name, nested, value, found)
        return tuple(found[i] for i in range(len(self._inputs)))

    def _nested(self, values: list[Any]) -> Any:
        def build(part: Any) -> Any:
            if isinstance(part, Ref):
                return np.asarray(values[self._places[part.index]])
            if isinstance(part, Const):
                return self._graph.constants[part.name]
            if isinstance(part, dict):
                return {key: build(item) for key, item in part.items()}
            if isinstance(part, (list, tuple)):
                return type(part)(build(item) for item in part)
            return part

        return build(self._graph.output)

    # --- looking inside ---

    def summary(self) -> str:
        """The inputs, each node with its shape and its place in the module, the weights."""
        from .text import summary

        return summary(self._graph)

    __repr__ = summary

    def trace(self, *args: Any, **kwargs: Any) -> list[tuple[str, str, Any]]:
        """(op, place in the module, result) of each node, in order, for these inputs."""
        ordered = self._ordered(args, kwargs)
        arrays = [_as_array(name, x) for name, x in zip(self._inputs, ordered, strict=True)]
        calls = calls_of(self._graph, self._graph.bind(arrays), self._packs)
        with np.errstate(all="ignore"):
            values = stepwise(self._graph, calls, arrays)[len(arrays) :]
        return [(n.op, n.place, v) for n, v in zip(self._graph.nodes, values, strict=True)]

    def save(self, path: str | os.PathLike[str]) -> None:
        """Write one .safetensors file: the constants, and the graph as JSON in its metadata.

        Raises OSError where the file cannot be written. `load` reads it, with NumPy alone.
        """
        from .file import save

        save(self._graph, path)


def load(path: str | os.PathLike[str]) -> Program:
    """A Program from a file that `Program.save` wrote.

    The file is checked whole before anything of it runs.

    Raises:
        ValueError: not such a file, another version, or a graph that is not sound.
        OSError: the file cannot be opened or read.
    """
    from .file import read

    return Program(read(path))


def from_torch(
    module: Any,
    example_inputs: Any = (),
    dynamic: Any = None,
    *,
    example_kwargs: dict[str, Any] | None = None,
) -> Program:
    """Convert a torch module, in evaluation mode, for inputs like the examples.

    Args:
        module: a torch.nn.Module that torch.export can trace: no branches on values. Or what
            torch.export.export gave, which brings its own examples and sizes.
        example_inputs: a tensor, or a tuple of the arguments of its forward: tensors, also in
            tuples, lists and dicts. What is no tensor is fixed at its value.
        dynamic: None, sizes are those of the examples; {axis: name}, sizes of every input that may
            change, {0: "batch"}; or a tuple of such dicts, one an input, keyword inputs last, for
            nested inputs also nested. Equal names are equal sizes. The examples' must be at least 2
            there; later 1 will do.
        example_kwargs: arguments given by name.

    Returns:
        A Program, which needs no torch, and holds the weights of now.

    Raises:
        NotImplementedError: the module uses ops that forwardpass lacks: all of them, with places.
        ValueError, TypeError: `dynamic` or the inputs do not fit the module.
        Whatever torch.export raises where it cannot trace the module.
    """
    from .optimise import optimised
    from .torch_import import import_exported, import_module

    if type(module).__name__ == "ExportedProgram":
        return Program(optimised(import_exported(module)))
    args = tuple(example_inputs) if isinstance(example_inputs, (tuple, list)) else (example_inputs,)
    graph = import_module(module, args, dict(example_kwargs or {}), dynamic)
    return Program(optimised(graph))


def _match(name: str, nested: Any, value: Any, found: dict[int, Any]) -> None:
    """Put the arrays of an argument into `found`, by the number of their input."""
    if isinstance(nested, Ref):
        found[nested.index] = value
    elif isinstance(nested, dict):
        if not isinstance(value, Mapping) or value.keys() != nested.keys():
            raise TypeError(f"input {name!r} must be a dict with the keys {sorted(nested)}")
        for key, part in nested.items():
            _match(f"{name}.{key}", part, value[key], found)
    elif isinstance(nested, (list, tuple)):
        if not isinstance(value, (list, tuple)) or len(value) != len(nested):
            raise TypeError(f"input {name!r} must be a {type(nested).__name__} of {len(nested)}")
        for number, part in enumerate(nested):
            _match(f"{name}.{number}", part, value[number], found)
    elif value is not nested and value != nested:
        raise ValueError(f"input {name!r} is fixed at {nested!r}, as in the example")


def _is_tensor(x: Any) -> bool:
    return type(x).__module__.split(".")[0] == "torch"


def _as_array(name: str, x: Any) -> Array:
    if isinstance(x, np.ndarray):
        return np.asarray(x)
    if _is_tensor(x):
        return np.asarray(x.detach().numpy())
    if hasattr(x, "__array__"):
        return np.asarray(x)
    if hasattr(x, "__dlpack__"):
        return np.from_dlpack(x)
    raise TypeError(f"input {name!r} must be an array, got {type(x).__name__}")


def as_tensors(result: Any) -> Any:
    """A result with torch tensors in the place of arrays: of the same memory, where torch can."""
    import torch

    if isinstance(result, np.ndarray):
        shared = result.flags.writeable and all(step >= 0 for step in result.strides)
        return torch.from_numpy(result if shared else result.copy())
    if isinstance(result, dict):
        return {key: as_tensors(item) for key, item in result.items()}
    if isinstance(result, (list, tuple)):
        return type(result)(as_tensors(item) for item in result)
    return result
