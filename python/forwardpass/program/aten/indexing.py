"""ATen ops that take and put elements by index."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

from .table import aten, dim_of, unsupported
from .views import ALL, flattened, lined, reshaped

if TYPE_CHECKING:
    from ..torch_converter import Converter, T


@aten("index.Tensor", "_unsafe_index.Tensor")
def _index(c: Converter, out: T, a: dict[str, Any]) -> Any:
    dims, indices = _indices(c, a)
    return c.emit("pick", out.shape, out.dtype, x=a["self"], indices=indices, dims=dims)


def _indices(c: Converter, a: dict[str, Any]) -> tuple[list[int], list[Any]]:
    found = [(dim, index) for dim, index in enumerate(a["indices"]) if index is not None]
    for _, index in found:
        if index.dtype == "bool":
            raise unsupported("indexing by a mask, whose result has a size that depends on data")
    return [dim for dim, _ in found], [index for _, index in found]


@aten("index_put")
def _index_put(c: Converter, out: T, a: dict[str, Any]) -> Any:
    masks = [index for index in a["indices"] if index is not None]
    values = c.array(a["values"], out.dtype)
    if (
        len(masks) == 1
        and masks[0].dtype == "bool"
        and values.shape in ((), (1,))
        and not a["accumulate"]
    ):
        mask = masks[0]
        more = len(out.shape) - len(mask.shape)
        mask = reshaped(c, mask, [*mask.shape, *[1] * more])
        return c.like("where", out, condition=mask, a=reshaped(c, values, []), b=a["self"])
    dims, indices = _indices(c, a)
    op = "put_add" if a["accumulate"] else "put"
    return c.like(op, out, x=a["self"], indices=indices, dims=dims, values=values)


@aten("slice_scatter", "select_scatter")
def _scatter(c: Converter, out: T, a: dict[str, Any]) -> Any:
    dim = dim_of(a["dim"], a["self"])
    if "index" in a:
        key: list[Any] = [ALL] * dim + [a["index"]]
    else:
        end = a["end"]
        end = None if isinstance(end, int) and end >= 2**62 else end
        key = [ALL] * dim + [[a["start"], end, a["step"]]]
    return c.like("place", out, x=a["self"], key=key, values=a["src"])


@aten("gather")
def _gather(c: Converter, out: T, a: dict[str, Any]) -> Any:
    dim = dim_of(a["dim"], a["self"])
    x, index = lined(c, a["self"]), lined(c, a["index"])
    y = c.emit("gather", index.shape, out.dtype, x=x, index=index, dim=dim)
    return reshaped(c, y, out.shape)


@aten("index_select")
def _take(c: Converter, out: T, a: dict[str, Any]) -> Any:
    dim = dim_of(a["dim"], a["self"])
    x, index = lined(c, a["self"]), lined(c, a["index"])
    shape = [index.shape[0] if d == dim else n for d, n in enumerate(x.shape)]
    y = c.emit("take", shape, out.dtype, x=x, index=index, dim=dim)
    return reshaped(c, y, out.shape)


@aten("take")
def _take_flat(c: Converter, out: T, a: dict[str, Any]) -> Any:
    x, index = flattened(c, a["self"]), flattened(c, a["index"])
    y = c.emit("take", index.shape, out.dtype, x=x, index=index, dim=0)
    return reshaped(c, y, out.shape)
