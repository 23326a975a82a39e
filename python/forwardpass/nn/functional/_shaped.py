"""More activations: bounded, smooth, gated."""

from __future__ import annotations

from typing import TYPE_CHECKING

from forwardpass import _core

if TYPE_CHECKING:
    from .._typing import Array, ArrayInput

_elu = _core.elu
_glu = _core.glu
_hardsigmoid = _core.hardsigmoid
_hardswish = _core.hardswish
_hardtanh = _core.hardtanh
_mish = _core.mish
_prelu = _core.prelu
_relu6 = _core.relu6
_softplus = _core.softplus
_swiglu = _core.swiglu


def relu6(input: ArrayInput, inplace: bool = False, *, out: Array | None = None) -> Array:
    """min(max(input, 0), 6), elementwise. Follows torch.nn.functional.relu6."""
    return _relu6(input, out)


def hardtanh(
    input: ArrayInput,
    min_val: float = -1.0,
    max_val: float = 1.0,
    inplace: bool = False,
    *,
    out: Array | None = None,
) -> Array:
    """min(max(input, min_val), max_val), elementwise; NaN stays NaN.

    min_val above max_val raises ValueError. Follows torch.nn.functional.hardtanh.
    """
    return _hardtanh(input, min_val, max_val, out)


def hardsigmoid(input: ArrayInput, inplace: bool = False, *, out: Array | None = None) -> Array:
    """min(max(input + 3, 0), 6) / 6, elementwise. Follows torch.nn.functional.hardsigmoid."""
    return _hardsigmoid(input, out)


def hardswish(input: ArrayInput, inplace: bool = False, *, out: Array | None = None) -> Array:
    """input * hardsigmoid(input), elementwise. Follows torch.nn.functional.hardswish."""
    return _hardswish(input, out)


def elu(
    input: ArrayInput, alpha: float = 1.0, inplace: bool = False, *, out: Array | None = None
) -> Array:
    """input where positive, else alpha * (exp(input) - 1). Follows torch.nn.functional.elu."""
    return _elu(input, alpha, out)


def softplus(
    input: ArrayInput, beta: float = 1.0, threshold: float = 20.0, *, out: Array | None = None
) -> Array:
    """log(1 + exp(beta * input)) / beta; input where beta * input > threshold; elementwise.

    Follows torch.nn.functional.softplus.
    """
    return _softplus(input, beta, threshold, out)


def mish(input: ArrayInput, inplace: bool = False, *, out: Array | None = None) -> Array:
    """input * tanh(softplus(input)), elementwise. Follows torch.nn.functional.mish."""
    return _mish(input, out)


def prelu(input: ArrayInput, weight: ArrayInput, *, out: Array | None = None) -> Array:
    """input where positive, else weight * input.

    weight has one element, or one for each channel (dimension 1 of the input). Follows
    torch.nn.functional.prelu.
    """
    return _prelu(input, weight, out)


def glu(input: ArrayInput, dim: int = -1, *, out: Array | None = None) -> Array:
    """a * sigmoid(b), a and b the first and second half of dimension `dim`, whose size is even.

    Follows torch.nn.functional.glu.
    """
    return _glu(input, dim, out)


def swiglu(gate: ArrayInput, up: ArrayInput, *, out: Array | None = None) -> Array:
    """silu(gate) * up, two arrays of one shape; elementwise.

    What Llama's feed-forward block does between its products; torch has no such function. The bits
    are those of the two steps.
    """
    return _swiglu(gate, up, out)
