"""The one list of operators: reference, compiled entry and cases under one name."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import dataclass
from functools import partial
from typing import Any

import numpy as np

from . import cases, cases_conv, cases_products, convolutions, elementwise, products, rows
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


def _all() -> list[Op]:
    linear = {"input": REQUIRED, "weight": REQUIRED, "bias": None, **_EPILOGUE}
    forward = {"stride": 1, "padding": 0, "dilation": 1, "groups": 1}
    conv = {"input": REQUIRED, "weight": REQUIRED, "bias": None, **forward, **_EPILOGUE}
    back = {"stride": 1, "padding": 0, "output_padding": 0, "groups": 1, "dilation": 1}
    transposed = {"input": REQUIRED, "weight": REQUIRED, "bias": None, **back, **_EPILOGUE}
    rms = {"input": REQUIRED, **_NORM, "eps": None}
    add_rms = {"input": REQUIRED, "residual": REQUIRED, **_NORM, "eps": None}
    layer = {"input": REQUIRED, **_NORM, "bias": None, "eps": 1e-5}
    leaky = {"input": REQUIRED, "negative_slope": 0.01}
    gelu = {"input": REQUIRED, "approximate": "none"}
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
        Op("softmax", rows.softmax, {"input": REQUIRED, "dim": -1}, cases.softmax),
        *map(_unary, ("exp", "expm1", "log", "log1p", "erf")),
        *map(_unary, ("relu", "silu", "sigmoid", "tanh")),
        Op("leaky_relu", elementwise.leaky_relu, leaky, cases.leaky_relu),
        Op("gelu", elementwise.gelu, gelu, cases.gelu),
        Op(
            "embedding",
            elementwise.embedding,
            {"indices": REQUIRED, "weight": REQUIRED},
            cases.embedding,
        ),
    ]


OPS: dict[str, Op] = {op.name: op for op in _all()}
