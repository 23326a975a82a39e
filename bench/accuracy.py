"""How exact: the error in ULP over all float32 inputs, beside NumPy/SciPy, torch, ONNX Runtime.

    python bench/accuracy.py                        ours: every function, all 2^32 inputs
    python bench/accuracy.py --who numpy,torch,onnxruntime --stride 16
    python bench/accuracy.py --functions gelu,exp --stride 1024
    python bench/accuracy.py --rows                 softmax, rms_norm, layer_norm on a sample

An error in ULP is |result - exact| over the spacing of float32 numbers at the exact value (at least
2^-149), exact being float64. "mean" is over all inputs whose exact result is a finite float32.
--stride N takes every Nth bit pattern, from 0. Exit status 1: a bound of docs/numerics.md does not
hold for ours, or an infinity or NaN of ours is in the wrong place.
"""

from __future__ import annotations

import argparse
import sys
from concurrent.futures import ProcessPoolExecutor
from dataclasses import dataclass

import numpy as np

import accuracy_rows
from accuracy_functions import FUNCTIONS, Region, contender

PIECE = 1 << 15  # patterns at a time: what is needed of them stays in L2
TASK = 1 << 27  # patterns of one task of a worker
OVERFLOW = 2.0**128 - 2.0**103  # from here on rounding gives infinity


@dataclass
class Found:
    """Errors in one region."""

    worst: float = 0.0  # in ULP
    at: float = 0.0
    total: float = 0.0
    count: int = 0
    share: float = 0.0  # of the bound, the largest
    relative: float = 0.0  # the largest relative error where the result is normal
    misplaced: int = 0  # infinities and NaN where they should not be, or the reverse

    def add(self, other: Found) -> None:
        if other.worst > self.worst:
            self.worst, self.at = other.worst, other.at
        self.total += other.total
        self.count += other.count
        self.share = max(self.share, other.share)
        self.relative = max(self.relative, other.relative)
        self.misplaced += other.misplaced


def ulp(exact: np.ndarray) -> np.ndarray:
    """The spacing of float32 numbers at the exact values, from float64's exponent field."""
    field = np.maximum((exact.view(np.int64) >> 52) & 0x7FF, 1023 - 126)
    spacing: np.ndarray = ((field - 23) << 52).view(np.float64)
    return spacing


def compare(x: np.ndarray, got: np.ndarray, exact: np.ndarray, region: Region, f: Found) -> None:
    """Adds the errors of one piece to f."""
    finite = np.abs(exact) < OVERFLOW
    if not finite.all():  # infinity, or NaN, as the exact value says
        want, have = np.copysign(np.inf, exact[~finite]), got[~finite]
        right = np.where(np.isnan(exact[~finite]), np.isnan(have), have == want)
        f.misplaced += int((~right).sum())
        x, got, exact = x[finite], got[finite], exact[finite]
    if not exact.size:
        return
    error = np.abs(got - exact)
    if not np.isfinite(error).all():
        f.misplaced += int((~np.isfinite(error)).sum())
        error[~np.isfinite(error)] = 0.0
    in_ulp = error / ulp(exact)
    worst = int(in_ulp.argmax())
    if in_ulp[worst] > f.worst:
        f.worst, f.at = float(in_ulp[worst]), float(x[worst])
    f.total += float(in_ulp.sum())
    f.count += in_ulp.size
    if region.ulps is not None:
        f.share = max(f.share, float(in_ulp[worst]) / region.ulps)
    elif region.relative is not None:
        size = np.abs(exact)
        bound = region.relative(x) * size + np.abs(x) * 2.0**-148 + 2.0**-150
        f.share = max(f.share, float((error / bound).max()))
        normal = size >= 2.0**-126
        f.relative = max(f.relative, float((error[normal] / size[normal]).max(initial=0.0)))


def sweep(who: str, name: str, first: int, last: int, stride: int) -> list[Found]:
    """Bit patterns first, first + stride, ... below last; one Found for each region."""
    measured, run = FUNCTIONS[name], contender(who, name)
    assert run is not None
    found = [Found() for _ in measured.regions]
    with np.errstate(all="ignore"):
        for start in range(first, last, PIECE * stride):
            patterns = np.arange(start, min(start + PIECE * stride, last), stride, dtype=np.int64)
            x32 = patterns.astype(np.uint32).view(np.float32)
            x32 = x32[np.isfinite(x32)] if (start >> 23) & 0xFF >= 0xFE or stride > 1 else x32
            if not x32.size:
                continue
            x, got = x32.astype(np.float64), run(x32).astype(np.float64)
            exact = measured.exact(x)
            for region, f in zip(measured.regions, found, strict=True):
                inside = slice(None) if len(found) == 1 else (x >= region.low) & (x < region.high)
                compare(x[inside], got[inside], exact[inside], region, f)
    return found


def measure(pool: ProcessPoolExecutor, who: str, name: str, stride: int) -> list[Found]:
    step = TASK * min(stride, 16)
    ranges = [(first, min(first + step, 1 << 32)) for first in range(0, 1 << 32, step)]
    tasks = [pool.submit(sweep, who, name, a, b, stride) for a, b in ranges]
    whole = [Found() for _ in FUNCTIONS[name].regions]
    for task in tasks:
        for region, found in zip(whole, task.result(), strict=True):
            region.add(found)
    return whole


def describe(region: Region) -> str:
    if region.low > -np.inf:
        return f"x >= {region.low:g}"
    return f"x < {region.high:g}" if region.high < np.inf else "all"


def line(who: str, name: str, region: Region, f: Found) -> str:
    relative = f"{f.relative:.2g}" if region.relative else ""
    bound = f"{region.ulps:g} ULP" if region.ulps else "relative"
    share = f"{f.share:.2f} of {bound}"
    mean = f.total / max(f.count, 1)
    cells = [name, describe(region), who, f"{f.worst:.4g}", f"{f.at:.9g}", f"{mean:.3g}", relative]
    return "| " + " | ".join([*cells, share, str(f.misplaced)]) + " |"


def functions(names: list[str], whos: list[str], stride: int, workers: int) -> bool:
    """Prints the table; whether all of ours is within its bounds."""
    print(f"every {stride}. bit pattern" if stride > 1 else "all 2^32 bit patterns", flush=True)
    print("| function | inputs | who | max ULP | at | mean ULP | relative | bound | misplaced |")
    print("|---|---|---|---:|---:|---:|---:|---:|---:|")
    fine = True
    with ProcessPoolExecutor(workers) as pool:
        for name in names:
            for who in whos:
                if contender(who, name) is None:
                    continue
                found = measure(pool, who, name, stride)
                for region, f in zip(FUNCTIONS[name].regions, found, strict=True):
                    print(line(who, name, region, f), flush=True)
                    fine &= who != "ours" or (f.share <= 1 and f.misplaced == 0)
    return fine


def main() -> int:
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument("--functions", default=",".join(FUNCTIONS), metavar="NAMES")
    parser.add_argument("--who", default="ours", metavar="ours,numpy,torch,onnxruntime")
    parser.add_argument("--stride", type=int, default=1, metavar="N")
    parser.add_argument("--workers", type=int, default=2, metavar="N", help="processes (2)")
    parser.add_argument("--rows", action="store_true", help="softmax and norms instead")
    o = parser.parse_args()
    whos = o.who.split(",")
    if o.rows:
        return accuracy_rows.main(whos)
    fine = functions(o.functions.split(","), whos, o.stride, o.workers)
    if not fine:
        print("a bound does not hold", file=sys.stderr)
    return int(not fine)


if __name__ == "__main__":
    sys.exit(main())
