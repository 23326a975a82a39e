"""How close: every operator against its float64 reference, on every instruction set.

    python bench/parity.py

For each operator, over the cases of forwardpass.reference.OPS: how many finite outputs were
compared, the largest error as a share of the derived bound (above 1 would be a failure), and how
many bytes differ between the instruction sets. Exit status 1 where a bound or an equality fails.
"""

from __future__ import annotations

import sys
from dataclasses import dataclass

import numpy as np

from forwardpass import _core
from forwardpass.bits import canonical, using
from forwardpass.reference import OPS, Op


@dataclass
class Row:
    """What was found for one operator."""

    outputs: int = 0
    bytes: int = 0
    share: float = 0.0
    different: int = 0

    def compare(self, result: np.ndarray, value: np.ndarray, tolerance: np.ndarray) -> None:
        """Add one result. Where the reference has no bound (overflow, NaN) nothing is compared."""
        with np.errstate(all="ignore"):
            error = np.abs(result.astype(np.float64) - value)
            bounded = np.isfinite(error) & np.isfinite(tolerance)
            share = np.where(error == 0, 0.0, error / tolerance)[bounded]
        self.outputs += int(bounded.sum())
        self.share = max(self.share, float(share.max(initial=0.0)))


def measure(op: Op) -> Row:
    row = Row()
    for case in op.cases():
        for arguments in case.calls():
            expected = op.expected(arguments)
            first: list[bytes] = []
            for isa in _core.available_isas():
                with using(isa):
                    results = op.run(arguments)
                if not first:
                    first = [canonical(result) for result in results]
                    for result, (value, tolerance) in zip(results, expected, strict=True):
                        if case.finite:  # the others are outside the bounds' domain
                            row.compare(result, np.asarray(value), np.asarray(tolerance))
                    continue
                for result, want in zip(results, first, strict=True):
                    got = np.frombuffer(canonical(result), np.uint8)
                    row.different += int((got != np.frombuffer(want, np.uint8)).sum())
                    row.bytes += got.size
    return row


def main() -> int:
    print(f"instruction sets: {', '.join(_core.available_isas())}")
    print("| op | outputs against float64 | largest error / bound | bytes compared | differ |")
    print("|---|---:|---:|---:|---:|")
    failed = False
    for name, op in OPS.items():
        row = measure(op)
        failed |= row.share > 1 or row.different > 0
        bound = f"{row.share:.2f}" if row.share else "0"
        print(f"| {name} | {row.outputs:,} | {bound} | {row.bytes:,} | {row.different} |")
    return int(failed)


if __name__ == "__main__":
    sys.exit(main())
