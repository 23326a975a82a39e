"""What each ATen op becomes: functions (converter, result, arguments by torch's names) -> value.

`out` is the result's T without a value (shape and dtype), or a tuple of torch's fakes. Layers are
in torch_layers.py.
"""

from __future__ import annotations

import math
from collections.abc import Callable
from typing import TYPE_CHECKING, Any

import numpy as np

from .ir import Size

if TYPE_CHECKING:
    from .torch_import import Converter, T

Convert = Callable[["Converter", Any, "dict[str, Any]"], Any]
ATEN: dict[str, Convert] = {}


def aten(*names: str) -> Callable[[Convert], Convert]:
    """Puts a function into the table under these names, "add.Tensor" and its like."""

    def put(convert: Convert) -> Convert:
        for name in names:
            ATEN[f"aten.{name}" if "." in name else f"aten.{name}.default"] = convert
        return convert

    return put


def unsupported(text: str) -> Exception:
    from .torch_import import UnsupportedError

    return UnsupportedError(text)


def is_float(x: Any) -> bool:
    return bool(x.dtype.startswith("float"))


def need_float32(x: Any, what: str) -> None:
    if x.dtype == "float64":
        raise unsupported(f"{what} in float64")


def dim_of(dim: int, x: Any) -> int:
    return dim % len(x.shape) if x.shape else 0


def dims_of(dims: Any, x: Any) -> list[int]:
    """dim as torch's reductions take it; [] is all."""
    if dims is None:
        return []
    return [dim_of(d, x) for d in (dims if isinstance(dims, list) else [dims])]


# --- the same array ---


@aten(
    "alias",
    "detach",
    "detach_",
    "lift_fresh",
    "lift_fresh_copy",
    "dropout",
    "contiguous",
    "dropout_",
    "feature_dropout",
    "alpha_dropout",
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


@aten("native_dropout")
def _native_dropout(c: Converter, out: Any, a: dict[str, Any]) -> Any:
    return a["input"], None


@aten("sym_constrain_range_for_size", "_assert_async.msg", "_assert_scalar", "sym_constrain_range")
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
        flat = c.emit("reshape", [-1], x.dtype, x=x, shape=[-1])
        flat = c.like("roll", flat, x=flat, shifts=a["shifts"], dims=[0])
        return c.like("reshape", x, x=flat, shape=list(x.shape))
    return c.like("roll", x, x=x, shifts=a["shifts"], dims=dims)


@aten("unfold")
def _unfold(c: Converter, out: T, a: dict[str, Any]) -> Any:
    dim = dim_of(a["dimension"], a["self"])
    return c.emit(
        "unfold", out.shape, out.dtype, x=a["self"], dim=dim, size=a["size"], step=a["step"]
    )


# --- joins, copies, new arrays ---


@aten("cat", "concat", "concatenate")
def _cat(c: Converter, out: T, a: dict[str, Any]) -> Any:
    xs = [x for x in a["tensors"] if x.shape != (0,)]  # torch skips those
    if len(xs) == 1:
        return xs[0]
    xs = [c.array(x, out.dtype) for x in xs]
    return c.emit("cat", out.shape, out.dtype, xs=xs, dim=dim_of(a["dim"], out))


@aten("stack")
def _stack(c: Converter, out: T, a: dict[str, Any]) -> Any:
    xs = [c.array(x, out.dtype) for x in a["tensors"]]
    return c.emit("stack", out.shape, out.dtype, xs=xs, dim=dim_of(a["dim"], out))


@aten("repeat", "tile")
def _repeat(c: Converter, out: T, a: dict[str, Any]) -> Any:
    times = a["repeats"] if "repeats" in a else a["dims"]
    if all(t == 1 for t in times):
        return reshaped(c, a["self"], out.shape)
    return c.emit("repeat", out.shape, out.dtype, x=a["self"], times=times)


@aten("repeat_interleave.self_int")
def _repeat_each(c: Converter, out: T, a: dict[str, Any]) -> Any:
    x, dim = a["self"], a["dim"]
    if dim is None:
        x, dim = c.emit("reshape", [-1], x.dtype, x=x, shape=[-1]), 0
    dim = dim_of(dim, x)
    return c.emit("repeat_each", out.shape, out.dtype, x=x, times=a["repeats"], dim=dim)


def _padding(mode: str) -> Convert:
    def pad(c: Converter, out: T, a: dict[str, Any]) -> Any:
        kind = mode or a["mode"]
        widths = a.get("pad", a.get("padding"))
        value = a.get("value") or 0
        return c.emit("pad", out.shape, out.dtype, x=a["self"], pad=widths, mode=kind, value=value)

    return pad


aten("constant_pad_nd")(_padding("constant"))
aten("pad")(_padding(""))
aten("reflection_pad1d", "reflection_pad2d")(_padding("reflect"))
aten("replication_pad1d", "replication_pad2d")(_padding("replicate"))


def filled(c: Converter, out: T, value: Any) -> T:
    fixed = all(isinstance(n, int) for n in out.shape) and not isinstance(value, Size)
    if fixed and math.prod(out.shape) <= 1:
        return c.constant(np.full(out.shape, value, out.dtype))
    return c.emit("full", out.shape, out.dtype, shape=list(out.shape), value=value, dtype=out.dtype)


@aten("full", "full_like", "new_full", "scalar_tensor", "fill.Scalar")
def _full(c: Converter, out: T, a: dict[str, Any]) -> Any:
    value = a.get("fill_value", a.get("value", a.get("s")))
    return filled(c, out, value)


@aten("zeros", "zeros_like", "new_zeros", "zero", "empty.memory_format", "empty_like", "new_empty")
def _zeros(c: Converter, out: T, a: dict[str, Any]) -> Any:
    return filled(c, out, False if out.dtype == "bool" else 0)


@aten("ones", "ones_like", "new_ones")
def _ones(c: Converter, out: T, a: dict[str, Any]) -> Any:
    return filled(c, out, True if out.dtype == "bool" else 1)


@aten("arange", "arange.start", "arange.start_step")
def _arange(c: Converter, out: T, a: dict[str, Any]) -> Any:
    start, step = a.get("start", 0), a.get("step", 1)
    return c.emit(
        "arange", out.shape, out.dtype, start=start, stop=a["end"], step=step, dtype=out.dtype
    )


def _triangle(upper: bool) -> Convert:
    def convert(c: Converter, out: T, a: dict[str, Any]) -> Any:
        return c.like("triangle", out, x=a["self"], diagonal=a["diagonal"], upper=upper)

    return convert


aten("tril")(_triangle(False))
aten("triu")(_triangle(True))


@aten(
    "to.dtype",
    "to.dtype_layout",
    "_to_copy",
    "type_as",
    "to.device",
    "to.other",
    "to",
    "prims.convert_element_type",
)
def _cast(c: Converter, out: T, a: dict[str, Any]) -> Any:
    return c.array(a["self"], out.dtype)


ATEN["prims.convert_element_type.default"] = lambda c, out, a: c.array(a["a"], out.dtype)


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
    if a["accumulate"]:
        raise unsupported("aten.index_put.default with accumulate=True")
    masks = [index for index in a["indices"] if index is not None]
    values = c.array(a["values"], out.dtype)
    if len(masks) == 1 and masks[0].dtype == "bool" and values.shape in ((), (1,)):
        mask = masks[0]
        more = len(out.shape) - len(mask.shape)
        mask = reshaped(c, mask, [*mask.shape, *[1] * more])
        return c.like("where", out, condition=mask, a=reshaped(c, values, []), b=a["self"])
    dims, indices = _indices(c, a)
    return c.like("put", out, x=a["self"], indices=indices, dims=dims, values=values)


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


@aten("copy")
def _copy(c: Converter, out: T, a: dict[str, Any]) -> Any:
    return expanded(c, c.array(a["src"], out.dtype), out.shape)


@aten("gather")
def _gather(c: Converter, out: T, a: dict[str, Any]) -> Any:
    dim = dim_of(a["dim"], a["self"])
    return c.emit("gather", out.shape, out.dtype, x=a["self"], index=a["index"], dim=dim)


@aten("index_select")
def _take(c: Converter, out: T, a: dict[str, Any]) -> Any:
    dim = dim_of(a["dim"], a["self"])
    return c.emit("take", out.shape, out.dtype, x=a["self"], index=a["index"], dim=dim)


from . import torch_arithmetic, torch_layers  # noqa: E402, F401  (they fill the table)
