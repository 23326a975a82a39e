"""The object files of the build, and what is in them, by nm and objdump."""

from __future__ import annotations

import os
import re
import shutil
import subprocess
from functools import cache
from pathlib import Path
from typing import NamedTuple

import pytest

ROOT = Path(__file__).resolve().parents[1]


@cache
def build_folder() -> Path | None:
    """The newest CMake tree: FORWARDPASS_BUILD_DIR, or what `pip install .` left in build/."""
    forced = os.environ.get("FORWARDPASS_BUILD_DIR")
    folders = [Path(forced)] if forced else [p for p in (ROOT / "build").glob("*") if p.is_dir()]
    folders = [p for p in folders if (p / "CMakeFiles" / "kernels_scalar.dir").is_dir()]
    return max(folders, key=lambda p: p.stat().st_mtime, default=None)


def objects(target: str) -> list[Path]:
    """Object files of a CMake target; skips where there is no build tree or no binutils.

    FORWARDPASS_REQUIRE_OBJECTS=1 (CI) turns that skip into a failure.
    """
    folder = build_folder()
    missing = [tool for tool in ("nm", "objdump") if shutil.which(tool) is None]
    if folder is None or missing:
        reason = f"needs {' and '.join(missing)}" if missing else "no build tree (installed wheel)"
        if os.environ.get("FORWARDPASS_REQUIRE_OBJECTS") == "1":
            pytest.fail(reason)
        pytest.skip(reason)
    return sorted((folder / "CMakeFiles" / f"{target}.dir").rglob("*.o"))


def in_tree(isa: str) -> bool:
    """Whether the build tree has kernels for that instruction set."""
    folder = build_folder()
    return folder is not None and (folder / "CMakeFiles" / f"kernels_{isa}.dir").is_dir()


def symbols(path: Path) -> list[tuple[str, str]]:
    """(nm's type letter, demangled name) of each symbol."""
    text = subprocess.run(["nm", "-C", path], check=True, capture_output=True, text=True).stdout
    return [
        (m[1], m[2]) for m in re.finditer(r"^(?:[0-9a-f]+| +) ([A-Za-z]) (.*)$", text, re.MULTILINE)
    ]


class Function(NamedTuple):
    name: str
    instructions: list[tuple[int, str]]  # address, text


@cache
def disassembly(path: Path) -> list[Function]:
    command = ["objdump", "-d", "-C", "--no-show-raw-insn", str(path)]
    text = subprocess.run(command, check=True, capture_output=True, text=True).stdout
    functions = []
    for part in re.split(r"\n(?=[0-9a-f]+ <)", text):
        head = re.match(r"[0-9a-f]+ <(.*)>:", part)
        if head:
            lines = re.findall(r"^\s+([0-9a-f]+):\s+(.*)$", part, re.MULTILINE)
            functions.append(Function(head[1], [(int(a, 16), t.strip()) for a, t in lines]))
    return functions


def innermost_loops(function: Function) -> list[list[str]]:
    """Bodies of the loops that hold no other loop: backward jumps that do not cross a return."""
    index = {address: i for i, (address, _) in enumerate(function.instructions)}
    spans = []
    for i, (_, text) in enumerate(function.instructions):
        jump = re.match(r"j\w+\s+([0-9a-f]+)\b", text)
        start = index.get(int(jump[1], 16)) if jump else None
        if start is not None and start <= i:
            body = [t for _, t in function.instructions[start : i + 1]]
            if not any(t.startswith("ret") for t in body):
                spans.append((start, i, body))
    return [
        body
        for start, end, body in spans
        if not any((s, e) != (start, end) and s >= start and e <= end for s, e, _ in spans)
    ]
