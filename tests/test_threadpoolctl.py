"""threadpoolctl lists forwardpass and limits its threads, for the calling thread."""

from __future__ import annotations

import _ctypes
import shutil
import sys
import threading
from pathlib import Path

import pytest

import forwardpass
from _arrays import run_python
from forwardpass import _core

threadpoolctl = pytest.importorskip("threadpoolctl", minversion="3.3")


@pytest.fixture(autouse=True)
def _registered(restore_threads: None) -> None:
    forwardpass.threadpoolctl_register()
    forwardpass.set_num_threads(6)


def entries() -> list[dict]:
    return [e for e in threadpoolctl.threadpool_info() if e["user_api"] == "forwardpass"]


def test_threadpool_info_lists_the_extension_once() -> None:
    forwardpass.threadpoolctl_register()
    (entry,) = entries()
    assert entry["num_threads"] == 6
    assert entry["internal_api"] == "forwardpass"
    assert entry["version"] == forwardpass.__version__
    assert entry["prefix"] == "_core"


def test_limits_nest_and_are_lifted() -> None:
    with threadpoolctl.threadpool_limits(2):
        assert forwardpass.get_num_threads() == 2
        assert entries()[0]["num_threads"] == 2
        with threadpoolctl.threadpool_limits(9, user_api="forwardpass"):
            assert forwardpass.get_num_threads() == 9
        assert forwardpass.get_num_threads() == 2
    assert forwardpass.get_num_threads() == 6
    forwardpass.set_num_threads(5)  # seen again: nothing of the limit is left on this thread
    assert forwardpass.get_num_threads() == 5
    assert _core.thread_source() == "set_num_threads"


def test_other_interfaces_leave_us_alone() -> None:
    for user_api in ("blas", "openmp"):
        with threadpoolctl.threadpool_limits(1, user_api=user_api):
            assert forwardpass.get_num_threads() == 6


def test_limits_inside_threads_blocks_and_around_them() -> None:
    with forwardpass.threads(8):
        with threadpoolctl.threadpool_limits(1):
            assert forwardpass.get_num_threads() == 1
            with forwardpass.threads(3):
                assert forwardpass.get_num_threads() == 3
            assert forwardpass.get_num_threads() == 1
        assert forwardpass.get_num_threads() == 8
    assert forwardpass.get_num_threads() == 6


def test_a_limit_holds_for_the_calling_thread_only() -> None:
    seen: list[int] = []
    with threadpoolctl.threadpool_limits(1):
        other = threading.Thread(target=lambda: seen.append(forwardpass.get_num_threads()))
        other.start()
        other.join()
    assert seen == [6]


@pytest.mark.parametrize(("asked", "given"), [(0, 1), (-4, 1), (10**6, 100_000)])
def test_numbers_out_of_range_are_clamped(asked: int, given: int) -> None:
    # An error here would leave the limits of the libraries before us in place.
    with threadpoolctl.threadpool_limits(asked, user_api="forwardpass"):
        assert forwardpass.get_num_threads() == given
    assert forwardpass.get_num_threads() == 6


COUNT = "print(sum(e['user_api'] == 'forwardpass' for e in threadpoolctl.threadpool_info()))"


@pytest.mark.parametrize(
    ("imports", "listed"),
    [
        ("import threadpoolctl, forwardpass", "1\n"),
        ("import forwardpass, threadpoolctl", "0\n"),
        ("import forwardpass, threadpoolctl; forwardpass.threadpoolctl_register()", "1\n"),
        ("import threadpoolctl; del threadpoolctl.register; import forwardpass", "0\n"),
    ],
)
def test_registration_at_import(imports: str, listed: str) -> None:
    assert run_python(f"{imports}\n{COUNT}") == listed


def test_importing_forwardpass_does_not_import_threadpoolctl() -> None:
    code = "import forwardpass, sys; print('threadpoolctl' in sys.modules)"
    assert run_python(code) == "False\n"


def test_a_threadpoolctl_too_old_is_refused_but_not_at_import() -> None:
    code = """
import threadpoolctl
del threadpoolctl.OpenMPController.check_symbols
import forwardpass
forwardpass.threadpoolctl_register()"""
    assert "ImportError: forwardpass needs threadpoolctl 3.3" in run_python(code, fails=True)


@pytest.mark.skipif(sys.platform != "linux", reason="loads a copied library")
def test_another_library_called_core_is_not_taken_for_ours(tmp_path: Path) -> None:
    other = str(shutil.copy(_ctypes.__file__, tmp_path / "_core.so"))
    code = f"""
import ctypes, threadpoolctl, forwardpass
library = ctypes.CDLL({other!r})
assert {other!r} in open("/proc/self/maps").read()
{COUNT}"""
    assert run_python(code) == "1\n"
