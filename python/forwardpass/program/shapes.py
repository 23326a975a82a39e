"""The shapes that a graph declares, checked against one another before anything runs.

A rule gives the shape of an op's result from those of its arguments, or says what does not fit.
Ops without a rule, and nodes that declare nothing (no dtype), are taken at their word.
"""

from __future__ import annotations

import math
from collections.abc import Callable, Mapping
from typing import Any

from .ir import Const, Graph, Node, Ref, evaluate, refs, resolve

Shape = tuple[int, ...]
Rule = Callable[[dict[str, Any]], "Shape | None"]  # of arguments with shapes for arrays


class Shaped:
    """Stands for an array among the arguments of a rule."""

    def __init__(self, shape: Shape) -> None:
        self.shape = shape


def check_shapes(graph: Graph, sizes: Mapping[str, int]) -> None:
    """ValueError names the first node whose declared shape its arguments cannot give."""
    shapes: list[Shape | None] = [tuple(evaluate(n, sizes) for n in s.shape) for s in graph.inputs]

    def given(value: Any) -> Any:
        if isinstance(value, Ref):
            return Shaped(shapes[value.index] or ())
        if isinstance(value, Const):
            return Shaped(graph.constants[value.name].shape)
        if isinstance(value, tuple):
            return tuple(given(item) for item in value)
        return value

    for number, node in enumerate(graph.nodes):
        declared = tuple(evaluate(n, sizes) for n in node.shape) if node.dtype else None
        shapes.append(declared)
        rule = RULES.get(node.op)
        if rule is None or declared is None:
            continue
        if any(shapes[i] is None for i in refs(list(node.args.values()))):
            continue
        try:
            found = rule({key: given(resolve(v, sizes)) for key, v in node.args.items()})
        except (ValueError, IndexError) as error:
            raise ValueError(f"{_name(number, node)}: {error}") from None
        if found is not None and found != declared:
            raise ValueError(f"{_name(number, node)}: gives {found}, declared as {declared}")


def _name(number: int, node: Node) -> str:
    return f"node {number} ({node.op}, {node.place or 'no place'})"


def _fits(condition: bool, what: str) -> None:
    if not condition:
        raise ValueError(what)


def _together(*shapes: Shape) -> Shape:
    width = max(map(len, shapes))
    result = []
    for at in range(-width, 0):
        sizes = {shape[at] for shape in shapes if len(shape) >= -at} - {1}
        _fits(len(sizes) <= 1, f"shapes {' and '.join(map(str, shapes))} do not fit")
        result.append(sizes.pop() if sizes else 1)
    return tuple(result)


def _pair(a: dict[str, Any]) -> Shape:
    return _together(a["a"].shape, a["b"].shape)


def _same(a: dict[str, Any]) -> Shape:
    shape: Shape = a["x"].shape
    return shape


def _where(a: dict[str, Any]) -> Shape:
    return _together(a["condition"].shape, a["a"].shape, a["b"].shape)


def _linear(a: dict[str, Any]) -> Shape:
    x, weight = a["x"].shape, a["weight"].shape
    _fits(len(weight) == 2 and len(x) > 0, f"a weight of shape {weight}")
    _fits(x[-1] == weight[1], f"input {x} and weight {weight}")
    if a["bias"] is not None:
        _fits(a["bias"].shape == weight[:1], f"bias {a['bias'].shape} and weight {weight}")
    result: Shape = (*x[:-1], weight[0])
    if a["residual"] is not None:
        _fits(a["residual"].shape == result, f"a residual {a['residual'].shape} for {result}")
    return result


def _matmul(a: dict[str, Any]) -> Shape:
    x, y = a["a"].shape, a["b"].shape
    _fits(len(x) > 1 and len(y) > 1 and x[-1] == y[-2], f"matrices {x} and {y}")
    return (*_together(x[:-2], y[:-2]), x[-2], y[-1]) if len(x) > 2 or len(y) > 2 else (x[0], y[1])


def _conv(a: dict[str, Any]) -> Shape:
    x, weight, dims = a["x"].shape, a["weight"].shape, len(a["stride"])
    _fits(len(weight) == dims + 2 and len(x) in (dims + 1, dims + 2), f"input {x}, weight {weight}")
    _fits(x[-dims - 1] == weight[1] * a["groups"], f"channels of input {x} and weight {weight}")
    sizes = zip(x[-dims:], weight[2:], a["stride"], a["padding"], a["dilation"], strict=True)
    spans = [(n + 2 * p - d * (k - 1) - 1) // s + 1 for n, k, s, p, d in sizes if s > 0]
    return (*x[: -dims - 1], weight[0], *spans)


def _norm(a: dict[str, Any]) -> Shape:
    x, inner = a["x"].shape, a["shape"]
    _fits(x[len(x) - len(inner) :] == inner, f"input {x} and a norm over {inner}")
    for key in ("weight", "bias"):
        part = a.get(key)
        _fits(part is None or part.shape == inner, f"{key} of a norm over {inner}")
    return _same(a)


def _add_norm(a: dict[str, Any]) -> Shape:
    x, residual = a["x"].shape, a["residual"].shape
    _fits(x == residual, f"input {x} and residual {residual}")
    return _norm(a)


def _channels(a: dict[str, Any]) -> Shape:
    x = a["x"].shape
    for key in ("mean", "var", "weight", "bias"):
        part = a.get(key)
        _fits(part is None or part.shape == x[1:2], f"{key} for the channels of {x}")
    return _same(a)


def _reshape(a: dict[str, Any]) -> Shape | None:
    x, shape = a["x"].shape, a["shape"]
    if -1 in shape:
        return None
    _fits(math.prod(x) == math.prod(shape), f"{x} as {shape}")
    result: Shape = shape
    return result


def _transpose(a: dict[str, Any]) -> Shape:
    x, axes = a["x"].shape, a["axes"]
    _fits(sorted(axes) == list(range(len(x))), f"dimensions {axes} of {x}")
    return tuple(x[d] for d in axes)


def _cat(a: dict[str, Any]) -> Shape:
    shapes, dim = [x.shape for x in a["xs"]], a["dim"]
    _fits(bool(shapes) and 0 <= dim < len(shapes[0]), "nothing to join")
    rest = {(*s[:dim], *s[dim + 1 :]) for s in shapes}
    _fits(len(rest) == 1, f"joining {', '.join(map(str, shapes))} in dimension {dim}")
    return (*shapes[0][:dim], sum(s[dim] for s in shapes), *shapes[0][dim + 1 :])


def _embedding(a: dict[str, Any]) -> Shape:
    _fits(len(a["weight"].shape) == 2, f"a table of shape {a['weight'].shape}")
    return (*a["indices"].shape, a["weight"].shape[1])


def _attention(a: dict[str, Any]) -> Shape:
    q, k, v = (a[name].shape for name in ("q", "k", "v"))
    _fits(len(q) == len(k) == len(v) >= 2, f"query {q}, key {k}, value {v}")
    _fits(q[-1] == k[-1] and k[-2] == v[-2], f"query {q}, key {k}, value {v}")
    return (*q[:-1], v[-1])


def _swiglu(a: dict[str, Any]) -> Shape:
    _fits(a["gate"].shape == a["up"].shape, f"gate {a['gate'].shape} and up {a['up'].shape}")
    shape: Shape = a["gate"].shape
    return shape


RULES: dict[str, Rule] = {
    "linear": _linear, "matmul": _matmul, "conv": _conv, "layer_norm": _norm, "rms_norm": _norm,
    "batch_norm": _channels, "group_norm": _channels, "reshape": _reshape, "where": _where,
    "transpose": _transpose, "cat": _cat, "embedding": _embedding, "attention": _attention,
    "swiglu": _swiglu, "add_layer_norm": _add_norm, "add_rms_norm": _add_norm,
}  # fmt: skip
for _op in ("add", "sub", "mul", "div", "maximum", "minimum", "floor_divide", "remainder", "fmod",
            "eq", "ne", "lt", "le", "gt", "ge", "and", "or", "xor", "atan2"):  # fmt: skip
    RULES[_op] = _pair
for _op in ("neg", "abs", "sqrt", "rsqrt", "reciprocal", "floor", "ceil", "round", "trunc", "sign",
            "not", "isnan", "isinf", "exp", "expm1", "log", "log1p", "sin", "cos", "erf", "relu",
            "relu6", "silu", "sigmoid", "tanh", "hardsigmoid", "hardswish", "mish", "gelu", "elu",
            "leaky_relu", "softplus", "prelu", "softmax", "log_softmax", "clamp", "cast", "cumsum",
            "cumprod", "flip", "roll", "triangle", "copy", "put", "place", "scatter"):  # fmt: skip
    RULES[_op] = _same
