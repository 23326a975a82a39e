"""From a torch module to a graph: torch.export, then node by node through torch_ops.py's table.

The exported graph is made functional and otherwise left whole, so that a linear, a layer_norm or an
attention stays one node; only ops that the table lacks are decomposed, where torch knows how.
"""

from __future__ import annotations

import inspect
from collections.abc import Callable, Mapping, Sequence
from typing import Any, NamedTuple

import numpy as np
import torch
from torch import fx

from .ir import MOST, Array, Const, Graph, Input, Node, Ref, Size
from .torch_ops import ATEN
from .torch_patches import put_aside

_DTYPES = {torch.float32: "float32", torch.float64: "float64", torch.bool: "bool"}
_DTYPES |= {getattr(torch, f"int{n}"): f"int{n}" for n in (8, 16, 32, 64)} | {torch.uint8: "uint8"}


class T(NamedTuple):
    """A tensor of the graph: its value, shape and dtype."""

    value: Any  # Ref or Const
    shape: tuple[Any, ...]
    dtype: str


class UnsupportedError(NotImplementedError):
    """What the table cannot express, in words."""


class Converter:
    """Builds the graph; the functions of torch_ops.py call `emit` and its helpers."""

    def __init__(self, program: torch.export.ExportedProgram, names: dict[str, str]) -> None:
        self.program = program
        self.names = names  # of symbols
        self.graph = Graph([], {}, [], None)
        self.env: dict[fx.Node, Any] = {}
        self.place = ""
        self.scalars: dict[Any, str] = {}
        self.count = 0

    # --- what torch's values are here ---

    def size(self, value: Any) -> Any:
        """An int, or a Size of the inputs' sizes."""
        if isinstance(value, torch.SymInt):
            return self.expression(value.node.expr)
        return int(value)

    def expression(self, e: Any) -> Any:
        import sympy

        if e.is_Integer:
            return int(e)
        if e.is_Symbol:
            if str(e) not in self.names:
                raise UnsupportedError(f"a size that depends on data, {e}")
            return Size("sym", (self.names[str(e)],))
        kinds = {"FloorDiv": "//", "CleanDiv": "//", "Mod": "%", "PythonMod": "%"}
        kinds |= {"Max": "max", "Min": "min", "Pow": "**", "Add": "+", "Mul": "*"}
        kind = kinds.get(type(e).__name__)
        if kind is None or (isinstance(e, sympy.Pow) and not e.args[1].is_Integer):
            raise UnsupportedError(f"a size computed as {e}")
        return Size(kind, tuple(self.expression(arg) for arg in e.args))

    def tensor(self, value: Any, fake: Any) -> T:
        if fake.dtype not in _DTYPES:
            raise UnsupportedError(f"dtype {fake.dtype}; convert the module with module.float()")
        return T(value, tuple(self.size(n) for n in fake.shape), _DTYPES[fake.dtype])

    def argument(self, value: Any) -> Any:
        """A node's argument: T, number, Size, str, None, numpy dtype name, or lists of those."""
        if isinstance(value, fx.Node):
            return self.env[value]
        if isinstance(value, (list, tuple)):
            return [self.argument(item) for item in value]
        if isinstance(value, torch.dtype):
            return _DTYPES.get(value, str(value))
        return value

    # --- what the graph gets ---

    def emit(self, op: str, shape: Sequence[Any], dtype: str, /, **args: Any) -> T:
        node = Node(op, {k: _plain(v) for k, v in args.items()}, self.place, tuple(shape), dtype)
        self.graph.nodes.append(node)
        return T(Ref(len(self.graph.inputs) + len(self.graph.nodes) - 1), tuple(shape), dtype)

    def like(self, op: str, x: T, /, **args: Any) -> T:
        """emit, with the shape and dtype of x."""
        return self.emit(op, x.shape, x.dtype, **args)

    def constant(self, array: Any, name: str = "") -> T:
        array = np.asarray(array)
        key = (array.dtype.str, array.tobytes()) if array.ndim == 0 else None
        if key in self.scalars:
            name = self.scalars[key]
        else:
            while not name or name in self.graph.constants:
                self.count += 1
                name = f"{name or 'constant'}.{self.count}"
            self.graph.constants[name] = array
            if key:
                self.scalars[key] = name
        return T(Const(name), array.shape, str(array.dtype))

    def array(self, x: Any, dtype: str) -> T:
        """A tensor or number as an array of that dtype."""
        if isinstance(x, T):
            return x if x.dtype == dtype else self.emit("cast", x.shape, dtype, x=x, dtype=dtype)
        if isinstance(x, Size):
            return self.emit("full", (), dtype, shape=[], value=x, dtype=dtype)
        with np.errstate(over="ignore"):
            return self.constant(np.asarray(x, dtype))

    def is_constant(self, x: Any) -> bool:
        return isinstance(x, T) and isinstance(x.value, Const)

    def number(self, x: T) -> Any:
        """The value of a constant with one element."""
        if not self.is_constant(x):
            raise UnsupportedError("a number that depends on data")
        return self.graph.constants[x.value.name].item()


def _plain(value: Any) -> Any:
    if isinstance(value, T):
        return value.value
    if isinstance(value, (list, tuple)) and not isinstance(value, (Ref, Const, Size)):
        return [_plain(item) for item in value]
    return value


def exported(
    module: torch.nn.Module, args: tuple[Any, ...], kwargs: dict[str, Any], dynamic: Any
) -> torch.export.ExportedProgram:
    """torch.export in evaluation mode, without gradients, functional, decomposed where needed."""
    training = [m for m in module.modules() if m.training]
    try:
        module.eval()
        with torch.no_grad(), put_aside():
            program = torch.export.export(
                module, args, kwargs, dynamic_shapes=dynamic, strict=False
            ).run_decompositions({})
            for _ in range(4):
                wanted = {n.target for n in _calls(program) if str(n.target) not in ATEN}
                known = torch.export.default_decompositions()
                table = {op: known[op] for op in wanted if op in known}
                if not table:
                    break
                program = program.run_decompositions(table)
        return program
    finally:
        for m in training:
            m.training = True


def _calls(program: torch.export.ExportedProgram) -> list[fx.Node]:
    return [
        node
        for node in program.graph.nodes
        if node.op == "call_function" and isinstance(node.target, torch._ops.OpOverload)
    ]


def graph_of(program: torch.export.ExportedProgram, names: dict[str, str]) -> Graph:
    """The whole graph, or NotImplementedError with every op that is missing, and its place."""
    c = Converter(program, names)
    missing: dict[str, list[str]] = {}
    _inputs(c)
    for node in program.graph.nodes:
        if node.op != "call_function":
            continue
        c.place = _place(node)
        try:
            c.env[node] = _convert(c, node)
        except UnsupportedError as error:
            missing.setdefault(str(error), []).append(c.place)
        except KeyError:  # uses what could not be converted
            if not missing:
                raise
    if missing:
        lines = [f"  {what}: in {_places(places)}" for what, places in missing.items()]
        raise NotImplementedError(
            "forwardpass.from_torch: the module uses what forwardpass lacks:\n" + "\n".join(lines)
        )
    output = next(n for n in program.graph.nodes if n.op == "output")
    leaves = [c.argument(value) for value in output.args[0]]
    spec = program.call_spec.out_spec
    assert spec is not None
    c.graph.output = _structure(spec, iter(leaves))
    return c.graph


def _convert(c: Converter, node: fx.Node) -> Any:
    fake = node.meta.get("val")
    if isinstance(fake, (int, torch.SymInt)) and not isinstance(fake, bool):
        return c.size(fake)
    target: Any = node.target
    if isinstance(target, torch._ops.OpOverload):
        convert = ATEN.get(str(target))
        if convert is None:
            raise UnsupportedError(str(target))
        args: dict[str, Any] = {}
        for position, parameter in enumerate(target._schema.arguments):
            given = node.kwargs.get(parameter.name, parameter.default_value)
            if position < len(node.args):
                given = node.args[position]
            args[parameter.name] = c.argument(given)
        out = c.tensor(None, fake) if isinstance(fake, torch.Tensor) else fake
        return convert(c, out, args)
    if getattr(target, "__name__", "") == "getitem":
        return c.env[node.args[0]][node.args[1]]
    if fake is None or isinstance(fake, (bool, torch.SymBool)):
        return None  # an assertion on sizes
    raise UnsupportedError(f"{target}")


def _inputs(c: Converter) -> None:
    signature = c.program.graph_signature
    kinds = {spec.arg.name: spec for spec in signature.input_specs}
    for node in c.program.graph.nodes:
        if node.op != "placeholder":
            continue
        spec, fake = kinds[node.name], node.meta.get("val")
        if spec.kind == torch.export.graph_signature.InputKind.USER_INPUT:
            if not isinstance(fake, torch.Tensor):
                c.env[node] = fake  # None, a number or a string: as in the example
                continue
            t = c.tensor(Ref(len(c.graph.inputs)), fake)
            c.graph.inputs.append(Input(node.name, t.shape, t.dtype))
            c.env[node] = t
            continue
        assert spec.target is not None
        tensors: Mapping[str, Any] = c.program.state_dict
        if spec.target not in tensors:
            tensors = c.program.constants
        c.env[node] = _LazyConstant(c, spec.target, tensors[spec.target])
    for node, value in list(c.env.items()):
        if isinstance(value, _LazyConstant):
            c.env[node] = value.put() if node.users else None


class _LazyConstant(NamedTuple):
    c: Converter
    name: str
    tensor: torch.Tensor

    def put(self) -> T:
        tensor = self.tensor.detach()
        if tensor.dtype not in _DTYPES:
            raise NotImplementedError(
                f"forwardpass.from_torch: {self.name} is {tensor.dtype}; convert the module with "
                "module.float()"
            )
        return self.c.constant(tensor.contiguous().cpu().numpy().copy(), self.name)


def _place(node: fx.Node) -> str:
    stack = node.meta.get("nn_module_stack")
    return str(list(stack.values())[-1][0]) if stack else ""


def _places(places: list[str]) -> str:
    names = list(dict.fromkeys(place or "the module itself" for place in places))
    more = f" and {len(names) - 5} more" if len(names) > 5 else ""
    return ", ".join(names[:5]) + more


def _structure(spec: Any, leaves: Any) -> Any:
    """The output's nesting in tuples, lists and dicts, each leaf a Ref, Const, number or None."""
    if spec.is_leaf():
        leaf = next(leaves)
        return leaf.value if isinstance(leaf, T) else leaf
    parts = [_structure(child, leaves) for child in spec.children()]
    kind = spec.type
    if kind is list:
        return parts
    if issubclass(kind, dict):
        keys = spec.context if not isinstance(spec.context[:1], tuple) else spec.context[0]
        return dict(zip(map(str, keys), parts, strict=True))
    if issubclass(kind, tuple):
        return tuple(parts)
    if kind is type(None):
        return None
    raise NotImplementedError(
        f"forwardpass.from_torch: the module returns a {kind.__name__}; return tensors in tuples, "
        "lists and dicts (transformers: use_cache=False)"
    )


def _dynamic_shapes(inputs: list[Any], dynamic: Any) -> list[dict[int, str]]:
    """For each input {axis: name}."""
    if dynamic is None:
        return [{} for _ in inputs]
    if isinstance(dynamic, Mapping):
        wanted = [
            {a: n for a, n in dynamic.items()} if isinstance(x, torch.Tensor) else {}
            for x in inputs
        ]
    else:
        wanted = [dict(axes or {}) for axes in dynamic]
        if len(wanted) != len(inputs):
            raise ValueError(
                f"dynamic must have a dict for each of the {len(inputs)} inputs, got {len(wanted)}"
            )
    for number, (x, axes) in enumerate(zip(inputs, wanted, strict=True)):
        for axis, name in axes.items():
            if not isinstance(x, torch.Tensor) or not -x.ndim <= axis < x.ndim:
                raise ValueError(f"dynamic: input {number} has no axis {axis}")
            if x.shape[axis] < 2:
                raise ValueError(
                    f"dynamic: the example of input {number} must have a size of at least 2 in "
                    f"axis {axis} ({name}), got {tuple(x.shape)}: torch.export fixes smaller sizes"
                )
    return [
        {axis % x.ndim: str(name) for axis, name in axes.items()}
        for x, axes in zip(inputs, wanted, strict=True)
    ]


def import_module(
    module: torch.nn.Module, args: tuple[Any, ...], kwargs: dict[str, Any], dynamic: Any
) -> Graph:
    """The graph of a module for example inputs; see forwardpass.from_torch."""
    inputs = [*args, *kwargs.values()]
    wanted = _dynamic_shapes(inputs, dynamic)
    auto: list[Any] = [
        {axis: torch.export.Dim.AUTO for axis in axes} if isinstance(x, torch.Tensor) else None
        for x, axes in zip(inputs, wanted, strict=True)
    ]
    shapes = None
    if any(wanted):
        names = list(inspect.signature(module.forward).parameters)
        shapes = dict(zip(names, auto[: len(args)], strict=False)) | dict(
            zip(kwargs, auto[len(args) :], strict=True)
        )
    program = exported(module, args, kwargs, shapes)
    graph = graph_of(program, _symbols(program, wanted))
    graph.limits = _limits(program, _symbols(program, wanted))
    _name_inputs(graph, module, args, kwargs)
    return graph


def _user_inputs(program: torch.export.ExportedProgram) -> list[Any]:
    nodes = {n.name: n for n in program.graph.nodes if n.op == "placeholder"}
    kind = torch.export.graph_signature.InputKind.USER_INPUT
    specs = [spec for spec in program.graph_signature.input_specs if spec.kind == kind]
    return [nodes[spec.arg.name].meta.get("val") for spec in specs]


def _symbols(program: torch.export.ExportedProgram, wanted: list[dict[int, str]]) -> dict[str, str]:
    """{torch's symbol: our name}; ValueError where a size turned out to be fixed."""
    names: dict[str, str] = {}
    for number, (fake, axes) in enumerate(zip(_user_inputs(program), wanted, strict=True)):
        for axis, name in axes.items():
            size = fake.shape[axis]
            if not isinstance(size, torch.SymInt) or not size.node.expr.free_symbols:
                raise ValueError(
                    f"dynamic: the module works for size {size} alone in axis {axis} ({name}) of "
                    f"input {number}; leave it out"
                )
            if size.node.expr.is_Symbol:
                names.setdefault(str(size.node.expr), name)
    return names


def _limits(
    program: torch.export.ExportedProgram, names: dict[str, str]
) -> dict[str, tuple[int, int]]:
    limits: dict[str, tuple[int, int]] = {}
    for symbol, bounds in program.range_constraints.items():
        if str(symbol) in names:
            # 2 is where torch begins to take a size as any, not where the module does
            low = 0 if bounds.lower <= 2 else int(bounds.lower)
            high = int(bounds.upper) if bounds.upper.is_Integer else MOST
            name = names[str(symbol)]
            before = limits.get(name, (0, MOST))
            limits[name] = (max(low, before[0]), min(high, before[1], MOST))
    return limits


def _name_inputs(
    graph: Graph, module: torch.nn.Module, args: tuple[Any, ...], kwargs: dict[str, Any]
) -> None:
    """The names of the forward's parameters; what is no tensor was fixed and is no input."""
    parameters = list(inspect.signature(module.forward).parameters.values())
    names: list[str] = []
    for number in range(len(args)):
        p = parameters[min(number, len(parameters) - 1)]
        var = p.kind == p.VAR_POSITIONAL
        names.append(f"{p.name}_{number}" if var else p.name)
    given = [*zip(names, args, strict=True), *kwargs.items()]
    tensors = [name for name, value in given if isinstance(value, torch.Tensor)]
    for spec, name in zip(graph.inputs, tensors, strict=True):
        spec.name = name
    leading = [isinstance(value, torch.Tensor) for value in args]
    graph.positional = leading.index(False) if False in leading else len(leading)


ConvertFn = Callable[[Converter, Any, dict[str, Any]], Any]
__all__ = ["Array", "Converter", "import_module"]
