"""The cases of recurrent layers, one direction of one layer; see ``cases``.

Hidden sizes on both sides of a vector, and of the numbers of gates where linear's chains change;
input sizes on both sides of 63|64; batches around the rows of a tile and of a piece.
"""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from functools import partial
from itertools import cycle, product

from .cases import Arguments, Case, Namer

GATES = {"rnn_tanh": 1, "rnn_relu": 1, "gru": 3, "lstm": 4}
HIDDEN = (1, 2, 3, 4, 5, 6, 8, 9, 11, 15, 16, 17, 31, 32, 33, 48, 64, 65, 100)
INPUTS = (1, 3, 16, 40, 64, 65)
BATCHES = (1, 2, 5, 7, 13)
# (steps, batch, input, hidden): rows of several pieces, long sequences, weights that fill a cache;
# then one row whose input products are made ahead, forward, backward, and of odd numbers of steps.
LARGE = (
    *((9, 50, 24, 40), (600, 2, 8, 16), (70, 900, 4, 16), (3, 1, 256, 256), (2, 30, 130, 128)),
    *((45, 1, 24, 64), (60, 1, 200, 64), (31, 1, 130, 128), (16, 1, 1, 192), (15, 1, 64, 64)),
    *((33, 1, 256, 256), (24, 1, 300, 64)),
)


def _call(
    new: Namer, op: str, size: Sequence[int], kind: str, projected: int = 0, bare: bool = False
) -> Arguments:
    steps, batch, inputs, hidden = size
    new.call += 1
    gates, out = GATES[op] * hidden, projected or hidden
    # Not so large that most gates are 0 or 1, or that a long sequence grows without end.
    weights = "small" if hidden > 30 or size in LARGE else "unit"
    call: Arguments = {"input": new("input", (steps, batch, inputs), kind)}
    call["weight_ih"] = new("weight_ih", (gates, inputs), weights)
    call["weight_hh"] = new("weight_hh", (gates, out), weights)
    if not bare:
        call["bias_ih"], call["bias_hh"] = new("bias_ih", (gates,)), new("bias_hh", (gates,))
    if projected:
        call["weight_hr"] = new("weight_hr", (projected, hidden), weights)
    if new.call % 3:
        call["h0"] = new("h0", (batch, out))
        if op == "lstm":
            call["c0"] = new("c0", (batch, hidden), "span" if new.call % 2 else "unit")
    call["reverse"] = int(new.call % 4 == 3)
    return call


def _sizes(name: str, op: str, kind: str) -> Iterator[Arguments]:
    new = Namer(name)
    batches = cycle(BATCHES)
    for hidden, inputs in product(HIDDEN, INPUTS if kind == "unit" else INPUTS[1::2]):
        size = (2 + hidden % 3, next(batches), inputs, hidden)
        yield _call(new, op, size, kind, bare=hidden % 5 == 0)
    if op == "lstm":
        for hidden, projected in ((3, 2), (17, 16), (64, 5), (70, 3), (100, 33)):
            yield _call(new, op, (4, 3, 10, hidden), kind, projected)


def _large(name: str, op: str) -> Iterator[Arguments]:
    new = Namer(name)
    for size in LARGE:
        yield _call(new, op, size, "unit")
    yield _call(new, op, (3, 0, 5, 20), "unit")


def cases(op: str) -> list[Case]:
    kinds = ("unit", "span", "wide", "sprinkled")
    found = [
        Case(f"{op}/{k}", partial(_sizes, f"{op}/{k}", op, k), k != "sprinkled") for k in kinds
    ]
    return [*found, Case(f"{op}/large", partial(_large, f"{op}/large", op))]
