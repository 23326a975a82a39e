"""Convolutions of a signal that arrives in chunks: the outputs that can be known, and a state.

`y, state = layer.stream(x, state)` takes a chunk (B, C, n) or (C, n) of any length, 0 included, and
gives the outputs that no later input can change. The first call takes state None; the last one
takes `last=True` and gives the rest, up to the padding behind the signal. The outputs one after the
other are layer(signal), byte for byte, however the signal was cut: every output is one chain of
fma over the same inputs, and the padding takes part as zeros in both (docs/numerics.md).

A state is never changed: each call makes a new one. So it can be kept to go back to, copied and
pickled, a call that fails leaves it as it was, and one layer serves any number of streams.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

import numpy as np

from .activation import (
    GELU,
    Hardsigmoid,
    Hardswish,
    LeakyReLU,
    Mish,
    ReLU,
    Sigmoid,
    SiLU,
    Tanh,
)
from .activation_composed import POINTWISE as COMPOSED
from .activation_shaped import ELU, GLU, Hardtanh, PReLU, ReLU6, Softplus
from .channel_norm import BatchNorm1d
from .functional._shape import float32
from .linear import Identity
from .shape import AlphaDropout, Dropout, Dropout1d

if TYPE_CHECKING:
    from ._typing import Array, ArrayInput


_POINTWISE = (
    *(ReLU, GELU, SiLU, Sigmoid, Tanh, LeakyReLU, ReLU6, Hardsigmoid, Hardswish, Mish),
    *(ELU, Hardtanh, Softplus, Dropout, Dropout1d, AlphaDropout, Identity, *COMPOSED),
)


class StreamState:
    """What a layer keeps between two chunks of a stream; made by `stream` alone, never changed.

    shape: (B, C) or (C,), that of the stream's chunks without their length.
    """

    __slots__ = ("shape",)
    shape: tuple[int, ...]


class ConvState(StreamState):
    """The state of a convolution.

    layer: the layer's name and arguments, which a state belongs to.
    past: the inputs (*, C, n) that later outputs need; the padding before the signal counts.
    inputs: how many inputs there have been.
    skip: how much to leave out: of the inputs to come (a stride longer than the kernel reaches), or
        of the outputs to come (the padding of a transposed convolution).
    ready: of a transposed convolution whose padding may cut them off: its last outputs (*, O, m).
    """

    __slots__ = ("inputs", "layer", "past", "ready", "skip")

    def __init__(
        self, layer: str, past: Array, inputs: int = 0, skip: int = 0, ready: Array | None = None
    ) -> None:
        self.shape = past.shape[:-1]
        self.layer, self.past, self.inputs, self.skip, self.ready = layer, past, inputs, skip, ready

    def __repr__(self) -> str:
        return f"ConvState({self.layer}, inputs={self.inputs}, past {self.past.shape})"


class SequentialState(StreamState):
    """The states of a Sequential's modules in order, None where a module needs none."""

    __slots__ = ("states",)

    def __init__(self, shape: tuple[int, ...], states: tuple[Any, ...]) -> None:
        self.shape, self.states = shape, states

    def __repr__(self) -> str:
        return f"SequentialState({', '.join(map(repr, self.states))})"


class Streamer:
    """The arithmetic of a layer's stream: its packed weight and how the pieces join.

    `feed` takes (chunk, state, last) that have been checked, and a fusion for the pack.
    """

    def __init__(self, layer: Any, pack: Any) -> None:
        self.name = f"{layer._get_name()}.stream"
        self.text = f"{layer._get_name()}({layer.extra_repr()})"
        self.pack = pack
        self.channels, self.outputs = layer.in_channels, layer.out_channels
        self.stride, self.reach = layer.stride[0], layer.dilation[0] * (layer.kernel_size[0] - 1)

    def begin(self, lead: tuple[int, ...]) -> ConvState:
        raise NotImplementedError

    def feed(self, x: Array, state: ConvState, last: bool, *fusion: Any) -> tuple[Array, ConvState]:
        raise NotImplementedError

    def __call__(
        self, input: Any, state: Any, last: bool, *fusion: Any
    ) -> tuple[Array, ConvState | None]:
        x = float32(input, self.name)
        if x.ndim not in (2, 3) or x.shape[-2] != self.channels:
            raise ValueError(
                f"{self.name}(): argument 'input' must have shape (batch, {self.channels}, length) "
                f"or ({self.channels}, length), got {x.shape}"
            )
        if state is None:
            state = self.begin(x.shape[:-2])
        else:
            check_continues(self.name, self.text, state, x.shape)
        y, state = self.feed(x, state, last, *fusion)
        return y, None if last else state

    def run(self, x: Array, count: int, *fusion: Any) -> Array:
        """The pack's `count` outputs of x; where there are none it is not called."""
        if count <= 0:
            return np.zeros((*x.shape[:-2], self.outputs, 0), np.float32)
        y: Array = self.pack(x, *fusion)
        return y


class ConvStreamer(Streamer):
    """Conv1d: output t needs inputs t * stride ... t * stride + reach of the padded signal."""

    def __init__(self, layer: Any, pack: Any) -> None:
        super().__init__(layer, pack)
        self.before, self.behind = layer._pads()

    def begin(self, lead: tuple[int, ...]) -> ConvState:
        return ConvState(self.text, np.zeros((*lead, self.channels, self.before), np.float32))

    def feed(self, x: Array, state: ConvState, last: bool, *fusion: Any) -> tuple[Array, ConvState]:
        inputs = state.inputs + x.shape[-1]
        x = _joined(state.past, x, self.behind if last else 0)
        skip = min(state.skip, x.shape[-1])
        x = x[..., skip:]
        count = max((x.shape[-1] - self.reach - 1) // self.stride + 1, 0)
        y = self.run(x, count, *fusion)
        # The next output's first input, which a stride beyond the reach puts among those to come.
        first = count * self.stride
        skip = state.skip - skip + max(first - x.shape[-1], 0)
        return y, ConvState(self.text, x[..., first:].copy(), inputs, skip)


class TransposedStreamer(Streamer):
    """ConvTranspose1d: input i adds to outputs i * stride ... i * stride + reach, before padding.

    So the first n inputs decide outputs 0 ... n * stride - 1, and output t needs the inputs from
    t // stride - keep on. With `geometry` the pack turns keep + n inputs into the n * stride
    outputs of the last n: a padding of keep * stride, and as much output_padding as that leaves.
    """

    def __init__(self, layer: Any, pack: Any) -> None:
        super().__init__(layer, pack)
        self.keep = self.geometry(layer)[0] // self.stride
        self.padding = layer.padding[0]
        # Outputs of the whole signal beyond n * stride; negative where its padding cuts into them.
        self.more = self.reach + 1 + layer.output_padding[0] - self.stride - self.padding

    @staticmethod
    def geometry(layer: Any) -> tuple[int, int]:
        """The padding and output_padding of the pack."""
        stride, reach = layer.stride[0], layer.dilation[0] * (layer.kernel_size[0] - 1)
        keep = reach // stride
        return keep * stride, (keep + 1) * stride - reach - 1

    def begin(self, lead: tuple[int, ...]) -> ConvState:
        past = np.zeros((*lead, self.channels, self.keep), np.float32)
        ready = np.zeros((*lead, self.outputs, 0), np.float32) if self.more < 0 else None
        return ConvState(self.text, past, 0, self.padding, ready)

    def feed(self, x: Array, state: ConvState, last: bool, *fusion: Any) -> tuple[Array, ConvState]:
        inputs, size = state.inputs + x.shape[-1], x.shape[-1] * self.stride
        tail = max(self.more, 0) if last and inputs else 0
        x = _joined(state.past, x, -(-tail // self.stride))
        y = self.run(x, (x.shape[-1] - self.keep) * self.stride, *fusion)[..., : size + tail]
        skip = min(state.skip, y.shape[-1])
        y, ready = y[..., skip:], None
        if state.ready is not None:  # outputs that the end of the signal may cut off wait here
            y = _joined(state.ready, y)
            cut = max(y.shape[-1] + self.more, 0)
            y, ready = y[..., :cut], y[..., cut:].copy()
        past = x[..., x.shape[-1] - self.keep :].copy()
        state = ConvState(self.text, past, inputs, state.skip - skip, ready)
        return np.ascontiguousarray(y), state


def check_continues(name: str, text: str, state: Any, shape: tuple[int, ...]) -> None:
    """That a state is of the layer `text`, and a chunk of that shape can be the next."""
    if not isinstance(state, ConvState):
        raise TypeError(
            f"{name}(): argument 'state' must be None or what stream returned, "
            f"got {type(state).__name__}"
        )
    if state.layer != text:
        raise ValueError(
            f"{name}(): argument 'state' is of another layer: {state.layer}, not {text}"
        )
    if state.shape != shape[:-1]:
        raise ValueError(
            f"{name}(): argument 'input' of shape {shape} does not go on with a stream of shape "
            f"({', '.join(map(str, state.shape))}, length)"
        )


def _joined(first: Array, second: Array, zeros: int = 0) -> Array:
    """Both along the last dimension, and zeros behind them."""
    if zeros:
        shape = (*second.shape[:-1], zeros)
        return np.concatenate((first, second, np.zeros(shape, np.float32)), -1)
    return np.concatenate((first, second), -1) if first.shape[-1] else second


class Streamed:
    """`stream` and `flush` of a layer that has a `_streamer`."""

    _streamer: Any
    _make_streamer: Any

    def stream(
        self, input: ArrayInput, state: StreamState | None = None, last: bool = False
    ) -> tuple[Array, StreamState | None]:
        """The outputs that this chunk decides, and the state for the next one.

        input (B, C, n) or (C, n), n ≥ 0, is the next piece of a signal; gives (B, O, m) or (O, m),
        m ≥ 0. state: None to begin, then what the call before returned; it is not changed. last:
        this chunk, which may be empty, is the end; the rest of the outputs comes, and state None.
        All outputs one after the other are layer(signal), byte for byte. Forward hooks do not run.

        Raises ValueError for another number of channels, another batch than the stream's, or the
        state of a layer with other arguments, TypeError for what is no state; a signal that the
        layer would refuse as too short has no outputs.
        """
        return self._stream(input, state, last)

    def flush(self, state: StreamState | None) -> Array:
        """The outputs that are left at the end of the signal: `stream` of nothing, `last`."""
        return flush(self, state)

    def _stream(self, input: Any, state: Any, last: bool, *fusion: Any) -> tuple[Array, Any]:
        streamer = self._streamer
        if streamer is None:
            streamer = self._make_streamer()
        found: tuple[Array, Any] = streamer(input, state, last, *fusion)
        return found


def flush(layer: Any, state: Any) -> Array:
    """What `flush` of every layer does."""
    name = f"{type(layer).__name__}.flush"
    if state is None:
        raise ValueError(f"{name}(): argument 'state' is None: the stream has not begun")
    if not isinstance(state, StreamState):
        raise TypeError(f"{name}(): argument 'state' must be what stream returned, got {state!r}")
    y: Array = layer.stream(np.zeros((*state.shape, 0), np.float32), state, True)[0]
    return y


def stream_child(module: Any, x: Array, state: Any, last: bool, *fusion: Any) -> tuple[Array, Any]:
    """A module of a Sequential: by its `stream`, or as it is if it works on each time alone."""
    if isinstance(module, Streamed):
        return module._stream(x, state, last, *fusion)
    if not fusion and hasattr(module, "stream"):
        found: tuple[Array, Any] = module.stream(x, state, last)
        return found
    if not _pointwise(module, x.ndim):
        raise NotImplementedError(
            f"Sequential.stream(): {module._get_name()} does not run on a piece of a signal; "
            "give it a method stream(input, state, last) that returns (output, state)"
        )
    return module(x), None


def _pointwise(module: Any, ndim: int) -> bool:
    """Whether an output of (*, C, L) depends on one time alone. Exactly our types: see `plain`."""
    kind = type(module)
    if kind is GLU:
        return module.dim in (-2, ndim - 2)
    if kind is PReLU:
        return module.num_parameters == 1 or ndim == 3
    if kind is BatchNorm1d:
        return ndim == 3 and module.running_mean is not None
    return kind in _POINTWISE
