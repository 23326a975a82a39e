"""The sizes that `dynamic` names, and what torch.export made of them."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

import torch

from .ir import MOST
from .torch_inputs import leaves, spread


def wanted_sizes(named: Mapping[str, Any], dynamic: Any) -> list[dict[int, str]]:
    """For each leaf of the arguments {axis: name}; ValueError where it has no such axis."""
    wanted = spread(named, dynamic)
    checked = []
    for (path, x), axes in zip(leaves(named), wanted, strict=True):
        for axis, name in axes.items():
            if not isinstance(x, torch.Tensor) or not -x.ndim <= axis < x.ndim:
                raise ValueError(f"dynamic: input {path!r} has no axis {axis}")
            if x.shape[axis] < 2:
                raise ValueError(
                    f"dynamic: the example of input {path!r} must have a size of at least 2 in "
                    f"axis {axis} ({name}), got {tuple(x.shape)}: torch.export fixes smaller sizes"
                )
        checked.append({axis % x.ndim: str(name) for axis, name in axes.items()})
    return checked


def _user_inputs(program: torch.export.ExportedProgram) -> list[Any]:
    nodes = {n.name: n for n in program.graph.nodes if n.op == "placeholder"}
    kind = torch.export.graph_signature.InputKind.USER_INPUT
    specs = [spec for spec in program.graph_signature.input_specs if spec.kind == kind]
    return [nodes[spec.arg.name].meta.get("val") for spec in specs]


def symbols(program: torch.export.ExportedProgram, wanted: list[dict[int, str]]) -> dict[str, str]:
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


def limits(
    program: torch.export.ExportedProgram, names: dict[str, str]
) -> dict[str, tuple[int, int]]:
    """The sizes that each name may have."""
    found: dict[str, tuple[int, int]] = {}
    for symbol, bounds in program.range_constraints.items():
        if str(symbol) in names:
            # 2 is where torch begins to take a size as any, not where the module does
            low = 0 if bounds.lower <= 2 else int(bounds.lower)
            high = int(bounds.upper) if bounds.upper.is_Integer else MOST
            name = names[str(symbol)]
            before = found.get(name, (0, MOST))
            found[name] = (max(low, before[0]), min(high, before[1], MOST))
    return found
