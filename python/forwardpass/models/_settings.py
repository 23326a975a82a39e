"""A model's settings, from config.json: each is checked when it is read, and named in the error."""

from __future__ import annotations

import math
from collections.abc import Mapping
from typing import Any

_LARGEST = 1 << 31  # no width, count or index of a real model comes near


class Settings:
    """Typed reading of a config. Every error is a ValueError that says where and what came."""

    def __init__(self, config: Mapping[str, Any], where: str = "config") -> None:
        self.config, self.where = config, where

    def count(self, name: str, default: int | None = None) -> int:
        """An integer from 1 up."""
        value = self.config.get(name)
        value = default if value is None else value
        if not isinstance(value, int) or isinstance(value, bool) or not 0 < value < _LARGEST:
            raise self._wrong(name, "an integer from 1 up", value)
        return value

    def positive(self, name: str, default: float | None = None) -> float:
        """A finite number above 0."""
        value = self.config.get(name)
        value = default if value is None else value
        number = isinstance(value, (int, float)) and not isinstance(value, bool)
        if not number or not 0 < value < math.inf:  # type: ignore[operator]
            raise self._wrong(name, "a number above 0", value)
        return float(value)  # type: ignore[arg-type]

    def flag(self, name: str, default: bool = False) -> bool:
        value = self.config.get(name)
        value = default if value is None else value
        if not isinstance(value, bool):
            raise self._wrong(name, "true or false", value)
        return value

    def choice(self, name: str, choices: Mapping[str, Any], default: str) -> Any:
        """What `choices` has for the value: ValueError names them all for another one."""
        value = self.config.get(name)
        value = default if value is None else value
        if not isinstance(value, str) or value not in choices:
            raise self._wrong(name, f"one of {', '.join(choices)}", value)
        return choices[value]

    def ids(self, name: str) -> tuple[int, ...]:
        """One token id, a list of them, or none."""
        value = self.config.get(name)
        found = value if isinstance(value, (list, tuple)) else () if value is None else (value,)
        for one in found:
            if not isinstance(one, int) or isinstance(one, bool) or not 0 <= one < _LARGEST:
                raise self._wrong(name, "a token id or a list of them", value)
        return tuple(found)

    def refuse(self, name: str, *harmless: Any) -> None:
        """NotImplementedError for a setting that would change the result and is not supported."""
        value = self.config.get(name)
        if value is not None and value not in harmless:
            raise NotImplementedError(f"{self.where}: {name} {value!r:.80} is not supported")

    def _wrong(self, name: str, expected: str, got: Any) -> ValueError:
        return ValueError(f"{self.where}: {name} must be {expected}, got {got!r:.80}")
