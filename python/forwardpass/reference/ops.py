"""The one list of operators: reference, compiled entry and cases under one name."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import dataclass
from functools import partial
from typing import Any

import numpy as np

from . import (
    activations,
    arithmetic,
    attention,
    cases,
    cases_arithmetic,
    cases_attention,
    cases_channels,
    cases_conv,
    cases_elements,
    cases_pools,
    cases_products,
    cases_recurrent,
    cases_resize,
    cases_rotary,
    channels,
    convolutions,
    elementwise,
    pools,
    products,
    recurrent,
    resize,
    rotary,
    rows,
)
from .bounds import F32, Bounded
from .cases import Case

REQUIRED = object()

_EPILOGUE = {"activation": None, "negative_slope": 0.01, "residual": None}
_NORM = {"normalized_shape": REQUIRED, "weight": None}


@dataclass(frozen=True)
class Op:
    """One operator. ``parameters``: names and defaults, in the order of ``forwardpass._core``."""

    name: str
    reference: Callable[..., Any]
    parameters: Mapping[str, Any]
    cases: Callable[[], list[Case]]
    outputs: int = 1

    def expected(self, arguments: Mapping[str, Any]) -> list[Bounded]:
        """(value, tolerance) of each result, in float64."""
        result = self.reference(**arguments)
        return [result] if self.outputs == 1 else list(result)

    def run(self, arguments: Mapping[str, Any], out: Any = None) -> list[F32]:
        """The compiled operator's results; out is an array, or one for each result."""
        from forwardpass import _core

        unknown = set(arguments) - set(self.parameters)
        if unknown:
            raise TypeError(f"{self.name}: no argument {sorted(unknown)}")
        values = [arguments.get(name, default) for name, default in self.parameters.items()]
        outs = (out,) if self.outputs == 1 else out or (None,) * self.outputs
        result = getattr(_core, self.name)(*values, *outs)
        return [np.asarray(r) for r in ([result] if self.outputs == 1 else result)]


def _unary(name: str) -> Op:
    reference = partial(elementwise.unary, name)
    return Op(name, reference, {"input": REQUIRED}, partial(cases.unary, name))


def _pools() -> list[Op]:
    windows = {"input": REQUIRED, "kernel_size": REQUIRED, "stride": None, "padding": 0}
    largest = {**windows, "dilation": 1, "ceil_mode": False}
    mean = {**windows, "ceil_mode": False, "count_include_pad": True, "divisor_override": None}
    adaptive = {"input": REQUIRED, "output_size": REQUIRED}
    return [
        Op("max_pool2d", pools.max_pool2d, largest, cases_pools.max_pool2d),
        Op("avg_pool2d", pools.avg_pool2d, mean, cases_pools.avg_pool2d),
        Op(
            "adaptive_avg_pool2d",
            pools.adaptive_avg_pool2d,
            adaptive,
            cases_pools.adaptive_avg_pool2d,
        ),
    ]


def _channels() -> list[Op]:
    affine = {"weight": None, "bias": None, "eps": 1e-5}
    group = {"input": REQUIRED, "num_groups": REQUIRED, **affine}
    batch = {"input": REQUIRED, "running_mean": REQUIRED, "running_var": REQUIRED, **affine}
    power = {"input": REQUIRED, "p": 2.0, "dim": 1, "eps": 1e-12}
    bag = {"indices": REQUIRED, "offsets": REQUIRED, "weight": REQUIRED, "mode": "mean"}
    bag["per_sample_weights"] = None
    most = {"input": REQUIRED, "max_norm": REQUIRED, "norm_type": 2.0}
    return [
        Op("group_norm", channels.group_norm, group, cases_channels.group_norm),
        Op("batch_norm", channels.batch_norm, batch, cases_channels.batch_norm),
        Op("normalize", channels.normalize, power, cases_channels.normalize),
        Op("embedding_bag", channels.embedding_bag, bag, cases_channels.embedding_bag),
        Op("renorm", channels.renorm, most, cases_channels.renorm),
    ]


def _resizing() -> list[Op]:
    sizes = {"input": REQUIRED, "height": REQUIRED, "width": REQUIRED, "down": 0.0, "along": 0.0}
    nearest, linear = {**sizes, "exact": False}, {**sizes, "align_corners": False}
    sides = {"input1": REQUIRED, "input2": REQUIRED}
    return [
        Op("outer_product", products.outer_product, sides, cases_resize.outer_product),
        Op("resize_nearest", resize.resize_nearest, nearest, cases_resize.resize_nearest),
        Op("resize_linear", resize.resize_linear, linear, cases_resize.resize_linear),
    ]


def _recurrent() -> list[Op]:
    weights = {"input": REQUIRED, "weight_ih": REQUIRED, "weight_hh": REQUIRED}
    weights |= {"bias_ih": None, "bias_hh": None}
    plain = {**weights, "h0": None, "reverse": False}
    lstm = {**weights, "weight_hr": None, "h0": None, "c0": None, "reverse": False}
    kinds: dict[str, Callable[..., Any]] = {
        "rnn_tanh": partial(recurrent.rnn, "tanh"),
        "rnn_relu": partial(recurrent.rnn, "relu"),
        "gru": recurrent.gru,
    }
    found = [Op(n, f, plain, partial(cases_recurrent.cases, n), 2) for n, f in kinds.items()]
    return [*found, Op("lstm", recurrent.lstm, lstm, partial(cases_recurrent.cases, "lstm"), 3)]


def _arithmetic() -> list[Op]:
    over, one = {"input": REQUIRED, "dim": REQUIRED}, {"input": REQUIRED}
    both = {"input": REQUIRED, "other": REQUIRED}
    power = {"input": REQUIRED, "exponent": REQUIRED}

    def reduction(name: str, reference: Callable[..., Any], more: dict[str, Any]) -> Op:
        cases = partial(cases_arithmetic.reduction, name)
        return Op(name, reference, {**over, **more}, cases)

    return [
        Op("matmul", arithmetic.matmul, both, cases_arithmetic.matmul),
        reduction("sum", arithmetic.total, {}),
        reduction("mean", arithmetic.mean, {}),
        reduction("var", arithmetic.var, {"correction": 1}),
        Op("sin", arithmetic.sin, one, partial(cases_arithmetic.function, "sin")),
        Op("cos", arithmetic.cos, one, partial(cases_arithmetic.function, "cos")),
        Op("pow", arithmetic.power, power, cases_arithmetic.power),
    ]


def _rotary() -> list[Op]:
    table = {"first": REQUIRED, "count": REQUIRED, "dim": REQUIRED, "base": 10000.0}
    turn = {"input": REQUIRED, "cos": REQUIRED, "sin": REQUIRED, "interleaved": False}
    return [
        Op("rotary_table", rotary.rotary_table, table, cases_rotary.rotary_table, outputs=2),
        Op("rotary_embedding", rotary.rotary_embedding, turn, cases_rotary.rotary_embedding),
    ]


def _shaped(name: str, reference: Callable[..., Any], choices: list[dict[str, Any]]) -> Op:
    """An element-wise op with parameters, whose defaults are the first choice."""
    parameters = {"input": REQUIRED, **choices[0]}
    return Op(name, reference, parameters, partial(cases_elements.shaped, name, *choices))


def _activations() -> list[Op]:
    elu = [{"alpha": alpha} for alpha in (1.0, 0.3, -2.0)]
    bounds = ((-1.0, 1.0), (0.0, 6.0), (-0.3, 2.5), (2.0, 2.0))
    hardtanh = [{"min_val": low, "max_val": high} for low, high in bounds]
    slopes = ((1.0, 20.0), (2.5, 8.0), (-0.7, 20.0), (1.0, 200.0))
    softplus = [{"beta": beta, "threshold": threshold} for beta, threshold in slopes]
    glu = {"input": REQUIRED, "dim": -1}
    gates = {"gate": REQUIRED, "up": REQUIRED}
    prelu = {"input": REQUIRED, "weight": REQUIRED}
    return [
        _shaped("elu", activations.elu, elu),
        _shaped("hardtanh", activations.hardtanh, hardtanh),
        _shaped("softplus", activations.softplus, softplus),
        Op("glu", activations.glu, glu, cases_elements.glu),
        Op("swiglu", activations.swiglu, gates, cases_elements.swiglu),
        Op("prelu", activations.prelu, prelu, cases_elements.prelu),
    ]


def _all() -> list[Op]:
    linear = {"input": REQUIRED, "weight": REQUIRED, "bias": None, **_EPILOGUE}
    forward = {"stride": 1, "padding": 0, "dilation": 1, "groups": 1}
    conv = {"input": REQUIRED, "weight": REQUIRED, "bias": None, **forward, **_EPILOGUE}
    back = {"stride": 1, "padding": 0, "output_padding": 0, "groups": 1, "dilation": 1}
    transposed = {"input": REQUIRED, "weight": REQUIRED, "bias": None, **back, **_EPILOGUE}
    rms = {"input": REQUIRED, **_NORM, "eps": None}
    add_rms = {"input": REQUIRED, "residual": REQUIRED, **_NORM, "eps": None}
    add_layer = {"input": REQUIRED, "residual": REQUIRED, **_NORM, "bias": None, "eps": 1e-5}
    layer = {"input": REQUIRED, **_NORM, "bias": None, "eps": 1e-5}
    leaky = {"input": REQUIRED, "negative_slope": 0.01}
    gelu = {"input": REQUIRED, "approximate": "none"}
    over = {"input": REQUIRED, "dim": -1}
    heads = {"query": REQUIRED, "key": REQUIRED, "value": REQUIRED, "mask": None}
    attend = {**heads, "causal": False, "offset": 0, "scale": None}
    return [
        Op("linear", products.linear, linear, cases_products.linear),
        Op("conv1d", products.conv1d, conv, cases_products.conv1d),
        Op("conv2d", convolutions.conv2d, conv, cases_conv.conv2d),
        Op(
            "conv_transpose1d",
            convolutions.conv_transpose1d,
            transposed,
            partial(cases_conv.transposed, 1),
        ),
        Op(
            "conv_transpose2d",
            convolutions.conv_transpose2d,
            transposed,
            partial(cases_conv.transposed, 2),
        ),
        Op("rms_norm", rows.rms_norm, rms, cases.rms_norm),
        Op("add_rms_norm", rows.add_rms_norm, add_rms, cases.add_rms_norm, outputs=2),
        Op("layer_norm", rows.layer_norm, layer, cases.layer_norm),
        Op("add_layer_norm", rows.add_layer_norm, add_layer, cases.add_layer_norm, outputs=2),
        Op("softmax", rows.softmax, over, partial(cases.softmax, "softmax")),
        Op("log_softmax", rows.log_softmax, over, partial(cases.softmax, "log_softmax")),
        *map(_unary, ("exp", "expm1", "log", "log1p", "erf")),
        *map(_unary, ("relu", "silu", "sigmoid", "tanh")),
        *map(_unary, ("relu6", "hardsigmoid", "hardswish", "mish")),
        Op("leaky_relu", elementwise.leaky_relu, leaky, cases.leaky_relu),
        Op("gelu", elementwise.gelu, gelu, cases.gelu),
        Op("attention", attention.attention, attend, cases_attention.attention),
        *_activations(),
        *_pools(),
        *_channels(),
        *_resizing(),
        *_recurrent(),
        *_rotary(),
        *_arithmetic(),
        Op(
            "embedding",
            elementwise.embedding,
            {"indices": REQUIRED, "weight": REQUIRED},
            cases.embedding,
        ),
    ]


OPS: dict[str, Op] = {op.name: op for op in _all()}
