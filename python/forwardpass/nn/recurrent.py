"""RNN, LSTM and GRU."""

from __future__ import annotations

import warnings
from functools import partial
from typing import TYPE_CHECKING, Any, ClassVar

from forwardpass import _core

from . import init
from ._checks import integer, require_cpu, require_float32, typename
from ._layer import Layer
from .parameter import LOCK, Parameter

if TYPE_CHECKING:
    from ._typing import Array, ArrayInput

_PARTS = ("weight_ih", "weight_hh", "bias_ih", "bias_hh", "weight_hr")
_GATES = {"LSTM": 4, "GRU": 3, "RNN_TANH": 1, "RNN_RELU": 1}


class PackedRecurrence(Layer):
    """What the recurrent layers and cells share: weights in one pack, made on the first call.

    As in PackedLayer, the pack drops out when a parameter changes, and a parameter whose values it
    holds forgets its array, unless that is mapped from a file or has another owner.
    """

    _suffixes: tuple[str, ...] = ("",)  # of the parameters of each direction of each layer

    def _weights(self, suffix: str) -> list[Any]:
        """The five arrays of one direction, None where there is none."""
        return [getattr(self, part + suffix, None) for part in _PARTS]

    def _build_pack(self, cell: str, bidirectional: bool, batch_first: bool) -> Any:
        weights = [self._weights(suffix) for suffix in self._suffixes]
        return _core.PackedRecurrent(cell, weights, bidirectional, batch_first, self._get_name())

    def _new_pack(self) -> Any:
        """_build_pack with this layer's arguments."""
        raise NotImplementedError

    def _make_pack(self) -> Any:
        with LOCK:
            pack = self._pack
            if pack is None:
                pack = self._new_pack()
                self.__dict__["_pack"] = pack
                for index, suffix in enumerate(self._suffixes):
                    for part in ("weight_ih", "weight_hh", "weight_hr"):
                        parameter = self._parameters.get(part + suffix)
                        if parameter is not None:
                            parameter._release(partial(pack.weight, index, part))
        return pack

    def _register(self, name: str, shape: tuple[int, ...], bound: float) -> None:
        self.register_parameter(name, Parameter.drawn(init.uniform, shape, bound))


def _is_bool(name: str, value: Any) -> bool:
    if not isinstance(value, bool):
        raise TypeError(f"{name} should be of type bool, got: {typename(value)}")
    return value


class RNNBase(PackedRecurrence):
    """The base of RNN, LSTM and GRU, with torch's attributes.

    Parameters of layer k: weight_ih_l{k} (gates, in), weight_hh_l{k} (gates, out), bias_ih_l{k} and
    bias_hh_l{k} (gates,), for a projection weight_hr_l{k} (out, hidden_size), gates a multiple of
    hidden_size; the same with _reverse for the other direction. All start as
    U(-1/sqrt(hidden_size), 1/sqrt(hidden_size)).
    """

    _structural: ClassVar[frozenset[str]] = Layer._structural | {
        *("mode", "batch_first", "bidirectional", "num_layers", "hidden_size", "proj_size"),
    }

    def __init__(
        self,
        mode: str,
        input_size: int,
        hidden_size: int,
        num_layers: int = 1,
        bias: bool = True,
        batch_first: bool = False,
        dropout: float = 0.0,
        bidirectional: bool = False,
        proj_size: int = 0,
        device: Any = None,
        dtype: Any = None,
    ) -> None:
        super().__init__()
        name = self._get_name()
        if mode not in _GATES:
            raise ValueError(f"Unrecognized RNN mode: {mode}")
        self.mode = mode
        self.dropout = _dropout(dropout, num_layers)
        self.bias = _is_bool("bias", bias)
        self.batch_first = _is_bool("batch_first", batch_first)
        self.input_size = integer(name, "input_size", input_size, 1)
        self.hidden_size = integer(name, "hidden_size", hidden_size, 1)
        self.num_layers = integer(name, "num_layers", num_layers, 1)
        self.bidirectional = bool(bidirectional)
        self.proj_size = integer(name, "proj_size", proj_size, 0)
        if self.proj_size >= self.hidden_size:
            raise ValueError(f"{name}: proj_size has to be smaller than hidden_size")
        require_cpu(name, device)
        require_float32(name, dtype)
        self._suffixes = tuple(
            f"_l{layer}{way}"
            for layer in range(self.num_layers)
            for way in ("", "_reverse")[: 1 + self.bidirectional]
        )
        for index, suffix in enumerate(self._suffixes):
            self._add(suffix, index < 1 + self.bidirectional)

    def _add(self, suffix: str, first: bool) -> None:
        """The parameters of one direction of a layer."""
        out = self.proj_size or self.hidden_size
        gates = _GATES[self.mode] * self.hidden_size
        bound = init.fan_in_bound(self.hidden_size)
        width = self.input_size if first else out * (1 + self.bidirectional)
        self._register("weight_ih" + suffix, (gates, width), bound)
        self._register("weight_hh" + suffix, (gates, out), bound)
        if self.bias:
            self._register("bias_ih" + suffix, (gates,), bound)
            self._register("bias_hh" + suffix, (gates,), bound)
        if self.proj_size:
            self._register("weight_hr" + suffix, (out, self.hidden_size), bound)

    @property
    def all_weights(self) -> list[list[Array]]:
        """The parameters of each direction of each layer, in torch's order."""
        found = ([getattr(self, p + s, None) for p in _PARTS] for s in self._suffixes)
        return [[array for array in arrays if array is not None] for arrays in found]

    def flatten_parameters(self) -> None:
        """Does nothing, as torch's does on a CPU."""

    def _new_pack(self) -> Any:
        return self._build_pack(self.mode.lower(), self.bidirectional, self.batch_first)

    def forward(self, input: ArrayInput, hx: Any = None) -> Any:
        pack = self._pack
        if pack is None:
            pack = self._make_pack()
        return pack(input, hx)

    def extra_repr(self) -> str:
        text = f"{self.input_size}, {self.hidden_size}"
        usual = {"proj_size": 0, "num_layers": 1, "bias": True, "batch_first": False}
        for name, value in {**usual, "dropout": 0, "bidirectional": False}.items():
            if getattr(self, name) != value:
                text += f", {name}={getattr(self, name)}"
        return text


def _dropout(value: Any, num_layers: Any) -> float:
    number = isinstance(value, (int, float)) and not isinstance(value, bool)
    if not number or not 0 <= value <= 1:
        raise ValueError(
            "dropout should be a number in range [0, 1] representing the probability of an "
            f"element being zeroed, got {value!r}"
        )
    if value > 0 and num_layers == 1:
        warnings.warn(
            "dropout option adds dropout after all but last recurrent layer, so non-zero dropout "
            f"expects num_layers greater than 1, but got dropout={value} and num_layers=1",
            stacklevel=4,
        )
    return float(value)


class LSTM(RNNBase):
    """Long short-term memory over a sequence: output, (h_n, c_n) = lstm(input, (h_0, c_0)).

    input (L, N, input_size), or (N, L, input_size) with batch_first, or (L, input_size); output the
    same with D * out in place of input_size; h (D * num_layers, N, out), c (.., hidden_size), both
    without N where the input has none. D is 2 if bidirectional, else 1; out is proj_size, or
    hidden_size where that is 0. hx defaults to zeros; feeding (h_n, c_n) to the next call goes on
    with the sequence, with the bytes of one call. `dropout` is accepted and does nothing, as in
    evaluation. Raises TypeError for a PackedSequence. Follows torch.nn.LSTM.
    """

    def __init__(
        self,
        input_size: int,
        hidden_size: int,
        num_layers: int = 1,
        bias: bool = True,
        batch_first: bool = False,
        dropout: float = 0.0,
        bidirectional: bool = False,
        proj_size: int = 0,
        device: Any = None,
        dtype: Any = None,
    ) -> None:
        super().__init__(
            "LSTM",
            input_size,
            hidden_size,
            num_layers,
            bias,
            batch_first,
            dropout,
            bidirectional,
            proj_size,
            device,
            dtype,
        )


class GRU(RNNBase):
    """Gated recurrent units over a sequence: output, h_n = gru(input, h_0).

    Shapes, state and arguments as in LSTM, with one state and no projection. Follows torch.nn.GRU.
    """

    def __init__(
        self,
        input_size: int,
        hidden_size: int,
        num_layers: int = 1,
        bias: bool = True,
        batch_first: bool = False,
        dropout: float = 0.0,
        bidirectional: bool = False,
        device: Any = None,
        dtype: Any = None,
    ) -> None:
        rest = (num_layers, bias, batch_first, dropout, bidirectional)
        super().__init__("GRU", input_size, hidden_size, *rest, 0, device, dtype)


class RNN(RNNBase):
    """tanh or relu of (W_ih x + b_ih) + (W_hh h + b_hh), stepwise: output, h_n = rnn(input, h_0).

    Shapes, state and arguments as in LSTM, with one state and no projection. `nonlinearity` is
    "tanh" or "relu". Follows torch.nn.RNN.
    """

    def __init__(
        self,
        input_size: int,
        hidden_size: int,
        num_layers: int = 1,
        nonlinearity: str = "tanh",
        bias: bool = True,
        batch_first: bool = False,
        dropout: float = 0.0,
        bidirectional: bool = False,
        device: Any = None,
        dtype: Any = None,
    ) -> None:
        if nonlinearity not in ("tanh", "relu"):
            raise ValueError(
                f"Unknown nonlinearity '{nonlinearity}'. Select from 'tanh' or 'relu'."
            )
        rest = (num_layers, bias, batch_first, dropout, bidirectional)
        mode = f"RNN_{nonlinearity.upper()}"
        super().__init__(mode, input_size, hidden_size, *rest, 0, device, dtype)
        self.nonlinearity = nonlinearity
