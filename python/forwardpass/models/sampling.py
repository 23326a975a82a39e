"""Which token comes next: greedy, or drawn by temperature, top-k and top-p.

    p = softmax(logits / temperature) over the tokens that are left, in falling order
    top_k: the k first;  top_p: the fewest whose p add up to at least top_p

Everything that rounds is one of our kernels (softmax), a single division, or NumPy's cumulative
sum, which adds one number after the other in double; so a seed gives the same tokens everywhere.
Source: Fan et al. 2018 (top-k), Holtzman et al. 2019 (top-p).
"""

from __future__ import annotations

import math
from typing import Any

import numpy as np

from forwardpass.nn import functional as F

_OP = "sampling"


class Sampler:
    """`sampler(logits)`: float32 (V,) to a token id.

    temperature: 0 takes the largest logit (the first of equal ones) and draws nothing.
    top_k: at most so many tokens are left, None: all.
    top_p: 0 < top_p <= 1.
    rng: a numpy Generator, or a seed for one; None: a new one that nobody can repeat.
    """

    def __init__(
        self,
        temperature: float = 0.0,
        top_k: int | None = None,
        top_p: float = 1.0,
        rng: np.random.Generator | int | None = None,
    ) -> None:
        if not 0 <= temperature < math.inf:
            raise ValueError(f"{_OP}: temperature must be a number from 0 up, got {temperature!r}")
        if top_k is not None and (not isinstance(top_k, (int, np.integer)) or top_k < 1):
            raise ValueError(f"{_OP}: top_k must be an integer from 1 up, got {top_k!r}")
        if not 0 < top_p <= 1:
            raise ValueError(f"{_OP}: top_p must be above 0 and at most 1, got {top_p!r}")
        self.temperature, self.top_k, self.top_p = np.float32(temperature), top_k, top_p
        self.rng = rng if isinstance(rng, np.random.Generator) else np.random.default_rng(rng)

    def __call__(self, logits: Any) -> int:
        if logits.ndim != 1 or not len(logits):
            raise ValueError(f"{_OP}: logits must have shape (V,), got {logits.shape}")
        best = int(logits.argmax())  # NaN is the largest for argmax
        if logits[best] != logits[best]:
            raise ValueError(f"{_OP}: the logits hold NaN")
        if self.temperature == 0:
            return best
        ids, p = self.distribution(logits)
        whole = np.cumsum(p, dtype=np.float64)
        # Rounding may leave the draw at the very end: the last token then.
        at = int(np.searchsorted(whole, self.rng.random() * whole[-1], side="right"))
        return int(ids[min(at, len(ids) - 1)])

    def distribution(self, logits: Any) -> tuple[Any, Any]:
        """The tokens that are left, the likeliest first, and what the draw weighs them by."""
        order: Any = slice(None)
        if self.top_k is not None and self.top_k < len(logits):
            # And those that equal the last of them, which the cut below leaves out again.
            least = np.partition(logits, -self.top_k)[-self.top_k]
            order = np.flatnonzero(logits >= least)
        ranks = np.argsort(-logits[order], kind="stable")  # of equal ones the first comes first
        order = (ranks if isinstance(order, slice) else order[ranks])[: self.top_k]
        with np.errstate(over="ignore"):  # a tiny temperature: the largest minus itself below
            scaled = (logits[order] - logits[order[0]]) / self.temperature
        p = F.softmax(scaled, -1)
        if self.top_p < 1:
            before = np.cumsum(p, dtype=np.float64) - p
            count = max(1, int(np.searchsorted(before, self.top_p, side="left")))
            order, p = order[:count], p[:count]
        return order, p
