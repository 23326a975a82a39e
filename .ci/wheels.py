"""Checks what is in a wheel and an sdist.

    python .ci/wheels.py contents WHEEL [WHEEL ...]   the expected files and no others, and the size
    python .ci/wheels.py same WHEEL WHEEL             equal files, byte for byte
    python .ci/wheels.py sdist SDIST                  every file of the checkout that belongs there

Expected is what git tracks, so this runs in a checkout.
"""

from __future__ import annotations

import re
import subprocess
import sys
import tarfile
import zipfile
from pathlib import Path

ROOT = Path(__file__).resolve().parents[1]
LIMIT = 1_500_000
PACKAGE = "python/"
# Written by the tools that make a wheel. The bill of materials and the libraries are auditwheel's,
# for a wheel that carries OpenMP's runtime.
METADATA = ("METADATA", "WHEEL", "RECORD", "entry_points.txt", "licenses/LICENSE")
REPAIRED = re.compile(r"forwardpass\.libs/libgomp-\w+\.so[.\d]*|[^/]+\.dist-info/sboms/[^/]+\.json")
EXTENSION = re.compile(r"forwardpass/_core\.[\w.-]+\.(so|pyd)")
NOT_IN_SDIST = (".ci/", "tests/data/")


def tracked() -> set[str]:
    run = subprocess.run(["git", "ls-files", "-z"], cwd=ROOT, capture_output=True, check=True)
    return {name for name in run.stdout.decode().split("\0") if name}


def read_wheel(path: str) -> dict[str, bytes]:
    with zipfile.ZipFile(path) as file:
        return {name: file.read(name) for name in file.namelist() if not name.endswith("/")}


def contents_problems(path: str) -> list[str]:
    """The package as git has it, one extension, the metadata; nothing else, and not too large."""
    found = read_wheel(path)
    expected = {n.removeprefix(PACKAGE) for n in tracked() if n.startswith(PACKAGE)}
    (info,) = {n.split("/")[0] for n in found if ".dist-info/" in n}
    expected |= {f"{info}/{name}" for name in METADATA}
    extensions = [n for n in found if EXTENSION.fullmatch(n)]
    extra = {n for n in found.keys() - expected if not REPAIRED.fullmatch(n)} - set(extensions)
    problems = [f"missing: {n}" for n in sorted(expected - found.keys())]
    problems += [f"does not belong: {n}" for n in sorted(extra)]
    for name in sorted(expected & found.keys()):
        source = ROOT / PACKAGE / name
        if not name.startswith(info) and source.read_bytes() != found[name]:
            problems.append(f"differs from the checkout: {name}")
    if len(extensions) != 1:
        problems.append(f"expected one extension, found {extensions}")
    size = Path(path).stat().st_size
    if size > LIMIT:
        problems.append(f"{size} bytes, over the limit of {LIMIT}")
    unpacked = sum(map(len, found.values()))
    library = sum(len(found[n]) for n in extensions)
    print(f"{Path(path).name}: {size} bytes ({unpacked} unpacked, {library} the extension)")
    return problems


def same_problems(first: str, second: str) -> list[str]:
    a, b = read_wheel(first), read_wheel(second)
    problems = [f"only in one of them: {n}" for n in sorted(a.keys() ^ b.keys())]
    problems += [f"differs: {n}" for n in sorted(a.keys() & b.keys()) if a[n] != b[n]]
    if Path(first).name != Path(second).name:
        problems.append(f"names: {Path(first).name}, {Path(second).name}")
    if not problems:
        print(f"{len(a)} files, equal in both wheels")
    return problems


def sdist_problems(path: str) -> list[str]:
    with tarfile.open(path) as file:
        links = [m.name for m in file.getmembers() if not (m.isfile() or m.isdir())]
        found = {m.name.split("/", 1)[1] for m in file.getmembers() if m.isfile()}
    expected = {n for n in tracked() if not n.startswith(NOT_IN_SDIST)} | {"PKG-INFO"}
    print(f"{Path(path).name}: {Path(path).stat().st_size} bytes, {len(found)} files")
    return (
        [f"missing: {n}" for n in sorted(expected - found)]
        + [f"does not belong: {n}" for n in sorted(found - expected)]
        + [f"is a link: {n}" for n in links]
    )


def main(command: str, *paths: str) -> int:
    if command == "contents":
        problems = [p for path in paths for p in contents_problems(path)]
    elif command == "same":
        problems = same_problems(*paths)
    elif command == "sdist":
        problems = sdist_problems(*paths)
    else:
        raise SystemExit(__doc__)
    for problem in problems:
        print(f"error: {problem}", file=sys.stderr)
    return int(bool(problems))


if __name__ == "__main__":
    sys.exit(main(*sys.argv[1:]) if len(sys.argv) > 2 else __doc__)
