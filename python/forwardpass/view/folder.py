"""`forwardpass summary FOLDER`: a model's settings and parameters, from config.json and headers.

Parameters are grouped by the modules they belong to, which their dotted names tell. Numbered
modules that are alike (the layers of a transformer) share their lines.
"""

from __future__ import annotations

import os
import textwrap
from dataclasses import dataclass, field
from typing import Any

from forwardpass._terminal import say
from forwardpass.io.folders import load_config
from forwardpass.io.header import TensorInfo

from . import files
from ._text import branches, clean, printable, shape, size_text, table

_NAME = 60  # characters to show of a name
_MOST_LEVELS = 40  # the rest of a longer name stays together


@dataclass
class _Node:
    """A module, as the names of its tensors tell."""

    name: str
    tensors: dict[str, TensorInfo] = field(default_factory=dict)
    children: dict[str, _Node] = field(default_factory=dict)
    times: int = 1  # how many modules this line stands for

    def infos(self) -> list[TensorInfo]:
        inner = [info for child in self.children.values() for info in child.infos()]
        return [*self.tensors.values(), *inner]

    def pattern(self) -> tuple[Any, ...]:
        """Equal for modules that are alike: names, types and shapes of all that is inside."""
        tensors = sorted((name, info[:2]) for name, info in self.tensors.items())
        return tensors, sorted((name, node.pattern()) for name, node in self.children.items())


def run(path: str) -> int:
    """Print everything; the exit status. Raises FilesError."""
    found = files.read(path)
    try:
        has_config = os.path.isfile(os.path.join(path, "config.json"))
        config = load_config(path) if has_config else None
    except (OSError, ValueError) as error:
        raise files.FilesError(files.one_line(error)) from None
    tensors = {name: info for file in found for name, info in file.tensors.items()}
    title = clean(os.path.basename(os.path.abspath(path)), _NAME)
    lines = [f"{title}: {files.totals(tensors.values())}", *_settings(config)]
    say(printable("\n".join([*lines, "", *_table(tensors)])))
    return 0


def _settings(config: dict[str, Any] | None) -> list[str]:
    """config.json in a few lines; of what is nested only the size."""
    if config is None:
        return ["no config.json"]
    architectures = config.get("architectures")
    known = ", ".join(map(str, architectures)) if isinstance(architectures, list) else ""
    kind = str(config.get("model_type", "of unknown type"))
    name = f"{known} ({kind})" if known else kind
    texts = []
    for key, value in config.items():
        if key in ("architectures", "model_type"):
            continue
        if isinstance(value, (dict, list)):
            value = f"({len(value)} inside)"
        texts.append(clean(f"{key} {value}", 100).replace(" ", "\N{NO-BREAK SPACE}"))
    wrapped = textwrap.wrap(", ".join(texts), 96, break_on_hyphens=False)
    return [clean(f"model: {name}", 100)] + [
        "  " + line.replace("\N{NO-BREAK SPACE}", " ") for line in wrapped
    ]


def _table(tensors: dict[str, TensorInfo]) -> list[str]:
    rows: list[tuple[int, list[str]]] = []
    _add_rows(_tree(tensors), 0, rows)
    drawn = branches([depth for depth, _ in rows])
    cells = [[branch + row[0], *row[1:]] for branch, (_, row) in zip(drawn, rows, strict=True)]
    head = ["module", "tensors", "elements with all inside", "size"]
    return table(head, cells, right=(2, 3))


def _tree(tensors: dict[str, TensorInfo]) -> _Node:
    root = _Node("(all)")
    for name, info in tensors.items():
        node = root
        *modules, last = name.split(".", _MOST_LEVELS)
        for module in modules:
            node = node.children.setdefault(module, _Node(module))
        node.tensors[last] = info
    return root


def _add_rows(node: _Node, depth: int, rows: list[tuple[int, list[str]]], times: int = 1) -> None:
    infos = node.infos()
    times *= node.times
    each = f"{times:,} × " if times > 1 else ""
    own = ", ".join(f"{clean(n, _NAME)} {shape(info.shape)}" for n, info in node.tensors.items())
    count, size = sum(map(files.elements, infos)), sum(info.stop - info.start for info in infos)
    row = [clean(node.name, _NAME), clean(own, 70), f"{each}{count:,}", each + size_text(size)]
    rows.append((depth, row))
    for child in _merged(list(node.children.values())):
        _add_rows(child, depth + 1, rows, times)


def _merged(nodes: list[_Node]) -> list[_Node]:
    """Runs of numbered modules that are alike as one node, "0–11"."""
    merged: list[_Node] = []
    patterns: list[tuple[Any, ...] | None] = []
    # The header of a file sorts "10" before "2"; other names stay in the order of the file.
    if all(node.name.isdecimal() for node in nodes):
        nodes = sorted(nodes, key=lambda node: int(node.name))
    for node in nodes:
        pattern = node.pattern() if node.name.isdecimal() else None
        if pattern is not None and patterns and patterns[-1] == pattern:
            first = merged[-1].name.split("–")[0]
            name, times = f"{first}–{node.name}", merged[-1].times + 1
            merged[-1] = _Node(name, node.tensors, node.children, times)
        else:
            merged.append(node)
            patterns.append(pattern)
    return merged
