"""One case of the benchmark."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from typing import Any

Arguments = dict[str, Any]


@dataclass(frozen=True)
class Case:
    """One line of the table. ``group`` is what --op selects; ``op`` the operator behind it."""

    group: str
    shape: str
    op: str
    build: Callable[[], Arguments]
    moved: float = 0.0
    flop: float = 0.0
    quick: bool = False

    @property
    def name(self) -> str:
        return f"{self.group} {self.shape}"
