"""Every tolerance can fail: the bugs that such code has are outside the bound.

A mutant is what the operator would give with one plausible bug, computed in float64 and rounded to
float32 (or in float32 where the bug is one of rounding). The right result passes, the mutant does
not. Here: linear, conv1d, norms, softmax; element-wise functions in test_mutation_elements.py.
"""

from __future__ import annotations

import numpy as np
import pytest

from _mutants import F, assert_rejected, bfloat16, tensor_float, value_of
from forwardpass.reference import OPS, problem
from forwardpass.reference.arrays import make
from forwardpass.reference.elementwise import EXACT

# --- linear ---

X, W = make("mutant/x", (7, 64)), make("mutant/w", (20, 64))
B, R = make("mutant/b", (20,)), make("mutant/r", (7, 20))


def swap(a, i, j, axis):
    order = np.arange(a.shape[axis])
    order[[i, j]] = order[[j, i]]
    return np.take(a, order, axis)


LINEAR_MUTANTS = {
    "last k dropped": lambda: value_of("linear", input=X[:, :-1], weight=W[:, :-1], bias=B),
    "first k twice": lambda: value_of(
        "linear", input=X[:, [0, *range(64)]], weight=W[:, [0, *range(64)]], bias=B
    ),
    "two k of w swapped": lambda: value_of("linear", input=X, weight=swap(W, 3, 4, 1), bias=B),
    "two outputs swapped": lambda: value_of("linear", input=X, weight=swap(W, 15, 16, 0), bias=B),
    "bias forgotten": lambda: value_of("linear", input=X, weight=W),
    "bias twice": lambda: value_of("linear", input=X, weight=W, bias=2 * B),
    "bias of the next column": lambda: value_of("linear", input=X, weight=W, bias=np.roll(B, 1)),
    "inputs in bfloat16": lambda: value_of("linear", input=bfloat16(X), weight=bfloat16(W), bias=B),
    "inputs in tf32": lambda: value_of(
        "linear", input=tensor_float(X), weight=tensor_float(W), bias=B
    ),
    "result in float16": lambda: value_of("linear", input=X, weight=W, bias=B).astype(np.float16),
    "sum in bfloat16": lambda: bfloat16(value_of("linear", input=X, weight=W)) + B,
    "x and w swapped roles": lambda: value_of("linear", input=X, weight=W[:, ::-1], bias=B),
}


@pytest.mark.parametrize("mutant", LINEAR_MUTANTS)
def test_linear(mutant):
    assert_rejected("linear", LINEAR_MUTANTS[mutant](), input=X, weight=W, bias=B)


@pytest.mark.parametrize("n", [3, 16, 32, 64])
@pytest.mark.parametrize("k", [64, 257, 1024])
def test_linear_drops_one_term(n, k):
    """One term in k, for every rule of chains and for long k (the bound grows with k)."""
    x, w = make("drop/x", (40, k)), make("drop/w", (n, k))
    kept = np.delete(np.arange(k), k // 2)
    mutant = value_of("linear", input=x[:, kept], weight=w[:, kept])
    assert_rejected("linear", mutant, input=x, weight=w)


def test_linear_of_one_term_is_within_half_an_ulp():
    x, w = make("one/x", (50, 1)), make("one/w", (40, 1))
    right = (x.astype(float) @ w.T.astype(float)).astype(F)
    assert_rejected("linear", np.nextafter(right, F(np.inf)), input=x, weight=w)


def test_linear_epilogue():
    base = {"input": X, "weight": W, "bias": B}
    y = value_of("linear", **base)
    gelu = EXACT["gelu"]
    mutants = {
        "gelu": [y, EXACT["gelu_tanh"](y), y * EXACT["sigmoid"](1.702 * y), np.maximum(y, 0)],
        "gelu_tanh": [gelu(y), y * EXACT["sigmoid"](1.702 * y)],
        "silu": [EXACT["sigmoid"](y), y * EXACT["sigmoid"](y + 1e-3), gelu(y)],
        "relu": [y, np.abs(y), np.minimum(y, 0), np.where(y > 0.1, y, 0)],
        "tanh": [np.clip(y, -1, 1), np.arctan(y), y / (1 + np.abs(y))],
        "sigmoid": [np.tanh(y), np.clip(y / 6 + 0.5, 0, 1), 1 - EXACT["sigmoid"](y)],
        "leaky_relu": [np.where(y > 0, y, 0.1 * y), np.maximum(y, 0), y],
    }
    for activation, wrong in mutants.items():
        right = value_of("linear", **base, activation=activation)
        more = {"activation": activation, "residual": R}
        for mutant in (*wrong, EXACT[activation](y - B) + B if activation in EXACT else y):
            assert_rejected("linear", mutant, **base, activation=activation)
            assert_rejected("linear", mutant + R, **base, **more)
        assert_rejected("linear", right, **base, **more)  # residual forgotten
        if activation in EXACT:  # residual before the activation
            assert_rejected("linear", EXACT[activation](y + R), **base, **more)


# --- conv1d ---

CX, CW, CB = make("mutant/cx", (2, 6, 50)), make("mutant/cw", (9, 6, 4)), make("mutant/cb", (9,))


def conv(x=CX, w=CW, b=CB, **more):
    return value_of("conv1d", input=x, weight=w, bias=b, **more)


def shifted(y, by):
    return np.roll(y, by, axis=-1)


CONV_MUTANTS = {
    "two taps swapped": ({}, lambda: conv(w=swap(CW, 1, 2, 2))),
    "kernel flipped": ({}, lambda: conv(w=CW[..., ::-1])),
    "last tap dropped": ({}, lambda: conv(w=CW * F([1, 1, 1, 0]))),
    "last channel dropped": ({}, lambda: conv(w=CW * (np.arange(6) < 5)[:, None])),
    "two channels swapped": ({}, lambda: conv(w=swap(CW, 0, 5, 1))),
    "bias forgotten": ({}, lambda: conv(b=None)),
    "off by one": ({}, lambda: shifted(conv(), 1)),
    "padding off by one": ({"padding": 2}, lambda: shifted(conv(padding=2), 1)),
    "edge replicated": (
        {"padding": 2},
        lambda: conv(np.pad(CX, ((0, 0), (0, 0), (2, 2)), mode="edge")),
    ),
    "edge reflected": (
        {"padding": 2},
        lambda: conv(np.pad(CX, ((0, 0), (0, 0), (2, 2)), mode="reflect")),
    ),
    "same: odd zero on the left": (
        {"padding": "same"},
        lambda: conv(np.pad(CX, ((0, 0), (0, 0), (2, 1)))),
    ),
    "dilation ignored": (
        {"dilation": 2},
        lambda: conv()[..., : 50 - 6],
    ),
    "stride starts late": (
        {"stride": 2},
        lambda: np.pad(conv()[..., 1::2], ((0, 0), (0, 0), (0, 1)), mode="edge"),
    ),
    "last output from the padding": (
        {"padding": 1},
        lambda: np.concatenate(
            [conv(padding=1)[..., :-1], np.broadcast_to(CB[:, None], (2, 9, 1))], -1
        ),
    ),
    "bfloat16": ({}, lambda: conv(bfloat16(CX), bfloat16(CW))),
    "winograd in float16": ({}, lambda: conv(CX.astype(np.float16).astype(F))),
}


@pytest.mark.parametrize("mutant", CONV_MUTANTS)
def test_conv1d(mutant):
    more, make_mutant = CONV_MUTANTS[mutant]
    assert_rejected("conv1d", make_mutant(), input=CX, weight=CW, bias=CB, **more)


def test_conv1d_groups():
    w = make("mutant/gw", (9, 2, 4))
    swapped = CX[:, [2, 3, 0, 1, 4, 5]]
    mutants = [
        conv(swapped, w, groups=3),
        conv(CX[:, [0, 2, 4, 1, 3, 5]], w, groups=3),  # interleaved instead of side by side
        conv(CX, np.roll(w, 1, axis=0), groups=3),
    ]
    for mutant in mutants:
        assert_rejected("conv1d", mutant, input=CX, weight=w, bias=CB, groups=3)


# --- norms and softmax ---

NX, NW, NB = make("mutant/nx", (5, 100)), make("mutant/nw", (100,)), make("mutant/nb", (100,))


def rms(x, eps=1e-5, n=None, w=NW):
    d = np.asarray(x, np.float64)
    return d / np.sqrt((d * d).sum(-1, keepdims=True) / (n or d.shape[-1]) + eps) * w


RMS_MUTANTS = {
    "eps 1e-6": lambda: rms(NX, 1e-6),
    "eps forgotten": lambda: rms(NX, 0.0),
    "eps outside the root": lambda: (
        NX / (np.sqrt((NX.astype(float) ** 2).mean(-1, keepdims=True)) + 1e-5) * NW
    ),
    "n - 1": lambda: rms(NX, n=99),
    "n rounded up to 112": lambda: rms(NX, n=112),
    "last element not in the sum": lambda: (
        NX * (rms(NX[:, :-1], n=100, w=1)[:, :1] / NX[:, :1]) * NW
    ),
    "weight forgotten": lambda: rms(NX, w=1),
    "weight plus one": lambda: rms(NX, w=NW + 1),
    "mean subtracted": lambda: rms(NX - NX.mean(-1, keepdims=True)),
    "rsqrt of 12 bits": lambda: rms(NX) * (1 + 2.0**-12),
    "rsqrt of 20 bits": lambda: rms(NX) * (1 + 2.0**-20),
    "sum in bfloat16": lambda: rms(bfloat16(NX)),
}


@pytest.mark.parametrize("mutant", RMS_MUTANTS)
def test_rms_norm(mutant):
    arguments = {"normalized_shape": (100,), "weight": NW, "eps": 1e-5}
    assert_rejected("rms_norm", RMS_MUTANTS[mutant](), input=NX, **arguments)


def test_add_rms_norm():
    arguments = {"input": NX, "residual": NX[::-1], "normalized_shape": (100,), "eps": 1e-5}
    (value, tolerance), (total, exact) = OPS["add_rms_norm"].expected(arguments)
    assert problem(rms(NX, w=1).astype(F), value, tolerance)  # residual forgotten
    wrong = total.astype(F)
    wrong[0, 0] = np.nextafter(wrong[0, 0], F(9))
    assert problem(wrong, total, exact)  # the sum has no tolerance


def layer(x, eps=1e-5, n=None, w=NW, b=NB):
    d = np.asarray(x, np.float64)
    d = d - d.mean(-1, keepdims=True)
    return d / np.sqrt((d * d).sum(-1, keepdims=True) / (n or d.shape[-1]) + eps) * w + b


LAYER_MUTANTS = {
    "eps 1e-6": lambda: layer(NX, 1e-6),
    "n - 1 (torch.std's default)": lambda: layer(NX, n=99),
    "weight forgotten": lambda: layer(NX, w=1),
    "bias forgotten": lambda: layer(NX, b=0),
    "mean not subtracted": lambda: rms(NX) + NB,
    "mean of all rows": lambda: layer(NX - NX.mean()) * 0 + rms(NX - NX.mean(dtype=float)) + NB,
    "rsqrt of 12 bits": lambda: (layer(NX) - NB) * (1 + 2.0**-12) + NB,
    "inputs in bfloat16": lambda: layer(bfloat16(NX)),
}


@pytest.mark.parametrize("mutant", LAYER_MUTANTS)
def test_layer_norm(mutant):
    arguments = {"normalized_shape": (100,), "weight": NW, "bias": NB, "eps": 1e-5}
    assert_rejected("layer_norm", LAYER_MUTANTS[mutant](), input=NX, **arguments)


@pytest.mark.parametrize("mean", [10, 100, 1000])
def test_layer_norm_by_the_cancelling_formula(mean):
    """E[x^2] - mean^2 in float32, on data away from zero."""
    x = (NX + F(mean)).astype(F)
    m = x.mean(-1, keepdims=True, dtype=F)
    variance = (x * x).mean(-1, keepdims=True, dtype=F) - m * m
    mutant = (x - m) / np.sqrt(np.maximum(variance, 0) + F(1e-5))
    assert_rejected("layer_norm", mutant, input=x, normalized_shape=(100,))


def soft(x, e=None, s=None):
    e = np.exp(x - x.max(-1, keepdims=True)) if e is None else e
    return e / (e.sum(-1, keepdims=True) if s is None else s)


S64 = (make("mutant/s", (5, 100), "span")).astype(np.float64)
E64 = np.exp(S64 - S64.max(-1, keepdims=True))
SOFTMAX_MUTANTS = {
    "largest element not in the sum": lambda: soft(S64, s=E64.sum(-1, keepdims=True) - 1),
    "last vector not in the sum": lambda: soft(S64, s=E64[:, :96].sum(-1, keepdims=True)),
    "2^x": lambda: soft(S64, e=2.0 ** (S64 - S64.max(-1, keepdims=True))),
    "exp to 1e-5": lambda: soft(S64, e=E64 * (1 + 1e-5 * np.cos(S64))),
    "exp of bfloat16": lambda: soft(bfloat16(S64.astype(F)).astype(float)),
    "temperature": lambda: soft(S64 * (1 + 2.0**-12)),
    "other dimension": lambda: soft(S64.T).T,
    "not normalised": lambda: E64,
}


def test_softmax_with_zeros_behind_the_row():
    """A vector filled up with 0 instead of -inf: exp(0 - max) joins the sum."""
    x = make("mutant/few", (5, 100))
    e = np.exp(x.astype(float))
    mutant = e / (e.sum(-1, keepdims=True) + 1)
    assert_rejected("softmax", mutant, input=x, dim=-1)


@pytest.mark.parametrize("mutant", SOFTMAX_MUTANTS)
def test_softmax(mutant):
    assert_rejected("softmax", SOFTMAX_MUTANTS[mutant](), input=S64.astype(F), dim=-1)
