"""The cases of recurrent layers: a step of a stream, and whole sequences."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from functools import partial

from case import Arguments, Case
from forwardpass.reference.arrays import make

GATES = {"LSTM": 4, "GRU": 3, "RNN": 1}
# kind, input, hidden, layers, steps, batch: a voice detector's step, a speaker encoder, a decoder's
# recurrence, and more rows.
LAYERS = (
    ("LSTM", 128, 128, 1, 1, 1),
    ("LSTM", 40, 256, 3, 160, 1),
    ("GRU", 256, 256, 1, 50, 1),
    ("GRU", 128, 128, 1, 1, 1),
    ("LSTM", 256, 256, 1, 50, 1),
    ("LSTM", 64, 64, 1, 100, 1),
    ("LSTM", 512, 512, 2, 20, 1),
    ("RNN", 256, 256, 1, 50, 1),
    ("LSTM", 40, 256, 3, 160, 8),
    ("GRU", 256, 256, 1, 50, 32),
)


def names_of(layer: int) -> tuple[str, ...]:
    return tuple(f"{part}_l{layer}" for part in ("weight_ih", "weight_hh", "bias_ih", "bias_hh"))


def layers_of(a: Arguments) -> int:
    return int(a["h0"].shape[0])


def _arguments(
    kind: str, inputs: int, hidden: int, layers: int, steps: int, batch: int
) -> Arguments:
    call: Arguments = {"input": make("recurrent/input", (steps, batch, inputs))}
    gates = GATES[kind] * hidden
    for layer in range(layers):
        sizes = ((gates, hidden if layer else inputs), (gates, hidden), (gates,), (gates,))
        for name, size in zip(names_of(layer), sizes, strict=True):
            call[name] = make(f"recurrent/{name}", size, "small")
    call["h0"] = make("recurrent/h0", (layers, batch, hidden))
    if kind == "LSTM":
        call["c0"] = make("recurrent/c0", (layers, batch, hidden))
    return call


def recurrent() -> Iterator[Case]:
    for kind, inputs, hidden, layers, steps, batch in LAYERS:
        shape = f"{kind}{inputs}-{hidden}" + (f"x{layers}" if layers > 1 else "")
        shape += f"T{steps}" + (f"b{batch}" if batch > 1 else "")
        weights = GATES[kind] * hidden * (inputs + hidden + (layers - 1) * 2 * hidden)
        moved = 4.0 * (weights + steps * batch * (inputs + hidden))
        build = partial(_arguments, kind, inputs, hidden, layers, steps, batch)
        flop = 2.0 * weights * steps * batch
        yield Case("recurrent", shape, kind, build, moved, flop, quick=steps == 1)


GROUPS: dict[str, Callable[[], Iterator[Case]]] = {"recurrent": recurrent}
