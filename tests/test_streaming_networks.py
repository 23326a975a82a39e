"""stream through networks: Sequential, padding, modules of users; states as values; bad input."""

from __future__ import annotations

import copy
import pickle

import numpy as np
import pytest

import forwardpass as fp
from _arrays import assert_same_bytes
from _streaming import assert_cuts_agree
from forwardpass import nn
from forwardpass.nn import functional as F
from forwardpass.reference.arrays import make


def codec() -> nn.Sequential:
    fp.manual_seed(3)
    return nn.Sequential(
        nn.Conv1d(1, 6, 7, padding="causal"),
        nn.ELU(),
        nn.Sequential(nn.Conv1d(6, 16, 4, 2, 1), nn.GLU(1), nn.BatchNorm1d(8)),
        nn.Conv1d(8, 8, 3, dilation=2, padding=2),
        nn.GELU(),
        nn.Dropout(0.1),
        nn.ConvTranspose1d(8, 4, 8, 4, 2),
        nn.LeakyReLU(0.1),
        nn.PReLU(4),
        nn.Conv1d(4, 1, 7, 3, padding=3),
        nn.Tanh(),
    )


@pytest.mark.parametrize("threads", [1, 3])
def test_sequential(isa, threads):
    net = codec()
    with fp.threads(threads):
        assert_cuts_agree(net, make("stream/net", (2, 1, 100)))


def test_sequential_with_watchers():
    """A hook takes a layer out of its fusion, also in the middle of a stream."""
    net, x = codec(), make("stream/net", (2, 1, 64))
    want = net(x)
    first, state = net.stream(x[..., :29])
    seen: list[int] = []
    handle = net[4].register_forward_hook(lambda *_: seen.append(1))
    second, state = net.stream(x[..., 29:50], state)
    handle.remove()
    third, _ = net.stream(x[..., 50:], state, last=True)
    assert_same_bytes(np.concatenate([first, second, third], -1), want)
    assert seen


@pytest.mark.parametrize("padding", [(3, 0), (0, 2), (6, 5), 1, 0])
def test_pad_layers(padding):
    net = nn.Sequential(nn.ConstantPad1d(padding, 0.5), nn.ReLU(), nn.Conv1d(2, 3, 4, 2))
    x = make("stream/pad", (2, 2, 21))
    assert_cuts_agree(net, x)
    zeros = nn.ZeroPad1d(padding)
    assert_same_bytes(zeros(x), F.pad(x, zeros.padding))
    assert_cuts_agree(zeros, x)


def test_pad_layers_as_in_torch():
    assert repr(nn.ZeroPad1d((2, 0))) == "ZeroPad1d((2, 0))"
    assert repr(nn.ConstantPad1d(1, 3.5)) == "ConstantPad1d(padding=(1, 1), value=3.5)"
    x = make("stream/pad", (2, 5))
    assert_same_bytes(nn.ZeroPad1d((-1, -2))(x), np.ascontiguousarray(x[:, 1:3]))
    for bad, error in (((1, 2, 3), ValueError), (1.5, TypeError), ("a", TypeError)):
        with pytest.raises(error, match="padding"):
            nn.ZeroPad1d(bad)
    with pytest.raises(NotImplementedError, match="cuts"):
        nn.ZeroPad1d((-1, 0)).stream(x)
    with pytest.raises(ValueError, match="shape"):
        nn.ZeroPad1d(1).stream(x[0])
    _, state = nn.ZeroPad1d(1).stream(x)
    with pytest.raises(ValueError, match=r"ZeroPad1d\(\(1, 1\)\), not ZeroPad1d\(\(2, 2\)\)"):
        nn.ZeroPad1d(2).stream(x, state)


class CausalBlock(nn.Module):
    """x + conv(elu(x)): a module with a stream of its own."""

    def __init__(self, channels: int) -> None:
        super().__init__()
        self.conv = nn.Sequential(nn.ELU(), nn.Conv1d(channels, channels, 3, padding="causal"))

    def forward(self, x):
        return x + self.conv(x)

    def stream(self, x, state=None, last=False):
        y, state = self.conv.stream(x, state, last)
        return x + y, state


def test_modules_of_users():
    net = nn.Sequential(CausalBlock(3), nn.Conv1d(3, 2, 2), CausalBlock(2))
    assert_cuts_agree(net, make("stream/users", (3, 40)))
    with pytest.raises(NotImplementedError, match=r"Linear.*stream\(input, state, last\)"):
        nn.Sequential(nn.Linear(4, 4), nn.ReLU()).stream(make("stream/l", (2, 4)))
    for module in (nn.LayerNorm(4), nn.Softmax(-1), nn.GLU(-1), nn.AvgPool1d(2), nn.RMSNorm(4)):
        with pytest.raises(NotImplementedError, match=type(module).__name__):
            nn.Sequential(module).stream(make("stream/m", (1, 2, 4)))
    with pytest.raises(NotImplementedError, match="BatchNorm1d"):  # (C, L) would be (N, C)
        nn.Sequential(nn.BatchNorm1d(4)).stream(make("stream/m", (2, 4)))

    class Padded(nn.Conv1d):
        def forward(self, input):
            return super().forward(F.pad(input, (2, 0)))

    class Twice(nn.Sequential):
        def forward(self, input):
            return super().forward(input) * 2

    for layer in (Padded(2, 2, 3), Twice(nn.ReLU())):
        with pytest.raises(NotImplementedError, match="forward of its own"):
            layer.stream(make("stream/own", (2, 4)))
    with pytest.raises(NotImplementedError, match="padding_mode='reflect'"):
        nn.Conv1d(2, 2, 3, padding=1, padding_mode="reflect").stream(make("stream/own", (2, 4)))


STREAMS = [
    lambda: nn.Conv1d(3, 4, 5, 2, 2),
    lambda: nn.ConvTranspose1d(3, 4, 2, 3, 2),
    lambda: nn.Sequential(nn.Conv1d(3, 4, 3, padding=1), nn.ReLU(), nn.ConvTranspose1d(4, 2, 4, 2)),
]


@pytest.mark.parametrize("build", STREAMS)
def test_states_are_values(build):
    """One layer serves many streams; a state can be kept, copied, pickled and gone back to."""
    layer = build()
    a, b = make("stream/a", (2, 3, 30)), make("stream/b", (2, 3, 30))
    y_a, state_a = layer.stream(a[..., :11])
    y_b, state_b = layer.stream(b[..., :11])
    assert isinstance(state_a, nn.StreamState)
    assert state_a.shape == (2, 3)
    before = pickle.dumps(state_a)
    end_a = [layer.stream(a[..., 11:], state, True)[0] for state in (state_a,) * 2]
    assert pickle.dumps(state_a) == before
    for other in (copy.copy(state_a), copy.deepcopy(state_a), pickle.loads(before)):
        end_a.append(pickle.loads(pickle.dumps(layer)).stream(a[..., 11:], other, True)[0])
    for end in end_a:
        assert_same_bytes(np.concatenate([y_a, end], -1), layer(a))
    end_b = layer.stream(b[..., 11:], state_b, True)[0]
    assert_same_bytes(np.concatenate([y_b, end_b], -1), layer(b))
    assert type(layer).__name__.replace("Sequential", "ConvState") in repr(state_a)


def test_inputs_and_states_are_not_views():
    """A caller may fill the same buffer again."""
    for layer in (build() for build in STREAMS):
        x, buffer, pieces, state = make("stream/v", (2, 3, 30)), np.empty((2, 3, 5), "f4"), [], None
        for at in range(0, 30, 5):
            buffer[:] = x[..., at : at + 5]
            y, state = layer.stream(buffer, state)
            pieces.append(y.copy())
            y[:] = np.nan
        pieces.append(layer.flush(state))
        assert_same_bytes(np.concatenate(pieces, -1), layer(x))


@pytest.mark.parametrize("build", STREAMS)
def test_bad_input_leaves_the_state_usable(build):
    layer = build()
    x = make("stream/bad", (2, 3, 30))
    y, state = layer.stream(x[..., :7])
    bad = [
        (np.zeros((2, 4, 5), np.float32), state, ValueError, "channels|shape"),
        (np.zeros((1, 3, 5), np.float32), state, ValueError, "does not go on"),
        (np.zeros((3, 5), np.float32), state, ValueError, "does not go on"),
        (np.zeros((3,), np.float32), None, ValueError, "shape"),
        (np.zeros((2, 3, 5)), state, TypeError, "float64"),
        ([[1.0]], state, TypeError, "list"),
        (x, "state", TypeError, "state.*str"),
        (x, nn.Conv1d(3, 4, 9).stream(x)[1], (ValueError, TypeError), "state"),
        (x, nn.Sequential(nn.ReLU()).stream(x)[1], (ValueError, TypeError), "state"),
    ]
    for chunk, old, error, words in bad:
        with pytest.raises(error, match=words):
            layer.stream(chunk, old)
    with pytest.raises(ValueError, match="not begun"):
        layer.flush(None)
    with pytest.raises(TypeError, match="flush"):
        layer.flush(x)
    rest, _ = layer.stream(x[..., 7:], state, True)
    assert_same_bytes(np.concatenate([y, rest], -1), layer(x))
