"""From logits to the next token: the largest, or one drawn at random."""

from __future__ import annotations

from typing import TYPE_CHECKING

import numpy as np

from forwardpass.nn import functional as F
from forwardpass.nn._checks import integer

if TYPE_CHECKING:
    from forwardpass.nn._typing import Array


class Sampler:
    """Chooses an index of logits (n,), float32.

        temperature   0: the largest, the first of equal ones; else one is drawn with probability
                      softmax(logits / temperature)
        top_k         only the top_k largest are drawn from (of equal ones the first)
        top_p         of these only the fewest, from the largest on, whose probabilities reach top_p
        rng           a seed, or a numpy Generator, of which each choice takes one number; needed to
                      draw

    Probabilities come from F.softmax and are added one by one in double, so that a seed gives the
    same tokens on every machine. ValueError for arguments out of range and for logits without a
    largest (NaN, +inf, or all -inf).
    """

    def __init__(
        self,
        temperature: float = 0.0,
        top_k: int | None = None,
        top_p: float | None = None,
        rng: int | np.random.Generator | None = None,
    ) -> None:
        if not 0 <= temperature < np.inf:
            raise ValueError(f"Sampler: temperature must be 0 or more, got {temperature}")
        if top_p is not None and not 0 < top_p <= 1:
            raise ValueError(f"Sampler: top_p must be above 0 and at most 1, got {top_p}")
        if temperature > 0 and rng is None:
            raise ValueError("Sampler: drawing needs rng, a seed or a numpy.random.Generator")
        self.temperature = temperature
        self.top_k = None if top_k is None else integer("Sampler", "top_k", top_k, 1)
        self.top_p = top_p
        self.rng = None if rng is None else np.random.default_rng(rng)

    def __call__(self, logits: Array) -> int:
        best = int(logits.argmax())  # of NaN, where there is one
        if not np.isfinite(logits[best]):
            raise ValueError(f"Sampler: the largest of the logits is {logits[best]}")
        if self.temperature == 0 or self.rng is None:
            return best
        order = self._ordered(logits)
        chosen = logits if order is None else logits[order]
        with np.errstate(all="ignore"):
            chosen = (chosen - logits[best]) / np.float32(max(self.temperature, 1e-30))
        total = np.add.accumulate(F.softmax(chosen, -1), dtype=np.float64)
        count = len(total)
        if self.top_p is not None:
            count = min(int(np.searchsorted(total, self.top_p)) + 1, count)
        at = int(np.searchsorted(total[:count], self.rng.random() * total[count - 1], "right"))
        at = min(at, count - 1)
        return at if order is None else int(order[at])

    def _ordered(self, logits: Array) -> np.ndarray[tuple[int, ...], np.dtype[np.intp]] | None:
        """The indices that may be drawn, from the largest on; None for all of them as they are."""
        count = len(logits)
        if self.top_k is not None and self.top_k < count:
            least = np.partition(logits, count - self.top_k)[count - self.top_k]
            among = np.flatnonzero(logits >= least)  # top_k, and more that equal the last
            return among[np.argsort(-logits[among], kind="stable")[: self.top_k]]
        if self.top_p is not None:
            return np.argsort(-logits, kind="stable")
        return None
