"""Test arrays from a fixed integer generator: the same bytes on any machine, in any language.

Element i (0, 1, ...) of an array with 64-bit seed s is made from z = mix(s + (i + 1) G) modulo
2^64, G = 0x9E3779B97F4A7C15, where mix is splitmix64's finaliser (Steele, Lea, Flood 2014):

    z ^= z >> 30; z *= 0xBF58476D1CE4E5B9; z ^= z >> 27; z *= 0x94D049BB133111EB; z ^= z >> 31

The seed is the FNV-1a hash (64 bit) of the UTF-8 name "<case>/<call number>/<argument>". Counting
from the element's own index, not from a running state, arrays can be made in any order.

The kinds (all results exact, no rounding on the way; h = z >> 40, a 24-bit integer):

    unit      (h - 2^23) 2^-23, in [-1, 1)
    span      16 times unit, in [-16, 16)
    small     unit / 16, in [-1/16, 1/16)
    shifted   1000 + (h mod 2^13) 2^-13, in [1000, 1001)
    wide      sign z >> 63, exponent field 95 + ((z >> 32) mod 64), mantissa h mod 2^23
    subnormal sign z >> 63, exponent field 0, mantissa h mod 2^23
    bits      the bit pattern z >> 32, any of them (NaN and infinities too)
    special   SPECIAL[(z >> 8) mod 32] where z mod 4 = 0, else bits
    sprinkled SPECIAL[(z >> 8) mod 32] where z mod 64 = 0, else unit
    sweep     no z: bit pattern 4099 i + (s mod 4099) mod 2^32: every exponent, in order
"""

from __future__ import annotations

import math
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from typing import Any, cast

import numpy as np
import numpy.typing as npt

from .bounds import F32

U64 = npt.NDArray[np.uint64]

GOLDEN = 0x9E3779B97F4A7C15

# Bit patterns: zeros, subnormals at both ends, normals at both ends, infinities, NaNs (quiet,
# negative, with payload), ones and neighbours, halves, exp's edges, integers, pi.
SPECIAL = np.array(
    [
        *(0x00000000, 0x80000000, 0x00000001, 0x80000001, 0x007FFFFF, 0x807FFFFF),
        *(0x00800000, 0x80800000, 0x7F7FFFFF, 0xFF7FFFFF, 0x7F800000, 0xFF800000),
        *(0x7FC00000, 0xFFC00000, 0x7FC12345, 0x7FFFFFFF, 0x3F800000, 0xBF800000),
        *(0x3F7FFFFF, 0x3F800001, 0xBF7FFFFF, 0xBF800001, 0x3F000000, 0xBF000000),
        *(0x42B17218, 0xC2CFF1B5, 0xC2AEAC50, 0x42B00000, 0x40A00000, 0xC0A00000),
        *(0x40490FDB, 0xC0490FDB),
    ],
    dtype=np.uint32,
)


def seed_of(name: str) -> int:
    """FNV-1a, 64 bit."""
    value = 0xCBF29CE484222325
    for byte in name.encode():
        value = ((value ^ byte) * 0x100000001B3) & 0xFFFFFFFFFFFFFFFF
    return value


def uniform(seed: int, count: int) -> U64:
    """z of elements 0 .. count - 1."""
    z = np.arange(1, count + 1, dtype=np.uint64)
    z *= np.uint64(GOLDEN)
    z += np.uint64(seed)
    z ^= z >> np.uint64(30)
    z *= np.uint64(0xBF58476D1CE4E5B9)
    z ^= z >> np.uint64(27)
    z *= np.uint64(0x94D049BB133111EB)
    z ^= z >> np.uint64(31)
    return z


def _unit(z: U64) -> F32:
    h = (z >> np.uint64(40)).astype(np.int32) - np.int32(1 << 23)
    return h.astype(np.float32) * np.float32(2.0**-23)


def _mantissa(z: U64) -> npt.NDArray[np.uint32]:
    return ((z >> np.uint64(40)) & np.uint64(0x7FFFFF)).astype(np.uint32)


def _sign(z: U64) -> npt.NDArray[np.uint32]:
    return (z >> np.uint64(63)).astype(np.uint32) << np.uint32(31)


def _wide(z: U64) -> F32:
    exponent = ((z >> np.uint64(32)) & np.uint64(63)).astype(np.uint32) + np.uint32(95)
    return (_sign(z) | exponent << np.uint32(23) | _mantissa(z)).view(np.float32)


def _with_special(z: U64, otherwise: F32, every: int) -> F32:
    chosen = SPECIAL[((z >> np.uint64(8)) & np.uint64(31)).astype(np.intp)]
    special = (z & np.uint64(every - 1)) == 0
    return np.where(special, chosen, otherwise.view(np.uint32)).view(np.float32)


def _values(kind: str, seed: int, count: int) -> F32:
    if kind == "sweep":
        step = np.arange(count, dtype=np.uint64) * np.uint64(4099) + np.uint64(seed % 4099)
        return step.astype(np.uint32).view(np.float32)
    z = uniform(seed, count)
    if kind == "unit":
        return _unit(z)
    if kind == "span":
        return _unit(z) * np.float32(16)
    if kind == "small":
        return _unit(z) * np.float32(2.0**-4)
    if kind == "shifted":
        low = (z >> np.uint64(40)) & np.uint64(0x1FFF)
        return low.astype(np.float32) * np.float32(2.0**-13) + np.float32(1000)
    if kind == "wide":
        return _wide(z)
    if kind == "subnormal":
        return (_sign(z) | _mantissa(z)).view(np.float32)
    if kind == "sprinkled":
        return _with_special(z, _unit(z), 64)
    raw = (z >> np.uint64(32)).astype(np.uint32).view(np.float32)
    if kind == "bits":
        return raw
    if kind == "special":
        return _with_special(z, raw, 4)
    raise ValueError(f"unknown kind of values {kind!r}")


@dataclass(frozen=True)
class Made:
    """How an array came about: what make (or make_indices) was given."""

    array: npt.NDArray[Any]
    kind: str  # of values; for indices, their bound
    name: str

    def matches(self, array: npt.NDArray[Any]) -> bool:
        """Whether array is this one, reshaped perhaps, and its elements are as they were made."""
        mine = self.array
        if array.dtype != mine.dtype or array.size != mine.size or not array.flags.c_contiguous:
            return False
        if array.size and array.ctypes.data != mine.ctypes.data:
            return False
        again: npt.NDArray[Any] = (
            _values(self.kind, seed_of(self.name), array.size)
            if array.dtype == np.float32
            else _indices(seed_of(self.name), array.size, int(self.kind))
        )
        return array.tobytes() == again.tobytes()


_made: list[Made] | None = None
_salt = ""


@contextmanager
def recording() -> Iterator[list[Made]]:
    """The arrays that are made inside the block, as they are made; clear the list at will."""
    global _made
    _made = []
    try:
        yield _made
    finally:
        _made = None


@contextmanager
def salted(salt: str) -> Iterator[None]:
    """Other values for the same cases: names get this ending inside the block."""
    global _salt
    before, _salt = _salt, salt
    try:
        yield
    finally:
        _salt = before


def _recorded(array: Any, kind: str, name: str) -> Any:
    if _made is not None:
        _made.append(Made(array, kind, name))
    return array


def _indices(seed: int, count: int, below: int) -> npt.NDArray[np.int64]:
    z = uniform(seed, count) >> np.uint64(33)
    return (z % np.uint64(below)).astype(np.int64)


def make(name: str, shape: Sequence[int], kind: str = "unit") -> F32:
    """The float32 array of that name, shape and kind; a new C-ordered array."""
    name += _salt
    array = _values(kind, seed_of(name), math.prod(shape)).reshape(shape)
    return cast(F32, _recorded(array, kind, name))


def make_indices(name: str, shape: Sequence[int], below: int) -> npt.NDArray[np.int64]:
    """Integers in [0, below): z >> 33 modulo below."""
    name += _salt
    array = _indices(seed_of(name), math.prod(shape), below).reshape(shape)
    return cast("npt.NDArray[np.int64]", _recorded(array, str(below), name))
