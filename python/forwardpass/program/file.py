"""A Program in one .safetensors file: its constants, and the graph as JSON in the metadata.

`__metadata__`: {"forwardpass.program": JSON}, the JSON an object of

    version   1; another one is refused
    inputs    [[name, dtype, shape], ...]
    arguments [[name, value], ...] of a call: nestings of inputs; null where those are the arguments
    positional  how many arguments may come by position
    limits    {size: [least, most]}
    nodes     [[op, {argument: value}, place, shape, dtype], ...]
    output    a value

A value is a number, a bool, a string, null, a list of values, or an object with one key: {"v": i}
the value of that number; {"c": name} a constant; {"s": [op, ...]} a size; {"f": "inf"} ("-inf",
"nan"); {"t": [...]} a tuple and {"d": [[key, value], ...]} a dict, in
outputs and arguments.

A file from a stranger is checked whole before anything of it runs: ops and their arguments by the
table, references only to what stands in front, sizes by name, constants that exist, numbers of
everything within limits.
"""

from __future__ import annotations

import json
import math
import os
from typing import Any, ClassVar

from forwardpass.io import safetensors
from forwardpass.io.header import short

from .ir import MOST, MOST_DEPTH, SIZE_OPS, Const, Graph, Input, Node, Ref, Size, refs
from .ops import check_args
from .ops_arrays import dtype_of
from .shapes import check_shapes

VERSION = 1
KEY = "forwardpass.program"
MOST_NODES = 1_000_000


def save(graph: Graph, path: str | os.PathLike[str]) -> None:
    """Write a graph; the file appears whole or not at all."""
    content = {
        "version": VERSION,
        "inputs": [[s.name, s.dtype, _encode(list(s.shape))] for s in graph.inputs],
        "arguments": _arguments(graph),
        "positional": graph.positional,
        "limits": {name: list(bounds) for name, bounds in graph.limits.items()},
        "nodes": [
            [n.op, {k: _encode(v) for k, v in n.args.items()}, n.place, _encode(list(n.shape)),
             n.dtype]
            for n in graph.nodes
        ],
        "output": _encode(graph.output, True),
    }  # fmt: skip
    text = json.dumps(content, separators=(",", ":"), allow_nan=False)
    safetensors.save_file(graph.constants, path, {KEY: text})


def _arguments(graph: Graph) -> Any:
    if graph.arguments is None:
        return None
    return [[name, _encode(nested, True)] for name, nested in graph.arguments]


def _encode(value: Any, output: bool = False) -> Any:
    if isinstance(value, Ref):
        return {"v": value.index}
    if isinstance(value, Const):
        return {"c": value.name}
    if isinstance(value, Size):
        return {"s": [value.op, *map(_encode, value.args)]}
    if isinstance(value, float) and not math.isfinite(value):
        return {"f": str(value)}
    if isinstance(value, dict):
        return {"d": [[key, _encode(item, True)] for key, item in value.items()]}
    if isinstance(value, (list, tuple)):
        items = [_encode(item, output) for item in value]
        return {"t": items} if output and isinstance(value, tuple) else items
    return value


def read(path: str | os.PathLike[str]) -> Graph:
    """The checked graph of a file. ValueError names the file and what is wrong."""
    try:
        graph = _Reader(safetensors.load_file(path), _text(path)).graph()
        if not any(isinstance(n, Size) for spec in graph.inputs for n in spec.shape):
            check_shapes(graph, {})  # others are checked when their sizes are known
        return graph
    except (ValueError, RecursionError) as error:
        reason = "nested too deeply" if isinstance(error, RecursionError) else str(error)
        name = os.fspath(path)
        raise ValueError(reason if reason.startswith(str(name)) else f"{name}: {reason}") from None


def _text(path: str | os.PathLike[str]) -> str:
    metadata = safetensors.load_metadata(path)
    if KEY not in metadata:
        raise ValueError(
            "not a Program: its metadata have no graph; Program.save writes such files"
        )
    return metadata[KEY]


def _need(condition: bool, what: str) -> None:
    if not condition:
        raise ValueError(what)


class _Reader:
    def __init__(self, constants: dict[str, Any], text: str) -> None:
        self.constants = constants
        try:
            self.content = json.loads(text, parse_constant=self._refuse)
        except json.JSONDecodeError as error:
            raise ValueError(f"the graph is not valid JSON: {error}") from None
        self.known = 0  # values in front of the node that is being read
        self.symbols: set[str] = set()

    @staticmethod
    def _refuse(word: str) -> Any:
        raise ValueError(f"the graph has the number {word}")

    def graph(self) -> Graph:
        content = self.content
        _need(isinstance(content, dict), "the graph must be an object")
        version = content.get("version")
        _need(
            type(version) is int and version == VERSION,
            f"the graph has version {short.repr(version)}; this forwardpass reads {VERSION}",
        )
        keys = {"version", "inputs", "arguments", "positional", "limits", "nodes", "output"}
        _need(content.keys() == keys, f"the graph must have {sorted(keys)}")
        inputs = [self._input(raw) for raw in self._list(content["inputs"], "inputs")]
        names = [spec.name for spec in inputs]
        _need(len(set(names)) == len(names), "two inputs have one name")
        limits = self._limits(content["limits"])
        self.known = len(inputs)
        arguments = self._arguments(content["arguments"])
        positional, most = content["positional"], len(inputs if arguments is None else arguments)
        _need(type(positional) is int and 0 <= positional <= most, "bad 'positional'")
        nodes = []
        for number, raw in enumerate(self._list(content["nodes"], "nodes")):
            try:
                nodes.append(self._node(raw))
            except ValueError as error:
                raise ValueError(f"node {number}: {error}") from None
            self.known += 1
        output = self._value(content["output"], output=True)
        return Graph(inputs, self.constants, nodes, output, limits, positional, arguments)

    @staticmethod
    def _list(raw: Any, what: str) -> list[Any]:
        _need(isinstance(raw, list) and len(raw) <= MOST_NODES, f"{what} must be a list")
        result: list[Any] = raw
        return result

    def _input(self, raw: Any) -> Input:
        _need(isinstance(raw, list) and len(raw) == 3, "an input must be [name, dtype, shape]")
        name, dtype, shape = raw
        _need(isinstance(name, str) and isinstance(dtype, str), "an input needs a name and a dtype")
        dtype_of(dtype)
        sizes = self._list(shape, "a shape")
        _need(len(sizes) <= 64, "a shape has too many dimensions")
        for size in sizes:  # names of sizes are those of the inputs' dimensions
            if (
                isinstance(size, dict)
                and isinstance(size.get("s"), list)
                and size["s"][:1] == ["sym"]
            ):
                _need(len(size["s"]) == 2 and isinstance(size["s"][1], str), "bad size")
                self.symbols.add(size["s"][1])
        return Input(name, tuple(self._size(size) for size in sizes), dtype)

    def _arguments(self, raw: Any) -> list[tuple[str, Any]] | None:
        if raw is None:
            return None
        pairs = self._list(raw, "arguments")
        good = all(isinstance(p, list) and len(p) == 2 and isinstance(p[0], str) for p in pairs)
        _need(good, "an argument must be [name, value]")
        arguments = [(str(name), self._value(value, output=True)) for name, value in pairs]
        used = sorted(refs([value for _, value in arguments]))
        _need(used == list(range(self.known)), "the arguments must hold every input once")
        _need(len({name for name, _ in arguments}) == len(arguments), "two arguments have one name")
        return arguments

    def _limits(self, raw: Any) -> dict[str, tuple[int, int]]:
        _need(isinstance(raw, dict), "limits must be an object")
        limits = {}
        for name, bounds in raw.items():
            good = isinstance(bounds, list) and len(bounds) == 2
            _need(good and all(type(n) is int and 0 <= n <= MOST for n in bounds), "bad limits")
            limits[name] = (bounds[0], bounds[1])
        return limits

    def _node(self, raw: Any) -> Node:
        _need(
            isinstance(raw, list) and len(raw) == 5, "must be [op, arguments, place, shape, dtype]"
        )
        name, args, place, shape, dtype = raw
        _need(all(isinstance(text, str) for text in (name, place, dtype)), "bad names")
        _need(isinstance(args, dict), "arguments must be an object")
        values = {key: self._value(value) for key, value in args.items()}
        check_args(name, values)
        sizes = self._list(shape, "a shape")
        return Node(name, values, place, tuple(self._size(size) for size in sizes), dtype)

    def _value(self, raw: Any, output: bool = False, depth: int = 0) -> Any:
        _need(depth <= MOST_DEPTH, "nested too deeply")
        if isinstance(raw, list):
            return [self._value(item, output, depth + 1) for item in raw]
        if isinstance(raw, dict):
            _need(len(raw) == 1, "a value must be an object with one key")
            ((kind, inner),) = raw.items()
            _need(kind in self._KINDS, f"unknown kind of value {short.repr(kind)}")
            return self._KINDS[kind](self, inner, output, depth)
        if isinstance(raw, int) and not isinstance(raw, bool):
            _need(abs(raw) <= 2**63, "a number is too large")
        return raw

    def _ref(self, raw: Any, output: bool, depth: int) -> Ref:
        _need(
            type(raw) is int and 0 <= raw < self.known, f"no value {short.repr(raw)} in front of it"
        )
        return Ref(raw)

    def _const(self, raw: Any, output: bool, depth: int) -> Const:
        _need(isinstance(raw, str) and raw in self.constants, f"no constant {short.repr(raw)}")
        return Const(raw)

    def _size_of(self, raw: Any, output: bool, depth: int) -> Any:
        return self._size({"s": raw})

    def _size(self, raw: Any, depth: int = 0) -> Any:
        if type(raw) is int:
            _need(abs(raw) <= MOST, f"the size {short.repr(raw)} is too large")
            return raw
        _need(isinstance(raw, dict) and raw.keys() == {"s"}, f"bad size {short.repr(raw)}")
        _need(isinstance(raw["s"], list) and len(raw["s"]) >= 2, "bad size")
        _need(depth <= MOST_DEPTH, "a size is nested too deeply")
        kind, *args = raw["s"]
        if kind == "sym":
            known = len(args) == 1 and isinstance(args[0], str) and args[0] in self.symbols
            _need(known, f"no size {short.repr(args)}")
            return Size("sym", (args[0],))
        _need(
            isinstance(kind, str) and kind in SIZE_OPS, f"no operation {short.repr(kind)} on sizes"
        )
        if kind in ("//", "%", "**"):
            _need(len(args) == 2, f"{kind} takes two sizes")
        return Size(kind, tuple(self._size(arg, depth + 1) for arg in args))

    def _float(self, raw: Any, output: bool, depth: int) -> float:
        _need(raw in ("inf", "-inf", "nan"), "bad number")
        return float(raw)

    def _tuple(self, raw: Any, output: bool, depth: int) -> Any:
        _need(output and isinstance(raw, list), "a tuple stands in outputs alone")
        return tuple(self._value(item, output, depth + 1) for item in raw)

    def _dict(self, raw: Any, output: bool, depth: int) -> Any:
        pairs = isinstance(raw, list) and all(isinstance(p, list) and len(p) == 2 for p in raw)
        _need(output and pairs, "a dict stands in outputs alone")
        _need(all(isinstance(key, str) for key, _ in raw), "the keys of a dict must be strings")
        return {key: self._value(item, output, depth + 1) for key, item in raw}

    _KINDS: ClassVar[dict[str, Any]] = {
        "v": _ref,
        "c": _const,
        "s": _size_of,
        "f": _float,
        "t": _tuple,
        "d": _dict,
    }
