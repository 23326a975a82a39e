"""The specification in float64: what every operator computes, and how far float32 may be from it.

``OPS`` is the one list of operators. Each entry has the float64 reference with its derived
tolerance, the arguments of the compiled operator in order, and the cases on which tests, hashes
(``forwardpass.bits``) and benchmarks run it::

    op = OPS["linear"]
    for case in op.cases():
        for arguments in case.calls():
            (value, tolerance), = op.expected(arguments)
            (result,) = op.run(arguments)
            assert not problem(result, value, tolerance)

Bounds and their derivations: ``bounds`` (the rounding model), ``elementwise``, ``products``
(linear, conv1d), ``convolutions``, ``rows`` (norms, softmax). Arrays: ``arrays``. Cases: ``cases``.
"""

from __future__ import annotations

from .bounds import Bounded, problem
from .ops import OPS, Op

__all__ = ["OPS", "Bounded", "Op", "problem"]
