"""What stands in the way of torch.export, put aside while it runs.

- A recurrent layer would be unrolled, one node a step and for one length: it becomes one op.
- nn.Transformer compares masks with the causal one by value, only to take a quicker way.
"""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager
from typing import Any

import torch
from torch import nn

_KINDS = {"RNN_TANH": "rnn_tanh", "RNN_RELU": "rnn_relu", "GRU": "gru", "LSTM": "lstm"}


@torch.library.custom_op("forwardpass::recurrent", mutates_args=())
def recurrent(
    x: torch.Tensor,
    h: torch.Tensor | None,
    c: torch.Tensor | None,
    weights: list[torch.Tensor],
    parts: list[int],
    mode: str,
    batch_first: bool,
    bidirectional: bool,
    hidden: int,
    out: int,
) -> tuple[torch.Tensor, torch.Tensor, torch.Tensor]:
    """A whole recurrent layer; for export alone, it is never run."""
    raise NotImplementedError("forwardpass::recurrent stands in a graph, it does not run")


@recurrent.register_fake
def _(
    x: torch.Tensor, h: Any, c: Any, weights: Any, parts: list[int], mode: str, batch_first: bool,
    bidirectional: bool, hidden: int, out: int,
) -> tuple[torch.Tensor, torch.Tensor, torch.Tensor]:  # fmt: skip
    ways, layers = 1 + bidirectional, len(parts)
    batch = [] if x.dim() == 2 else [x.shape[0 if batch_first else 1]]
    y = x.new_empty([*x.shape[:-1], ways * out])
    return y, x.new_empty([layers, *batch, out]), x.new_empty([layers, *batch, hidden])


def _forward(self: Any, input: torch.Tensor, hx: Any = None) -> Any:
    names = self._all_weights
    weights = [getattr(self, name) for group in names for name in group]
    lstm = self.mode == "LSTM"
    h, c = hx if lstm and hx is not None else (hx, None)
    out = getattr(self, "proj_size", 0) or self.hidden_size
    y, h_n, c_n = torch.ops.forwardpass.recurrent(
        input, h, c, weights, [len(group) for group in names], _KINDS[self.mode],
        bool(self.batch_first), bool(self.bidirectional), self.hidden_size, out,
    )  # fmt: skip
    return y, ((h_n, c_n) if lstm else h_n)


@contextmanager
def put_aside() -> Iterator[None]:
    """Inside, recurrent layers are one op, and masks are taken as they come."""
    from torch.nn.modules import transformer

    before = {kind: kind.forward for kind in (nn.RNN, nn.GRU, nn.LSTM)}
    detect = getattr(transformer, "_detect_is_causal_mask", None)
    try:
        for kind in before:
            kind.forward = _forward
        if detect is not None:
            transformer._detect_is_causal_mask = lambda mask, is_causal=None, size=None: bool(
                is_causal
            )
        yield
    finally:
        for kind, forward in before.items():
            kind.forward = forward
        if detect is not None:
            transformer._detect_is_causal_mask = detect
