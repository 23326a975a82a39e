"""ATen's complex numbers: two arrays each, real and imaginary part, and an op for each rounding."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

from .angles import Maker
from .arrays import filled
from .table import ATEN, COMPLEX, Convert, need_float32, on_complex, unsupported
from .views import ALL, expanded, indexed

if TYPE_CHECKING:
    from ..torch_converter import Converter, Pair, T


def pair(re: T, im: T) -> Pair:
    from ..torch_converter import Pair

    return Pair(re, im)


def is_pair(x: Any) -> bool:
    return hasattr(x, "re")


def parts(c: Converter, x: Any, dtype: str) -> tuple[Any, Any]:
    """Real and imaginary part of a tensor or a number; None is an imaginary part of 0."""
    if is_pair(x):
        return x.re, x.im
    if isinstance(x, complex):
        return c.array(x.real, dtype), c.array(x.imag, dtype)
    return c.array(x, dtype), None


def both(c: Converter, x: Any, shape: Any, dtype: str) -> Pair:
    """Any tensor or number as a pair; shape is that of a missing imaginary part."""
    re, im = parts(c, x, dtype)
    return pair(re, filled(c, type(re)(None, tuple(shape), dtype), 0) if im is None else im)


def by_parts(name: str) -> None:
    """An op that is linear in its complex arguments, or only moves numbers: on each part alone."""

    def convert(c: Converter, out: Any, a: dict[str, Any]) -> Any:
        def part(x: Any, which: int) -> Any:
            if isinstance(x, list):
                return [part(item, which) for item in x]
            return x[which] if is_pair(x) else x

        made = []
        for which in (0, 1):
            args = {key: part(value, which) for key, value in a.items()}
            made.append(ATEN[name](c, out[which] if is_pair(out) else out, args))
        if isinstance(made[0], (list, tuple)) and not hasattr(made[0], "value"):
            return [pair(re, im) for re, im in zip(*made, strict=True)]
        return pair(*made)

    COMPLEX[name] = convert


_MOVED = """
    alias detach lift_fresh lift_fresh_copy contiguous clone _assert_tensor_metadata resolve_conj
    resolve_neg view_as view reshape _unsafe_view flatten.using_ints unflatten.int view_copy
    unsqueeze squeeze squeeze.dim squeeze.dims ravel permute permute_copy transpose.int swapaxes
    swapdims t numpy_T mT movedim.int movedim.intlist expand broadcast_to expand_as select.int
    slice.Tensor narrow split.Tensor split_with_sizes chunk unbind.int flip roll unfold diagonal
    repeat repeat_interleave.self_int tril triu index.Tensor index_select gather
    sum sum.dim_IntList mean mean.dim cumsum neg
"""
for _name in _MOVED.split():
    by_parts(f"aten.{_name}" if "." in _name else f"aten.{_name}.default")


# --- to and from real arrays ---


@on_complex("view_as_complex", "view_as_complex_copy")
def _view_as_complex(c: Converter, out: Pair, a: dict[str, Any]) -> Any:
    x = a["self"]
    lead: list[Any] = [ALL] * (len(x.shape) - 1)
    return pair(*(indexed(c, x, [*lead, which], x.shape[:-1]) for which in (0, 1)))


@on_complex("view_as_real", "view_as_real_copy")
def _view_as_real(c: Converter, out: T, a: dict[str, Any]) -> Any:
    z = a["self"]
    return c.emit("stack", out.shape, out.dtype, xs=[z.re, z.im], dim=len(z.shape))


@on_complex("complex")
def _complex(c: Converter, out: Pair, a: dict[str, Any]) -> Any:
    return pair(*(expanded(c, a[key], out.shape) for key in ("real", "imag")))


@on_complex("real")
def _real(c: Converter, out: T, a: dict[str, Any]) -> Any:
    return a["self"].re if is_pair(a["self"]) else a["self"]


@on_complex("imag")
def _imag(c: Converter, out: T, a: dict[str, Any]) -> Any:
    return a["self"].im


@on_complex("polar")
def _polar(c: Converter, out: Pair, a: dict[str, Any]) -> Any:
    need_float32(out, "aten.polar")
    m, angle = Maker(c, out.re), a["angle"]
    turns = (c.like(op, angle, x=angle) for op in ("cos", "sin"))
    return pair(*(m.two("mul", a["abs"], turn) for turn in turns))


@on_complex("to.dtype", "_to_copy", "type_as", "to.other", "to.dtype_layout")
def _cast(c: Converter, out: Any, a: dict[str, Any]) -> Any:
    x = a["self"]
    if not is_pair(out):
        return c.array(x.re, out.dtype)
    z = both(c, x, x.shape, out.dtype)
    return pair(c.array(z.re, out.dtype), c.array(z.im, out.dtype))


@on_complex("cat", "concat", "concatenate", "stack")
def _joined(c: Converter, out: Pair, a: dict[str, Any]) -> Any:
    name = "stack" if len(a["tensors"][0].shape) < len(out.shape) else "cat"
    zs = [both(c, x, x.shape, out.dtype) for x in a["tensors"]]
    join = ATEN[f"aten.{name}.default"]
    return pair(*(join(c, out.re, {"dim": a["dim"], "tensors": list(xs)})
                  for xs in zip(*zs, strict=True)))  # fmt: skip


@on_complex("constant_pad_nd", "pad")
def _pad(c: Converter, out: Pair, a: dict[str, Any]) -> Any:
    value = complex(a.get("value") or 0)
    pad = ATEN["aten.pad.default"]
    args = {"pad": a["pad"], "mode": a.get("mode", "constant")}
    values = zip(a["self"], (value.real, value.imag), strict=True)
    return pair(*(pad(c, out.re, args | {"self": x, "value": v}) for x, v in values))


@on_complex("where.self")
def _where(c: Converter, out: Pair, a: dict[str, Any]) -> Any:
    x, y = (both(c, a[key], getattr(a[key], "shape", ()), out.dtype) for key in ("self", "other"))
    names = ({"a": x[which], "b": y[which]} for which in (0, 1))
    return pair(*(c.like("where", out.re, condition=a["condition"], **name) for name in names))


def _filled(name: str, value: Any) -> None:
    def convert(c: Converter, out: Any, a: dict[str, Any]) -> Any:
        number = complex(a["fill_value"] if value is None else value)
        if not is_pair(out):
            return filled(c, out, number.real)
        return pair(filled(c, out.re, number.real), filled(c, out.im, number.imag))

    on_complex(
        *(f"{prefix}{name}{suffix}" for prefix, suffix in (("", ""), ("", "_like"), ("new_", "")))
    )(convert)


for _name, _value in (("zeros", 0), ("ones", 1), ("full", None)):
    _filled(_name, _value)


# --- arithmetic ---


def _two(c: Converter, out: T, op: str, a: T, b: T) -> T:
    a, b = c.array(a, out.dtype), c.array(b, out.dtype)
    if out.shape not in (a.shape, b.shape):  # a part alone may be smaller than the whole
        a = expanded(c, a, out.shape)
    return c.like(op, out, a=a, b=b)


def _sum(op: str, flipped: bool = False) -> Convert:
    def convert(c: Converter, out: Pair, a: dict[str, Any]) -> Any:
        x, y, alpha = a["self"], a["other"], a.get("alpha", 1)
        if flipped:
            x, y = y, x
        if alpha != 1:
            y = multiplied(c, out, both(c, y, getattr(y, "shape", ()), out.dtype), alpha)
        (xr, xi), (yr, yi) = (parts(c, value, out.dtype) for value in (x, y))
        zero = c.array(0.0, out.dtype)
        im = _two(c, out.im, op, zero if xi is None else xi, zero if yi is None else yi)
        return pair(_two(c, out.re, op, xr, yr), im)

    return convert


on_complex("add.Tensor", "add.Scalar")(_sum("add"))
on_complex("sub.Tensor", "sub.Scalar")(_sum("sub"))
on_complex("rsub.Tensor", "rsub.Scalar")(_sum("sub", flipped=True))


@on_complex("mul.Tensor", "mul.Scalar")
def _mul(c: Converter, out: Pair, a: dict[str, Any]) -> Any:
    return multiplied(c, out, a["self"], a["other"])


def multiplied(c: Converter, out: Pair, x: Any, y: Any) -> Pair:
    """(a + bi)(c + di) = ac - bd + (ad + bc)i, a rounding for each operation."""
    (xr, xi), (yr, yi) = (parts(c, value, out.dtype) for value in (x, y))

    def mul(p: Any, q: Any) -> T:
        return _two(c, out.re, "mul", p, q)

    if xi is None or yi is None:
        real, (re, im) = (xr, (yr, yi)) if xi is None else (yr, (xr, xi))
        return pair(mul(re, real), mul(im, real))
    re = _two(c, out.re, "sub", mul(xr, yr), mul(xi, yi))
    return pair(re, _two(c, out.im, "add", mul(xr, yi), mul(xi, yr)))


def square(c: Converter, z: Pair) -> T:
    """a^2 + b^2"""
    re, im = (c.like("mul", part, a=part, b=part) for part in z)
    return c.like("add", re, a=re, b=im)


def conjugate(c: Converter, z: Pair) -> Pair:
    return pair(z.re, c.like("neg", z.im, x=z.im))


@on_complex("_conj", "conj", "conj_physical", "_conj_physical")
def _conj(c: Converter, out: Pair, a: dict[str, Any]) -> Any:
    return conjugate(c, a["self"]) if is_pair(a["self"]) else a["self"]


@on_complex("_neg_view")  # torch's, for the imaginary part of a conjugate
def _neg(c: Converter, out: Any, a: dict[str, Any]) -> Any:
    x = a["self"]
    if is_pair(x):
        return pair(*(c.like("neg", part, x=part) for part in x))
    return c.like("neg", x, x=x)


@on_complex("div.Tensor", "div.Scalar", "true_divide.Tensor")
def _div(c: Converter, out: Pair, a: dict[str, Any]) -> Any:
    """x conj(y) / |y|^2"""
    (xr, xi), (yr, yi) = (parts(c, a[key], out.dtype) for key in ("self", "other"))
    if yi is None:
        return pair(*(_two(c, out.re, "div", p, yr) for p in (xr, xi)))
    y = pair(yr, yi)
    top = multiplied(c, out, a["self"], conjugate(c, y))
    size = square(c, y)
    return pair(*(_two(c, out.re, "div", p, size) for p in top))


@on_complex("reciprocal")
def _reciprocal(c: Converter, out: Pair, a: dict[str, Any]) -> Any:
    return _div(c, out, {"self": 1.0, "other": a["self"]})


@on_complex("pow.Tensor_Scalar", "square")
def _pow(c: Converter, out: Pair, a: dict[str, Any]) -> Any:
    if a.get("exponent", 2) != 2:
        raise unsupported("powers of complex numbers other than squares")
    return multiplied(c, out, a["self"], a["self"])


@on_complex("abs")
def _abs(c: Converter, out: T, a: dict[str, Any]) -> Any:
    size = square(c, a["self"])
    return c.like("sqrt", size, x=size)


@on_complex("angle")
def _angle(c: Converter, out: T, a: dict[str, Any]) -> Any:
    z = a["self"]
    if not is_pair(z):
        raise unsupported("aten.angle of real numbers")
    need_float32(out, "aten.angle")
    return Maker(c, out).two("atan2", z.im, z.re)


@on_complex("exp")
def _exp(c: Converter, out: Pair, a: dict[str, Any]) -> Any:
    need_float32(out, "aten.exp")
    z, m = a["self"], Maker(c, out.re)
    size = m.one("exp", z.re)
    return pair(*(m.two("mul", size, m.one(op, z.im)) for op in ("cos", "sin")))


# --- products of matrices ---


def _product(name: str, first: str, second: str) -> None:

    def convert(c: Converter, out: Pair, a: dict[str, Any]) -> Any:
        (xr, xi), (yr, yi) = (parts(c, a[key], out.dtype) for key in (first, second))

        def mul(p: Any, q: Any) -> Any:
            args = {first: p, second: q, "bias": None}
            return ATEN[f"aten.{name}.default"](c, out.re, args)

        if a.get("bias") is not None:
            raise unsupported("a linear of complex numbers with a bias")
        if xi is None or yi is None:
            return pair(mul(xr, yr), mul(xr, yi) if xi is None else mul(xi, yr))
        re = _two(c, out.re, "sub", mul(xr, yr), mul(xi, yi))
        return pair(re, _two(c, out.im, "add", mul(xr, yi), mul(xi, yr)))

    on_complex(name)(convert)


for _name, _first, _second in (
    ("mm", "self", "mat2"), ("bmm", "self", "mat2"), ("matmul", "self", "other"),
    ("mv", "self", "vec"), ("dot", "self", "tensor"), ("linear", "input", "weight"),
):  # fmt: skip
    _product(_name, _first, _second)
