"""Fixtures: every instruction set of this machine, and the thread count put back."""

from __future__ import annotations

import sys
from collections.abc import Iterator
from pathlib import Path

import pytest

from forwardpass import _core
from forwardpass.bits import using

sys.path.insert(0, str(Path(__file__).parent))  # the helpers _arrays and _contract


@pytest.fixture(params=_core.available_isas())
def isa(request: pytest.FixtureRequest) -> Iterator[str]:
    """Runs the test once on each instruction set."""
    with using(request.param):
        yield request.param


@pytest.fixture
def restore_threads() -> Iterator[None]:
    """For tests that call set_num_threads."""
    before = _core.get_num_threads()
    yield
    _core.set_num_threads(before)
