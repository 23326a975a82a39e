"""ATen ops that count and look up, and the products of mixtures of experts, which need counts."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

from .table import ATEN, aten, is_float, need_float32, unsupported

if TYPE_CHECKING:
    from ..torch_converter import Converter, T


@aten("histc")
def _histc(c: Converter, out: T, a: dict[str, Any]) -> Any:
    if a["min"] == a["max"]:
        raise unsupported("aten.histc.default between limits that depend on data")
    args = {"bins": a["bins"], "low": a["min"], "high": a["max"]}
    return c.emit("histogram", out.shape, out.dtype, x=a["self"], **args)


@aten("searchsorted.Tensor", "searchsorted.Scalar")
def _searchsorted(c: Converter, out: T, a: dict[str, Any]) -> Any:
    if a["sorter"] is not None:
        raise unsupported("aten.searchsorted with a sorter")
    right = a["right"] or a["side"] == "right"
    return _searched(c, out, a["sorted_sequence"], a["self"], right)


@aten("bucketize.Tensor", "bucketize.Scalar")
def _bucketize(c: Converter, out: T, a: dict[str, Any]) -> Any:
    return _searched(c, out, a["boundaries"], a["self"], a["right"])


def _searched(c: Converter, out: T, table: T, x: Any, right: bool) -> T:
    x = c.array(x, table.dtype) if not hasattr(x, "value") else x
    return c.emit("search", out.shape, out.dtype, table=table, x=x, right=right, dtype=out.dtype)


@aten("masked_scatter")
def _masked_scatter(c: Converter, out: T, a: dict[str, Any]) -> Any:
    return c.like("put_masked", out, x=a["self"], mask=a["mask"], values=a["source"])


@aten("scatter_reduce.two")
def _scatter_reduce(c: Converter, out: T, a: dict[str, Any]) -> Any:
    if a["reduce"] == "mean" and not is_float(out):
        raise unsupported("aten.scatter_reduce.two, a mean of integers")
    need_float32(out, "aten.scatter_reduce")
    dim = a["dim"] % len(out.shape) if out.shape else 0
    args = {"index": a["index"], "values": a["src"], "dim": dim, "mode": a["reduce"]}
    return c.like("scatter_reduce", out, x=a["self"], with_own=a["include_self"], **args)


def _grouped(c: Converter, out: T, a: dict[str, Any]) -> Any:
    need_float32(out, "a grouped product")
    args = {"weight": a["weight"], "ends": a["offs"]}
    return c.emit("grouped_matmul", out.shape, out.dtype, x=a["input"], **args)


ATEN["transformers.grouped_mm_fallback.default"] = _grouped
