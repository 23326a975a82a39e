"""Silero VAD: the probability that a chunk of 512 samples at 16 kHz holds speech, with its state.

    x    = 64 samples before the chunk, the chunk, 64 of its samples mirrored at the end
    spectrum, four frames: real and imaginary part by a convolution with windowed sines and cosines
    magnitude = sqrt(re^2 + im^2), 129 bins
    four convolutions of width 3 with ReLU, the second and third with stride 2: one frame of 128

A chunk has four frames, too few for a convolution with positions in its lanes; so Conv2d's, with
channels there, takes the frames as a row, and where one frame is left a product takes its window.
An output is the same chain of fma over the same products as in Conv1d, and has its bytes.

Source: the graph in silero_vad_16k_op15.onnx of silero-vad 6.2.3.
"""

from __future__ import annotations

import os
from collections.abc import Mapping
from typing import Any, NamedTuple

import numpy as np

from forwardpass import _core
from forwardpass.io.onnx import read_tensors
from forwardpass.nn import Linear, LSTMCell, ModuleList, Parameter, init
from forwardpass.nn import functional as F
from forwardpass.nn._children import plain
from forwardpass.nn._layer import PackedLayer
from forwardpass.nn.functional._shape import float32

from ._fused import Planned, packed
from ._speech import CHUNK, RATE, Segment, speech_segments

__all__ = ["FrameConv", "Segment", "SileroVAD", "Spectrum", "VADState", "load", "speech_segments"]

_relu = _core.relu
_OP = "SileroVAD"
_CONTEXT = 64  # samples before a chunk, and mirrored behind it
_BINS = 129  # of a spectrum of 256 samples
_FRAME, _HOP = 256, 128  # samples
_WIDTH = 128
# (channels in, channels out, stride)
_ENCODER = ((_BINS, 128, 1), (128, 64, 2), (64, 64, 2), (64, _WIDTH, 1))


class VADState(NamedTuple):
    """What comes from one chunk to the next; never changed, each call makes a new one.

    context (B, 64): the last samples; h and c (B, 128): the LSTM's.
    """

    context: Any
    h: Any
    c: Any


class _FramePack:
    """A convolution's weight (O, I, 3), packed for several frames and, where wanted, for one."""

    def __init__(self, weight: Any, bias: Any, stride: int) -> None:
        self.shape, self.stride = weight.shape, stride
        self.conv = _core.PackedConv(
            "conv2d", weight[:, :, None], bias, (1, stride), (0, 1), (1, 1), 1
        )
        self.product: Any = None

    def __call__(self, x: Any) -> Any:
        batch, channels, frames = x.shape
        if frames > self.stride:
            return self.conv(x[:, :, None], "relu", 0.01)[:, :, 0]
        # One output: a product of its window, which begins with a frame of zeros.
        product = self.product
        if product is None:
            weight = self.conv.weight().reshape(self.shape[0], -1)
            product = self.product = _core.PackedLinear(weight, self.conv.bias())
        windows = np.zeros((batch, channels, 3), np.float32)
        windows[:, :, 1 : 1 + min(frames, 2)] = x[:, :, :2]
        return product(windows.reshape(batch, -1), "relu")[:, :, None]

    def weight(self) -> Any:
        return self.conv.weight().reshape(self.shape)


class FrameConv(PackedLayer, calls_pack=True):
    """A convolution along frames of width 3 with ReLU: (B, in, T) to (B, out, ceil(T / stride)).

    weight (out, in, 3) as in Conv1d with padding 1, whose bytes the result has.
    """

    weight: Any
    bias: Any

    def __init__(
        self, inputs: int, outputs: int, kernel: int = 3, stride: int = 1, bias: bool = True
    ) -> None:
        super().__init__()
        self.in_channels, self.out_channels = inputs, outputs
        self.kernel_size, self.stride = kernel, stride
        bound = init.fan_in_bound(inputs * kernel)
        weight = Parameter.drawn(init.uniform, (outputs, inputs, kernel), bound)
        self.register_parameter("weight", weight)
        first = Parameter.drawn(init.uniform, (outputs,), bound) if bias else None
        self.register_parameter("bias", first)

    def _build_pack(self) -> Any:
        return _FramePack(self.weight, self.bias, self.stride)

    def forward(self, input: Any) -> Any:
        return packed(self)(input)

    def extra_repr(self) -> str:
        return f"{self.in_channels}, {self.out_channels}, stride={self.stride}"


class _SpectrumPack:
    """Windowed sines and cosines (258, 1, 256), packed as a convolution."""

    def __init__(self, weight: Any) -> None:
        self.shape = weight.shape
        self.conv = _core.PackedConv(
            "conv2d", weight[:, :, None], None, (1, _HOP), (0, 0), (1, 1), 1
        )

    def __call__(self, x: Any) -> Any:
        y = self.conv(x[:, None, None])
        with np.errstate(all="ignore"):  # each operation is rounded once
            y *= y
            z = y[:, :_BINS] + y[:, _BINS:]
            return np.sqrt(z, z)[:, :, 0]

    def weight(self) -> Any:
        return self.conv.weight().reshape(self.shape)


class Spectrum(FrameConv, calls_pack=True):
    """Magnitudes of 129 bins of a short-time Fourier transform: (B, n) to (B, 129, T).

    weight (258, 1, 256): the real parts of all bins, then the imaginary ones, windowed.
    """

    def __init__(self) -> None:
        super().__init__(1, 2 * _BINS, _FRAME, _HOP, bias=False)

    def _build_pack(self) -> Any:
        return _SpectrumPack(self.weight)

    def forward(self, input: Any) -> Any:
        return packed(self)(input)


class SileroVAD(Planned):
    """`probability, state = vad(chunk, state)`: chunk (512,) or (B, 512), float32 in [-1, 1].

    The first chunk takes state None, each other the state of the one before; probability is (B,),
    or () for a single chunk. `probabilities(wav)` runs a whole signal, with the same bytes.
    """

    sampling_rate = RATE
    chunk = CHUNK  # samples
    context = _CONTEXT

    def __init__(self) -> None:
        super().__init__()
        self.stft = Spectrum()
        self.encoder = ModuleList([FrameConv(i, o, stride=s) for i, o, s in _ENCODER])
        self.rnn = LSTMCell(_WIDTH, _WIDTH)
        self.head = Linear(_WIDTH, 1)

    def initial_state(self, batch_size: int = 1) -> VADState:
        """The state before the first chunk: silence."""
        zeros = np.zeros((batch_size, _WIDTH), np.float32)
        return VADState(np.zeros((batch_size, self.context), np.float32), zeros, zeros)

    def forward(self, chunk: Any, state: VADState | None = None) -> tuple[Any, VADState]:
        x = chunk if type(chunk) is np.ndarray else float32(chunk, _OP, "chunk")
        if x.dtype != np.float32:
            x = float32(x, _OP, "chunk")
        single = x.ndim == 1
        if x.shape[-1:] != (self.chunk,) or x.ndim > 2:
            raise ValueError(
                f"{_OP}: chunk must have shape ({self.chunk},) or (B, {self.chunk}), got {x.shape}"
            )
        if single:
            x = x[None]
        if state is None:
            state = self.initial_state(len(x))
        elif len(state[0]) != len(x):
            raise ValueError(f"{_OP}: a state of {len(state[0])} streams with {len(x)} chunks")
        context, h, c = state
        layers, step, head = self._current()
        # ours, so that a state does not hold on to the caller's chunk, nor sees it change
        samples = np.concatenate((context, x, x[:, -2 : -_CONTEXT - 2 : -1]), 1)
        y = samples
        for layer in layers:
            y = layer(y)
        h, c = step(y[:, :, 0], (h, c))
        probability = self._probability(head, h)
        after = VADState(samples[:, CHUNK : CHUNK + _CONTEXT], h, c)
        return (probability[0] if single else probability), after

    def probabilities(self, wav: Any) -> Any:
        """The probability of each chunk of a signal (n,): (ceil(n / 512),), the last one padded.

        The bytes are those of chunk after chunk.
        """
        x = float32(wav, _OP, "wav")
        if x.ndim != 1:
            raise ValueError(f"{_OP}: wav must have shape (n,), got {x.shape}")
        count = -(-len(x) // self.chunk)
        if not count:
            return np.empty(0, np.float32)
        whole = np.zeros(self.context + count * self.chunk, np.float32)
        whole[self.context : self.context + len(x)] = x
        chunks = whole[self.context :].reshape(count, self.chunk)
        contexts = np.zeros((count, self.context), np.float32)
        contexts[1:] = chunks[:-1, -self.context :]
        layers, step, head = self._current()
        y = np.concatenate((contexts, chunks, chunks[:, -2 : -_CONTEXT - 2 : -1]), 1)
        for layer in layers:
            y = layer(y)
        state = self.initial_state()
        h, c = state.h, state.c
        hidden = np.empty((count, _WIDTH), np.float32)
        for t in range(count):
            h, c = step(y[t : t + 1, :, 0], (h, c))
            hidden[t] = h[0]
        return self._probability(head, hidden)

    def _planned(self) -> Any:
        """What to call for the frame that the LSTM gets of a chunk, for its step, for the head."""
        modules: Any = self._modules
        layers = (modules["stft"], *modules["encoder"]._modules.values())
        rnn, head = modules["rnn"], modules["head"]
        return (
            tuple(packed(x) if plain(x, (FrameConv, Spectrum)) else x for x in layers),
            packed(rnn).step if plain(rnn, (LSTMCell,)) else rnn,
            packed(head) if plain(head, (Linear,)) else None,
        )

    def _probability(self, head: Any, h: Any) -> Any:
        h = _relu(h, None)
        if head is not None:
            return head(h, "sigmoid")[:, 0]
        return F.sigmoid(self._modules["head"](h))[:, 0]  # type: ignore[misc]


def load(path: str | os.PathLike[str]) -> SileroVAD:
    """From an .onnx file of the silero-vad package that holds the 16 kHz model, packed.

    Made for silero_vad_16k_op15.onnx and silero_vad.onnx of silero-vad 6. ValueError for others.
    """
    name = os.fspath(path)
    model = SileroVAD()
    state = _renamed(read_tensors(name))
    if "head.weight" in state:  # (1, 128, 1), as of a convolution of width 1
        state["head.weight"] = state["head.weight"].reshape(1, -1)
    wanted = model.state_dict(keep_vars=True)
    if any(key not in state for key in wanted):
        raise ValueError(f"{name}: not a Silero VAD of 16 kHz: {len(state)} of its tensors found")
    model.load_state_dict({key: state[key] for key in wanted})
    model.probabilities(np.zeros(SileroVAD.chunk, np.float32))  # packs
    return model


def _renamed(tensors: Mapping[str, Any]) -> dict[str, Any]:
    """The tensors of the 16 kHz graph by our names."""
    found = {}
    for name, tensor in tensors.items():
        if "else_branch" in name or tensor.dtype != np.float32:
            continue  # the 8 kHz model in the file that holds both; a rounded one
        for mark, ours in (
            ("stft.forward_basis_buffer", "stft.weight"),
            ("encoder.", "encoder."),
            ("decoder.rnn.", "rnn."),
            ("decoder.decoder.2.", "head."),
        ):
            if mark in name:
                rest = name[name.index(mark) + len(mark) :]
                found[ours + rest.replace("reparam_conv.", "")] = tensor
                break
    return found
