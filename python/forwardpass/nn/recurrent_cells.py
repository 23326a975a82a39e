"""RNNCell, LSTMCell and GRUCell: one step at a time."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any, ClassVar

from . import init
from ._checks import integer, require_cpu, require_float32
from ._layer import Layer
from .recurrent import PackedRecurrence

if TYPE_CHECKING:
    from ._typing import Array, ArrayInput


class RNNCellBase(PackedRecurrence):
    """The base of the cells: weight_ih, weight_hh, bias_ih and bias_hh of `num_chunks` gates.

    All start as U(-1/sqrt(hidden_size), 1/sqrt(hidden_size)).
    """

    _structural: ClassVar[frozenset[str]] = Layer._structural | {"nonlinearity"}
    _cell = ""

    def __init__(
        self,
        input_size: int,
        hidden_size: int,
        bias: bool,
        num_chunks: int,
        device: Any = None,
        dtype: Any = None,
    ) -> None:
        super().__init__()
        name = self._get_name()
        self.input_size = integer(name, "input_size", input_size, 1)
        self.hidden_size = integer(name, "hidden_size", hidden_size, 1)
        self.bias = bias
        require_cpu(name, device)
        require_float32(name, dtype)
        gates = num_chunks * self.hidden_size
        bound = init.fan_in_bound(self.hidden_size)
        self._register("weight_ih", (gates, self.input_size), bound)
        self._register("weight_hh", (gates, self.hidden_size), bound)
        for part in ("bias_ih", "bias_hh"):
            if bias:
                self._register(part, (gates,), bound)
            else:
                self.register_parameter(part, None)

    def _new_pack(self) -> Any:
        return self._build_pack(self._cell, False, False)

    def _step(self, input: ArrayInput, hx: Any) -> Any:
        pack = self._pack
        if pack is None:
            pack = self._make_pack()
        return pack.step(input, hx)

    def extra_repr(self) -> str:
        text = f"{self.input_size}, {self.hidden_size}"
        if self.bias is not True:
            text += f", bias={self.bias}"
        nonlinearity = self.__dict__.get("nonlinearity", "tanh")
        return text if nonlinearity == "tanh" else f"{text}, nonlinearity={nonlinearity}"


class LSTMCell(RNNCellBase):
    """One step of LSTM: h, c = cell(input, (h, c)).

    input (N, input_size) or (input_size,); h and c (N, hidden_size) or (hidden_size,), zeros where
    hx is None. The bytes are those of the layer. Follows torch.nn.LSTMCell.
    """

    _cell = "lstm"

    def __init__(
        self,
        input_size: int,
        hidden_size: int,
        bias: bool = True,
        device: Any = None,
        dtype: Any = None,
    ) -> None:
        super().__init__(input_size, hidden_size, bias, 4, device, dtype)

    def forward(
        self, input: ArrayInput, hx: tuple[ArrayInput, ArrayInput] | None = None
    ) -> tuple[Array, Array]:
        return self._step(input, hx)  # type: ignore[no-any-return]


class GRUCell(RNNCellBase):
    """One step of GRU: h = cell(input, h).

    Shapes as in LSTMCell. Follows torch.nn.GRUCell.
    """

    _cell = "gru"

    def __init__(
        self,
        input_size: int,
        hidden_size: int,
        bias: bool = True,
        device: Any = None,
        dtype: Any = None,
    ) -> None:
        super().__init__(input_size, hidden_size, bias, 3, device, dtype)

    def forward(self, input: ArrayInput, hx: ArrayInput | None = None) -> Array:
        return self._step(input, hx)  # type: ignore[no-any-return]


class RNNCell(RNNCellBase):
    """One step of RNN: h = cell(input, h), tanh or relu.

    Shapes as in LSTMCell. Follows torch.nn.RNNCell.
    """

    def __init__(
        self,
        input_size: int,
        hidden_size: int,
        bias: bool = True,
        nonlinearity: str = "tanh",
        device: Any = None,
        dtype: Any = None,
    ) -> None:
        super().__init__(input_size, hidden_size, bias, 1, device, dtype)
        if nonlinearity not in ("tanh", "relu"):
            raise ValueError(f"RNNCell: nonlinearity must be tanh or relu, got {nonlinearity!r}")
        self.nonlinearity = nonlinearity

    def _new_pack(self) -> Any:
        return self._build_pack(f"rnn_{self.nonlinearity}", False, False)

    def forward(self, input: ArrayInput, hx: ArrayInput | None = None) -> Array:
        return self._step(input, hx)  # type: ignore[no-any-return]
