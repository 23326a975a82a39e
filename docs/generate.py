"""Writes what is derived from the code: the extension's stubs, the tables of layers (README.md)
and of a Program's ops (docs/drop-in.md).

    python docs/generate.py            rewrite the files
    python docs/generate.py --check    say what is out of date, exit 1

Needs the package installed with its [dev] extra.
"""

from __future__ import annotations

import inspect
import subprocess
import sys
import tempfile
from pathlib import Path

from forwardpass import nn
from forwardpass.program.ops import OPS

ROOT = Path(__file__).resolve().parents[1]
STUB = ROOT / "python" / "forwardpass" / "_core.pyi"
README = ROOT / "README.md"
DROP_IN = ROOT / "docs" / "drop-in.md"
OPS_START, OPS_END = "<!-- ops: docs/generate.py -->", "<!-- end of ops -->"
START, END = "<!-- layers: docs/generate.py -->", "<!-- end of layers -->"


def stub_text() -> str:
    """The stubs of forwardpass._core, as pybind11-stubgen makes them and ruff formats them."""
    with tempfile.TemporaryDirectory() as folder:
        subprocess.run(
            [sys.executable, "-m", "pybind11_stubgen", "forwardpass._core", "-o", folder],
            check=True,
            capture_output=True,
        )
        path = Path(folder) / "forwardpass" / "_core.pyi"
        text = path.read_text()
    for command in (["check", "--fix-only", "-q", "--select", "I,UP,F401"], ["format", "-q"]):
        run = subprocess.run(
            [sys.executable, "-m", "ruff", *command, "--stdin-filename", str(STUB), "-"],
            input=text,
            check=True,
            capture_output=True,
            text=True,
        )
        text = run.stdout
    return text


def layer_table() -> str:
    """One row a layer: its signature and the first line of its docstring."""
    rows = ["| layer | what it does |", "|---|---|"]
    for name in nn.__all__:
        layer = getattr(nn, name)
        if not (inspect.isclass(layer) and issubclass(layer, nn.Module)):
            continue
        parameters = [
            p.name
            if p.default is p.empty
            else f"{p.name}={getattr(p.default, '__name__', repr(p.default))}"
            for p in inspect.signature(layer).parameters.values()
            if p.name not in {"device", "dtype", "args", "kwargs"}
        ]
        summary = (inspect.getdoc(layer) or "").splitlines()[0].replace("|", "\\|")
        rows.append(f"| `{name}({', '.join(parameters)})` | {summary} |")
    return "\n".join(rows)


def readme_text() -> str:
    before, rest = README.read_text().split(START)
    after = rest.split(END)[1]
    return f"{before}{START}\n{layer_table()}\n{END}{after}"


def drop_in_text() -> str:
    """docs/drop-in.md with one row an op: its arguments and what it computes."""
    rows = ["| op | what it is |", "|---|---|"]
    for name, op in OPS.items():
        rows.append(f"| `{name}({', '.join(op.kinds)})` | {op.text.replace('|', '&#124;')} |")
    before, rest = DROP_IN.read_text().split(OPS_START)
    table = "\n".join(rows)
    return f"{before}{OPS_START}\n{table}\n{OPS_END}{rest.split(OPS_END)[1]}"


def main() -> int:
    check = "--check" in sys.argv[1:]
    stale = []
    written = (STUB, stub_text()), (README, readme_text()), (DROP_IN, drop_in_text())
    for path, text in written:
        if path.exists() and path.read_text() == text:
            continue
        stale.append(path.relative_to(ROOT))
        if not check:
            path.write_text(text)
    for path in stale:
        print(f"{path}: {'out of date; run python docs/generate.py' if check else 'written'}")
    return int(check and bool(stale))


if __name__ == "__main__":
    sys.exit(main())
