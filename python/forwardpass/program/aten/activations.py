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


@aten("rrelu_with_noise", "rrelu_with_noise_functional", "rrelu")
def _rrelu(c: Converter, out: Any, a: dict[str, Any]) -> Any:
    if a["training"]:
        raise unsupported("rrelu in training mode")
    several = not hasattr(out, "value")
    y = c.tensor(None, out[0]) if several else out
    y = c.like("leaky_relu", y, x=a["self"], slope=(a["lower"] + a["upper"]) / 2)
    return (y, None) if several else y


@aten("elu")
def _elu(c: Converter, out: T, a: dict[str, Any]) -> Any:
    """scale (x, or alpha (exp(input_scale x) - 1) below 0): elu, selu, celu"""
    x, inner = a["self"], a["input_scale"]
    if inner == 1:
        y = c.like("elu", out, x=x, alpha=a["alpha"])
    else:
        z = c.like("expm1", out, x=c.like("mul", out, a=x, b=c.array(inner, out.dtype)))
        z = c.like("mul", out, a=z, b=c.array(a["alpha"], out.dtype))
        above = c.emit("gt", out.shape, "bool", a=x, b=c.array(0.0, out.dtype))
        y = c.like("where", out, condition=above, a=x, b=z)
    return y if a["scale"] == 1 else c.like("mul", out, a=y, b=c.array(a["scale"], out.dtype))


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
