"""What tests run in other processes; a module of its own, so that a spawned one can import it."""

from __future__ import annotations

from typing import Any


def put_result(queue: Any, net: Any, x: Any) -> None:
    """The bytes of net(x)."""
    queue.put(net(x).tobytes())
