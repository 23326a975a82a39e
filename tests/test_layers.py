"""Layers and nn.functional: arguments, defaults, bad values, and that both give the same bits."""

from __future__ import annotations

import warnings

import numpy as np
import pytest

from forwardpass import nn
from forwardpass.nn import functional as F

X = np.linspace(-3, 3, 60, dtype=np.float32).reshape(3, 4, 5)
W = np.linspace(-1, 1, 35, dtype=np.float32).reshape(7, 5)
B = np.linspace(-1, 1, 7, dtype=np.float32)
CW = np.linspace(-1, 1, 36, dtype=np.float32).reshape(6, 2, 3)
CB = B[:6]
G = np.linspace(0.5, 1.5, 5, dtype=np.float32)


def holding(layer, **values):
    for name, value in values.items():
        setattr(layer, name, value)
    return layer


SAME = {
    "linear": (holding(nn.Linear(5, 7), weight=W, bias=B), lambda **k: F.linear(X, W, B, **k)),
    "no bias": (
        holding(nn.Linear(5, 7, bias=False), weight=W),
        lambda **k: F.linear(X, W, **k),
    ),
    "conv1d": (
        holding(nn.Conv1d(4, 6, 3, 2, 1, 1, 2), weight=CW, bias=CB),
        lambda **k: F.conv1d(X, CW, CB, 2, 1, 1, 2, **k),
    ),
    "conv1d same": (
        holding(nn.Conv1d(4, 6, (3,), padding="same", dilation=2, groups=2), weight=CW, bias=CB),
        lambda **k: F.conv1d(X, CW, CB, padding="same", dilation=(2,), groups=2, **k),
    ),
    "rms_norm": (
        holding(nn.RMSNorm(5, eps=1e-3), weight=G),
        lambda **k: F.rms_norm(X, (5,), G, 1e-3, **k),
    ),
    "rms_norm plain": (
        nn.RMSNorm([4, 5], elementwise_affine=False),
        lambda **k: F.rms_norm(X, [4, 5], **k),
    ),
    "layer_norm": (
        holding(nn.LayerNorm(5), weight=G, bias=G),
        lambda **k: F.layer_norm(X, 5, G, G, **k),
    ),
    "layer_norm no bias": (
        holding(nn.LayerNorm(5, 1e-3, bias=False), weight=G),
        lambda **k: F.layer_norm(X, (5,), G, eps=1e-3, **k),
    ),
    "layer_norm plain": (
        nn.LayerNorm((4, 5), elementwise_affine=False),
        lambda **k: F.layer_norm(X, (4, 5), **k),
    ),
    "softmax": (nn.Softmax(-1), lambda **k: F.softmax(X, -1, **k)),
    "softmax None": (nn.Softmax(), lambda **k: F.softmax(X, 0, **k)),
    "relu": (nn.ReLU(inplace=True), lambda **k: F.relu(X, True, **k)),
    "leaky_relu": (nn.LeakyReLU(0.2), lambda **k: F.leaky_relu(X, 0.2, True, **k)),
    "gelu": (nn.GELU(), lambda **k: F.gelu(X, **k)),
    "gelu tanh": (nn.GELU("tanh"), lambda **k: F.gelu(X, approximate="tanh", **k)),
    "silu": (nn.SiLU(True), lambda **k: F.silu(X, inplace=True, **k)),
    "sigmoid": (nn.Sigmoid(), lambda **k: F.sigmoid(X, **k)),
    "tanh": (nn.Tanh(), lambda **k: F.tanh(X, **k)),
    "dropout": (nn.Dropout(0.3), lambda **k: F.dropout(X, 0.3, **k)),
}


@pytest.mark.parametrize("name", SAME)
def test_layer_and_function_give_the_same_bits(name):
    layer, function = SAME[name]
    before = X.tobytes()
    result = function()
    assert layer(X).tobytes() == result.tobytes()
    out = np.full((*result.shape, 2), np.nan, np.float32)[..., 0]
    assert function(out=out) is out
    assert out.tobytes() == result.tobytes()
    assert X.tobytes() == before
    with pytest.raises(ValueError, match="out"):
        function(out=out[:1])
    with pytest.raises(TypeError, match="float64"):
        function(out=np.zeros(result.shape))


def test_epilogue_arguments_are_passed_on():
    residual = np.full((3, 4, 7), 2, np.float32)
    expected = F.leaky_relu(F.linear(X, W, B), 0.3) + residual
    found = F.linear(X, W, B, activation="leaky_relu", negative_slope=0.3, residual=residual)
    assert found.tobytes() == expected.tobytes()
    residual = np.full((3, 6, 3), 2, np.float32)
    expected = F.gelu(F.conv1d(X, CW, CB, 1, "valid", 1, 2), "tanh") + residual
    found = F.conv1d(X, CW, CB, 1, "valid", 1, 2, activation="gelu_tanh", residual=residual)
    assert found.tobytes() == expected.tobytes()
    first, second = np.empty_like(X), np.empty_like(X)
    results = F.add_rms_norm(X, X, 5, G, 1e-3, out=first, out_sum=second)
    assert results[0] is first
    assert results[1] is second
    assert second.tobytes() == (X + X).tobytes()
    assert first.tobytes() == F.rms_norm(X + X, 5, G, 1e-3).tobytes()
    assert F.add_layer_norm(X, X, 5, G, G, 1e-3, out=first, out_sum=second)[0] is first
    assert second.tobytes() == (X + X).tobytes()
    assert first.tobytes() == F.layer_norm(X + X, 5, G, G, 1e-3).tobytes()


def test_embedding():
    layer = nn.Embedding.from_pretrained(W, padding_idx=-1)
    assert (layer.num_embeddings, layer.embedding_dim, layer.padding_idx) == (7, 5, 6)
    for dtype in (np.int8, np.uint64, np.int32):
        indices = np.array([[0, 6], [3, 3]], dtype)
        assert layer(indices).tobytes() == W[indices].tobytes()
        assert F.embedding(indices, W, 2, norm_type=1.0, sparse=True).tobytes() == (
            W[indices].tobytes()
        )
    layer.weight = W * np.float32(2)
    assert layer(np.array(1)).tobytes() == (W[1] * np.float32(2)).tobytes()
    out = np.empty((2, 5), np.float32)
    assert F.embedding(np.array([1, 2]), W, out=out) is out
    for index in (7, -1, -(1 << 63)):
        with pytest.raises(IndexError):
            layer(np.array([index]))
    with pytest.raises(TypeError):
        layer(np.array([1.0], np.float32))
    with pytest.raises(ValueError, match="must be within num_embeddings"):
        F.embedding(np.array([1]), W, padding_idx=7)
    scaled = F.embedding(np.array([1, 2]), W, max_norm=0.5, norm_type=1.0)
    assert np.abs(scaled).sum(axis=1) == pytest.approx(0.5, rel=1e-5)
    layer = nn.Embedding.from_pretrained(W, max_norm=0.5, norm_type=1.0)
    assert layer(np.array([1, 2])).tobytes() == scaled.tobytes()
    assert layer.weight.tobytes() == W.tobytes()  # torch scales the table's rows too


def test_softmax_picks_torchs_dimension_silently():
    with warnings.catch_warnings():
        warnings.simplefilter("error")
        for rank, dim in ((1, 0), (2, 1), (3, 0), (4, 1)):
            x = X.reshape((1,) * (rank - 2) + (12, 5)) if rank > 1 else X.ravel()
            assert F.softmax(x).tobytes() == F.softmax(x, dim).tobytes()
            assert nn.Softmax()(x).tobytes() == F.softmax(x, dim).tobytes()
        assert F.softmax(np.float32(3)) == 1
    assert F.softmax(X, 1, 5, np.float32).shape == X.shape
    with pytest.raises(NotImplementedError, match="dtype"):
        F.softmax(X, 1, dtype=np.float64)


def test_flatten():
    x = np.arange(120).reshape(2, 3, 4, 5)
    assert nn.Flatten()(x).shape == (2, 60)
    assert nn.Flatten(0, 1)(x).shape == (6, 4, 5)
    assert nn.Flatten(-3, -2)(x).shape == (2, 12, 5)
    assert nn.Flatten(0)(np.float32(3)).shape == (1,)
    assert nn.Flatten()(x[:, :0]).shape == (2, 0)
    assert np.shares_memory(nn.Flatten()(x), x)
    assert np.array_equal(nn.Flatten()(x.T), x.T.reshape(5, 24))
    with pytest.raises(IndexError, match=r"in range of \[-1, 0\], but got 1"):
        nn.Flatten()(X.ravel())
    with pytest.raises(ValueError, match="start_dim cannot come after end_dim"):
        nn.Flatten(2, 1)(x)
    with pytest.raises(TypeError, match="must be an array, got list"):
        nn.Flatten()([[1.0]])
    with pytest.raises(TypeError, match="start_dim must be an integer"):
        nn.Flatten(1.0)


def test_identity_and_dropout_return_their_input():
    marker = object()
    assert nn.Identity(1, two=2)(marker) is marker
    assert nn.Dropout(1)(marker) is marker
    assert F.dropout(X) is X
    with pytest.raises(NotImplementedError, match="training"):
        F.dropout(X, training=True)


class Device:
    def __str__(self):
        return "cpu"


def test_arguments_that_change_nothing():
    for layer in (
        nn.Linear(2, 3, device="cpu", dtype=np.float32),
        nn.Conv1d(2, 3, 1, device=Device(), dtype="float32"),
        nn.RMSNorm(2, device=None, dtype=np.dtype(np.float32)),
        nn.LayerNorm(2, device="cpu"),
        nn.Embedding(2, 3, None, None, 1.0, True, True, device="cpu"),
    ):
        assert all(p.dtype == np.float32 for p in layer.parameters())


BAD = [
    (lambda: nn.Linear(-1, 2), ValueError, "Linear: in_features must be at least 0, got -1"),
    (lambda: nn.Linear(2, 2.0), TypeError, "Linear: out_features must be an integer, got 2.0"),
    (lambda: nn.Linear(-1, 2, device="cuda"), ValueError, "in_features"),
    (lambda: nn.Linear(1, 2, device="cuda"), NotImplementedError, "device='cuda'"),
    (lambda: nn.Linear(1, 2, dtype=np.float64), NotImplementedError, "dtype"),
    (lambda: nn.Conv1d(4, 4, 3, groups=0), ValueError, "groups must be a positive integer"),
    (lambda: nn.Conv1d(4, 4, 3, groups=3), ValueError, "in_channels must be divisible by groups"),
    (lambda: nn.Conv1d(4, 6, 3, groups=4), ValueError, "out_channels must be divisible"),
    (lambda: nn.Conv1d(4, 4, 0), ValueError, "kernel_size must be at least 1"),
    (lambda: nn.Conv1d(4, 4, (3, 3)), ValueError, "kernel_size must be an integer or a tuple"),
    (lambda: nn.Conv1d(4, 4, 3.0), TypeError, "kernel_size must be an integer"),
    (lambda: nn.Conv1d(4, 4, 3, stride=0), ValueError, "stride must be at least 1"),
    (lambda: nn.Conv1d(4, 4, 3, dilation=-1), ValueError, "dilation must be at least 1"),
    (lambda: nn.Conv1d(4, 4, 3, padding=-1), ValueError, "padding must be at least 0"),
    (lambda: nn.Conv1d(4, 4, 3, padding="full"), ValueError, "Invalid padding string 'full'"),
    (lambda: nn.Conv1d(4, 4, 3, 2, padding="same"), ValueError, "strided convolutions"),
    (lambda: nn.Conv1d(4, 4, 3, padding_mode="odd"), ValueError, "padding_mode must be one of"),
    (lambda: nn.ConvTranspose1d(4, 4, 3, padding_mode="reflect"), ValueError, 'Only "zeros"'),
    (lambda: nn.Conv2d(4, 4, (3, 3, 3)), ValueError, "kernel_size must be an integer or a tuple"),
    (lambda: nn.Conv2d(4, 4, 3, (1, 2), padding="same"), ValueError, "strided convolutions"),
    (lambda: nn.ConvTranspose2d(4, 4, 3, padding="same"), TypeError, "padding must be an integer"),
    (lambda: nn.ConvTranspose2d(4, 4, 3, groups=3), ValueError, "divisible by groups"),
    (lambda: nn.Conv1d(4, 4, 0, padding_mode="reflect"), ValueError, "kernel_size"),
    (lambda: nn.Embedding(5, 2, padding_idx=5), ValueError, "must be within num_embeddings"),
    (lambda: nn.Embedding(5, 2, padding_idx=-6), ValueError, "padding_idx must be at least -5"),
    (lambda: nn.Embedding(5, 2, 9, max_norm=1.0), ValueError, "must be within"),
    (lambda: nn.Embedding(5, 2, _weight=W), ValueError, "Shape of weight does not match"),
    (lambda: nn.Embedding.from_pretrained(B), ValueError, "expected to be 2-dimensional"),
    (lambda: nn.Embedding.from_pretrained([[1.0]]), TypeError, "got list"),
    (lambda: nn.RMSNorm(()), ValueError, "at least 1-dimensional"),
    (lambda: nn.RMSNorm(-3), ValueError, "normalized_shape must be at least 0"),
    (lambda: nn.LayerNorm((2, 3.5)), TypeError, "normalized_shape must be an integer, got 3.5"),
    (lambda: nn.LayerNorm("3"), TypeError, "normalized_shape must be an integer"),
    (lambda: nn.Dropout(1.5), ValueError, "has to be between 0 and 1, but got 1.5"),
    (lambda: nn.Dropout(float("nan")), ValueError, "between 0 and 1"),
    (lambda: F.dropout(X, -0.1), ValueError, "between 0 and 1, but got -0.1"),
    (lambda: nn.GELU("erf"), ValueError, "approximate argument must be either none or tanh"),
    (lambda: nn.Linear(4, 2)(X), ValueError, "linear"),
    (lambda: nn.Linear(5, 2)(X.astype(np.float64)), TypeError, "float64"),
    (lambda: nn.Linear(5, 2)([[1.0] * 5]), TypeError, "list"),
    (lambda: nn.Softmax(3)(X), IndexError, "dim"),
]


@pytest.mark.parametrize(("call", "error", "match"), BAD)
def test_bad_values(call, error, match):
    with pytest.raises(error, match=match):
        call()
