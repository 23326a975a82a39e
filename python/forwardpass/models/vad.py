"""Silero VAD: the probability that a chunk of 512 samples at 16 kHz holds speech, with its state.

    x    = 64 samples before the chunk, the chunk, 64 of its samples mirrored at the end
    spectrum, four frames: real and imaginary part by a convolution with windowed sines and cosines
    magnitude = sqrt(re^2 + im^2), 129 bins
    four convolutions of width 3 with ReLU, the second and third with stride 2: one frame of 128

A chunk has four frames, too few for a convolution that runs along them; so frames stand one behind
the other, (B, T, channels), and a convolution is one product of every frame's window.

    h, c = LSTM(frame, (h, c));  probability = sigmoid(dense(relu(h)))

Source: the graph in silero_vad_16k_op15.onnx of silero-vad 6.2.3.
"""

from __future__ import annotations

import os
from collections.abc import Mapping, Sequence
from typing import Any, NamedTuple

import numpy as np

from forwardpass import _core
from forwardpass.io.onnx import read_tensors
from forwardpass.nn import Linear, LSTMCell, Module, ModuleList, Parameter, init
from forwardpass.nn import functional as F
from forwardpass.nn._layer import PackedLayer
from forwardpass.nn.functional._shape import float32

_OP = "SileroVAD"
_BINS = 129  # of a spectrum of 256 samples
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


class _WindowPack:
    """A convolution's weight (O, I, kernel), packed for windows (*, kernel * I)."""

    def __init__(self, weight: Any, bias: Any) -> None:
        self.shape = weight.shape
        rows = np.ascontiguousarray(weight.transpose(0, 2, 1)).reshape(len(weight), -1)
        self.product = _core.PackedLinear(rows, bias)

    def weight(self) -> Any:
        outputs, inputs, kernel = self.shape
        rows = self.product.weight().reshape(outputs, kernel, inputs)
        return np.ascontiguousarray(rows.transpose(0, 2, 1))


class FrameConv(PackedLayer):
    """A convolution along frames: (B, T, in_channels) to (B, (T - kernel) // stride + 1, out).

    weight (out, in, kernel) as in Conv1d. An output is one chain of fma over the window in the
    order of memory: frame by frame, channel by channel. `activation` runs in the product.
    """

    weight: Any
    bias: Any

    def __init__(
        self, inputs: int, outputs: int, kernel: int, stride: int, bias: bool = True
    ) -> None:
        super().__init__()
        self.in_channels, self.out_channels = inputs, outputs
        self.kernel_size, self.stride = kernel, stride
        bound = init.fan_in_bound(inputs * kernel)
        weight = Parameter.drawn(init.uniform, (outputs, inputs, kernel), bound)
        self.register_parameter("weight", weight)
        first = Parameter.drawn(init.uniform, (outputs,), bound) if bias else None
        self.register_parameter("bias", first)

    def _build_pack(self) -> _WindowPack:
        return _WindowPack(self.weight, self.bias)

    def forward(self, x: Any, activation: str | None = None) -> Any:
        pack = self._pack
        if pack is None:
            pack = self._make_pack()
        batch, frames, channels = x.shape
        count = (frames - self.kernel_size) // self.stride + 1
        step = 4 * channels
        # Overlapping windows of the frames, without a copy; x is ours and contiguous.
        windows = np.ndarray(
            (batch, count, self.kernel_size * channels),
            np.float32,
            x,
            0,
            (frames * step, self.stride * step, 4),
        )
        return pack.product(windows, activation)

    def extra_repr(self) -> str:
        return (
            f"{self.in_channels}, {self.out_channels}, kernel_size={self.kernel_size}, "
            f"stride={self.stride}"
        )


class SileroVAD(Module):
    """`probability, state = vad(chunk, state)`: chunk (512,) or (B, 512), float32 in [-1, 1].

    The first chunk takes state None, each other the state of the one before; probability is (B,),
    or () for a single chunk. `probabilities(wav)` runs a whole signal, with the same bytes.
    """

    sampling_rate = 16000
    chunk = 512  # samples
    context = 64

    def __init__(self) -> None:
        super().__init__()
        self.stft = FrameConv(1, 2 * _BINS, 256, 128, bias=False)
        self.encoder = ModuleList([FrameConv(i, o, 3, stride) for i, o, stride in _ENCODER])
        self.rnn = LSTMCell(_WIDTH, _WIDTH)
        self.head = Linear(_WIDTH, 1)

    def initial_state(self, batch_size: int = 1) -> VADState:
        """The state before the first chunk: silence."""
        zeros = np.zeros((batch_size, _WIDTH), np.float32)
        return VADState(np.zeros((batch_size, self.context), np.float32), zeros, zeros)

    def forward(self, chunk: Any, state: VADState | None = None) -> tuple[Any, VADState]:
        x = float32(chunk, _OP, "chunk")
        if x.shape[-1:] != (self.chunk,) or x.ndim > 2:
            raise ValueError(
                f"{_OP}: chunk must have shape ({self.chunk},) or (B, {self.chunk}), got {x.shape}"
            )
        single = x.ndim == 1
        x = x.reshape(-1, self.chunk)
        if state is None:
            state = self.initial_state(len(x))
        elif state.context.shape != (len(x), self.context):
            raise ValueError(f"{_OP}: a state of {len(state.context)} streams with {len(x)} chunks")
        h, c = self.rnn(self._frames(state.context, x), (state.h, state.c))
        probability = self._probability(h)
        # a copy, so that the state does not hold on to the caller's chunk, nor sees it change
        after = VADState(x[:, -self.context :].copy(), h, c)
        return (probability[0] if single else probability), after

    def probabilities(self, wav: Any) -> Any:
        """The probability of each chunk of a signal (n,): (ceil(n / 512),), the last one padded.

        The bytes are those of chunk after chunk.
        """
        x = float32(wav, _OP, "wav")
        if x.ndim != 1:
            raise ValueError(f"{_OP}: wav must have shape (n,), got {x.shape}")
        count = -(-len(x) // self.chunk)
        whole = np.zeros(self.context + count * self.chunk, np.float32)
        whole[self.context : self.context + len(x)] = x
        chunks = whole[self.context :].reshape(count, self.chunk)
        contexts = np.zeros((count, self.context), np.float32)
        contexts[1:] = chunks[:-1, -self.context :]
        frames = self._frames(contexts, chunks)
        state = self.initial_state()
        h, c = state.h, state.c
        hidden = np.empty((count, _WIDTH), np.float32)
        for t in range(count):
            h, c = self.rnn(frames[t : t + 1], (h, c))
            hidden[t] = h[0]
        return self._probability(hidden)

    def _frames(self, context: Any, x: Any) -> Any:
        """What the LSTM gets of each chunk: (B, 128)."""
        mirrored = x[:, -2 : -self.context - 2 : -1]
        samples = np.concatenate([context, x, mirrored], 1)
        spectrum = self.stft(samples[:, :, None])
        re, im = spectrum[:, :, :_BINS], spectrum[:, :, _BINS:]
        y = _framed(len(x), re.shape[1], _BINS)
        inner = y[:, 1:-1]
        with np.errstate(all="ignore"):  # each operation is rounded once
            np.multiply(im, im, inner)
            np.sqrt(np.add(re * re, inner, inner), inner)
        for layer in self.encoder:
            z = layer(y, "relu")
            y = _framed(*z.shape)
            y[:, 1:-1] = z
        return y[:, 1]

    def _probability(self, h: Any) -> Any:
        modules: Any = self._modules
        return F.sigmoid(modules["head"](F.relu(h)))[:, 0]


def _framed(batch: int, frames: int, channels: int) -> Any:
    """Room for frames with one of zeros before and behind them: a convolution's padding."""
    y = np.empty((batch, frames + 2, channels), np.float32)
    y[:, 0] = y[:, -1] = 0
    return y


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
        if "else_branch" in name:  # the 8 kHz model, in the file that holds both
            continue
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


class Segment(NamedTuple):
    """Speech from sample `start` to before sample `stop`."""

    start: int
    stop: int


def speech_segments(
    probabilities: Sequence[float] | Any,
    threshold: float = 0.5,
    leave: float | None = None,
    min_speech: float = 0.25,
    min_silence: float = 0.1,
    pad: float = 0.03,
) -> list[Segment]:
    """Where there is speech, in samples, from the probabilities of a whole signal.

    Speech begins at a chunk of at least `threshold` and ends where the probability has been below
    `leave` (threshold - 0.15, at least 0.01) for `min_silence` seconds. What is shorter than
    `min_speech` seconds is left out; `pad` seconds are added at both ends, or half the gap to the
    neighbour.
    """
    size, rate = SileroVAD.chunk, SileroVAD.sampling_rate
    leave = max(threshold - 0.15, 0.01) if leave is None else leave
    found: list[list[int]] = []
    start, quiet = -1, -1  # the first sample of speech; of silence within it
    for i, p in enumerate(probabilities):
        at = i * size
        if p >= threshold:
            start, quiet = (at if start < 0 else start), -1
        elif p < leave and start >= 0:
            quiet = at if quiet < 0 else quiet
            if at - quiet >= min_silence * rate:
                found.append([start, quiet])
                start, quiet = -1, -1
    end = len(probabilities) * size
    if start >= 0:
        found.append([start, end])
    found = [s for s in found if s[1] - s[0] > min_speech * rate]
    padded = int(pad * rate)
    edges = [0, *(stop for _, stop in found), end]
    starts = [*(start for start, _ in found), end]
    return [
        Segment(
            max(start - min(padded, (start - edges[i]) // 2 if i else padded), 0),
            min(
                stop + min(padded, (starts[i + 1] - stop) // 2 if i + 1 < len(found) else padded),
                end,
            ),
        )
        for i, (start, stop) in enumerate(found)
    ]
