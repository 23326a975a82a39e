"""Activations that are another one's with a sign, a scale or a threshold; no kernels of their own.

NumPy's comparisons and single operations, each rounded once; nothing warns about infinities.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

import numpy as np

from forwardpass import _core

from ._activations import leaky_relu, softmax
from ._shape import float32, result

if TYPE_CHECKING:
    from .._typing import Array, ArrayInput

_SELU_ALPHA, _SELU_SCALE = 1.6732632423543772848170429916717, 1.0507009873554804934193349852946


def _quiet(op: str, out: Array | None, compute: Any) -> Array:
    with np.errstate(all="ignore"):
        return result(np.asarray(compute(), order="C"), out, op)  # type: ignore[no-any-return]


def selu(input: ArrayInput, inplace: bool = False, *, out: Array | None = None) -> Array:
    """scale * elu(input, alpha), the two constants those of self-normalising networks; elementwise.

    Follows torch.nn.functional.selu.
    """
    y = _core.elu(input, _SELU_ALPHA, out)
    return np.multiply(y, np.float32(_SELU_SCALE), out=y)  # type: ignore[no-any-return]


def celu(
    input: ArrayInput, alpha: float = 1.0, inplace: bool = False, *, out: Array | None = None
) -> Array:
    """input where positive, else alpha * (exp(input / alpha) - 1); elementwise.

    ZeroDivisionError where alpha is 0, as in torch. Follows torch.nn.functional.celu.
    """
    x, a = float32(input, "celu"), np.float32(alpha)
    if not alpha:
        raise ZeroDivisionError("celu: alpha cannot be 0")
    return _quiet("celu", out, lambda: np.where(x > 0, x, _core.elu(x / a, 1.0, None) * a))


def logsigmoid(input: ArrayInput, *, out: Array | None = None) -> Array:
    """log(1 / (1 + exp(-input))), elementwise: -softplus(-input).

    Follows torch.nn.functional.logsigmoid.
    """
    y = _core.softplus(np.negative(float32(input, "logsigmoid")), 1.0, 20.0, out)
    return np.negative(y, out=y)  # type: ignore[no-any-return]


def softsign(input: ArrayInput, *, out: Array | None = None) -> Array:
    """input / (1 + |input|), elementwise. Follows torch.nn.functional.softsign."""
    x = float32(input, "softsign")
    return _quiet("softsign", out, lambda: x / (np.abs(x) + np.float32(1)))


def tanhshrink(input: ArrayInput, *, out: Array | None = None) -> Array:
    """input - tanh(input), elementwise. Follows torch.nn.functional.tanhshrink."""
    x = float32(input, "tanhshrink")
    return _quiet("tanhshrink", out, lambda: x - _core.tanh(x, None))


def hardshrink(input: ArrayInput, lambd: float = 0.5, *, out: Array | None = None) -> Array:
    """0 where -lambd <= input <= lambd, else input. Follows torch.nn.functional.hardshrink."""
    x, most = float32(input, "hardshrink"), np.float32(lambd)
    return _quiet("hardshrink", out, lambda: _unless((x >= -most) & (x <= most), x, 0))


def softshrink(input: ArrayInput, lambd: float = 0.5, *, out: Array | None = None) -> Array:
    """input moved towards 0 by lambd, and 0 where it is no further from it than that.

    lambd below 0 raises ValueError. Follows torch.nn.functional.softshrink.
    """
    x, most = float32(input, "softshrink"), np.float32(lambd)
    if not most >= 0:
        raise ValueError(f"softshrink: lambd must be at least 0, got {lambd}")
    moved = _quiet("softshrink", None, lambda: np.where(x > most, x - most, x + most))
    return _quiet("softshrink", out, lambda: _unless(np.abs(x) <= most, moved, 0 * x))


def threshold(
    input: ArrayInput,
    threshold: float,
    value: float,
    inplace: bool = False,
    *,
    out: Array | None = None,
) -> Array:
    """input where above `threshold`, else `value`; NaN stays NaN.

    Follows torch.nn.functional.threshold.
    """
    x, least = float32(input, "threshold"), np.float32(threshold)
    return _quiet("threshold", out, lambda: _unless(x <= least, x, value))


def _unless(condition: Any, x: Any, value: Any) -> Any:
    """x, but `value` where the condition holds."""
    return np.where(condition, np.asarray(value, np.float32), x)


def rrelu(
    input: ArrayInput,
    lower: float = 1.0 / 8,
    upper: float = 1.0 / 3,
    training: bool = False,
    inplace: bool = False,
    *,
    out: Array | None = None,
) -> Array:
    """input where positive, else (lower + upper) / 2 * input.

    `training`, which draws the factor, raises NotImplementedError. Follows
    torch.nn.functional.rrelu.
    """
    if training:
        raise NotImplementedError("rrelu: training=True; forwardpass runs the forward pass only")
    return leaky_relu(input, (lower + upper) / 2, out=out)


def softmin(
    input: ArrayInput,
    dim: int | None = None,
    _stacklevel: int = 3,
    dtype: Any = None,
    *,
    out: Array | None = None,
) -> Array:
    """softmax(-input) along `dim`; the arguments as there. Follows torch.nn.functional.softmin."""
    return softmax(np.negative(float32(input, "softmin")), dim, _stacklevel, dtype, out=out)
