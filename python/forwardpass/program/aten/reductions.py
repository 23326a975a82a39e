"""ATen's reductions."""

from __future__ import annotations

import math
from typing import TYPE_CHECKING, Any

from .table import Convert, aten, dim_of, dims_of, is_float, need_float32, unsupported
from .views import reshaped

if TYPE_CHECKING:
    from ..torch_converter import Converter, T


@aten("sum", "sum.dim_IntList")
def _sum(c: Converter, out: T, a: dict[str, Any]) -> Any:
    need_float32(out, "aten.sum")
    x = c.array(a["self"], out.dtype)
    dims = dims_of(a.get("dim"), x)
    keep = bool(a.get("keepdim", False))
    return c.emit("sum", out.shape, out.dtype, x=x, dims=dims, keep=keep, float=is_float(out))


@aten("mean", "mean.dim")
def _mean(c: Converter, out: T, a: dict[str, Any]) -> Any:
    need_float32(out, "aten.mean")
    x = c.array(a["self"], out.dtype)
    dims, keep = dims_of(a.get("dim"), x), bool(a.get("keepdim", False))
    return c.emit("mean", out.shape, out.dtype, x=x, dims=dims, keep=keep)


def _variance(c: Converter, out: T, a: dict[str, Any]) -> Any:
    need_float32(out, "aten.var")
    correction = a.get("correction")
    if "unbiased" in a:
        correction = int(a["unbiased"])
    correction = 1 if correction is None else correction
    if correction != int(correction):
        raise unsupported("aten.var with a fraction as correction")
    dims, keep = dims_of(a.get("dim"), a["self"]), bool(a.get("keepdim", False))
    args = {"dims": dims, "correction": int(correction), "keep": keep}
    return c.emit("var", out.shape, out.dtype, x=a["self"], **args)


aten("var", "var.dim", "var.correction")(_variance)


@aten("std", "std.dim", "std.correction")
def _std(c: Converter, out: T, a: dict[str, Any]) -> Any:
    y = _variance(c, out, a)
    return c.like("sqrt", y, x=y)


@aten("var_mean.correction", "var_mean.dim")
def _var_mean(c: Converter, out: Any, a: dict[str, Any]) -> Any:
    both = [c.tensor(None, fake) for fake in out]
    return _variance(c, both[0], a), _mean(c, both[1], a)


def _extreme(largest: bool) -> Convert:
    def convert(c: Converter, out: Any, a: dict[str, Any]) -> Any:
        x, keep = a["self"], bool(a.get("keepdim", False))
        dims = dims_of(a.get("dim"), x)
        if hasattr(out, "value"):
            args = {"dims": dims, "largest": largest, "keep": keep}
            return c.emit("extreme", out.shape, out.dtype, x=x, **args)
        values, indices = (c.tensor(None, fake) for fake in out)
        args = {"largest": largest, "keep": keep}
        return (
            c.emit("extreme", values.shape, values.dtype, x=x, dims=dims, **args),
            c.emit(
                "arg_extreme", indices.shape, "int64", x=x, dim=dims[0] if dims else None, **args
            ),
        )

    return convert


aten("amax", "max", "max.dim")(_extreme(True))
aten("amin", "min", "min.dim")(_extreme(False))


def _arg_extreme(largest: bool) -> Convert:
    def convert(c: Converter, out: T, a: dict[str, Any]) -> Any:
        dim = None if a["dim"] is None else dim_of(a["dim"], a["self"])
        args = {"dim": dim, "largest": largest, "keep": bool(a["keepdim"])}
        return c.emit("arg_extreme", out.shape, out.dtype, x=a["self"], **args)

    return convert


aten("argmax")(_arg_extreme(True))
aten("argmin")(_arg_extreme(False))


def _all_any(every: bool) -> Convert:
    def convert(c: Converter, out: T, a: dict[str, Any]) -> Any:
        dims, keep = dims_of(a.get("dim"), a["self"]), bool(a.get("keepdim", False))
        return c.emit("logical", out.shape, "bool", x=a["self"], dims=dims, every=every, keep=keep)

    return convert


aten("all", "all.dim", "all.dims")(_all_any(True))
aten("any", "any.dim", "any.dims")(_all_any(False))


@aten("cumsum")
def _cumsum(c: Converter, out: T, a: dict[str, Any]) -> Any:
    need_float32(out, "aten.cumsum")
    x = c.array(a["self"], out.dtype)
    return c.like("cumsum", out, x=x, dim=dim_of(a["dim"], x), float=is_float(out))


@aten("linalg_vector_norm")
def _norm(c: Converter, out: T, a: dict[str, Any]) -> Any:
    need_float32(out, "aten.linalg_vector_norm")
    x, order = a["self"], float(a["ord"])
    dims, keep = dims_of(a["dim"], x), bool(a["keepdim"])
    size = c.like("mul", x, a=x, b=x) if order == 2 else c.like("abs", x, x=x)
    if math.isinf(order):
        args = {"dims": dims, "largest": order > 0, "keep": keep}
        return c.emit("extreme", out.shape, out.dtype, x=size, **args)
    if order == 0:
        some = c.emit("ne", x.shape, "bool", a=x, b=c.array(0, x.dtype))
        size = c.array(some, x.dtype)
    elif order not in (1, 2):
        size = c.like("pow", x, x=size, exponent=c.array(order, x.dtype))
    y = c.emit("sum", out.shape, out.dtype, x=size, dims=dims, keep=keep, float=True)
    if order in (0, 1):
        return y
    if order == 2:
        return c.like("sqrt", y, x=y)
    return c.like("pow", y, x=y, exponent=c.array(1 / order, y.dtype))


@aten("_trilinear")
def _trilinear(c: Converter, out: T, a: dict[str, Any]) -> Any:
    """The sum of the products of three arrays, each with dimensions put in: nn.Bilinear's."""
    need_float32(out, "aten._trilinear")
    factors = []
    for number in (1, 2, 3):
        x, put_in = a[f"i{number}"], a[f"expand{number}"]
        rest = iter(x.shape)
        count = len(x.shape) + len(put_in)
        shape = [1 if d in put_in else next(rest) for d in range(count)]
        factors.append(reshaped(c, x, shape))
    shapes = [f.shape for f in factors]
    whole = [next((s[d] for s in shapes if s[d] != 1), 1) for d in range(len(shapes[0]))]
    y = factors[0]
    for factor in factors[1:]:
        y = c.emit("mul", whole, out.dtype, a=y, b=factor)
    return c.emit("sum", out.shape, out.dtype, x=y, dims=a["sumdim"], keep=False, float=True)


@aten("_cdist_forward")
def _cdist(c: Converter, out: T, a: dict[str, Any]) -> Any:
    """sqrt of the sum of the squares of the differences of each two rows"""
    x, y = a["x1"], a["x2"]
    if a["p"] != 2:
        raise unsupported(f"aten._cdist_forward.default with p={a['p']}")
    whole = [*out.shape, x.shape[-1]]
    x = reshaped(c, x, [*x.shape[:-1], 1, x.shape[-1]])
    y = reshaped(c, y, [*y.shape[:-2], 1, *y.shape[-2:]])
    d = c.emit("sub", whole, out.dtype, a=x, b=y)
    d = c.like("mul", d, a=d, b=d)
    args = {"dims": [len(whole) - 1], "keep": False, "float": True}
    return c.like("sqrt", out, x=c.emit("sum", out.shape, out.dtype, x=d, **args))


@aten("trace")
def _trace(c: Converter, out: T, a: dict[str, Any]) -> Any:
    need_float32(out, "aten.trace")
    x = a["self"]
    d = c.emit("diagonal", [min(x.shape)], x.dtype, x=x, offset=0, dims=[0, 1])
    return c.like("sum", out, x=d, dims=[], keep=False, float=is_float(out))
