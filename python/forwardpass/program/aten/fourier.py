"""ATen's Fourier transforms, as products with matrices of cosines and sines.

A matrix is made in double and rounded once, so a transform has the contract of `linear`. Lengths
beyond MOST are split: n = a b, transforms of a, a rotation of each number, transforms of b.
"""

from __future__ import annotations

import math
from typing import TYPE_CHECKING, Any

import numpy as np

from .complex_numbers import both, conjugate, is_pair, multiplied, pair
from .products import PLAIN
from .table import dim_of, need_float32, on_complex, unsupported
from .views import ALL, indexed, reshaped, transposed

if TYPE_CHECKING:
    from ..torch_converter import Converter, Pair, T

MOST = 512  # of one matrix


def turns(rows: int, columns: int, n: int) -> tuple[Any, Any]:
    """cos and sin of 2 pi j k / n, in double; 0 where it is 0."""
    products = np.outer(np.arange(rows), np.arange(columns)) % n
    turn = products * (2 * math.pi / n)
    cos = np.where((4 * products % n == 0) & (2 * products % n != 0), 0.0, np.cos(turn))
    return cos, np.where(2 * products % n == 0, 0.0, np.sin(turn))


def forward_matrix(n: int, bins: int, sign: int, scale: float, complex_input: bool) -> Any:
    """(2 bins, n or 2 n): real parts, then imaginary parts, of the first bins."""
    cos, sin = turns(bins, n, n)
    cos, sin = cos * scale, sin * (sign * scale) + 0.0  # no -0
    rows = [np.hstack([cos, -sin]), np.hstack([sin, cos])] if complex_input else [cos, sin]
    return np.vstack(rows)


def real_matrix(n: int, scale: float) -> Any:
    """(n, 2 bins): n real numbers from the first half of their transform, backwards."""
    cos, sin = turns(n, n // 2 + 1, n)
    weight = np.full(n // 2 + 1, 2.0 * scale)
    weight[0] = scale
    if n % 2 == 0:
        weight[-1] = scale
    return np.hstack([cos * weight, -sin * weight])


def length_of(x: Any, dim: int) -> int:
    n = x.shape[dim]
    if not isinstance(n, int):
        raise unsupported("a Fourier transform along a size that varies")
    if n == 0:
        raise unsupported("a Fourier transform of nothing")
    return n


def product(c: Converter, x: T, matrix: Any, name: str) -> T:
    weight = c.shared(matrix.astype(np.float32), name)
    shape = (*x.shape[:-1], weight.shape[0])
    return c.emit("linear", shape, "float32", x=x, weight=weight, bias=None, **PLAIN)


def joined(c: Converter, z: Pair) -> T:
    """Real parts, then imaginary parts, along the last dimension."""
    shape = (*z.shape[:-1], 2 * z.shape[-1])
    return c.emit("cat", shape, "float32", xs=[z.re, z.im], dim=len(shape) - 1)


def parted(c: Converter, y: T) -> Pair:
    n = y.shape[-1] // 2
    return pair(*(cut(c, y, len(y.shape) - 1, at, at + n) for at in (0, n)))


def cut(c: Converter, x: T, dim: int, start: Any, stop: Any) -> T:
    shape = (*x.shape[:dim], stop - start, *x.shape[dim + 1 :])
    return indexed(c, x, [ALL] * dim + [[start, stop, None]], shape)


def moved(c: Converter, x: Any, source: int, target: int) -> Any:
    axes = list(range(len(x.shape)))
    axes.insert(target, axes.pop(source))
    return pair(*(transposed(c, p, axes) for p in x)) if is_pair(x) else transposed(c, x, axes)


def factor(n: int) -> int:
    """The factor of n nearest to its root; 1 where there is none."""
    return next((a for a in range(math.isqrt(n), 1, -1) if n % a == 0), 1)


def transform(c: Converter, x: Any, sign: int, scale: float, bins: int | None = None) -> Pair:
    """Along the last dimension; sign -1 is forward; of a real x, or a pair, the first bins."""
    n = length_of(x, -1)
    need_float32(x, "a Fourier transform")
    count = n if bins is None else bins
    if n <= MOST:
        matrix = forward_matrix(n, count, sign, scale, is_pair(x))
        name = f"fourier.{n}.{count}.{'complex' if is_pair(x) else 'real'}.{sign}.{scale:.6g}"
        return parted(c, product(c, joined(c, x) if is_pair(x) else x, matrix, name))
    if factor(n) == 1:
        raise unsupported(
            f"a Fourier transform of {n} numbers, which has no factors to split it by"
        )
    z = split_transform(c, x, sign, scale, factor(n))
    if count == n:
        return z
    return pair(*(cut(c, part, len(part.shape) - 1, 0, count) for part in z))


def split_transform(c: Converter, x: Any, sign: int, scale: float, a: int) -> Pair:
    """t = b i + j and k = p + a q: over i, rotated by j p / n, over j."""
    lead, n = x.shape[:-1], x.shape[-1]
    b, d = n // a, len(x.shape) - 1

    def shaped(z: Any, shape: Any) -> Any:
        return pair(*(reshaped(c, p, shape) for p in z)) if is_pair(z) else reshaped(c, z, shape)

    z = transform(c, moved(c, shaped(x, (*lead, a, b)), d, d + 1), sign, scale)  # (j, p)
    cos, sin = turns(b, a, n)
    rotation = pair(
        c.shared(cos.astype(np.float32), f"rotation.{n}.{a}.real"),
        c.shared((sign * sin).astype(np.float32), f"rotation.{n}.{a}.imag.{sign}"),
    )
    z = multiplied(c, z, z, rotation)
    z = transform(c, moved(c, z, d + 1, d), sign, 1.0)  # (p, q)
    return pair(*shaped(moved(c, z, d, d + 1), (*lead, n)))


def real_transform(c: Converter, z: Pair, n: int, scale: float) -> T:
    """Backwards, along the last dimension, to n real numbers from their first bins."""
    need_float32(z, "a Fourier transform")
    d, bins = len(z.shape) - 1, n // 2 + 1
    if z.shape[-1] != bins:
        raise unsupported(f"a transform to {n} real numbers of {z.shape[-1]} and not {bins}")
    if n <= MOST:
        return product(c, joined(c, z), real_matrix(n, scale), f"fourier.{n}.back.{scale:.6g}")
    rest = pair(*(cut(c, p, d, 1, n - bins + 1) for p in z))
    mirrored = conjugate(c, pair(*(c.like("flip", p, x=p, dims=[d]) for p in rest)))
    shape = (*z.shape[:-1], n)
    whole = (
        c.emit("cat", shape, "float32", xs=[p, q], dim=d) for p, q in zip(z, mirrored, strict=True)
    )
    return transform(c, pair(*whole), 1, scale).re


def scale_of(x: Any, dims: list[int], normalization: int, sizes: dict[int, int]) -> float:
    """torch's numbers: 0 as it is, 1 by the root of the count, 2 by the count."""
    count = math.prod(sizes.get(d, length_of(x, d)) for d in dims)
    return (1.0, 1 / math.sqrt(count), 1 / count)[normalization]


def along(c: Converter, x: Any, dims: list[int], sign: int, scale: float) -> Any:
    """Transforms along several dimensions, one after the other."""
    for number, dim in enumerate(dims):
        last = len(x.shape) - 1
        z = transform(c, moved(c, x, dim, last), sign, 1.0 if number else scale)
        x = moved(c, z, last, dim)
    return x


@on_complex("_fft_r2c")
def _r2c(c: Converter, out: Pair, a: dict[str, Any]) -> Any:
    x, dims = a["self"], [dim_of(d, a["self"]) for d in a["dim"]]
    last, scale = len(x.shape) - 1, scale_of(x, dims, a["normalization"], {})
    bins = length_of(x, dims[-1]) // 2 + 1 if a["onesided"] else None
    z = moved(c, transform(c, moved(c, x, dims[-1], last), -1, scale, bins), last, dims[-1])
    return along(c, z, dims[:-1], -1, 1.0)


@on_complex("_fft_c2c")
def _c2c(c: Converter, out: Pair, a: dict[str, Any]) -> Any:
    x, dims = a["self"], [dim_of(d, a["self"]) for d in a["dim"]]
    scale = scale_of(x, dims, a["normalization"], {})
    return along(c, both(c, x, x.shape, out.dtype), dims, -1 if a["forward"] else 1, scale)


@on_complex("_fft_c2r")
def _c2r(c: Converter, out: T, a: dict[str, Any]) -> Any:
    x, dims, n = a["self"], [dim_of(d, a["self"]) for d in a["dim"]], a["last_dim_size"]
    if not isinstance(n, int):
        raise unsupported("a Fourier transform along a size that varies")
    scale, last = scale_of(x, dims, a["normalization"], {dims[-1]: n}), len(x.shape) - 1
    z = along(c, x, dims[:-1], 1, 1.0)
    return moved(c, real_transform(c, moved(c, z, dims[-1], last), n, scale), last, dims[-1])
