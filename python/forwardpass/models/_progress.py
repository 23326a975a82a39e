"""A progress bar on stderr, for what takes long; nothing is printed where stderr is no terminal."""

from __future__ import annotations

import sys
import time
from typing import Any

_PATIENCE = 0.5  # seconds before a bar appears: what is done by then needs none
_WIDTH = 30
_EVERY = 0.1  # seconds between two drawings


class Progress:
    """`with Progress(total, "loading") as bar: bar.step()`.

    show: None draws after half a second, and only on a terminal; True always, False never.
    """

    def __init__(self, total: int, label: str, show: bool | None = None) -> None:
        self.total, self.label, self.done = max(total, 1), label, 0
        terminal = sys.stderr is not None and sys.stderr.isatty()
        self._shown = terminal if show is None else show and sys.stderr is not None
        self._next = time.monotonic() + (0.0 if show else _PATIENCE)
        self._drawn = False

    def __enter__(self) -> Progress:
        return self

    def __exit__(self, *exception: Any) -> None:
        if self._drawn:  # leave the line as it was
            sys.stderr.write("\r\x1b[K" if sys.stderr.isatty() else "\n")
            sys.stderr.flush()

    def step(self, count: int = 1) -> None:
        """`count` more are done."""
        self.done = min(self.done + count, self.total)
        if self._shown and time.monotonic() >= self._next:
            self._draw()

    def _draw(self) -> None:
        self._next, self._drawn = time.monotonic() + _EVERY, True
        full = _WIDTH * self.done // self.total
        bar = "#" * full + "." * (_WIDTH - full)
        sys.stderr.write(f"\r{self.label} [{bar}] {self.done} of {self.total}")
        sys.stderr.flush()
