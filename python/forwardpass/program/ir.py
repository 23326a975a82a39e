"""The graph of a Program: nodes in the order of their execution, arrays by number, sizes by name.

A graph has inputs, constants (arrays by name), nodes and an output. Value i is input i, or the
result of node i - len(inputs); a node uses only values in front of it, so there are no cycles.
A node's arguments, by name, are any nesting in lists of

    Ref(i)      the value i           Const(name)  a constant array
    Size(...)   a size that depends on the inputs: ("sym", "batch"), or ("+", a, b) and its like
    int, float, bool, str, None

What an op does with them stands in the table `OPS`, see ops.py.
"""

from __future__ import annotations

import math
from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from typing import Any, NamedTuple

import numpy as np
import numpy.typing as npt

Array = npt.NDArray[Any]


class Ref(NamedTuple):
    index: int  # type: ignore[assignment]  # not tuple's method


class Const(NamedTuple):
    name: str


class Size(NamedTuple):
    """An integer of the inputs' sizes: op "sym" with a name, or an operation on sizes and ints."""

    op: str
    args: tuple[Any, ...]

    def __str__(self) -> str:
        if self.op == "sym":
            return str(self.args[0])
        if self.op in ("max", "min"):
            return f"{self.op}({', '.join(map(str, self.args))})"
        return f"({f' {self.op} '.join(map(str, self.args))})"


def _power(a: int, b: int) -> int:
    if not 0 <= b <= 64:
        raise ValueError(f"a size to the power {b}")
    return int(a**b)


SIZE_OPS: dict[str, Callable[..., Any]] = {
    "+": lambda *a: sum(a),
    "*": lambda *a: math.prod(a),
    "//": lambda a, b: a // b,
    "%": lambda a, b: a % b,
    "**": _power,
    "max": max,
    "min": min,
}
MOST_DEPTH = 16  # of a size's operations in one another
MOST = 2**48  # no size is beyond this


def evaluate(size: Any, sizes: Mapping[str, int]) -> int:
    """The number that a size is; ValueError where it has none."""
    if not isinstance(size, Size):
        return int(size)
    if size.op == "sym":
        return sizes[size.args[0]]
    try:
        value = SIZE_OPS[size.op](*(evaluate(arg, sizes) for arg in size.args))
    except ZeroDivisionError:
        raise ValueError(f"the size {size} divides by zero") from None
    if abs(value) > MOST:
        raise ValueError(f"the size {size} is {value}")
    return int(value)


def resolve(value: Any, sizes: Mapping[str, int]) -> Any:
    """An argument with its sizes as numbers; lists become tuples."""
    if isinstance(value, Size):
        return evaluate(value, sizes)
    if isinstance(value, (Ref, Const)):
        return value
    if isinstance(value, (list, tuple)):
        return tuple(resolve(item, sizes) for item in value)
    return value


@dataclass
class Node:
    op: str
    args: dict[str, Any]
    place: str = ""  # where in the module it comes from
    shape: tuple[Any, ...] = ()  # of the result, for reading and for fusion
    dtype: str = ""


@dataclass
class Input:
    name: str
    shape: tuple[Any, ...]
    dtype: str


@dataclass
class Graph:
    inputs: list[Input]
    constants: dict[str, Array]
    nodes: list[Node]
    output: Any  # a nesting of Ref, Const and literals in lists, tuples and dicts
    limits: dict[str, tuple[int, int]] = field(default_factory=dict)  # of the named sizes
    positional: int = 0  # arguments that may be given without their name: the first ones
    # of a call, each with a nesting of Refs to inputs; None: the inputs are the arguments
    arguments: list[tuple[str, Any]] | None = None

    def bind(self, arrays: list[Array]) -> dict[str, int]:
        """The named sizes from the inputs' shapes; ValueError or TypeError where they misfit."""
        sizes: dict[str, int] = {}
        for spec, array in zip(self.inputs, arrays, strict=True):
            if array.dtype != spec.dtype:
                raise TypeError(
                    f"input {spec.name!r} must be {spec.dtype}, got {array.dtype}; "
                    f"cast it with astype(np.{spec.dtype})"
                )
            if array.ndim != len(spec.shape):
                raise ValueError(f"input {spec.name!r} {self._expected(spec)}, got {array.shape}")
            for size, got in zip(spec.shape, array.shape, strict=True):
                if isinstance(size, Size) and size.op == "sym":
                    name = size.args[0]
                    low, high = self.limits.get(name, (0, MOST))
                    if sizes.setdefault(name, got) == got and low <= got <= high:
                        continue
                    limits = f" ({low} <= {name} <= {high})" if not low <= got <= high else ""
                    have = f" where {name} is {sizes[name]}" if sizes[name] != got else limits
                    raise ValueError(
                        f"input {spec.name!r} {self._expected(spec)}{have}, got {array.shape}"
                    )
        for spec, array in zip(self.inputs, arrays, strict=True):
            want = tuple(evaluate(size, sizes) for size in spec.shape)
            if want != array.shape:
                raise ValueError(f"input {spec.name!r} {self._expected(spec)}, got {array.shape}")
        return sizes

    @staticmethod
    def _expected(spec: Input) -> str:
        return f"must have shape ({', '.join(map(str, spec.shape))})"


def refs(value: Any) -> list[int]:
    """The numbers of all values that an argument, or an output, uses."""
    if isinstance(value, Ref):
        return [value.index]
    if isinstance(value, (Const, Size)):
        return []
    if isinstance(value, dict):
        value = list(value.values())
    if isinstance(value, (list, tuple)):
        return [index for item in value for index in refs(item)]
    return []


def replace(value: Any, change: Callable[[Any], Any]) -> Any:
    """The same nesting with `change` applied to every Ref and Const."""
    if isinstance(value, (Ref, Const)):
        return change(value)
    if isinstance(value, Size):
        return value
    if isinstance(value, dict):
        return {key: replace(item, change) for key, item in value.items()}
    if isinstance(value, (list, tuple)):
        return type(value)([replace(item, change) for item in value])
    return value


def float32(array: Array) -> bool:
    return bool(array.dtype == np.float32)
