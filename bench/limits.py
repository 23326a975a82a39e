"""What the machine can do: peak of fused multiply-adds, and read bandwidth at any size.

Both probes run as two more contenders of each race, so a limit is as old as the time beside it: on
a shared machine clocks drift by ten per cent within minutes. With n threads, n Python threads run
a probe at once (it releases the GIL); their start costs some 50 us of the 8 ms.

A case's limit is a roofline: its flop at the peak or its bytes at the bandwidth of that working
set, whichever takes longer.
"""

from __future__ import annotations

import timeit
from collections.abc import Callable, Sequence
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass
from typing import Any

import numpy as np

from forwardpass import _core
from forwardpass._timing import Times, statement, trial

SMALLEST = 256 << 10  # below, the call would be most of a read's time
LARGEST = 256 << 20  # far above the caches
PRIVATE = 1 << 20  # a thread's part up to this size stays in its own core's cache
COMPUTE = 100.0  # flop a byte; above, no memory is slow enough to matter

_memory: dict[str, np.ndarray] = {}
_pools: dict[int, ThreadPoolExecutor] = {}


@dataclass(frozen=True)
class Probe:
    """A contender that does `work` (flop or bytes) a call."""

    timer: timeit.Timer
    work: float

    def rate(self, times: Times) -> float:
        """Per second, of the best sample."""
        return self.work / times.minimum


def _floats(size: int) -> np.ndarray:
    """`size` bytes of float32, one buffer for all probes, written once so that pages exist.

    A result of ours: in huge pages where the system gives them, as packed weights are.
    """
    if "floats" not in _memory or _memory["floats"].nbytes < size:
        _memory["floats"] = _core.relu(np.full(size // 4, 0.5, np.float32), None)
    return _memory["floats"][: size // 4]


def _gang(parts: Sequence[Callable[[], Any]]) -> Callable[[], None]:
    """All parts at once: the first in the caller, each other in a thread of its own."""
    helpers = len(parts) - 1
    pool = _pools.setdefault(helpers, ThreadPoolExecutor(helpers))

    def run() -> None:
        running = [pool.submit(part) for part in parts[1:]]
        parts[0]()
        for future in running:
            future.result()

    return run


def _rounds(seconds: float) -> int:
    timer = statement("f(10000)", f=_core._probe_fma)
    return max(1, int(10000 * seconds / min(timer.repeat(5, 1))))


def fma(threads: int) -> Probe:
    """The peak of fused multiply-adds of the instruction set in use."""
    if threads == 1:
        rounds = _rounds(2e-4)
        timer = statement("f(n)", f=_core._probe_fma, n=rounds)
        return Probe(timer, abs(_core._probe_fma(rounds)))
    rounds = _rounds(8e-3)
    run = _gang([lambda: _core._probe_fma(rounds)] * threads)
    return Probe(statement("run()", run=run), threads * abs(_core._probe_fma(rounds)))


def read(size: float, threads: int) -> Probe:
    """Reading an array of `size` bytes again and again, each thread its own part.

    Parts that fit a core's own cache are read by one thread and counted `threads` times: those
    caches do not share, and starting threads would take longer than the reading.
    """
    part = int(min(max(size / threads, SMALLEST), LARGEST / threads)) // 4096 * 4096
    if threads == 1 or part <= PRIVATE:
        timer = statement("f(a)", f=_core._probe_read, a=_floats(part))
        return Probe(timer, float(threads * part))
    whole = _floats(part * threads)
    slices = [whole[i * part // 4 : (i + 1) * part // 4] for i in range(threads)]
    run = _gang([lambda a=a: _core._probe_read(a) for a in slices])  # type: ignore[misc]
    return Probe(statement("run()", run=run), float(threads * part))


def probes(flop: float, moved: float, threads: int) -> dict[str, Probe]:
    """The probes that a case's limit needs."""
    found: dict[str, Probe] = {}
    if flop:
        found["fma"] = fma(threads)
    if moved and flop < COMPUTE * moved:
        found["read"] = read(moved, threads)
    return found


def limit(flop: float, moved: float, rates: dict[str, float]) -> tuple[float, str]:
    """The least seconds that the machine allows, and what bounds them: "fma", "read" or ""."""
    bounds = {}
    if "fma" in rates:
        bounds["fma"] = flop / rates["fma"]
    if "read" in rates:
        bounds["read"] = moved / rates["read"]
    if not bounds:
        return 0.0, ""
    kind = max(bounds, key=bounds.__getitem__)
    return bounds[kind], kind


def curve(threads: int) -> list[tuple[float, float]]:
    """(bytes, bytes a second) from the caches to memory; for the plot and the first lines."""
    sizes = (512 << 10, 2 << 20, 8 << 20, 16 << 20, 64 << 20, 256 << 20)
    probes = [(size, read(size, threads)) for size in sizes]
    return [(float(size), probe.work / trial(probe.timer, 0.1)) for size, probe in probes]


def peak(threads: int) -> float:
    """Flop a second, the best of 0.2 s; for the plot and the first lines."""
    probe = fma(threads)
    return probe.work / trial(probe.timer, 0.2)
