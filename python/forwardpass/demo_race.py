"""The demo's clock: forwardpass against plain NumPy, one thread each.

NumPy's BLAS reads its thread count when NumPy is imported, and with more threads than free cores
both sides would mostly measure their pool's barrier; so the race is run by a fresh interpreter.
"""

from __future__ import annotations

import json
import os
import subprocess
import sys
import time
from collections.abc import Callable
from pathlib import Path
from typing import NamedTuple

import numpy as np

_LIMITS = ("FORWARDPASS", "OMP", "OPENBLAS", "MKL", "BLIS")
ONE_THREAD = {f"{name}_NUM_THREADS": "1" for name in _LIMITS} | {"VECLIB_MAXIMUM_THREADS": "1"}
# The child sees the modules that this process sees: neither more (its directory) nor fewer.
_CHILD = """\
import sys
sys.path[:] = sys.argv[2:]
from forwardpass.demo_race import _main
_main(sys.argv[1])
"""


class Times(NamedTuple):
    """Seconds a call."""

    ours: float
    theirs: float


def race(path: Path, timeout: float = 30.0) -> tuple[Times, Times]:
    """The times for one picture and for all of them. RuntimeError: they could not be taken."""
    command = [sys.executable, "-c", _CHILD, str(path), *sys.path]
    try:
        done = subprocess.run(
            command, env=os.environ | ONE_THREAD, capture_output=True, timeout=timeout, check=True
        )
        one, every = json.loads(done.stdout)
        return Times(*one), Times(*every)
    except (OSError, subprocess.SubprocessError, ValueError, TypeError) as error:
        raise RuntimeError(f"{type(error).__name__} in a second interpreter") from error


def _main(path: str) -> None:
    from forwardpass import demo
    from forwardpass.demo_numpy import NumpyDigits

    net, digits = demo.load(path)
    rival = NumpyDigits(digits.state)
    x = demo.pixels(digits.images)
    print(json.dumps([_race(net, rival, batch) for batch in (x[:1], x)]))


def _race(ours: Callable[..., object], theirs: Callable[..., object], x: np.ndarray) -> Times:
    """The best seen in six turns of 25 ms each; they alternate, so that noise meets both."""
    repeat = max(1, 32 // len(x))
    best = [float("inf"), float("inf")]
    for turn in range(12):
        function = theirs if turn % 2 else ours
        end = time.perf_counter() + 0.025
        while (start := time.perf_counter()) < end:
            for _ in range(repeat):
                function(x)
            taken = (time.perf_counter() - start) / repeat
            best[turn % 2] = min(best[turn % 2], taken)
    return Times(*best)
