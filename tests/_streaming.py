"""What the tests of streaming share: cuts of a signal, and the comparison with the whole."""

from __future__ import annotations

import itertools
from typing import Any

import numpy as np

from _arrays import assert_same_bytes


def cuts(length: int, rng: np.random.Generator) -> list[list[int]]:
    """The lengths of the chunks: whole, single samples, empty ones among them, at random."""
    found = [[length], [1] * length, [0, 0, length, 0], [0, *itertools.chain(*[(1, 0)] * length)]]
    for _ in range(4):
        marks = np.sort(rng.integers(0, length + 1, rng.integers(0, 9)))
        found.append(np.diff([0, *marks.tolist(), length]).tolist())
    return found


def streamed(layer: Any, x: np.ndarray, lengths: list[int], flush: bool) -> np.ndarray:
    """All outputs one after the other; the end by flush or by last=True of the last chunk."""
    state, pieces, at = None, [], 0
    for i, n in enumerate(lengths):
        last = not flush and i == len(lengths) - 1
        y, state = layer.stream(x[..., at : at + n], state, last)
        pieces.append(y)
        at += n
    if flush:
        pieces.append(layer.flush(state))
    else:
        assert state is None
    assert all(piece.dtype == np.float32 and piece.flags.c_contiguous for piece in pieces)
    return np.concatenate(pieces, -1)


def assert_cuts_agree(layer: Any, x: np.ndarray, what: str = "", count: int | None = None) -> None:
    want = layer(x)
    rng = np.random.default_rng(x.size)
    for i, lengths in enumerate(cuts(x.shape[-1], rng)[:count]):
        assert_same_bytes(streamed(layer, x, lengths, i % 2 == 0), want, f"{what} {lengths}")
