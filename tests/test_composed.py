"""Activations made of others: against float64, special values, `out`, bad values."""

from __future__ import annotations

import numpy as np
import pytest

from _arrays import assert_same_bytes
from forwardpass import nn
from forwardpass.nn import functional as F
from forwardpass.reference.arrays import make

INF, NAN = np.inf, np.nan
EPS = 2.0**-24
SPECIAL = np.array([NAN, INF, -INF, 0.0, -0.0, 1e-40, -1e-40, 0.5, -0.5, 88.0, -88.0], np.float32)


def _exact(name, x):
    """float64's own, by NumPy."""
    alpha, scale = 1.6732632423543772, 1.0507009873554805
    with np.errstate(all="ignore"):
        return {
            "selu": lambda: scale * np.where(x > 0, x, alpha * np.expm1(x)),
            "celu": lambda: np.where(x > 0, x, np.expm1(x)),
            "logsigmoid": lambda: np.minimum(x, 0) - np.log1p(np.exp(-np.abs(x))),
            "softsign": lambda: x / (1 + np.abs(x)),
            "tanhshrink": lambda: x - np.tanh(x),
            "hardshrink": lambda: np.where(np.abs(x) <= 0.5, 0, x),
            "softshrink": lambda: np.where(np.abs(x) <= 0.5, 0, x - np.copysign(0.5, x)),
            "rrelu": lambda: np.where(x > 0, x, x * ((1 / 8 + 1 / 3) / 2)),
        }[name]()


NAMES = (
    "selu",
    "celu",
    "logsigmoid",
    "softsign",
    "tanhshrink",
    "hardshrink",
    "softshrink",
    "rrelu",
)


@pytest.mark.parametrize("name", NAMES)
def test_against_float64(name):
    """Four roundings of the result at most; a difference of two also has those of its terms."""
    x = np.concatenate([make("composed", (4000,)) * 4, np.linspace(-30, 30, 1001, dtype="f4")])
    exact = _exact(name, x.astype(np.float64))
    terms = np.abs(x) if name in ("tanhshrink", "softshrink") else 0
    bound = 8 * EPS * (np.abs(exact) + terms) + 2.0**-149
    assert (np.abs(getattr(F, name)(x) - exact) <= bound).all()


@pytest.mark.parametrize(
    ("name", "expected"),
    [
        ("selu", [NAN, INF, -1.7580993]),
        ("celu", [NAN, INF, -1]),
        ("logsigmoid", [NAN, 0, -INF]),
        ("softsign", [NAN, NAN, NAN]),
        ("tanhshrink", [NAN, INF, -INF]),
        ("hardshrink", [NAN, INF, -INF]),
        ("softshrink", [NAN, INF, -INF]),
        ("rrelu", [NAN, INF, -INF]),
    ],
)
def test_special_values(name, expected):
    """Those of torch, and no warning."""
    y = getattr(F, name)(SPECIAL)
    np.testing.assert_array_equal(y[:3], np.float32(expected))
    assert np.isfinite(y[3:]).all()


def test_threshold():
    x = np.array([NAN, INF, -INF, 0.1, 0.2, -0.0], np.float32)
    with np.errstate(all="raise"):
        y = F.threshold(x, 0.1, 5)
    np.testing.assert_array_equal(y, np.float32([NAN, INF, 5, 5, 0.2, 5]))


@pytest.mark.parametrize("name", [*NAMES, "softmin"])
def test_any_shape_and_out(name):
    function = getattr(F, name)
    more = {"dim": -1} if name == "softmin" else {}
    x = make("composed/out", (3, 4, 5))
    whole = function(x, **more)
    assert whole.flags.c_contiguous
    assert whole.dtype == np.float32
    turned = function(np.asfortranarray(x), **more)
    assert turned.flags.c_contiguous
    assert_same_bytes(turned, whole)
    strided = np.zeros((3, 4, 10), np.float32)[:, :, ::2]
    assert function(x, out=strided, **more) is strided
    assert_same_bytes(np.ascontiguousarray(strided), whole)
    overlapping = x.copy()
    assert_same_bytes(function(overlapping, out=overlapping, **more), whole)
    one = function(x[0, 0, 0], **more)
    assert isinstance(one, np.ndarray)
    assert one.shape == ()
    assert function(x[:0], **more).shape == (0, 4, 5)
    with pytest.raises(TypeError, match=r"must be .*float32"):
        function(x.astype(np.float64), **more)
    with pytest.raises(ValueError, match="out"):
        function(x, out=np.zeros(3, np.float32), **more)


def test_bad_values():
    x = np.zeros((2, 3, 4), np.float32)
    with pytest.raises(ZeroDivisionError, match="alpha"):
        F.celu(x, 0.0)
    with pytest.raises(ValueError, match="lambd must be at least 0, got -1"):
        F.softshrink(x, -1)
    with pytest.raises(NotImplementedError, match="training"):
        F.rrelu(x, training=True)
    with pytest.raises(ValueError, match="expected input to be 3D or 4D, got 2D"):
        nn.Softmax2d()(x[0])
    with pytest.raises(ValueError, match="tuple of four, got"):
        nn.ReflectionPad2d((1, 2))
    with pytest.raises(ValueError, match=r"by at most 3"):
        nn.ReflectionPad1d(4)(x)
    with pytest.raises(ValueError, match=r"expected 3D or 4D input \(got 2D input\)"):
        nn.CircularPad2d(1)(x[0])
    with pytest.raises(ValueError, match="divides the channels, got 2 for 3"):
        nn.ChannelShuffle(2)(x)
    with pytest.raises(ValueError, match="downscale_factor=3, got 3 and 4"):
        nn.PixelUnshuffle(3)(x)


def test_unflatten():
    x = np.arange(24, dtype=np.int64).reshape(2, 12)
    y = nn.Unflatten(1, (3, -1))(x)
    assert y.shape == (2, 3, 4)
    assert y.base is not None
    assert nn.Flatten()(y).tolist() == x.tolist()
    assert nn.Unflatten(-1, [0, 2])(np.zeros((3, 0), np.float32)).shape == (3, 0, 2)
    for bad in ((5, -1), (-1, -1), (3, 5), (), (0, -1)):
        with pytest.raises(ValueError, match="don't multiply up to the size 12"):
            nn.Unflatten(1, bad)(x)
    with pytest.raises(IndexError, match="got 2"):
        nn.Unflatten(2, (3, 4))(x)
    with pytest.raises(IndexError, match="specified as 0 but tensor has no dimensions"):
        nn.Unflatten(0, (1,))(np.float32(1))
    with pytest.raises(TypeError, match="tuple of ints, but found type int"):
        nn.Unflatten(1, 3)


def test_pixels_and_channels_go_back():
    x = make("composed/pixels", (2, 8, 4, 6))
    assert_same_bytes(nn.PixelShuffle(2)(nn.PixelUnshuffle(2)(x)), x)
    assert_same_bytes(nn.ChannelShuffle(4)(nn.ChannelShuffle(2)(x)), x)


@pytest.mark.parametrize("mode", ["reflect", "replicate", "circular", "constant"])
def test_padding_layers_are_numpys_pad(mode):
    kinds = {"reflect": "Reflection", "replicate": "Replication", "circular": "Circular"}
    name = {"replicate": "edge", "circular": "wrap"}.get(mode, mode)
    x = make("composed/pad", (2, 3, 5, 6))
    more = {"constant_values": np.float32(2.5)} if mode == "constant" else {}
    value = (2.5,) if mode == "constant" else ()
    one = getattr(nn, f"{kinds.get(mode, 'Constant')}Pad1d")((2, 3), *value)
    two = getattr(nn, f"{kinds.get(mode, 'Constant')}Pad2d")((2, 3, 1, 4), *value)
    assert_same_bytes(one(x[0]), np.pad(x[0], ((0, 0), (0, 0), (2, 3)), name, **more))
    assert_same_bytes(two(x), np.pad(x, ((0, 0), (0, 0), (1, 4), (2, 3)), name, **more))


def test_elementwise_ones_stream():
    """A signal in pieces has the bytes of the whole."""
    x = make("composed/stream", (2, 4, 33))
    net = nn.Sequential(
        nn.Conv1d(4, 6, 3), nn.SELU(), nn.Softshrink(0.1), nn.Dropout1d(), nn.CELU(2.0)
    )
    y, state = net.stream(x[:, :, :10])
    z, _ = net.stream(x[:, :, 10:], state, last=True)
    assert_same_bytes(np.concatenate([y, z], -1), net(x))
