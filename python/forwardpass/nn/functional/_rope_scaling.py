"""Scaled rotary frequencies: how Llama-type models reach past the lengths they were trained on."""

from __future__ import annotations

import math
from collections.abc import Mapping
from typing import TYPE_CHECKING, Any, NamedTuple

import numpy as np

from forwardpass import _core

if TYPE_CHECKING:
    import numpy.typing as npt

_KINDS = ("linear", "llama3", "factors")


class RopeScaling(NamedTuple):
    """What becomes of the frequencies f = base**(-2 i / dim) of the pairs; double throughout.

    linear: f / factor. llama3, with the wavelength 2 pi / f in parts of `original` positions: f
    where it is under 1 / high, f / factor where it is over 1 / low, and between the two the mean
    (1 - s) f / factor + s f, s = (original / wavelength - low) / (high - low). factors: each f over
    a number of its own, as GGUF files have them in `rope_freqs.weight`.
    """

    kind: str
    factor: float
    low: float = 1.0
    high: float = 4.0
    original: float = 8192.0
    factors: tuple[float, ...] = ()

    @classmethod
    def from_config(
        cls, config: Mapping[str, Any], where: str = "rope_scaling"
    ) -> RopeScaling | None:
        """From the keys of a config.json's rope_scaling; None for the kind "default".

        NotImplementedError for another kind than linear, llama3 and factors, ValueError for
        numbers that make no sense.
        """
        kind = config.get("rope_type", config.get("type", "default"))
        if kind == "default":
            return None
        if kind not in _KINDS:
            raise NotImplementedError(
                f"{where}: RoPE scaled as {kind!r:.80} is not supported; known are default, "
                + ", ".join(_KINDS)
            )
        if kind == "factors":
            given = config.get("factors")
            given = list(given) if isinstance(given, (list, tuple)) else [given]
            return cls(kind, 1.0, factors=tuple(_real(n, "factors", where) for n in given))
        numbers = [_number(config, "factor", where)]
        if kind == "llama3":
            names = ("low_freq_factor", "high_freq_factor", "original_max_position_embeddings")
            numbers += [_number(config, name, where) for name in names]
            if not numbers[1] < numbers[2]:
                raise ValueError(
                    f"{where}: high_freq_factor must be above low_freq_factor, got {numbers[2]} "
                    f"and {numbers[1]}"
                )
        factor, *more = numbers
        return cls(kind, factor, *more)  # type: ignore[arg-type]

    def frequencies(self, dim: int, base: float) -> npt.NDArray[np.float64]:
        """Of the dim / 2 pairs: + - * / and comparisons alone, each rounded once."""
        plain: npt.NDArray[np.float64] = _core._rotary_frequencies(dim, base)
        if self.kind == "factors":
            if len(self.factors) != len(plain):
                raise ValueError(
                    f"rope_scaling has {len(self.factors)} factors for {len(plain)} frequencies"
                )
            return np.asarray(plain / np.array(self.factors))
        slow = plain / self.factor
        if self.kind == "linear":
            return slow
        wavelength = 2 * math.pi / plain
        share = (self.original / wavelength - self.low) / (self.high - self.low)
        between = (1 - share) * slow + share * plain
        found = np.where(wavelength < self.original / self.high, plain, between)
        return np.where(wavelength > self.original / self.low, slow, found)


def _number(config: Mapping[str, Any], name: str, where: str) -> float:
    return _real(config.get(name), name, where)


def _real(value: Any, name: str, where: str) -> float:
    real = isinstance(value, (int, float)) and not isinstance(value, bool)
    if not real or not 0 < value < math.inf:
        raise ValueError(f"{where}: {name} must be a number above 0, got {value!r:.80}")
    return float(value)
