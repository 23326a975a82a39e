"""Before anything is timed: every result against the float64 reference.

Ours must lie within the operator's derived tolerance. A peer need not be as exact (torch's GELU is
5 ULP off, a blocked sum has another bound), but must compute the same function in float32: its
root-mean-square error may be 1e-4 of the result's, which reduced precision (bf16: 2e-3) fails.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

import numpy as np

import transformers
from cases import Arguments, Case
from contenders import CONVOLUTIONS, RECURRENT
from forwardpass.reference import OPS, problem
from forwardpass.reference.recurrent import layers
from recurrent import layers_of, names_of

MOST = 1 << 22  # results checked of one case; beyond, evenly chosen rows, first and last included
PEER = 1e-4
_BY_ROWS = {
    "embedding": ("indices",),
    **dict.fromkeys(CONVOLUTIONS, ()),
}  # arguments that have the result's rows


@dataclass(frozen=True)
class Expected:
    """The reference's value and tolerance, for all rows of the result or for some."""

    shape: tuple[int, ...]
    rows: np.ndarray | None
    value: np.ndarray
    tolerance: np.ndarray

    @property
    def share(self) -> float:
        """Which part of the result is checked."""
        return 1.0 if self.rows is None else len(self.rows) / self.shape[0]

    def _taken(self, result: Any) -> tuple[str, np.ndarray]:
        got = np.asarray(result)
        if got.dtype != np.float32 or got.shape != self.shape:
            return f"{got.dtype} {got.shape}, not float32 {self.shape}", got
        return "", got if self.rows is None else got[self.rows]

    def ours(self, result: Any) -> str:
        """'' or what is wrong with our result."""
        wrong, got = self._taken(result)
        return wrong or problem(got, self.value, self.tolerance)

    def peer(self, result: Any) -> str:
        """'' or what is wrong with a peer's result."""
        wrong, got = self._taken(result)
        if wrong:
            return wrong
        error = float(np.sqrt(np.mean(np.square(got - self.value))))
        size = float(np.sqrt(np.mean(np.square(self.value))))
        if error <= PEER * size:  # not so for NaN
            return ""
        return f"root-mean-square error {error:.2g} where the result's size is {size:.2g}"


def expected(case: Case, arguments: Arguments, shape: tuple[int, ...]) -> Expected:
    """The reference for a case whose result has that shape."""
    if case.op == "sequential":
        return Expected(shape, None, *_sequential(arguments))
    if case.op in RECURRENT:
        return Expected(shape, None, *_recurrent(case.op, arguments))
    if case.op == transformers.OP:
        return Expected(shape, None, *transformers.reference(arguments))
    by_rows = _BY_ROWS.get(case.op, ("input", "residual"))
    count = max(1, MOST // max(1, int(np.prod(shape[1:]))))
    rows = None
    if by_rows and shape and shape[0] > count:
        rows = np.unique(np.linspace(0, shape[0] - 1, count).round().astype(np.int64))
        taken = {name: arguments[name][rows] for name in by_rows if name in arguments}
        arguments = {**arguments, **taken}
    ((value, tolerance),) = OPS[case.op].expected(arguments)
    return Expected(shape, rows, value, tolerance)


def _recurrent(kind: str, a: Arguments) -> tuple[np.ndarray, np.ndarray]:
    """Layers one after the other, each on the bounded output of the one before."""
    weights = [[a[name] for name in names_of(layer)] for layer in range(layers_of(a))]
    states = [a[name] for name in ("h0", "c0") if name in a]
    return layers("rnn_tanh" if kind == "RNN" else kind.lower(), a["input"], weights, states)


def _sequential(arguments: Arguments) -> tuple[np.ndarray, np.ndarray]:
    """Linear, ReLU, Linear, Sigmoid; layer 1's error passes |w2| and sigmoid's slope 1/4."""
    linear = OPS["linear"]
    a = arguments
    first = {"input": a["input"], "weight": a["weight1"], "bias": a["bias1"], "activation": "relu"}
    ((hidden, error),) = linear.expected(first)
    second = {"input": hidden.astype(np.float32), "weight": a["weight2"], "bias": a["bias2"]}
    ((value, tolerance),) = linear.expected({**second, "activation": "sigmoid"})
    error = error + 2.0**-24 * np.abs(hidden)  # rounding of the reference's own hidden layer
    return value, tolerance + 0.25 * error @ np.abs(a["weight2"]).astype(np.float64).T
