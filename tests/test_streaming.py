"""stream: any cut of a signal gives the bytes of the whole; states; bad input."""

from __future__ import annotations

import copy
import itertools
import pickle
from typing import Any

import numpy as np
import pytest

import forwardpass as fp
from _arrays import assert_same_bytes
from forwardpass import nn
from forwardpass.nn import functional as F
from forwardpass.reference.arrays import make


def cuts(length: int, rng: np.random.Generator) -> list[list[int]]:
    """The lengths of the chunks: whole, single samples, empty ones among them, at random."""
    found = [[length], [1] * length, [0, 0, length, 0], [0, *itertools.chain(*[(1, 0)] * length)]]
    for _ in range(4):
        marks = np.sort(rng.integers(0, length + 1, rng.integers(0, 9)))
        found.append(np.diff([0, *marks.tolist(), length]).tolist())
    return found


def streamed(layer: Any, x: np.ndarray, lengths: list[int], flush: bool) -> np.ndarray:
    """All outputs one after the other; the end by flush or by last=True of the last chunk."""
    state, pieces, at = None, [], 0
    for i, n in enumerate(lengths):
        last = not flush and i == len(lengths) - 1
        y, state = layer.stream(x[..., at : at + n], state, last)
        pieces.append(y)
        at += n
    if flush:
        pieces.append(layer.flush(state))
    else:
        assert state is None
    assert all(piece.dtype == np.float32 and piece.flags.c_contiguous for piece in pieces)
    return np.concatenate(pieces, -1)


def assert_cuts_agree(layer: Any, x: np.ndarray, what: str = "", count: int | None = None) -> None:
    want = layer(x)
    rng = np.random.default_rng(x.size)
    for i, lengths in enumerate(cuts(x.shape[-1], rng)[:count]):
        assert_same_bytes(streamed(layer, x, lengths, i % 2 == 0), want, f"{what} {lengths}")


CONVS = [
    dict(kernel_size=k, stride=s, dilation=d, padding=p, groups=g)
    for k, s, d, p, g in (
        (1, 1, 1, 0, 1),
        (3, 1, 1, 1, 1),
        (3, 1, 1, "causal", 1),
        (5, 1, 3, "causal", 2),
        (4, 1, 2, "same", 1),
        (7, 1, 1, "valid", 4),
        (4, 2, 1, 1, 1),
        (4, 3, 2, "causal", 1),
        (10, 5, 1, 4, 1),
        (2, 5, 1, 0, 1),  # the kernel shorter than the stride
        (1, 4, 1, 3, 2),
        (2, 7, 3, 2, 4),
        (3, 2, 5, 9, 1),
        (3, 1, 1, 8, 1),  # more padding than the kernel reaches
        (2, 6, 1, 11, 1),
        (16, 8, 1, 4, 1),
        (31, 1, 1, 15, 4),
    )
]
TRANSPOSED = [
    dict(kernel_size=k, stride=s, dilation=d, padding=p, output_padding=o, groups=g)
    for k, s, d, p, o, g in (
        (1, 1, 1, 0, 0, 1),
        (3, 1, 1, 1, 0, 1),
        (4, 2, 1, 1, 0, 1),
        (4, 2, 1, 0, 1, 2),
        (16, 8, 1, 4, 0, 1),  # HiFi-GAN's
        (2, 2, 1, 0, 0, 4),
        (2, 5, 1, 0, 0, 1),  # the kernel shorter than the stride: outputs that are the bias
        (2, 5, 1, 0, 4, 1),
        (2, 2, 1, 1, 0, 1),  # the padding cuts into what the last input gives
        (3, 4, 1, 5, 0, 1),
        (3, 4, 1, 5, 3, 2),
        (1, 3, 1, 7, 0, 1),
        (5, 1, 3, 2, 0, 1),
        (3, 3, 5, 4, 2, 1),
        (4, 3, 2, 0, 1, 1),
        (4, 3, 2, 6, 0, 1),
    )
]


def named(options: Any) -> str:
    return "-".join(f"{name[0]}{value}" for name, value in options.items())


@pytest.mark.parametrize("options", CONVS, ids=named)
def test_conv1d(isa, options):
    fp.manual_seed(1)
    layer = nn.Conv1d(4, 8, bias=options["stride"] != 1, **options)
    for shape in ((4, 61), (2, 4, 37)):
        assert_cuts_agree(layer, make(f"stream/{shape}", shape), named(options))


@pytest.mark.parametrize("options", TRANSPOSED, ids=named)
def test_conv_transpose1d(isa, options):
    fp.manual_seed(2)
    layer = nn.ConvTranspose1d(4, 8, bias=options["stride"] != 1, **options)
    for shape in ((4, 23), (2, 4, 11)):
        assert_cuts_agree(layer, make(f"stream/{shape}", shape), named(options))


@pytest.mark.parametrize("transposed", [False, True])
def test_random_geometry(transposed):
    rng = np.random.default_rng(7)
    for number in range(150):
        k, s, d, p = (
            int(rng.integers(low, high)) for low, high in ((1, 7), (1, 6), (1, 4), (0, 7))
        )
        groups, length = int(rng.choice([1, 2])), int(rng.integers(1, 30))
        if transposed:
            o = int(rng.integers(0, max(s, d)))
            layer = nn.ConvTranspose1d(2, 4, k, s, p, o, groups, dilation=d)
            fits = (length - 1) * s - 2 * p + d * (k - 1) + 1 + o > 0
        else:
            layer = nn.Conv1d(2, 4, k, s, p, d, groups)
            fits = length + 2 * p > d * (k - 1)
        x = make(f"stream/random/{number}", (1, 2, length))
        if fits:
            assert_cuts_agree(layer, x, f"{layer!r} {length}", 6)
        else:  # the layer refuses the signal; a stream of it has no outputs
            with pytest.raises(ValueError, match="input"):
                layer(x)
            for lengths in cuts(length, rng):
                assert streamed(layer, x, lengths, flush=True).shape == (1, 4, 0)


def test_causal_padding(isa):
    """As long as the input at stride 1, and no output depends on what comes later."""
    x, w = make("causal/x", (2, 3, 40)), make("causal/w", (5, 3, 4))
    for stride, dilation in ((1, 1), (1, 3), (2, 1), (5, 2)):
        want = F.conv1d(F.pad(x, (3 * dilation, 0)), w, None, stride, 0, dilation)
        assert_same_bytes(F.conv1d(x, w, None, stride, "causal", dilation), want)
        layer = nn.Conv1d(3, 5, 4, stride, "causal", dilation, bias=False)
        layer.weight = w
        assert_same_bytes(layer(x), want)
        assert "padding=causal" in repr(layer)
        y, state = layer.stream(x)
        assert_same_bytes(y, want)  # nothing waits for the end
        assert layer.flush(state).shape == (2, 5, 0)
    edge = nn.Conv1d(3, 5, 4, padding="causal", padding_mode="replicate")
    assert_same_bytes(edge(x), F.conv1d(F.pad(x, (3, 0), "replicate"), edge.weight, edge.bias))


def test_edges_are_those_of_the_whole(isa):
    """Infinite weights meet the padding's zeros, -0 and NaN stay where they are."""
    x = make("stream/edges", (1, 2, 20))
    x[0, 1, 7], x[0, 0, 12] = np.nan, -0.0
    for layer in (nn.Conv1d(2, 3, 3, padding=2), nn.ConvTranspose1d(2, 3, 5, 2, 1)):
        weight = layer.weight.copy()
        weight[..., 0] = np.inf
        layer.weight = weight
        assert np.isnan(layer(x)).any()
        assert_cuts_agree(layer, x)


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


def test_a_state_of_another_layer_says_whose():
    x = make("stream/other", (3, 9))
    _, state = nn.Conv1d(3, 4, 5).stream(x)
    with pytest.raises(ValueError, match=r"Conv1d\(3, 4, kernel_size=\(5,\).*kernel_size=\(3,\)"):
        nn.Conv1d(3, 4, 3).stream(x, state)


def test_empty_batch_and_channels():
    for layer in (nn.Conv1d(3, 4, 3, padding=1), nn.ConvTranspose1d(3, 4, 4, 2, 1)):
        assert_cuts_agree(layer, make("stream/empty", (0, 3, 9)))


def test_weights_are_held_once():
    """A layer that only streams keeps one packed form, and gives its weight back from that."""
    for layer in (nn.Conv1d(3, 4, 5, padding=2), nn.ConvTranspose1d(3, 4, 4, 2, 1)):
        weight, x = layer.weight.copy(), make("stream/held", (3, 20))
        y, _ = layer.stream(x, None, True)
        assert layer._pack is None
        assert layer.get_parameter("weight")._array is None
        assert_same_bytes(layer.weight, weight)
        assert_same_bytes(layer(x), y)
        layer.weight = weight * 2
        assert_same_bytes(layer.stream(x, None, True)[0], layer(x))
    bare = nn.Conv1d(3, 4, 5)
    bare.stream(x)
    assert bare._streamer.pack is bare._pack
