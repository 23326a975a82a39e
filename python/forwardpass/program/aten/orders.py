"""ATen ops that order and scatter."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

from .table import aten, dim_of, is_float, need_float32
from .views import ALL, expanded, flattened, indexed, lined, reshaped

if TYPE_CHECKING:
    from ..torch_converter import Converter, T


def _sorted(c: Converter, x: T, dim: int, descending: bool) -> tuple[T, T]:
    args = {"dim": dim_of(dim, x), "descending": descending}
    whole = c.emit("sort", x.shape, x.dtype, x=x, **args)
    return (
        c.emit("item", x.shape, x.dtype, x=whole, number=0),
        c.emit("item", x.shape, "int64", x=whole, number=1),
    )


@aten("sort", "sort.stable")
def _sort(c: Converter, out: Any, a: dict[str, Any]) -> Any:
    return _sorted(c, a["self"], a["dim"], a["descending"])


@aten("argsort", "argsort.stable")
def _argsort(c: Converter, out: T, a: dict[str, Any]) -> Any:
    return _sorted(c, a["self"], a["dim"], a["descending"])[1]


@aten("topk")
def _topk(c: Converter, out: Any, a: dict[str, Any]) -> Any:
    x = a["self"]
    dim = dim_of(a["dim"], x)
    if not x.shape:
        return _sorted(c, x, 0, True)
    shape = [a["k"] if d == dim else n for d, n in enumerate(x.shape)]
    key = [ALL] * dim + [[None, a["k"], None]]
    return [indexed(c, y, list(key), shape) for y in _sorted(c, x, dim, a["largest"])]


@aten("kthvalue")
def _kth(c: Converter, out: Any, a: dict[str, Any]) -> Any:
    x, dim = lined(c, a["self"]), dim_of(a["dim"], a["self"])
    shape = [n for d, n in enumerate(x.shape) if d != dim]
    found = [indexed(c, y, [ALL] * dim + [a["k"] - 1], shape) for y in _sorted(c, x, dim, False)]
    kept = [c.tensor(None, fake).shape for fake in out]
    return [reshaped(c, y, s) for y, s in zip(found, kept, strict=True)]


def _scattering(add: bool) -> Any:
    def convert(c: Converter, out: T, a: dict[str, Any]) -> Any:
        values = c.array(a["src"] if "src" in a else a["value"], out.dtype)
        args = {"index": a["index"], "values": values, "dim": dim_of(a["dim"], out), "add": add}
        return c.like("scatter", out, x=a["self"], **args)

    return convert


aten("scatter.src", "scatter.value")(_scattering(False))
aten("scatter_add")(_scattering(True))


@aten("index_add")
def _index_add(c: Converter, out: T, a: dict[str, Any]) -> Any:
    values = c.array(a["source"], out.dtype)
    if a["alpha"] != 1:
        values = c.like("mul", values, a=values, b=c.array(a["alpha"], out.dtype))
    x, values, dim = lined(c, a["self"]), lined(c, values), dim_of(a["dim"], out)
    ones: list[Any] = [1] * len(values.shape)
    ones[dim] = values.shape[dim]
    index = expanded(c, reshaped(c, a["index"], ones), values.shape)
    y = c.like("scatter", x, x=x, index=index, values=values, dim=dim, add=True)
    return reshaped(c, y, out.shape)


@aten("cumprod")
def _cumprod(c: Converter, out: T, a: dict[str, Any]) -> Any:
    need_float32(out, "aten.cumprod")
    x = c.array(a["self"], out.dtype)
    return c.like("cumprod", out, x=x, dim=dim_of(a["dim"], x), float=is_float(out))


@aten("prod", "prod.dim_int")
def _prod(c: Converter, out: T, a: dict[str, Any]) -> Any:
    """The last of the running products; 1 of none."""
    need_float32(out, "aten.prod")
    x = c.array(a["self"], out.dtype)
    if "dim" not in a or not x.shape:
        x = flattened(c, x)
    dim = dim_of(a.get("dim", 0), x)
    if x.shape[dim] == 0:
        return expanded(c, c.array(1, out.dtype), out.shape)
    running = c.like("cumprod", x, x=x, dim=dim, float=is_float(out))
    shape = [n for d, n in enumerate(x.shape) if d != dim]
    last = indexed(c, running, [ALL] * dim + [-1], shape)
    return reshaped(c, last, out.shape)


def _running(largest: bool) -> Any:
    def convert(c: Converter, out: Any, a: dict[str, Any]) -> Any:
        x = a["self"]
        args = {"dim": dim_of(a["dim"], x), "largest": largest}
        whole = c.emit("cumulative_extreme", x.shape, x.dtype, x=x, **args)
        return (
            c.emit("item", x.shape, x.dtype, x=whole, number=0),
            c.emit("item", x.shape, "int64", x=whole, number=1),
        )

    return convert


aten("cummax")(_running(True))
aten("cummin")(_running(False))


@aten("median", "median.dim")
def _median(c: Converter, out: Any, a: dict[str, Any]) -> Any:
    x = a["self"]
    alone = hasattr(out, "value")
    if alone:
        x = flattened(c, x)
    dim = dim_of(a.get("dim", 0), x)
    shape = [n for d, n in enumerate(x.shape) if d != dim]
    whole = c.emit("median", shape, x.dtype, x=x, dim=dim)
    values = c.emit("item", shape, x.dtype, x=whole, number=0)
    if alone:
        return values
    indices = c.emit("item", shape, "int64", x=whole, number=1)
    kept = [c.tensor(None, fake).shape for fake in out]
    return [reshaped(c, y, s) for y, s in zip((values, indices), kept, strict=True)]
