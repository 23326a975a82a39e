"""From a torch module to a graph: torch.export, then node by node through the table in aten/.

The exported graph is made functional and otherwise left whole, so that a linear, a layer_norm or an
attention stays one node; only ops that the table lacks are decomposed, where torch knows how.
"""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

import torch
from torch import fx

from .aten import ATEN
from .ir import Graph
from .torch_converter import Converter, Pair, T, UnsupportedError, place
from .torch_inputs import name_inputs, named_arguments, shapes_of
from .torch_patches import put_aside
from .torch_sizes import limits, symbols, wanted_sizes


def exported(
    module: torch.nn.Module, args: tuple[Any, ...], kwargs: dict[str, Any], dynamic: Any
) -> torch.export.ExportedProgram:
    """torch.export in evaluation mode, without gradients, decomposed where needed."""
    training = [m for m in module.modules() if m.training]
    try:
        module.eval()
        with torch.no_grad(), put_aside():
            return decomposed(
                torch.export.export(module, args, kwargs, dynamic_shapes=dynamic, strict=False)
            )
    finally:
        for m in training:
            m.training = True


def decomposed(program: torch.export.ExportedProgram) -> torch.export.ExportedProgram:
    """Functional, with layers kept whole, and what the table lacks in terms of what it has."""
    program = program.run_decompositions({})
    for _ in range(4):
        wanted = {n.target for n in _calls(program) if str(n.target) not in ATEN}
        known = torch.export.default_decompositions()
        more = torch._decomp.decomposition_table
        table = {op: known[op] if op in known else more[op] for op in wanted
                 if op in known or op in more}  # fmt: skip
        if not table:
            break
        program = program.run_decompositions(table)
    return program


def _calls(program: torch.export.ExportedProgram) -> list[fx.Node]:
    return [
        node
        for node in program.graph.nodes
        if node.op == "call_function" and isinstance(node.target, torch._ops.OpOverload)
    ]


def graph_of(program: torch.export.ExportedProgram, names: dict[str, str]) -> Graph:
    """The whole graph, or NotImplementedError with every op that is missing, and its place."""
    c = Converter(names)
    missing: dict[str, list[str]] = {}
    try:
        _inputs(c, program)
    except UnsupportedError as error:
        raise NotImplementedError(f"forwardpass.from_torch: {error}") from None
    for node in program.graph.nodes:
        if node.op != "call_function":
            continue
        c.place = place(node)
        try:
            c.convert(node)
        except UnsupportedError as error:
            missing.setdefault(str(error), []).append(c.place)
        except KeyError:  # uses what could not be converted
            if not missing:
                raise
    try:
        leaves = [_leaf(c, c.argument(value)) for value in _results(program)]
    except UnsupportedError as error:
        missing.setdefault(str(error), []).append("")
    except KeyError:
        if not missing:
            raise
    if missing:
        lines = [f"  {what}: in {_places(places)}" for what, places in missing.items()]
        raise NotImplementedError(
            "forwardpass.from_torch: the module uses what forwardpass lacks:\n" + "\n".join(lines)
        )
    spec = program.call_spec.out_spec
    assert spec is not None
    c.graph.output = _structure(spec, iter(leaves))
    return c.graph


def _leaf(c: Converter, value: Any) -> Any:
    """A result as one array."""
    if not isinstance(value, Pair):
        return value
    dtype = {"float32": "complex64", "float64": "complex128"}[value.dtype]
    return c.emit("complex", value.shape, dtype, re=value.re, im=value.im)


def _results(program: torch.export.ExportedProgram) -> list[Any]:
    """What the module returns, without what it writes to its inputs, which are left alone."""
    kinds = torch.export.graph_signature.OutputKind
    output = next(n for n in program.graph.nodes if n.op == "output")
    pairs = list(zip(program.graph_signature.output_specs, output.args[0], strict=True))
    alone = kinds.USER_OUTPUT, kinds.USER_INPUT_MUTATION
    changed = [str(spec.target) for spec, _ in pairs if spec.kind not in alone]
    if changed:
        raise NotImplementedError(
            "forwardpass.from_torch: the module changes itself as it runs, and a Program has no "
            f"state: {', '.join(changed[:5])}"
        )
    return [value for spec, value in pairs if spec.kind == kinds.USER_OUTPUT]


def _inputs(c: Converter, program: torch.export.ExportedProgram) -> None:
    """Inputs and constants; a parameter that nothing reads is left out."""
    kinds = {spec.arg.name: spec for spec in program.graph_signature.input_specs}
    constants, taken = [], []
    for node in program.graph.nodes:
        if node.op != "placeholder":
            continue
        spec, fake = kinds[node.name], node.meta.get("val")
        if spec.kind != torch.export.graph_signature.InputKind.USER_INPUT:
            constants.append((node, spec.target))
        elif isinstance(fake, torch.Tensor):
            taken.append((node, c.input(node.name, fake)))
        else:
            c.env[node] = fake  # None, a number or a string: as in the example
    for node, t in taken:  # in front of every node
        c.env[node] = c.parts(t)
    for node, name in constants:
        if name is None:  # a token, which orders side effects
            c.env[node] = None
            continue
        tensors: Mapping[str, Any] = program.state_dict
        if name not in tensors:
            tensors = program.constants
        c.parameters[node] = tensors[name]
        c.env[node] = c.put(tensors[name], name) if node.users else None


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


def import_module(
    module: torch.nn.Module, args: tuple[Any, ...], kwargs: dict[str, Any], dynamic: Any
) -> Graph:
    """The graph of a module for example inputs; see forwardpass.from_torch."""
    named = named_arguments(module, args, kwargs)
    wanted = wanted_sizes(named, dynamic)
    shapes = shapes_of(module, args, kwargs, wanted) if any(wanted) else None
    program = exported(module, args, kwargs, shapes)
    names = symbols(program, wanted)
    graph = graph_of(program, names)
    graph.limits = limits(program, names)
    name_inputs(graph, named, len(args))
    return graph


def import_exported(program: torch.export.ExportedProgram) -> Graph:
    """The graph of what torch.export made; its sizes keep torch's names."""
    args, kwargs = program.example_inputs or ((), {})
    with torch.no_grad():
        program = decomposed(program)
    names = {str(symbol): str(symbol) for symbol in program.range_constraints}
    graph = graph_of(program, names)
    graph.limits = limits(program, names)
    signature = program.module_call_graph[0].signature
    forward = list(getattr(signature, "forward_arg_names", None) or ())[: len(args)]
    forward += [f"input_{i}" for i in range(len(forward), len(args))]
    name_inputs(graph, dict(zip(forward, args, strict=True)) | kwargs, len(args))
    return graph
