"""What the mutation tests share: the comparison that must fail, and rounding to lesser formats."""

from __future__ import annotations

import numpy as np

from forwardpass.reference import OPS, problem

F = np.float32


def value_of(name, **arguments):
    return OPS[name].expected(arguments)[0][0]


def assert_rejected(name, mutant, **arguments):
    """The reference rounded to float32 is within the bound, the mutant is not."""
    value, tolerance = OPS[name].expected(arguments)[0]
    with np.errstate(all="ignore"):
        assert not problem(value.astype(F), value, tolerance)
        assert problem(np.asarray(mutant).astype(F), value, tolerance), "the bound is too loose"


def bfloat16(x):
    """Rounded to bfloat16 (to nearest even)."""
    b = np.ascontiguousarray(x, F).view(np.uint32)
    return ((b + 0x7FFF + ((b >> 16) & 1)) & np.uint32(0xFFFF0000)).view(F)


def tensor_float(x):
    """Rounded to TF32's 10 bits."""
    b = np.ascontiguousarray(x, F).view(np.uint32)
    return ((b + 0x0FFF + ((b >> 13) & 1)) & np.uint32(0xFFFFE000)).view(F)
