"""A thread count for one block of code."""

from __future__ import annotations

from contextlib import contextmanager
from typing import TYPE_CHECKING

from forwardpass import _core

if TYPE_CHECKING:
    from collections.abc import Iterator


@contextmanager
def threads(n: int) -> Iterator[None]:
    """Run the calls made inside the block on `n` threads.

    Holds for the calling thread only, wins over `set_num_threads` and the environment, and nests;
    results do not depend on it. Also works as a decorator. `n` may exceed the number of cores.
    Raises ValueError for n < 1.

    >>> import forwardpass as fp
    >>> with fp.threads(1):
    ...     fp.get_num_threads()
    1
    """
    previous = _core._push_threads(n)
    try:
        yield
    finally:
        _core._pop_threads(previous)
