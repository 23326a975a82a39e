"""What the tests of the recurrent layers share: a layer of each kind, its states, comparisons."""

from __future__ import annotations

from _arrays import assert_same_bytes
from forwardpass import nn
from forwardpass.reference.arrays import make

KINDS = {
    "RNN": (nn.RNN, nn.RNNCell, {}),
    "ReLU": (nn.RNN, nn.RNNCell, {"nonlinearity": "relu"}),
    "GRU": (nn.GRU, nn.GRUCell, {}),
    "LSTM": (nn.LSTM, nn.LSTMCell, {}),
}


def flat(result):
    """[y, h] or [y, h, c] of a layer's result; [h] or [h, c] of a cell's."""
    if not isinstance(result, tuple):
        return [result]
    return [array for part in result for array in flat(part)]


def same(got, want, what=""):
    for g, w in zip(flat(got), flat(want), strict=True):
        assert_same_bytes(g, w, what)


def state_of(layer, batch, name="state"):
    """A state for the layer, h or (h, c)."""
    rows = layer.num_layers * (2 if layer.bidirectional else 1)
    out = layer.proj_size or layer.hidden_size
    h = make(f"{name}/h", (rows, batch, out))
    return (h, make(f"{name}/c", (rows, batch, layer.hidden_size))) if layer.mode == "LSTM" else h


def rows_of(state, part):
    """The state of some rows of a batch."""
    return tuple(s[:, part] for s in state) if isinstance(state, tuple) else state[:, part]


def layer_of(kind, inputs, hidden, **more):
    make_layer, _, words = KINDS[kind]
    nn.init.manual_seed(7)
    return make_layer(inputs, hidden, **words, **more)
