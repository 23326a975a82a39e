"""Fair timing: contenders take short turns in random order, so that noise and clocks meet all.

A turn starts with untimed calls that bring the contender's weights back into the caches. Then come
the samples; one sample is the mean of as many calls as fill `_SAMPLE` seconds (of one call, where
that takes longer). The minimum of the samples is the machine undisturbed, the median what a
program sees; the spread says how far to trust either.
"""

from __future__ import annotations

import gc
import random
import statistics
import time
import timeit
from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Any, NamedTuple

if TYPE_CHECKING:
    from collections.abc import Mapping

_SAMPLE = 1e-4  # seconds; perf_counter's own 50 ns are then 0.05 %
_WARM = 1e-3  # untimed calls at the start of a turn, at least one
_TURN = 5e-3  # timed calls of a turn, at least one
_LONG = 0.02  # a call of that length streams everything it touches: warming it gains nothing


class Times(NamedTuple):
    """Seconds a call. The spread is the distance between the quartiles over the median."""

    minimum: float
    median: float
    mean: float
    spread: float
    samples: int


@dataclass
class _Plan:
    """How one contender's turn is laid out, and what its samples were."""

    timer: timeit.Timer
    call: float  # seconds, the best so far
    taken: list[float] = field(default_factory=list)

    def sample(self) -> float:
        """Seconds that a sample took."""
        number = max(1, round(_SAMPLE / self.call))
        whole = self.timer.timeit(number)
        self.taken.append(whole / number)
        self.call = min(self.call, max(whole / number, 1e-9))
        return whole

    def turn(self) -> None:
        if self.call < _LONG:
            self.timer.timeit(max(1, round(_WARM / self.call)))
        left = _TURN
        while left > 0:
            left -= self.sample()


def statement(code: str, **names: Any) -> timeit.Timer:
    """One expression as a contender. It is compiled into the loop: no call around the call."""
    return timeit.Timer(code, globals=names)


def trial(timer: timeit.Timer, seconds: float = 0.02) -> float:
    """The best of a few calls, roughly; for choosing between ways to do the same."""
    best = timer.timeit(1)
    end = time.perf_counter() + seconds
    number = 1
    while time.perf_counter() < end:
        taken = timer.timeit(number) / number
        best = min(best, taken)
        number = max(1, int(_SAMPLE / best))
    return best


def race(
    timers: Mapping[str, timeit.Timer],
    *,
    seconds: float = 1.0,
    rounds: tuple[int, int] = (7, 25),
    settle: float = 0.0,
    seed: int = 0,
) -> dict[str, Times]:
    """Time all contenders in about `seconds`, or in the fewest and the most `rounds` allowed.

    In each round everyone has one turn; a call of 0.2 s or more halves the fewest rounds. `settle`
    sleeps before a turn: with several threads the pools of the one before may still be spinning.
    Garbage is not collected meanwhile.
    """
    plans = {name: _Plan(timer, max(trial(timer), 1e-9)) for name, timer in timers.items()}
    order = list(plans.values())
    shuffle = random.Random(seed).shuffle
    fewest = rounds[0]
    if any(plan.call >= 0.2 for plan in order):
        fewest = max(1, fewest // 2)
    start = time.perf_counter()
    enabled = gc.isenabled()
    gc.collect()
    gc.disable()
    try:
        for done in range(max(rounds)):
            if done >= fewest and time.perf_counter() - start >= seconds:
                break
            shuffle(order)
            for plan in order:
                if settle:
                    time.sleep(settle)
                plan.turn()
    finally:
        if enabled:
            gc.enable()
    return {name: _summary(plan.taken) for name, plan in plans.items()}


def _summary(values: list[float]) -> Times:
    median = statistics.median(values)
    spread = 0.0
    if len(values) > 1:
        low, _, high = statistics.quantiles(values, n=4, method="inclusive")
        spread = (high - low) / median
    return Times(min(values), median, statistics.fmean(values), spread, len(values))
