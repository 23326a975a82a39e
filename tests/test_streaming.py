"""stream of a convolution: any cut of a signal gives the bytes of the whole."""

from __future__ import annotations

from typing import Any

import numpy as np
import pytest

import forwardpass as fp
from _arrays import assert_same_bytes
from _streaming import assert_cuts_agree, cuts, streamed
from forwardpass import nn
from forwardpass.nn import functional as F
from forwardpass.reference.arrays import make

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
