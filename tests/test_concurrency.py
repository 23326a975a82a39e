"""Threads and forks: the same bytes and no hang.

What may hang runs in a process of its own with a time limit.
"""

from __future__ import annotations

import os
import threading
from concurrent.futures import ThreadPoolExecutor

import numpy as np
import pytest

import forwardpass
from _arrays import WORK, assert_same_bytes, run_python
from forwardpass import _core, bits
from forwardpass.reference.arrays import make

X, W = make("thread/x", (96, 256)), make("thread/w", (384, 256))
CX, CW = make("thread/cx", (2, 32, 900)), make("thread/cw", (40, 32, 3))


def outputs(packed, conv):
    return bits.digest(
        [packed(X, "gelu"), conv(CX, "silu"), _core.softmax(X, -1, None), _core.tanh(X, None)]
    )


def test_eight_python_threads_share_one_op(restore_threads):
    """Each thread finds the bytes of the single thread, with one and with several workers."""
    packed, conv = _core.PackedLinear(W, None), _core.PackedConv1d(CW, None, 1, 1, 1, 1)
    want = outputs(packed, conv)
    for workers in (1, 4):
        _core.set_num_threads(workers)
        with ThreadPoolExecutor(8) as pool:
            found = list(pool.map(lambda _: outputs(packed, conv), range(64)))
        assert set(found) == {want}


def test_threads_is_local_to_its_python_thread(restore_threads):
    """threads(n) nests, is put back, and is not seen by another Python thread."""
    _core.set_num_threads(3)
    seen = []
    with forwardpass.threads(5):
        assert forwardpass.get_num_threads() == 5
        other = threading.Thread(target=lambda: seen.append(forwardpass.get_num_threads()))
        other.start()
        other.join()
        with forwardpass.threads(2):
            assert forwardpass.get_num_threads() == 2
        assert forwardpass.get_num_threads() == 5
        with pytest.raises(ZeroDivisionError), forwardpass.threads(7):
            raise ZeroDivisionError
        assert forwardpass.get_num_threads() == 5
    assert forwardpass.get_num_threads() == 3
    assert seen == [3]


@pytest.mark.parametrize("n", [1, 2, 7, 64])
def test_thread_counts_within_the_context(n):
    want = _core.PackedLinear(W, None)(X)
    with forwardpass.threads(n):
        assert_same_bytes(_core.PackedLinear(W, None)(X), want)
        assert_same_bytes(_core.linear(X, W, None, None, 0.01, None, None), want)


@pytest.mark.parametrize("bad", [0, -1, -(2**40)])
def test_impossible_thread_counts(bad):
    before = forwardpass.get_num_threads()
    with pytest.raises(ValueError, match=r"set_num_threads|threads"):
        forwardpass.set_num_threads(bad)
    with pytest.raises(ValueError, match="threads"), forwardpass.threads(bad):
        pass
    for wrong in (1.5, "2", None):
        with pytest.raises(TypeError):
            forwardpass.set_num_threads(wrong)
    assert forwardpass.get_num_threads() == before


def test_concurrent_first_use_and_switches():
    """Packs made while other threads run; nothing is shared that should not be."""
    want = _core.linear(X, W, None, None, 0.01, None, None)
    errors = []

    def build(seed):
        try:
            for _ in range(10):
                assert_same_bytes(_core.PackedLinear(W, None)(X), want)
                with forwardpass.threads(1 + seed % 3):
                    assert_same_bytes(_core.linear(X, W, None, None, 0.01, None, None), want)
        except BaseException as error:
            errors.append(error)

    threads = [threading.Thread(target=build, args=(i,)) for i in range(8)]
    for t in threads:
        t.start()
    for t in threads:
        t.join()
    assert not errors, errors[0]


needs_fork = pytest.mark.skipif(not hasattr(os, "fork"), reason="no fork")


@needs_fork
def test_fork_after_a_parallel_call():
    """libgomp's team does not survive a fork: the child must not wait for it."""
    code = (
        WORK
        + """
import os, warnings
warnings.simplefilter("ignore")  # Python 3.12 warns about fork beside threads
forwardpass.set_num_threads(4)
want = work()
for generation in range(2):
    read, write = os.pipe()
    child = os.fork()
    if child == 0:
        forwardpass.set_num_threads(4)
        grandchild = os.fork()
        if grandchild:
            os.waitpid(grandchild, 0)
        os.write(write, work().encode())
        os._exit(0)
    os.waitpid(child, 0)
    os.close(write)
    found = b""
    while part := os.read(read, 4096):
        found += part
    assert found.decode() == want * 2, (found, want)
    assert work() == want  # the parent still works
print("ok")
"""
    )
    assert run_python(code) == "ok\n"


@needs_fork
def test_fork_before_any_parallel_call():
    code = (
        WORK
        + """
import os
child = os.fork()
digest = work()
if child == 0:
    os._exit(0)
assert os.waitpid(child, 0)[1] == 0
print(digest)
"""
    )
    assert len(run_python(code).strip()) == 64


@needs_fork
def test_fork_while_another_thread_computes():
    code = (
        WORK
        + """
import os, threading, warnings
warnings.simplefilter("ignore")
forwardpass.set_num_threads(2)
want, stop = work(), threading.Event()
def busy():
    while not stop.is_set():
        work()
thread = threading.Thread(target=busy)
thread.start()
for _ in range(5):
    child = os.fork()
    if child == 0:
        os._exit(0 if work() == want else 1)
    assert os.waitpid(child, 0)[1] == 0
stop.set(); thread.join()
print("ok")
"""
    )
    assert run_python(code) == "ok\n"


@needs_fork
def test_multiprocessing_by_fork_after_parallel_calls():
    code = (
        WORK
        + """
import multiprocessing, warnings
warnings.simplefilter("ignore")
forwardpass.set_num_threads(3)
want = work()
def job(_):
    return work()
with multiprocessing.get_context("fork").Pool(2) as pool:
    assert set(pool.map(job, range(6))) == {want}
print("ok")
"""
    )
    assert run_python(code) == "ok\n"


@pytest.mark.parametrize("threads", [1, 3])
def test_interpreter_ends_while_a_thread_computes(threads):
    """A daemon thread inside an op when Python shuts down: no abort, no hang."""
    code = f"""
import threading
import numpy as np
from forwardpass import _core
x, packed = np.ones((96, 256), np.float32), _core.PackedLinear(np.ones((384, 256), np.float32))
_core.set_num_threads({threads})
def forever():
    while True:
        packed(x, "gelu")
threading.Thread(target=forever, daemon=True).start()
packed(x)
print("ok")
"""
    for _ in range(3):
        assert run_python(code) == "ok\n"


def test_gil_is_released_for_large_work():
    """Another Python thread moves on while one call computes."""
    big, ticks, done = np.ones(1 << 22, np.float32), [], threading.Event()

    def tick():
        while not done.is_set():
            ticks.append(1)
            done.wait(0.001)

    watcher = threading.Thread(target=tick)
    watcher.start()
    before = len(ticks)
    with bits.using("scalar" if "scalar" in _core.available_isas() else None):
        _core.gelu(big, "none", None)
    during = len(ticks) - before
    done.set()
    watcher.join()
    assert during >= 3
