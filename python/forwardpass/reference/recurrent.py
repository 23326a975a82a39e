"""Recurrent layers in float64, with a bound that follows the error from step to step.

One direction of one layer; the state is known to within a tolerance before a step, and to within
another behind it. A step's products are linear's: a state off by t moves a gate by at most
|W_hh| t, and the rounding of the chain, of the two biases and of their sum acts on the magnitudes
of what was really summed, at most |W_hh| (|h| + t). The functions are elementwise.activated's:
their slope times the argument's error, plus their own bound. Products of two quantities a, b known
to within s, t are off by |a| t + |b| s + s t, and round once.

Sigmoids and tanh are limited, so what is made of them cannot be further from the truth than twice
its largest value: 1 for h of rnn_tanh and lstm, the larger of 1 and |h0| for gru, |c0| + t behind t
steps for c. The recursion is cut off there, with 1/256 for roundings, so that a long sequence of a
layer that amplifies errors has a finite bound.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from functools import partial
from typing import Any

import numpy as np

from .bounds import F64, Bounded, float64, rounded
from .elementwise import activated
from .products import product_bound

FAR = 2.0 + 2.0**-8  # twice the largest value


def _affine(x: Bounded, weight: F64, bias: F64 | None) -> Bounded:
    """x weight^T + bias for x known to within a tolerance."""
    value, tolerance = x
    moved = tolerance @ np.abs(weight).T
    magnitude = (np.abs(value) + tolerance) @ np.abs(weight).T
    result = value @ weight.T, moved + product_bound(magnitude, *weight.shape)
    return result if bias is None else rounded(result[0] + bias, result[1])


def _sum(a: Bounded, b: Bounded) -> Bounded:
    return rounded(a[0] + b[0], a[1] + b[1])


def _times(a: Bounded, b: Bounded, plus: Bounded | None = None) -> Bounded:
    """a b, or a b + plus with one rounding."""
    value = a[0] * b[0]
    tolerance = np.abs(a[0]) * b[1] + np.abs(b[0]) * a[1] + a[1] * b[1]
    if plus is not None:
        value, tolerance = value + plus[0], tolerance + plus[1]
    return rounded(value, tolerance, underflow=True)


def _near(a: Bounded, largest: float = 1.0) -> Bounded:
    return a[0], np.minimum(a[1], FAR * largest)


def _largest(state: Bounded) -> float:
    return float(np.max(np.abs(state[0]), initial=0.0))


def _gates(a: Bounded, count: int) -> list[Bounded]:
    return list(zip(*(np.split(part, count, axis=-1) for part in a), strict=True))


def _sigmoid(a: Bounded) -> Bounded:
    value, tolerance = activated("sigmoid", a)
    return value, np.minimum(tolerance, 1.0 + 2.0**-20)


def _tanh(a: Bounded) -> Bounded:
    return _near(activated("tanh", a))


class _Sequence:
    """The arguments that all cells have, and the loop over the steps."""

    def __init__(
        self, input: Any, weight_ih: Any, weight_hh: Any, bias_ih: Any, bias_hh: Any, reverse: Any
    ) -> None:
        bias = [None if b is None else float64(b) for b in (bias_ih, bias_hh)]
        x, error = input if isinstance(input, tuple) else (float64(input), np.zeros(1))
        self.hidden_weight, self.hidden_bias = float64(weight_hh), bias[1]
        flat = (np.broadcast_to(v, x.shape).reshape(-1, x.shape[-1]) for v in (x, error))
        products = _affine((next(flat), next(flat)), float64(weight_ih), bias[0])
        self.products = [p.reshape(*x.shape[:2], p.shape[-1]) for p in products]
        self.order = range(x.shape[0])[:: -1 if reverse else 1]
        self.batch = x.shape[1]

    def state(self, given: Any, n: int) -> Bounded:
        value = np.zeros((self.batch, n)) if given is None else float64(given)
        return value, np.zeros_like(value)

    def at(self, t: int) -> Bounded:
        return self.products[0][t], self.products[1][t]

    def recurrent(self, h: Bounded) -> Bounded:
        return _affine(h, self.hidden_weight, self.hidden_bias)

    def output(self, states: dict[int, Bounded]) -> Bounded:
        steps = [states[t] for t in sorted(states)]
        return np.stack([s[0] for s in steps]), np.stack([s[1] for s in steps])


def rnn(
    nonlinearity: str,
    input: Any,
    weight_ih: Any,
    weight_hh: Any,
    bias_ih: Any = None,
    bias_hh: Any = None,
    h0: Any = None,
    reverse: Any = False,
) -> tuple[Bounded, Bounded]:
    """h = f((W_ih x + b_ih) + (W_hh h + b_hh)), f tanh or relu."""
    with np.errstate(all="ignore"):
        s = _Sequence(input, weight_ih, weight_hh, bias_ih, bias_hh, reverse)
        h = s.state(h0, np.shape(weight_hh)[1])
        states = {}
        for t in s.order:
            h = activated(nonlinearity, _sum(s.at(t), s.recurrent(h)))
            h = states[t] = _near(h) if nonlinearity == "tanh" else h
        return s.output(states), h


def lstm(
    input: Any,
    weight_ih: Any,
    weight_hh: Any,
    bias_ih: Any = None,
    bias_hh: Any = None,
    weight_hr: Any = None,
    h0: Any = None,
    c0: Any = None,
    reverse: Any = False,
) -> tuple[Bounded, Bounded, Bounded]:
    """c = sigmoid(f) c + sigmoid(i) tanh(g), h = sigmoid(o) tanh(c), times weight_hr^T if given."""
    with np.errstate(all="ignore"):
        s = _Sequence(input, weight_ih, weight_hh, bias_ih, bias_hh, reverse)
        h = s.state(h0, np.shape(weight_hh)[1])
        c = s.state(c0, np.shape(weight_ih)[0] // 4)
        states: dict[int, Bounded] = {}
        first = _largest(c)
        for t in s.order:
            i, f, g, o = _gates(_sum(s.at(t), s.recurrent(h)), 4)
            c = _times(_sigmoid(f), c, _times(_sigmoid(i), _tanh(g)))
            c = _near(c, first + len(states) + 1)
            h = _near(_times(_sigmoid(o), _tanh(c)))
            if weight_hr is not None:
                h = _affine(h, float64(weight_hr), None)
            states[t] = h
        return s.output(states), h, c


def gru(
    input: Any,
    weight_ih: Any,
    weight_hh: Any,
    bias_ih: Any = None,
    bias_hh: Any = None,
    h0: Any = None,
    reverse: Any = False,
) -> tuple[Bounded, Bounded]:
    """r, z = sigmoid(..), n = tanh(x_n + r g_n), h = z (h - n) + n."""
    with np.errstate(all="ignore"):
        s = _Sequence(input, weight_ih, weight_hh, bias_ih, bias_hh, reverse)
        h = s.state(h0, np.shape(weight_hh)[1])
        states, first = {}, max(1.0, _largest(h))
        for t in s.order:
            x, g = _gates(s.at(t), 3), _gates(s.recurrent(h), 3)
            r, z = (_sigmoid(_sum(x[k], g[k])) for k in (0, 1))
            n = _tanh(_times(r, g[2], x[2]))
            # h and n count once each, with z and 1 - z, not twice as in z (h - n) + n taken apart.
            value = z[0] * h[0] + (1 - z[0]) * n[0]
            apart = np.abs(h[0] - n[0])
            moved = np.abs(z[0]) * h[1] + np.abs(1 - z[0]) * n[1] + z[1] * (apart + h[1] + n[1])
            difference = rounded(h[0] - n[0], h[1] + n[1])[1] - (h[1] + n[1])
            h = rounded(value, moved + (np.abs(z[0]) + z[1]) * difference, True)
            h = states[t] = _near(h, first)
        return s.output(states), h


def layers(
    cell: str, input: Any, weights: Sequence[Sequence[Any]], states: Sequence[Any]
) -> Bounded:
    """The output of layers one after the other: weights a layer, states (layers, batch, n)."""
    run: dict[str, Callable[..., Any]] = {
        "lstm": lstm,
        "gru": gru,
        "rnn_tanh": partial(rnn, "tanh"),
    }
    for layer, arrays in enumerate(weights):
        at = {name: s[layer] for name, s in zip(("h0", "c0"), states, strict=False)}
        input = run[cell](input, *arrays, **at)[0]
    return input  # type: ignore[no-any-return]
