"""ATen ops that look at an array in another way."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

from ..ir import Size
from .table import aten, dim_of, dims_of, unsupported

if TYPE_CHECKING:
    from ..torch_converter import Converter, T


# --- the same array ---


@aten(
    "alias",
    "detach",
    "detach_",
    "lift_fresh",
    "lift_fresh_copy",
    "contiguous",
    "clone",
    "_assert_tensor_metadata",
    "lift",
    "positive",
    "resolve_conj",
    "resolve_neg",
    "view_as",
)
def _same(c: Converter, out: Any, a: dict[str, Any]) -> Any:
    return a.get("self", a.get("input", a.get("a")))


@aten("dropout", "feature_dropout", "alpha_dropout", "feature_alpha_dropout", "native_dropout")
def _dropout(c: Converter, out: Any, a: dict[str, Any]) -> Any:
    if a["train"] and a["p"]:
        raise unsupported("a dropout in training mode")
    return a["input"] if hasattr(out, "value") else (a["input"], None)


@aten("_assert_async.msg")
def _nothing(c: Converter, out: Any, a: dict[str, Any]) -> Any:
    return None


# --- views ---


@aten(
    "view",
    "reshape",
    "_unsafe_view",
    "flatten.using_ints",
    "unflatten.int",
    "view_copy",
    "_reshape_alias",
    "unsqueeze",
    "squeeze",
    "squeeze.dim",
    "squeeze.dims",
    "ravel",
)
def _reshape(c: Converter, out: T, a: dict[str, Any]) -> Any:
    return reshaped(c, a["self"], out.shape)


def reshaped(c: Converter, x: T, shape: Any) -> T:
    if tuple(shape) == x.shape:
        return x
    return c.emit("reshape", shape, x.dtype, x=x, shape=list(shape))


def lined(c: Converter, x: T) -> T:
    """x, a number as one element: what torch takes along dimension 0 of it."""
    return x if x.shape else reshaped(c, x, [1])


def flattened(c: Converter, x: T) -> T:
    count: Any = 1
    for n in x.shape:
        count = (
            count * n if isinstance(count, int) and isinstance(n, int) else Size("*", (count, n))
        )
    return reshaped(c, x, [count])


@aten("permute", "permute_copy")
def _permute(c: Converter, out: T, a: dict[str, Any]) -> Any:
    return transposed(c, a["self"], [dim_of(d, a["self"]) for d in a["dims"]])


def transposed(c: Converter, x: T, axes: list[int]) -> T:
    if axes == list(range(len(axes))):
        return x
    return c.emit("transpose", [x.shape[d] for d in axes], x.dtype, x=x, axes=axes)


@aten("transpose.int", "swapaxes", "swapdims", "transpose_copy.int")
def _transpose(c: Converter, out: T, a: dict[str, Any]) -> Any:
    x = a["self"]
    i, j = (dim_of(a[p if p in a else q], x) for p, q in (("dim0", "axis0"), ("dim1", "axis1")))
    axes = list(range(len(x.shape)))
    if axes:
        axes[i], axes[j] = axes[j], axes[i]
    return transposed(c, x, axes)


@aten("t", "numpy_T", "mT", "adjoint", "matrix_H", "t_copy")
def _t(c: Converter, out: T, a: dict[str, Any]) -> Any:
    axes = list(range(len(a["self"].shape)))
    return transposed(c, a["self"], [*axes[:-2], *axes[:-3:-1]])


@aten("movedim.int", "moveaxis.int", "movedim.intlist", "moveaxis.intlist")
def _movedim(c: Converter, out: T, a: dict[str, Any]) -> Any:
    x = a["self"]
    source, target = (dims_of(a[key], x) for key in ("source", "destination"))
    rest = iter([d for d in range(len(x.shape)) if d not in source])
    places = dict(zip(target, source, strict=True))
    return transposed(c, x, [places[d] if d in places else next(rest) for d in range(len(x.shape))])


@aten("expand", "expand_copy", "broadcast_to", "expand_as")
def _expand(c: Converter, out: T, a: dict[str, Any]) -> Any:
    return expanded(c, a["self"], out.shape)


def expanded(c: Converter, x: T, shape: Any) -> T:
    if tuple(shape) == x.shape:
        return x
    return c.emit("expand", shape, x.dtype, x=x, shape=list(shape))


def indexed(c: Converter, x: T, key: list[Any], shape: Any) -> T:
    while key and key[-1] == [None, None, None]:
        key.pop()
    return c.emit("index", shape, x.dtype, x=x, key=key) if key else x


ALL = [None, None, None]


@aten("select.int", "select_copy.int")
def _select(c: Converter, out: T, a: dict[str, Any]) -> Any:
    dim = dim_of(a["dim"], a["self"])
    return indexed(c, a["self"], [ALL] * dim + [a["index"]], out.shape)


@aten("slice.Tensor", "slice_copy.Tensor")
def _slice(c: Converter, out: T, a: dict[str, Any]) -> Any:
    return sliced(
        c, a["self"], dim_of(a["dim"], a["self"]), a["start"], a["end"], a["step"], out.shape
    )


def sliced(c: Converter, x: T, dim: int, start: Any, end: Any, step: Any, shape: Any) -> T:
    key = [start or None, None if isinstance(end, int) and end >= 2**62 else end, step]
    key = [None if key[2] == 1 and i == 2 else k for i, k in enumerate(key)]
    return indexed(c, x, [ALL] * dim + [key], shape)


@aten("narrow")
def _narrow(c: Converter, out: T, a: dict[str, Any]) -> Any:
    start, length = a["start"], a["length"]
    stop = (
        start + length
        if isinstance(start, int) and isinstance(length, int)
        else Size("+", (start, length))
    )
    return sliced(c, a["self"], dim_of(a["dim"], a["self"]), start, stop, 1, out.shape)


@aten(
    "split.Tensor",
    "split_with_sizes",
    "split.sizes",
    "chunk",
    "unsafe_chunk",
    "unsafe_split.Tensor",
    "tensor_split.sections",
    "split_with_sizes_copy",
    "split_copy.Tensor",
)
def _split(c: Converter, out: Any, a: dict[str, Any]) -> Any:
    x, parts = a["self"], []
    at: Any = 0
    dim = dim_of(a["dim"], x)
    for fake in out:
        shape = [c.size(n) for n in fake.shape]
        stop = (
            at + shape[dim]
            if isinstance(shape[dim], int) and isinstance(at, int)
            else Size("+", (at, shape[dim]))
        )
        parts.append(sliced(c, x, dim, at, stop, 1, shape))
        at = stop
    return parts


@aten("unbind.int", "unbind_copy.int")
def _unbind(c: Converter, out: Any, a: dict[str, Any]) -> Any:
    x, dim = a["self"], dim_of(a["dim"], a["self"])
    shape = [n for d, n in enumerate(x.shape) if d != dim]
    return [indexed(c, x, [ALL] * dim + [i], shape) for i in range(len(out))]


@aten("flip")
def _flip(c: Converter, out: T, a: dict[str, Any]) -> Any:
    return c.like("flip", a["self"], x=a["self"], dims=dims_of(a["dims"], a["self"]))


@aten("roll")
def _roll(c: Converter, out: T, a: dict[str, Any]) -> Any:
    x, dims = a["self"], dims_of(a["dims"], a["self"])
    if not dims:
        flat = flattened(c, x)
        flat = c.like("roll", flat, x=flat, shifts=a["shifts"], dims=[0])
        return reshaped(c, flat, x.shape)
    return c.like("roll", x, x=x, shifts=a["shifts"], dims=dims)


@aten("unfold")
def _unfold(c: Converter, out: T, a: dict[str, Any]) -> Any:
    dim = dim_of(a["dimension"], a["self"])
    x, args = lined(c, a["self"]), {"dim": dim, "size": a["size"], "step": a["step"]}
    shape = out.shape if a["self"].shape else [1, *out.shape]
    return reshaped(c, c.emit("unfold", shape, out.dtype, x=x, **args), out.shape)


@aten("diagonal", "diagonal_copy")
def _diagonal(c: Converter, out: T, a: dict[str, Any]) -> Any:
    x = a["self"]
    dims = [dim_of(a["dim1"], x), dim_of(a["dim2"], x)]
    return c.emit("diagonal", out.shape, out.dtype, x=x, offset=a["offset"], dims=dims)
