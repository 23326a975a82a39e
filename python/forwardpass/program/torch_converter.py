"""From a graph of ATen ops to a graph of ours, node by node through the table in aten/."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any, NamedTuple

import numpy as np
import torch
from torch import fx

from .aten import ATEN, COMPLEX
from .ir import Const, Graph, Input, Node, Ref, Size
from .torch_constants import of_parameters

_DTYPES = {torch.float32: "float32", torch.float64: "float64", torch.bool: "bool"}
_DTYPES |= {getattr(torch, f"int{n}"): f"int{n}" for n in (8, 16, 32, 64)} | {torch.uint8: "uint8"}
_PARTS = {torch.complex64: "float32", torch.complex128: "float64"}


class T(NamedTuple):
    """A tensor of the graph: its value, shape and dtype."""

    value: Any  # Ref or Const
    shape: tuple[Any, ...]
    dtype: str


class Pair(NamedTuple):
    """A complex tensor of the graph: two arrays, of one shape and dtype."""

    re: T
    im: T

    @property
    def shape(self) -> tuple[Any, ...]:
        return self.re.shape

    @property
    def dtype(self) -> str:
        return self.re.dtype


class Unknown(NamedTuple):
    """What is not there, such as a number that depends on data: refused where it is used, other
    than by an assertion."""

    text: str


class UnsupportedError(NotImplementedError):
    """What the table cannot express, in words."""


class Converter:
    """Builds the graph; the functions in aten/ call `emit` and its helpers."""

    def __init__(self, names: dict[str, str]) -> None:
        self.names = names  # of torch's symbols
        self.graph = Graph([], {}, [], None)
        self.env: dict[fx.Node, Any] = {}
        self.parameters: dict[fx.Node, torch.Tensor] = {}  # and buffers and constants
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

    def result(self, fake: torch.Tensor) -> T | Pair:
        """The shape and dtype of a result, without a value; of a complex one, of both parts."""
        if fake.dtype in _PARTS:
            part = T(None, tuple(self.size(n) for n in fake.shape), _PARTS[fake.dtype])
            return Pair(part, part)
        return self.tensor(None, fake)

    def tensor(self, value: Any, fake: Any) -> T:
        if fake.dtype not in _DTYPES:
            raise UnsupportedError(f"dtype {fake.dtype}; convert the module with module.float()")
        return T(value, tuple(self.size(n) for n in fake.shape), _DTYPES[fake.dtype])

    def input(self, name: str, fake: torch.Tensor) -> T:
        """The next input of the graph; all of them come in front of its nodes."""
        t = self.result(fake)
        dtype = t.dtype
        if isinstance(t, Pair):
            dtype = str(fake.dtype).removeprefix("torch.")
        value = T(Ref(len(self.graph.inputs)), t.shape, dtype)
        self.graph.inputs.append(Input(name, t.shape, dtype))
        return value

    def parts(self, x: T) -> T | Pair:
        """An input as the functions in aten/ take it."""
        if not x.dtype.startswith("complex"):
            return x
        dtype = {"complex64": "float32", "complex128": "float64"}[x.dtype]
        return Pair(*(self.emit(op, x.shape, dtype, x=x) for op in ("real", "imag")))

    def convert(self, node: fx.Node) -> None:
        """Put what a call makes into `env`; UnsupportedError where the table lacks it."""
        self.env[node] = _convert(self, node)

    def put(self, tensor: torch.Tensor, name: str, copied: bool = True) -> T | Pair:
        """A tensor's numbers of now, as a constant; not copied, those of always."""
        tensor = tensor.detach()
        if tensor.dtype in _PARTS:
            re, im = torch.view_as_real(tensor.resolve_conj()).unbind(-1)
            return Pair(self._put(re, f"{name}.real"), self._put(im, f"{name}.imag"))
        return self._put(tensor, name, copied)

    def _put(self, tensor: torch.Tensor, name: str, copied: bool = True) -> T:
        if tensor.dtype in (torch.float16, torch.bfloat16):
            tensor = tensor.float()  # exact; results of such a dtype are refused
        if tensor.dtype not in _DTYPES:
            raise UnsupportedError(
                f"{name} of dtype {tensor.dtype}; convert the module with module.float()"
            )
        array = tensor.contiguous().cpu().numpy()
        return self.constant(array.copy() if copied else array, name)

    def argument(self, value: Any) -> Any:
        """A node's argument: T, number, Size, str, None, numpy dtype name, or lists of those."""
        if isinstance(value, fx.Node):
            found = self.env[value]
            if isinstance(found, Unknown):
                raise UnsupportedError(found.text)
            return found
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

    def shared(self, array: Any, name: str) -> T:
        """A constant; one of that name and these numbers is used again."""
        known = self.graph.constants.get(name)
        if known is not None and known.dtype == array.dtype and np.array_equal(known, array):
            return T(Const(name), array.shape, str(array.dtype))
        return self.constant(array, name)

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


_ASSERTIONS = {
    f"aten.{name}.default"
    for name in ("_assert_scalar", "sym_constrain_range", "sym_constrain_range_for_size")
}  # torch asks for these of numbers that depend on data; the graph is right without them


def _convert(c: Converter, node: fx.Node) -> Any:
    fake = node.meta.get("val")
    if isinstance(fake, (int, torch.SymInt)) and not isinstance(fake, bool):
        try:
            return c.size(fake)
        except UnsupportedError as error:
            return Unknown(str(error))
    target: Any = node.target
    if str(target) in _ASSERTIONS:
        return None
    if str(target) == "aten._local_scalar_dense.default" or isinstance(fake, torch.SymFloat):
        return Unknown(
            f"a number that depends on data, or a float that depends on sizes ({target})"
        )
    if isinstance(target, torch._ops.OpOverload):
        if str(target) not in ATEN:
            return _of_parameters(c, node)
        args: dict[str, Any] = {}
        for position, parameter in enumerate(target._schema.arguments):
            given = node.kwargs.get(parameter.name, parameter.default_value)
            if position < len(node.args):
                given = node.args[position]
            args[parameter.name] = c.argument(given)
        out = c.result(fake) if isinstance(fake, torch.Tensor) else fake
        return _rule(str(target), out, args)(c, out, args)
    if getattr(target, "__name__", "") == "getitem":
        whole: Any = node.args[0]
        found = c.env[whole][node.args[1]]
        missing = found is None and isinstance(fake, torch.Tensor)
        return Unknown(f"{whole.target}, its result {node.args[1]}") if missing else found
    if fake is None or isinstance(fake, (bool, torch.SymBool)):
        return None  # an assertion on sizes
    raise UnsupportedError(f"{target}")


def _of_parameters(c: Converter, node: fx.Node) -> Any:
    """What torch makes of the parameters by an op that is not in the table."""
    value = of_parameters(node, c.parameters)
    if isinstance(value, torch.Tensor):
        return c.put(value, node.name)
    if isinstance(value, (tuple, list)) and all(isinstance(v, torch.Tensor) for v in value):
        return [c.put(v, node.name) for v in value]
    raise UnsupportedError(str(node.target))


def _rule(target: str, out: Any, args: dict[str, Any]) -> Any:
    """The function of the table, or of that for complex numbers where there are such."""
    nested = [v for value in args.values() for v in (value if isinstance(value, list) else [value])]
    if any(isinstance(value, (Pair, complex)) for value in [out, *nested]):
        if target in COMPLEX:
            return COMPLEX[target]
        raise UnsupportedError(f"{target} of complex numbers")
    return ATEN[target]


def place(node: fx.Node) -> str:
    """Where in the module a node comes from."""
    stack = node.meta.get("nn_module_stack")
    return str(list(stack.values())[-1][0]) if stack else ""
