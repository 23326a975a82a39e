"""Environment variables: thread counts and the instruction set, each in a process of its own."""

from __future__ import annotations

import os

import pytest

from _arrays import WORK, run_python
from forwardpass import _core


def count(**environment):
    return run_python(
        "import forwardpass; from forwardpass import _core;"
        "print(forwardpass.get_num_threads(), _core.thread_source())",
        **environment,
    ).split(" ", 1)


def test_precedence_of_thread_counts():
    """FORWARDPASS_NUM_THREADS over OMP_NUM_THREADS over what the machine offers."""
    n, source = count(FORWARDPASS_NUM_THREADS="5", OMP_NUM_THREADS="3")
    assert n == "5"
    assert "FORWARDPASS_NUM_THREADS" in source
    n, source = count(OMP_NUM_THREADS="3")
    assert n == "3"
    assert "OMP_NUM_THREADS" in source
    n, source = count()
    assert 1 <= int(n) <= len(os.sched_getaffinity(0))
    assert "OMP" not in source
    n, _ = count(OMP_NUM_THREADS="4,2")  # OpenMP's list for nested levels
    assert n == "4"


def test_set_num_threads_wins():
    code = """
import forwardpass; from forwardpass import _core
forwardpass.set_num_threads(6)
print(forwardpass.get_num_threads(), "set_num_threads" in _core.thread_source())
with forwardpass.threads(9):
    print(forwardpass.get_num_threads(), "threads(" in _core.thread_source())
"""
    found = run_python(code, FORWARDPASS_NUM_THREADS="2")
    assert found.splitlines() == ["6 True", "9 True"]


@pytest.mark.parametrize("bad", ["0", "-3", "two", "1.5", "99999999999999999999"])
def test_bad_thread_variable_is_an_error(bad):
    stderr = run_python("import forwardpass", fails=True, FORWARDPASS_NUM_THREADS=bad)
    assert "FORWARDPASS_NUM_THREADS" in stderr
    assert bad in stderr


def test_environment_of_one_affinity_cpu():
    if not hasattr(os, "sched_setaffinity"):
        pytest.skip("no affinity")
    code = """
import os
os.sched_setaffinity(0, {min(os.sched_getaffinity(0))})
import forwardpass
print(forwardpass.get_num_threads())
"""
    assert run_python(code) == "1\n"


@pytest.mark.parametrize("name", _core.available_isas())
def test_forced_instruction_set(name):
    code = WORK + "print(forwardpass.isa(), packed.isa, work())"
    isa, packed, digest = run_python(code, FORWARDPASS_ISA=name).split()
    assert isa == packed == name
    namespace: dict = {}
    exec(WORK, namespace)
    assert digest == namespace["work"]()


@pytest.mark.parametrize("name", ["avx1024", "AVX2 ", "best", "sse2"])
def test_unknown_instruction_set(name):
    """Fails with the list of choices, at import or at the first use."""
    stderr = run_python(WORK + "work()", fails=True, FORWARDPASS_ISA=name)
    assert name in stderr
    assert "FORWARDPASS_ISA" in stderr
    for choice in _core.available_isas():
        assert choice in stderr


def test_no_thread_starts_at_import():
    code = """
import os
import numpy as np
before = len(os.listdir("/proc/self/task"))
import forwardpass
from forwardpass import _core
_core.relu(np.ones(4, np.float32), None)
assert len(os.listdir("/proc/self/task")) == before
print("ok")
"""
    if os.path.isdir("/proc/self/task"):
        assert run_python(code) == "ok\n"


def test_set_isa_refuses_unknown_names():
    before = _core.isa()
    with pytest.raises(ValueError, match="sse9"):
        _core._set_isa("sse9")
    assert _core.isa() == before
    assert before in _core.available_isas()
