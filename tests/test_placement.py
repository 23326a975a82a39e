"""Threads that wait for a CPU are moved to another; what they may run on stays."""

from __future__ import annotations

import os
import sys

import pytest

from _arrays import WORK, run_python

pytestmark = pytest.mark.skipif(sys.platform != "linux", reason="only there are threads moved")

# Jobs of some milliseconds after pauses, in which workers are late; prints the CPUs of each thread.
LATE = (
    WORK
    + """
import os, time
masks = lambda: {frozenset(os.sched_getaffinity(int(t))) for t in os.listdir("/proc/self/task")}
forwardpass.set_num_threads(4)
for _ in range(20):
    work()
    time.sleep(0.01)
print(sorted(map(sorted, masks())))
"""
)


def test_workers_may_run_where_they_could():
    everywhere = sorted(os.sched_getaffinity(0))
    assert run_python(LATE).strip() == str([everywhere])


def test_one_cpu_alone():
    """A process that is bound to one CPU has nowhere to send a worker; nothing fails or hangs."""
    cpu = min(os.sched_getaffinity(0))
    bound = f"import os; os.sched_setaffinity(0, {{{cpu}}})\n{LATE}"
    assert run_python(bound).strip() == str([[cpu]])


# The caller too may be moved, by a worker; when its call returns it may run where it could.
BUSY = (
    WORK
    + """
import os, subprocess, sys
everywhere = os.sched_getaffinity(0)
busy = [subprocess.Popen([sys.executable, "-c", "while True: pass"]) for _ in everywhere]
forwardpass.set_num_threads(1)
want = work()
try:
    for threads in (2, 4):
        forwardpass.set_num_threads(threads)
        for _ in range(40):
            assert work() == want
            assert os.sched_getaffinity(0) == everywhere
finally:
    for process in busy:
        process.kill()
        process.wait()
masks = {frozenset(os.sched_getaffinity(int(t))) for t in os.listdir("/proc/self/task")}
assert masks == {frozenset(everywhere)}, masks
print("ok")
"""
)


def test_beside_busy_processes():
    """One for each CPU: workers and the caller lose theirs in the middle of tiles."""
    assert run_python(BUSY) == "ok\n"
