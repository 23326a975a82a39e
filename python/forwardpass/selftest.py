"""`forwardpass selftest`: the bits of every operator on this machine against the committed table.

For each instruction set that runs here, and for several numbers of threads, the digests of all
cases (``forwardpass.bits``) are computed again. Where one differs, results of this machine are not
those of others with the same numerics_version: a fault of the build, the compiler or the machine.
"""

from __future__ import annotations

import time
from collections.abc import Iterator, Sequence

from forwardpass import available_isas, bits, numerics_version, threads
from forwardpass._terminal import say
from forwardpass.reference import OPS

THREADS = (1, 2, 8)  # 1 on every instruction set, the others on the best one


def runs(isas: Sequence[str], counts: Sequence[int]) -> Iterator[tuple[str, int]]:
    """(instruction set, threads) of each run."""
    yield from ((isa, counts[0]) for isa in isas)
    yield from ((isas[0], count) for count in counts[1:])


def wrong_cases(isa: str, count: int) -> list[str]:
    """Names of the cases whose digest is not the committed one, in the order of the operators."""
    with threads(count):
        return bits.differing(isa)


def operator_of(case: str) -> str:
    """The operator whose case that is: names are "OP" or begin with "OP/"."""
    return case.split("/")[0]


def run() -> int:
    """Print a line for each run; 0 where all bits are right, else 1."""
    table = bits.committed()
    say(
        f"numerics version {numerics_version}: {len(OPS)} operators, {len(table['cases'])} cases; "
        f"instruction sets here: {', '.join(available_isas())}"
    )
    if table["numerics_version"] != numerics_version:
        say(f"the table is of numerics version {table['numerics_version']}: a broken installation")
        return 1
    status = 0
    for isa, count in runs(available_isas(), THREADS):
        start = time.perf_counter()
        wrong = wrong_cases(isa, count)
        label = f"{isa}, {count} thread{'s' if count > 1 else ''}"
        seconds = f"{time.perf_counter() - start:.1f} s"
        if not wrong:
            say(f"  {label:<20} the committed bits  ({seconds})")
            continue
        status = 1
        say(
            f"  {label:<20} OTHER BITS, first in {operator_of(wrong[0])}  ({seconds})\n"
            f"      {len(wrong)} cases differ: {', '.join(wrong[:8])}"
            + (", ..." if len(wrong) > 8 else "")
        )
    if status:
        say("Results here are not those of other machines. Please report this, together with what")
        say('python -c "import forwardpass; forwardpass.show_config()" prints.')
    return status
