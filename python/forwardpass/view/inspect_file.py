"""`forwardpass inspect FILE`: the tensors of a weight file, from its header alone."""

from __future__ import annotations

import os

from forwardpass._terminal import say

from . import files
from ._text import clean, printable, shape, size_text, table

_NAME, _METADATA = 90, 160  # characters to show of a name and of a metadata entry


def run(path: str) -> int:
    """Print everything; the exit status. Raises FilesError."""
    found = files.read(path)
    say(printable("\n".join(_lines(path, found))))
    return 0


def _lines(path: str, found: list[files.File]) -> list[str]:
    infos = [info for file in found for info in file.tensors.values()]
    title = clean(os.path.basename(os.path.abspath(path)), _NAME)
    lines = [f"{title}: {files.totals(infos)}"]
    if len(found) > 1:
        lines += ["", *_shards(found)]
    for file in found:
        lines += _metadata(file, named=len(found) > 1)
    rows = [
        [
            clean(name, _NAME),
            info.dtype,
            shape(info.shape),
            f"{files.elements(info):,}",
            size_text(info.stop - info.start),
        ]
        for file in found
        for name, info in file.tensors.items()
    ]
    head = ["tensor", "type", "shape", "elements", "size"]
    return [*lines, "", *table(head, rows, right=(3, 4))]


def _shards(found: list[files.File]) -> list[str]:
    rows = [
        [clean(os.path.basename(file.path), _NAME), f"{len(file.tensors):,}", size_text(file.size)]
        for file in found
    ]
    return table(["file", "tensors", "size"], rows, right=(1, 2))


def _metadata(file: files.File, named: bool) -> list[str]:
    """One line an entry; with the file's name where there are several."""
    where = f" of {clean(os.path.basename(file.path), _NAME)}" if named else ""
    return [
        f"metadata{where}: {clean(key, _NAME)} = {clean(value, _METADATA)}"
        for key, value in file.metadata.items()
    ]
