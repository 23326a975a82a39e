"""F.pad: the values of np.pad, cuts by negative numbers, and what is refused."""

from __future__ import annotations

import numpy as np
import pytest

from _arrays import VIEWS, assert_same_bytes
from forwardpass import nn
from forwardpass.nn import functional as F
from forwardpass.reference.arrays import make

NUMPY = {"constant": "constant", "reflect": "reflect", "replicate": "edge", "circular": "wrap"}


@pytest.mark.parametrize("mode", NUMPY)
@pytest.mark.parametrize("pads", [(1, 2), (0, 3), (4, 0), (2, 1, 3, 4), (0, 0, 1, 0)])
def test_is_numpys(mode, pads):
    x = make("pad/x", (2, 3, 5, 6), "bits")
    if mode != "constant" and len(pads) == 2:
        x = x[0]
    width = [(0, 0)] * (x.ndim - len(pads) // 2)
    width += [(pads[i], pads[i + 1]) for i in range(len(pads) - 2, -1, -2)]
    assert_same_bytes(F.pad(x, pads, mode), np.pad(x, width, mode=NUMPY[mode]))


@pytest.mark.parametrize("mode", NUMPY)
@pytest.mark.parametrize("view", VIEWS)
def test_views(mode, view):
    x = make("pad/v", (2, 3, 7))
    assert_same_bytes(F.pad(VIEWS[view](x), (2, 3), mode), F.pad(x, (2, 3), mode))


def test_value_and_any_number_of_dimensions():
    x = make("pad/n", (2, 3))
    assert_same_bytes(
        F.pad(x, (1, 0, 0, 2), value=7.5),
        np.pad(x, ((0, 2), (1, 0)), constant_values=np.float32(7.5)),
    )
    assert_same_bytes(F.pad(x, ()), x)
    assert F.pad(x, ()) is not x
    deep = make("pad/d", (1, 2, 1, 2, 1, 2))
    assert F.pad(deep, (1,) * 12).shape == (3, 4, 3, 4, 3, 4)


@pytest.mark.parametrize("mode", NUMPY)
def test_negative_numbers_cut(mode):
    x = make("pad/c", (2, 3, 9))
    assert_same_bytes(F.pad(x, (-2, -3), mode), np.ascontiguousarray(x[..., 2:-3]))
    want = F.pad(np.ascontiguousarray(x[..., 2:]), (0, 2), mode)
    assert_same_bytes(F.pad(x, (-2, 2), mode), want)


def test_out():
    x, out = make("pad/o", (2, 3)), np.empty((2, 5), np.float32)
    assert F.pad(x, (1, 1), out=out) is out
    assert_same_bytes(out, F.pad(x, (1, 1)))
    with pytest.raises(ValueError, match=r"out.*\(2, 5\)"):
        F.pad(x, (1, 1), out=np.empty((2, 4), np.float32))


@pytest.mark.parametrize(
    ("pads", "mode", "error"),
    [
        ((1,), "constant", ValueError),
        ((1,) * 8, "constant", ValueError),
        ((-4, -4), "constant", ValueError),
        ((1, 1), "mirror", NotImplementedError),
        ((7, 0), "reflect", ValueError),
        ((8, 0), "circular", ValueError),
        ((-7, 0), "replicate", ValueError),
        ((1,) * 6, "reflect", NotImplementedError),
        ((1.5, 0), "constant", TypeError),
        (3, "constant", TypeError),
    ],
)
def test_refused(pads, mode, error):
    with pytest.raises(error, match="pad"):
        F.pad(make("pad/r", (2, 3, 7)), pads, mode)


def test_refused_inputs():
    with pytest.raises(TypeError, match=r"float64.*astype"):
        F.pad(np.ones((2, 3)), (1, 1))
    with pytest.raises(TypeError, match="float32"):
        F.pad([[1.0]], (1, 1))
    with pytest.raises(ValueError, match="value"):
        F.pad(make("pad/r", (2, 3, 7)), (1, 1), "reflect", 1.0)
    with pytest.raises(ValueError, match="empty"):
        F.pad(np.empty((2, 0, 7), np.float32), (1, 1), "reflect")


@pytest.mark.parametrize("mode", ["reflect", "replicate", "circular"])
def test_layers_pad_and_then_convolve(isa, mode):
    x = make("mode/x", (2, 3, 8, 9))
    layer = nn.Conv2d(3, 5, (3, 2), padding=(2, 1), padding_mode=mode)
    padded = F.pad(x, (1, 1, 2, 2), mode)
    want = F.conv2d(padded, layer.weight, layer.bias)
    assert_same_bytes(layer(x), want)
    assert_same_bytes(nn.Sequential(layer, nn.SiLU())(x), F.silu(want))
    assert f"padding_mode={mode}" in repr(layer)
    one = nn.Conv1d(3, 5, 4, padding="same", padding_mode=mode)
    want = F.conv1d(F.pad(x[..., 0, :], (1, 2), mode), one.weight, one.bias)
    assert_same_bytes(one(x[..., 0, :]), want)
