"""Fixtures: every instruction set of this machine, and the thread count put back."""

from __future__ import annotations

from collections.abc import Iterator

import pytest

from forwardpass import _core
from forwardpass.bits import using


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
