"""The committed table of result hashes, and how to recompute it.

    python -m forwardpass.bits            compare every instruction set of this machine with it, for
                                          several numbers of threads (= forwardpass selftest)
    python -m forwardpass.bits --seeds 5  compare the instruction sets with each other, element by
                                          element, on five times as many arrays
    python -m forwardpass.bits --calls    write the cases as text, for cpp/tools/bits.cpp
    python -m forwardpass.bits --write    rewrite the table (only together with a CHANGELOG entry
                                          that says why, and a higher numerics_version)

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
from .reference.arrays import salted
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


def compare(op: Op, arguments: dict[str, Any]) -> tuple[int, int]:
    """(outputs, differing bytes) of one call: every instruction set against the best one."""
    from forwardpass import available_isas

    best, *others = available_isas()
    with using(best):
        want = b"".join(map(canonical, op.run(arguments)))
    count = different = 0
    for isa in others:
        with using(isa):
            found = op.run(arguments)
        got = b"".join(map(canonical, found))
        count += sum(result.size for result in found)
        if got != want:
            a, b = np.frombuffer(got, np.uint8), np.frombuffer(want, np.uint8)
            different += int((a != b).sum()) if a.size == b.size else max(a.size, b.size)
    return count, different


def compare_isas(seeds: int) -> int:
    """`--seeds`: as compare, over all cases, the first time with the table's arrays."""
    from forwardpass import available_isas

    count = different = 0
    for seed in range(seeds):
        with salted(f"#{seed}" if seed else ""):
            for op in OPS.values():
                for case in op.cases():
                    for arguments in case.calls():
                        outputs, bytes_ = compare(op, arguments)
                        count += outputs
                        different += bytes_
    print(f"{' = '.join(available_isas())}: {count:,} outputs compared, {different} bytes differ")
    return int(different > 0)


def main(arguments: list[str]) -> int:
    if not arguments:
        from forwardpass import selftest

        return selftest.run()
    if arguments == ["--write"]:
        write()
        return 0
    if arguments == ["--calls"]:
        from .reference import calls

        sys.stdout.writelines(line + "\n" for line in calls.text())
        return 0
    if arguments[0] == "--seeds" and len(arguments) == 2 and arguments[1].isdecimal():
        return compare_isas(int(arguments[1]))
    print(__doc__, file=sys.stderr)
    return 2


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
