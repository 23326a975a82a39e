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


class _Plan(NamedTuple):
    """How one contender's turn is laid out."""

    timer: timeit.Timer
    call: float  # seconds, roughly
    number: int  # calls a sample
    samples: int  # samples a turn
    warm: int  # untimed calls a turn

    @property
    def turn(self) -> float:
        return self.call * (self.number * self.samples + self.warm)


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
    rounds: tuple[int, int] = (5, 25),
    settle: float = 0.0,
    seed: int = 0,
) -> dict[str, Times]:
    """Time all contenders in about `seconds`, or in the fewest and the most `rounds` allowed.

    In each round everyone has one turn; a call of 0.2 s or more halves the fewest rounds. `settle`
    sleeps before a turn: with several threads the pools of the one before may still be spinning.
    """
    plans = {name: _plan(timer) for name, timer in timers.items()}
    longest = max((plan.call for plan in plans.values()), default=0.0)
    fewest = max(1, rounds[0] // 2) if longest >= 0.2 else rounds[0]
    once = sum(plan.turn for plan in plans.values()) or 1.0
    count = min(max(int(seconds / once), fewest), max(rounds[1], fewest))
    taken: dict[str, list[float]] = {name: [] for name in plans}
    order = list(plans)
    shuffle = random.Random(seed).shuffle
    enabled = gc.isenabled()
    gc.collect()
    gc.disable()
    try:
        for _ in range(count):
            shuffle(order)
            for name in order:
                if settle:
                    time.sleep(settle)
                _turn(plans[name], taken[name])
    finally:
        if enabled:
            gc.enable()
    return {name: _summary(values) for name, values in taken.items()}


def _plan(timer: timeit.Timer) -> _Plan:
    call = max(trial(timer), 1e-9)
    number = max(1, round(_SAMPLE / call))
    samples = max(1, round(_TURN / (call * number)))
    warm = 0 if call >= _LONG else max(1, round(_WARM / call))
    return _Plan(timer, call, number, samples, warm)


def _turn(plan: _Plan, taken: list[float]) -> None:
    timeit_ = plan.timer.timeit
    if plan.warm:
        timeit_(plan.warm)
    for _ in range(plan.samples):
        taken.append(timeit_(plan.number) / plan.number)


def _summary(values: list[float]) -> Times:
    median = statistics.median(values)
    spread = 0.0
    if len(values) > 1:
        low, _, high = statistics.quantiles(values, n=4, method="inclusive")
        spread = (high - low) / median
    return Times(min(values), median, statistics.fmean(values), spread, len(values))
