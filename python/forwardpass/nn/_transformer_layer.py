"""The blocks of the encoder's and the decoder's layer, and what of them runs as one kernel."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any, ClassVar, NamedTuple

import numpy as np

from forwardpass import _core

from . import functional as F
from ._checks import integer
from ._children import Children, plain
from ._structure import EPOCH
from .activation import Activation
from .attention import MultiheadAttention, NonDynamicallyQuantizableLinear
from .containers import FUSED_ACTIVATIONS
from .linear import Linear
from .module import Module
from .norm import LayerNorm
from .shape import Dropout

if TYPE_CHECKING:
    from collections.abc import Callable


_layer_norm = _core.layer_norm

# What a product's epilogue calls the functions that may be given as `activation`.
_NAMES: dict[Any, str] = {
    F.relu: "relu",
    F.gelu: "gelu",
    F.silu: "silu",
    F.mish: "mish",
    F.relu6: "relu6",
    F.sigmoid: "sigmoid",
    F.tanh: "tanh",
    F.hardswish: "hardswish",
    F.hardsigmoid: "hardsigmoid",
    F.leaky_relu: "leaky_relu",
}


class _Plan(NamedTuple):
    """What of a layer runs without a call of its own. No bit depends on it."""

    epoch: int
    attentions: dict[str, bool]  # out_proj, the dropout behind it and the residual, by attention
    first: tuple[str, float] | None  # linear1 with the activation and the dropout behind it
    second: bool  # linear2, the dropout behind it and the residual
    in_place: frozenset[str]  # norms that nobody watches, which may write over a sum of ours


def _added(product: Linear, x: Any, residual: Any) -> Any:
    """product(x) + residual in one kernel."""
    pack = product._pack
    if pack is None:
        pack = product._make_pack()
    return pack(x, None, 0.01, residual)


def _sum(a: Any, b: Any) -> Any:
    with np.errstate(all="ignore"):  # infinities and NaN go through, as in a kernel
        return a + b


class TransformerLayer(Module):
    """What the encoder's and the decoder's layer share: a feed-forward block, and attention with
    its residual.
    """

    linear1: Any
    linear2: Any
    _plan: _Plan | None = None
    _transient: ClassVar[tuple[str, ...]] = (*Module._transient, "_plan")
    _structural: ClassVar[frozenset[str]] = Module._structural | {"_modules", "activation"}
    # The attentions, and the dropout behind each.
    _attentions: ClassVar[dict[str, str]]
    _last_dropout: ClassVar[str]

    def __init__(
        self,
        d_model: int,
        nhead: int,
        dim_feedforward: int = 2048,
        dropout: float = 0.1,
        activation: str | Callable[[Any], Any] = F.relu,
        layer_norm_eps: float = 1e-5,
        batch_first: bool = False,
        norm_first: bool = False,
        bias: bool = True,
        device: Any = None,
        dtype: Any = None,
    ) -> None:
        super().__init__()
        self.__dict__["_modules"] = Children()
        more = {"batch_first": batch_first, "device": device, "dtype": dtype}
        for name in self._attentions:
            attention = MultiheadAttention(d_model, nhead, dropout=dropout, bias=bias, **more)
            setattr(self, name, attention)
        hidden = integer(self._get_name(), "dim_feedforward", dim_feedforward, 0)
        self.linear1 = Linear(d_model, hidden, bias)
        self.dropout = Dropout(dropout)
        self.linear2 = Linear(hidden, d_model, bias)
        self.norm_first = norm_first
        count = len(self._attentions) + 1
        for i in range(count):
            setattr(self, f"norm{i + 1}", LayerNorm(d_model, layer_norm_eps, bias=bias))
        for i in range(count):
            setattr(self, f"dropout{i + 1}", Dropout(dropout))
        self.activation = _activation(activation)

    # ---- plan ------------------------------------------------------------------------------

    def _make_plan(self) -> _Plan:
        epoch = EPOCH[0]  # read first: a change during what follows makes the plan old
        modules = self._modules
        attentions = {}
        for name, dropout in self._attentions.items():
            attention = modules.get(name)
            attentions[name] = (
                plain(attention, (MultiheadAttention,))
                and plain(attention._modules.get("out_proj"), (NonDynamicallyQuantizableLinear,))  # type: ignore[union-attr]
                and plain(modules.get(dropout), (Dropout,))
            )
        act, fused = self.activation, None
        if isinstance(act, Activation):
            fused = act.fused() if plain(act, FUSED_ACTIVATIONS) else None
        elif _hashable(act) and act in _NAMES:
            fused = _NAMES[act], 0.01
        if not plain(modules.get("linear1"), (Linear,)) or not plain(
            modules.get("dropout"), (Dropout,)
        ):
            fused = None
        second = plain(modules.get("linear2"), (Linear,)) and plain(
            modules.get(self._last_dropout), (Dropout,)
        )
        norms = frozenset(name for name in modules if plain(modules[name], (LayerNorm,)))
        plan = self.__dict__["_plan"] = _Plan(epoch, attentions, fused, second, norms)
        return plan

    def _current_plan(self) -> _Plan:
        plan = self._plan
        return self._make_plan() if plan is None or plan.epoch != EPOCH[0] else plan

    def _normed(self, plan: _Plan, name: str, x: Any) -> Any:
        """The norm of a sum that is ours alone."""
        norm: Any = self._modules[name]
        if name not in plan.in_place:
            return norm(x)
        pack = norm._pack
        if pack is None:
            pack = norm._make_pack()
        return _layer_norm(x, norm.normalized_shape, pack[0], pack[1], norm.eps, x)

    # ---- blocks ----------------------------------------------------------------------------

    def _attended(
        self,
        plan: _Plan,
        name: str,
        query: Any,
        key: Any,
        residual: Any,
        padding: Any,
        mask: Any,
        is_causal: bool,
    ) -> Any:
        """residual + dropout(attention(query, key, key))."""
        attention: Any = self._modules[name]
        if plan.attentions[name]:
            y, _ = attention._attend(query, key, key, padding, mask, is_causal)
            return _added(attention._modules["out_proj"], y, residual)
        y = attention(
            query,
            key,
            key,
            attn_mask=mask,
            key_padding_mask=padding,
            need_weights=False,
            is_causal=is_causal,
        )[0]
        dropout: Any = self._modules[self._attentions[name]]
        return _sum(residual, dropout(y))

    def _fed_forward(self, plan: _Plan, x: Any, residual: Any) -> Any:
        """residual + dropout(linear2(dropout(activation(linear1(x)))))."""
        modules: Any = self._modules
        linear1, linear2 = modules["linear1"], modules["linear2"]
        if plan.first is not None:
            pack = linear1._pack
            if pack is None:
                pack = linear1._make_pack()
            hidden = pack(x, *plan.first)
        else:
            hidden = modules["dropout"](self.activation(linear1(x)))
        if plan.second:
            return _added(linear2, hidden, residual)
        return _sum(residual, modules[self._last_dropout](linear2(hidden)))


def _hashable(value: Any) -> bool:
    return type(value).__hash__ is not None


def _activation(given: str | Callable[[Any], Any]) -> Callable[[Any], Any]:
    if given == "relu":
        return F.relu
    if given == "gelu":
        return F.gelu
    if isinstance(given, str):
        raise ValueError(f"activation should be relu/gelu, not {given}")
    if not callable(given):
        raise TypeError(f"activation should be a callable or a name, got {given!r}")
    return given
