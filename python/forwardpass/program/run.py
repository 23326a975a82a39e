"""From a graph and the sizes of its inputs to a list of calls, run as one function.

For each set of input shapes there is a plan, made once: sizes are numbers then, each op has picked
its function, weights are packed. The function's source text is made of numbered names alone, so
that nothing that a file holds becomes code.
"""

from __future__ import annotations

from collections.abc import Callable, Collection, Mapping
from typing import Any, NamedTuple

from .ir import Array, Const, Graph, Ref, refs, resolve
from .ops import OPS, Packs


class Call(NamedTuple):
    """fn(*args), where a Ref among args is that value."""

    fn: Callable[..., Any]
    args: tuple[Any, ...]


def calls_of(graph: Graph, sizes: dict[str, int], packs: Packs) -> list[Call]:
    """The call of each node. ValueError names a node whose sizes or arguments do not fit."""

    def given(value: Any) -> Any:
        if isinstance(value, Const):
            return graph.constants[value.name]
        if isinstance(value, tuple) and not isinstance(value, Ref):
            return tuple(given(item) for item in value)
        return value

    calls = []
    for number, node in enumerate(graph.nodes):
        try:
            args = {name: resolve(value, sizes) for name, value in node.args.items()}
            packs.node = number
            fn, *rest = OPS[node.op].build(packs, **{k: given(v) for k, v in args.items()})
        except (TypeError, ValueError) as error:
            raise ValueError(
                f"node {number} ({node.op}, {node.place or 'no place'}): {error}"
            ) from error
        calls.append(Call(fn, tuple(rest)))
    return calls


class Compiled:
    """A plan as one function, made once; `bound` gives it the arrays that ops write into."""

    def __init__(self, graph: Graph, calls: list[Call], into: Collection[int] = ()) -> None:
        first, wanted = len(graph.inputs), outputs_of(graph)
        last_use = _last_uses(calls, first)
        for index in wanted:
            last_use.pop(index, None)
        self.names: dict[str, Any] = {}
        lines = [f"def run({', '.join(f'v{i}' for i in range(first))}):"]
        for number, call in enumerate(calls):
            self.names[f"f{number}"] = call.fn
            words = [
                _word(arg, f"a{number}_{position}", self.names)
                for position, arg in enumerate(call.args)
            ]
            words += [f"o{number}"] if number in into else []
            lines.append(f" v{first + number}=f{number}({','.join(words)})")
            dead = [i for i, at in last_use.items() if at == number and i - first not in into]
            if dead:  # memory goes back as early as it can
                lines.append(" " + "=".join(f"v{i}" for i in dead) + "=None")
        lines.append(f" return [{','.join(f'v{i}' for i in wanted)}]")
        self.code = compile("\n".join(lines), "<forwardpass.Program>", "exec")

    def bound(self, arrays: Mapping[int, Any]) -> Callable[..., list[Any]]:
        """The function of the inputs that gives the list of the values that the output uses."""
        names = self.names | {f"o{number}": array for number, array in arrays.items()}
        exec(self.code, names)
        run: Callable[..., list[Any]] = names["run"]
        return run


def _last_uses(calls: list[Call], first: int) -> dict[int, int]:
    last: dict[int, int] = {}
    for number, call in enumerate(calls):
        last[first + number] = number
        for index in refs(call.args):
            last[index] = number
    return last


def _word(arg: Any, name: str, names: dict[str, Any]) -> str:
    if isinstance(arg, Ref):
        return f"v{arg.index}"
    if isinstance(arg, tuple) and refs(arg):
        inner = [_word(item, f"{name}_{i}", names) for i, item in enumerate(arg)]
        return f"({','.join(inner)},)"
    names[name] = arg
    return name


def outputs_of(graph: Graph) -> list[int]:
    """The numbers of the values in the output, each once."""
    return list(dict.fromkeys(refs(graph.output)))


def stepwise(graph: Graph, calls: list[Call], arrays: list[Array]) -> list[Any]:
    """Every value, one call after the other: for `trace`, and for folding constants."""
    values: list[Any] = list(arrays)

    def given(arg: Any) -> Any:
        if isinstance(arg, Ref):
            return values[arg.index]
        if isinstance(arg, tuple):
            return tuple(given(item) for item in arg)
        return arg

    for number, call in enumerate(calls):
        try:
            values.append(call.fn(*(given(arg) for arg in call.args)))
        except (IndexError, TypeError, ValueError) as error:
            node = graph.nodes[number]
            where = f"node {number} ({node.op}, {node.place or 'no place'})"
            raise type(error)(f"{where}: {error}") from error
    return values
