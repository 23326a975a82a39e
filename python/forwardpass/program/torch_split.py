"""A functional graph of ATen ops in parts: Programs, and torch's own nodes between them."""

from __future__ import annotations

import copy
from collections.abc import Sequence
from typing import Any

import numpy as np
import torch
from torch import fx
from torch.fx.passes.infra.partitioner import CapabilityBasedPartitioner
from torch.fx.passes.operator_support import OperatorSupportBase

from .aten import ATEN
from .ir import Input, Ref, Size
from .optimise import optimised
from .program import Program, as_tensors
from .torch_converter import Converter, UnsupportedError, place


def split(gm: fx.GraphModule, constants: dict[int, torch.Tensor]) -> fx.GraphModule:
    """A copy of the graph in which Programs do what they can.

    `constants` are the inputs, by place, whose values will stay.
    """
    refused: set[str] = set()  # nodes that a conversion could not express, by name
    for node in gm.graph.nodes:
        node.meta["forwardpass"] = node.name
    while True:
        copied = fx.GraphModule(gm, copy.deepcopy(gm.graph))
        partitioner = CapabilityBasedPartitioner(
            copied, _Support(refused), allows_single_node_partition=True
        )
        whole = partitioner.fuse_partitions(partitioner.propose_partitions(), "program_")
        before = len(refused)
        _convert_parts(whole, refused, constants)
        if len(refused) == before:
            for node in whole.graph.nodes:  # strides are ours now
                if node.target is torch.ops.aten.view.default:
                    node.target = torch.ops.aten.reshape.default
            whole.recompile()
            return whole


class _Support(OperatorSupportBase):
    def __init__(self, refused: set[str]) -> None:
        self.refused = refused

    def is_node_supported(self, submodules: Any, node: fx.Node) -> bool:
        if node.op != "call_function" or node.meta["forwardpass"] in self.refused:
            return False
        if getattr(node.target, "__name__", "") != "getitem" and str(node.target) not in ATEN:
            return False
        value = node.meta.get("val")
        parts = list(value) if isinstance(value, (list, tuple)) else [value]
        tensors = [x for x in parts if x is not None]
        inputs = [n.meta.get("val") for n in node.all_input_nodes]
        devices = {x.device.type for x in [*tensors, *inputs] if isinstance(x, torch.Tensor)}
        return all(isinstance(x, torch.Tensor) for x in tensors) and devices == {"cpu"}


def _convert_parts(
    whole: fx.GraphModule, refused: set[str], constants: dict[int, torch.Tensor]
) -> None:
    """Put a Program in the place of each part; or the names of what it lacks into `refused`."""
    placeholders = [n for n in whole.graph.nodes if n.op == "placeholder"]
    known = {placeholders[i]: tensor for i, tensor in constants.items()}
    symbols: dict[str, fx.Node] = {}  # torch's sizes, as inputs of the whole
    for node in placeholders:
        value = node.meta.get("val")
        if isinstance(value, torch.SymInt) and value.node.expr.is_Symbol:
            symbols.setdefault(str(value.node.expr), node)
    for node in list(whole.graph.nodes):
        if node.op == "get_attr":
            value = getattr(whole, node.target)
            if isinstance(value, torch.Tensor) and value.device.type == "cpu":
                known[node] = value
        if node.op != "call_module" or not node.target.startswith("program"):
            continue
        part: Any = getattr(whole, node.target)
        found = _program(part, node.args, known, list(symbols), refused)
        if found is not None:
            program, tensors = found
            setattr(whole, node.target, _Part(program, len(symbols)))
            node.args = (*symbols.values(), *(node.args[i] for i in tensors))


def _program(
    part: fx.GraphModule, given: Sequence[Any], known: dict[fx.Node, torch.Tensor],
    symbols: list[str], refused: set[str],
) -> tuple[Program, list[int]] | None:  # fmt: skip
    """The Program of a part, and which of the part's arguments it takes."""
    c = Converter({symbol: symbol for symbol in symbols})
    c.graph.inputs = [Input(f"size.{s}", (Size("sym", (s,)), 0), "bool") for s in symbols]
    tensors: list[int] = []
    number = -1
    outputs: Any = None
    count = len(refused)
    for node in sorted(part.graph.nodes, key=lambda n: n.op != "placeholder"):  # these first
        c.place = place(node)
        try:
            if node.op == "placeholder":
                number += 1
                c.env[node] = _argument_of(c, node, known.get(given[number]))
                if isinstance(getattr(c.env[node], "value", None), Ref):
                    tensors.append(number)
            elif node.op == "output":
                outputs = node.args[0]
            else:
                c.convert(node)
        except UnsupportedError:
            if node.op == "placeholder":  # of a dtype that we lack: nor its readers
                refused.update(user.meta["forwardpass"] for user in node.users)
            else:
                refused.add(node.meta["forwardpass"])
        except KeyError:  # uses what could not be converted
            if len(refused) == count:
                raise
    if len(refused) > count:
        return None
    several = isinstance(outputs, (list, tuple))
    values = [c.env[n].value for n in outputs] if several else c.env[outputs].value
    c.graph.output = tuple(values) if several else values
    return Program(optimised(c.graph)), tensors


def _argument_of(c: Converter, node: fx.Node, tensor: torch.Tensor | None) -> Any:
    value = node.meta.get("val")
    if tensor is not None:
        return c.put(tensor, node.name, copied=False)
    if isinstance(value, torch.Tensor):
        made = c.tensor(Ref(len(c.graph.inputs)), value)
        c.graph.inputs.append(Input(node.name, made.shape, made.dtype))
        return made
    return c.size(value) if isinstance(value, (int, torch.SymInt)) else value


class _Part(torch.nn.Module):
    """A Program among torch's nodes: the sizes that shapes depend on and tensors, to tensors."""

    def __init__(self, program: Program, sizes: int) -> None:
        super().__init__()
        self.program = program
        self.sizes = sizes

    def forward(self, *args: Any) -> Any:
        sizes = [np.empty((n, 0), bool) for n in args[: self.sizes]]
        arrays = [x.detach().numpy() for x in args[self.sizes :]]
        return as_tensors(self.program(*sizes, *arrays))
