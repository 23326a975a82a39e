"""ATen's activations."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

from .table import aten, dim_of, unsupported

if TYPE_CHECKING:
    from ..torch_converter import Converter, T


@aten("gelu")
def _gelu(c: Converter, out: T, a: dict[str, Any]) -> Any:
    return c.like("gelu", out, x=a["self"], approximate=a["approximate"])


@aten("leaky_relu")
def _leaky(c: Converter, out: T, a: dict[str, Any]) -> Any:
    return c.like("leaky_relu", out, x=a["self"], slope=a["negative_slope"])


@aten("elu")
def _elu(c: Converter, out: T, a: dict[str, Any]) -> Any:
    if a["scale"] != 1 or a["input_scale"] != 1:
        raise unsupported("aten.elu.default with a scale (selu, celu)")
    return c.like("elu", out, x=a["self"], alpha=a["alpha"])


@aten("softplus")
def _softplus(c: Converter, out: T, a: dict[str, Any]) -> Any:
    return c.like("softplus", out, x=a["self"], beta=a["beta"], threshold=a["threshold"])


@aten("log_sigmoid")
def _log_sigmoid(c: Converter, out: T, a: dict[str, Any]) -> Any:
    x = c.like("neg", out, x=a["self"])
    x = c.like("softplus", out, x=x, beta=1.0, threshold=100.0)
    return c.like("neg", out, x=x)


@aten("prelu")
def _prelu(c: Converter, out: T, a: dict[str, Any]) -> Any:
    return c.like("prelu", out, x=a["self"], weight=a["weight"])


@aten("glu")
def _glu(c: Converter, out: T, a: dict[str, Any]) -> Any:
    return c.like("glu", out, x=a["self"], dim=dim_of(a["dim"], a["self"]))
