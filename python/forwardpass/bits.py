"""The committed table of result hashes, and how to recompute it.

    python -m forwardpass.bits            compare every instruction set of this machine with it
    python -m forwardpass.bits --write    rewrite it (only together with a CHANGELOG entry that
                                          says why, and a higher numerics_version)

The cases are those of ``forwardpass.reference.OPS``; their arrays come from a fixed integer
generator (``reference/arrays.py``), so another language can make the same ones. The digest of a
case is SHA-256 over its results in order, each as: the number of dimensions and the dimensions as
little-endian int64, then the elements in row-major order as little-endian float32, every NaN
replaced by the pattern 0x7FC00000 (sign and payload of a NaN are unspecified).
"""

from __future__ import annotations

import hashlib
import json
import sys
from collections.abc import Iterable, Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import numpy as np

from .reference import OPS, Op
from .reference.bounds import F32
from .reference.cases import Case

TABLE = Path(__file__).parent / "data" / "bits.json"
CANONICAL_NAN = np.uint32(0x7FC00000)


def canonical(array: F32) -> bytes:
    """Shape and elements of a result, as hashed."""
    bits = np.ascontiguousarray(array, dtype="<f4").view("<u4")
    bits = np.where(np.isnan(array), CANONICAL_NAN, bits).astype("<u4", copy=False)
    return np.array([array.ndim, *array.shape], dtype="<i8").tobytes() + bits.tobytes()


def digest(results: Iterable[F32]) -> str:
    """SHA-256 of results one after the other."""
    total = hashlib.sha256()
    for result in results:
        total.update(canonical(result))
    return total.hexdigest()


def results(op: Op, case: Case) -> Iterator[F32]:
    """Every array that a case produces, in order."""
    for arguments in case.calls():
        yield from op.run(arguments)


@contextmanager
def using(isa: str | None) -> Iterator[None]:
    """Runs the block on that instruction set; None keeps the current one."""
    from forwardpass import _core

    before = _core.isa()
    _core._set_isa(isa or before)
    try:
        yield
    finally:
        _core._set_isa(before)


def digests(isa: str | None = None, op: str | None = None) -> dict[str, str]:
    """The digest of every case (or of one operator's), on that instruction set."""
    chosen = OPS.values() if op is None else [OPS[op]]
    with using(isa):
        return {case.name: digest(results(o, case)) for o in chosen for case in o.cases()}


def committed() -> dict[str, Any]:
    """The table in the package: numerics_version and cases."""
    table: dict[str, Any] = json.loads(TABLE.read_text(encoding="utf-8"))
    return table


def differing(isa: str | None = None) -> list[str]:
    """Names of the cases whose digest is not the committed one (or that the table lacks)."""
    table, now = committed()["cases"], digests(isa)
    return [name for name in {**table, **now} if table.get(name) != now.get(name)]


def write() -> None:
    from forwardpass import numerics_version

    table = {"numerics_version": numerics_version, "cases": digests()}
    TABLE.write_text(json.dumps(table, indent=1) + "\n", encoding="utf-8")


def main(arguments: list[str]) -> int:
    from forwardpass import available_isas

    if arguments == ["--write"]:
        write()
        return 0
    if arguments:
        print(__doc__, file=sys.stderr)
        return 2
    status = 0
    for isa in available_isas():
        wrong = differing(isa)
        print(f"{isa}: " + (f"differs in {', '.join(wrong)}" if wrong else "the committed bits"))
        status |= bool(wrong)
    return status


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
