"""The digits network of the demo by hand in plain NumPy: what forwardpass is timed against.

A fair opponent, not a straw man. Everything is float32 and vectorised over the whole batch; the
weights are laid out once, beforehand; activations keep the channels last, so that a convolution is
one strided view, one copy and one matrix product; element-wise steps work in place. On the
reference machine this is the fastest of five such versions, both for one picture and for all.
"""

from __future__ import annotations

from collections.abc import Mapping
from typing import TypeAlias

import numpy as np
from numpy.lib.stride_tricks import as_strided
from numpy.typing import NDArray

F32: TypeAlias = NDArray[np.float32]

# erf(z) = 1 - t (a1 + t (a2 + ... + t a5)) exp(-z^2) + e, t = 1 / (1 + p z), z >= 0, |e| <= 1.5e-7:
# Abramowitz and Stegun, Handbook of Mathematical Functions, 7.1.26. Stored from a5 down to a1.
_ERF_P = 0.3275911
_ERF_A = (1.061405429, -1.453152027, 1.421413741, -0.284496736, 0.254829592)


def gelu(x: F32) -> F32:
    """x Phi(x) = max(x, 0) - |x| (1 - erf(|x| / sqrt 2)) / 2, within 2e-7 (1 + |x|) absolute."""
    size = np.abs(x)
    t = size * np.float32(_ERF_P / np.sqrt(2))
    t += 1
    np.reciprocal(t, out=t)
    tail = t * np.float32(_ERF_A[0] / 2)
    for a in _ERF_A[1:]:
        tail += np.float32(a / 2)
        tail *= t
    np.multiply(x, x, out=t)
    t *= np.float32(-0.5)
    np.exp(t, out=t)
    tail *= t
    tail *= size
    result: F32 = np.maximum(x, 0, out=size)
    result -= tail
    return result


def conv1d(x: F32, weight: F32, bias: F32) -> F32:
    """Three taps, one zero on either side: (B, L, C) by (3 C, O) gives (B, L, O)."""
    batch, length, channels = x.shape
    padded = np.zeros((batch, length + 2, channels), np.float32)
    padded[:, 1:-1] = x
    # Three neighbouring columns lie behind each other in memory: a window is one run of 3 C values.
    windows = as_strided(padded, (batch, length, 3 * channels), padded.strides)
    result: F32 = windows.reshape(batch * length, 3 * channels) @ weight
    result += bias
    return result.reshape(batch, length, -1)


def rms_norm(x: F32, weight: F32) -> F32:
    squares = np.einsum("ij,ij->i", x, x) / np.float32(x.shape[1])
    squares += np.finfo(np.float32).eps
    result: F32 = x / np.sqrt(squares)[:, None]
    result *= weight
    return result


def linear(x: F32, weight: F32, bias: F32) -> F32:
    result: F32 = x @ weight
    result += bias
    return result


class NumpyDigits:
    """The same nine layers, from the same state_dict, without forwardpass."""

    def __init__(self, state: Mapping[str, F32]) -> None:
        # torch's (O, C, tap) as (tap, C, O) rows; (O, K) as (K, O). Flatten of (O, L) becomes one
        # of (L, O), so the two weights behind it have their features in that order too.
        taps = [state[f"{i}.weight"].transpose(2, 1, 0) for i in (0, 2)]
        channels, hidden = taps[1].shape[2], state["6.weight"].shape[0]
        norm = state["5.weight"].reshape(channels, -1).T
        first = state["6.weight"].reshape(hidden, channels, -1).transpose(2, 1, 0)
        self.conv = [np.ascontiguousarray(w.reshape(-1, w.shape[2])) for w in taps]
        self.norm = np.ascontiguousarray(norm.reshape(-1))
        self.first = np.ascontiguousarray(first.reshape(-1, hidden))
        self.last = np.ascontiguousarray(state["8.weight"].T)
        self.bias = {i: state[f"{i}.bias"] for i in (0, 2, 6, 8)}

    def __call__(self, x: F32) -> F32:
        x = x.transpose(0, 2, 1)
        x = gelu(conv1d(x, self.conv[0], self.bias[0]))
        x = gelu(conv1d(x, self.conv[1], self.bias[2]))
        x = rms_norm(x.reshape(len(x), -1), self.norm)
        x = gelu(linear(x, self.first, self.bias[6]))
        return linear(x, self.last, self.bias[8])
