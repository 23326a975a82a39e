"""ATen's reductions."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

from .table import Convert, aten, dim_of, dims_of, is_float, need_float32, unsupported

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
            c.emit("arg_extreme", indices.shape, "int64", x=x, dim=dims[0], **args),
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
    if a["ord"] not in (1, 2):
        raise unsupported(f"aten.linalg_vector_norm.default with ord={a['ord']}")
    x = a["self"]
    terms = c.like("mul", x, a=x, b=x) if a["ord"] == 2 else c.like("abs", x, x=x)
    dims, keep = dims_of(a["dim"], x), bool(a["keepdim"])
    y = c.emit("sum", out.shape, out.dtype, x=terms, dims=dims, keep=keep, float=True)
    return c.like("sqrt", y, x=y) if a["ord"] == 2 else y
