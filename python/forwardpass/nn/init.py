"""Initial values: torch's distributions, drawn from a NumPy Generator.

Nothing is drawn at construction. A layer records for each parameter the shape, the distribution
and a seed of its own; the array is made when someone looks (parameter.py). So a model that is
loaded from a file never pays for initial values, and which parameters were looked at, or in which
order, cannot change any of them.
"""

from __future__ import annotations

import itertools
import operator
import os
from collections.abc import Iterator
from typing import TYPE_CHECKING, TypeAlias

import numpy as np

if TYPE_CHECKING:
    from ._typing import Array

Seed: TypeAlias = tuple[int, int]

# (root, counter); the root is drawn from the system at the first use unless manual_seed set it.
_stream: tuple[int, Iterator[int]] | None = None


def manual_seed(seed: int) -> None:
    """Restart the sequence of seeds from which layers made after this call draw theirs.

    Follows `torch.manual_seed`, negative numbers included; the values differ from torch's, whose
    generator is another one. Raises TypeError for anything but an integer.
    """
    global _stream
    seed = operator.index(seed)
    if seed < 0:
        seed += 0xFFFF_FFFF_FFFF_FFFF
    if not 0 <= seed < 1 << 64:
        raise ValueError(f"manual_seed: seed must lie in [-2**64 + 1, 2**64), got {seed}")
    _stream = (seed, itertools.count())


def draw_seed() -> Seed:
    """The next parameter's seed: the root and the parameter's place in the sequence."""
    global _stream
    stream = _stream
    if stream is None:
        stream = _stream = (int.from_bytes(os.urandom(8), "little"), itertools.count())
    return stream[0], next(stream[1])


def _generator(seed: Seed) -> np.random.Generator:
    # Importing numpy.random takes longer than importing this package: only here, on first need.
    from numpy.random import PCG64, Generator, SeedSequence

    return Generator(PCG64(SeedSequence(seed[0], spawn_key=(seed[1],))))


def uniform(shape: tuple[int, ...], seed: Seed, bound: float) -> Array:
    """U(-bound, bound)."""
    values = _generator(seed).random(shape, dtype=np.float32)
    values *= np.float32(2 * bound)
    values -= np.float32(bound)
    return values


def normal(shape: tuple[int, ...], seed: Seed, zero_row: int | None) -> Array:
    """N(0, 1), with one row of zeros where `zero_row` names it (the padding of an embedding)."""
    values = _generator(seed).standard_normal(shape, dtype=np.float32)
    if zero_row is not None:
        values[zero_row] = 0
    return values


def scaled_normal(shape: tuple[int, ...], seed: Seed, deviation: float) -> Array:
    """N(0, deviation^2)."""
    values = normal(shape, seed, None)
    values *= np.float32(deviation)
    return values


def constant(shape: tuple[int, ...], seed: Seed, value: float) -> Array:
    """`value` everywhere."""
    return np.full(shape, value, dtype=np.float32)


def xavier_bound(shape: tuple[int, ...]) -> float:
    """The bound of torch's xavier_uniform for a matrix (out, in): sqrt(6 / (in + out))."""
    return float((6 / max(sum(shape), 1)) ** 0.5)


def fan_in_bound(fan_in: int) -> float:
    """1/sqrt(fan_in), the bound torch uses for Linear and the convolutions.

    torch writes kaiming_uniform(a=sqrt(5)): gain sqrt(2/(1+a^2)) = sqrt(1/3) over sqrt(fan_in) is
    the standard deviation, and sqrt(3) times that is the bound. The bias has the same bound.
    """
    return float(1 / fan_in**0.5) if fan_in > 0 else 0.0
