"""ATen's short-time Fourier transforms, there and back, and the windows for them.

There: a convolution whose kernels are cosines and sines times the window. Back: the transposed
convolution, over the sum of the squared windows. Longer than MOST, frame by frame.
"""

from __future__ import annotations

import math
from typing import TYPE_CHECKING, Any

import numpy as np
import torch

from ..ir import Size
from .arrays import filled
from .complex_numbers import pair
from .fourier import MOST, forward_matrix, moved, real_matrix, real_transform, transform
from .products import PLAIN
from .table import aten, need_float32, on_complex, unsupported
from .views import ALL, indexed, reshaped

if TYPE_CHECKING:
    from ..torch_converter import Converter, Pair, T

_PLAIN = PLAIN | {"bias": None, "padding": [0], "dilation": [1], "groups": 1}


def _maker(name: str) -> None:
    make = getattr(torch, name)

    def convert(c: Converter, out: T, a: dict[str, Any]) -> Any:
        args = {key: a[key] for key in ("periodic", "alpha", "beta") if key in a}
        return c.put(make(a["window_length"], **args, dtype=getattr(torch, out.dtype)), name)

    suffixes = ("", ".periodic", ".periodic_alpha", ".periodic_alpha_beta", ".beta")
    aten(*(f"{name}{suffix}" for suffix in suffixes))(convert)


for _name in ("hann_window", "hamming_window", "blackman_window", "bartlett_window",
              "kaiser_window"):  # fmt: skip
    _maker(_name)
for _name in ("rfftfreq", "fftfreq"):

    def _frequencies(c: Converter, out: T, a: dict[str, Any], name: str = _name) -> Any:
        dtype = getattr(torch, out.dtype)
        return c.put(getattr(torch.fft, name)(a["n"], a["d"], dtype=dtype), name)

    aten(f"fft_{_name}")(_frequencies)


def _window(c: Converter, a: dict[str, Any]) -> Any:
    """n_fft numbers in double, a shorter window in the middle; or the T of what is computed."""
    n, window = a["n_fft"], a["window"]
    width = n if a["win_length"] is None else a["win_length"]
    if window is None:
        numbers = np.ones(width)
    elif c.is_constant(window):
        numbers = c.graph.constants[window.value.name].astype(np.float64)
    else:
        if width != n:
            raise unsupported("a window that is computed, and shorter than its transform")
        return window
    left = (n - width) // 2
    return np.pad(numbers, (left, n - width - left))


def _hop(a: dict[str, Any]) -> int:
    return a["n_fft"] // 4 if a["hop_length"] is None else int(a["hop_length"])


@on_complex("stft")
def _stft(c: Converter, out: Any, a: dict[str, Any]) -> Any:
    x, n = a["self"], a["n_fft"]
    need_float32(x, "aten.stft")
    if hasattr(x, "re") or a["align_to_window"]:
        raise unsupported("aten.stft of complex numbers, or aligned to its window")
    bins = n if a["onesided"] is False else n // 2 + 1
    scale = 1 / math.sqrt(n) if a["normalized"] else 1.0
    window = _window(c, a)
    shape = out.shape if hasattr(out, "re") else out.shape[:-1]
    if n <= MOST and not hasattr(window, "value"):
        z = _by_convolution(
            c, x, forward_matrix(n, bins, -1, scale, False) * window, _hop(a), shape
        )
    else:
        frames = (*shape[:-2], shape[-1], n)
        y = c.emit("unfold", frames, "float32", x=x, dim=len(x.shape) - 1, size=n, step=_hop(a))
        y = c.like("mul", y, a=y, b=c.array(window, "float32"))
        last = len(shape) - 1
        z = moved(c, transform(c, y, -1, scale, bins), last, last - 1)
    if hasattr(out, "re"):
        return z
    return c.emit("stack", out.shape, "float32", xs=[z.re, z.im], dim=len(shape))


def _by_convolution(c: Converter, x: T, matrix: Any, hop: int, shape: Any) -> Pair:
    batch = list(shape[:-2]) or [1]
    x = reshaped(c, x, (*batch, 1, x.shape[-1]))
    weight = c.constant(matrix[:, None].astype(np.float32), "stft")
    whole = (*batch, weight.shape[0], shape[-1])
    y = c.emit("conv", whole, "float32", x=x, weight=weight, stride=[hop], **_PLAIN)
    bins = shape[-2]
    halves = (
        indexed(c, y, [ALL, [at, at + bins, None]], (*batch, bins, shape[-1])) for at in (0, bins)
    )
    return pair(*(reshaped(c, half, shape) for half in halves))


@on_complex("istft")
def _istft(c: Converter, out: T, a: dict[str, Any]) -> Any:
    z, n, hop = a["self"], a["n_fft"], _hop(a)
    need_float32(z, "aten.istft")
    window = _window(c, a)
    whole = a["onesided"] is False or z.shape[-2] != n // 2 + 1
    if whole or hasattr(out, "re") or hasattr(window, "value"):
        raise unsupported("aten.istft of two sides, to complex numbers, or by a computed window")
    batch, count = list(z.shape[:-2]) or [1], z.shape[-1]
    z = pair(*(reshaped(c, p, (*batch, *z.shape[-2:])) for p in z))
    scale = math.sqrt(n) / n if a["normalized"] else 1 / n
    length: Any = Size("+", (Size("*", (Size("+", (count, -1)), hop)), n))
    if isinstance(count, int):
        length = (count - 1) * hop + n
    total = _added(c, z, scale, window, hop, (*batch, 1, length))
    ones = filled(c, type(total)(None, (1, 1, count), "float32"), 1.0)
    squares = c.constant((window**2)[None, None].astype(np.float32), "istft.window")
    envelope = _transposed(c, ones, squares, hop, (1, 1, length))
    start = n // 2 if a["center"] else 0
    stop = _stop(a, start, n, out)
    y, e = (
        indexed(c, p, [ALL, ALL, [start, stop, None]], (*p.shape[:-1], out.shape[-1]))
        for p in (total, envelope)
    )
    return reshaped(c, c.like("div", y, a=y, b=e), out.shape)


def _stop(a: dict[str, Any], start: int, n: int, out: T) -> Any:
    if a["length"] is None:
        return -(n // 2) if a["center"] else None
    end = out.shape[-1]
    return start + end if isinstance(end, int) else Size("+", (start, end))


def _added(c: Converter, z: Pair, scale: float, window: Any, hop: int, shape: Any) -> T:
    """(batch, 1, length): frames times their window, added where they overlap."""
    n = len(window)
    if n % hop:
        if n > MOST:
            raise unsupported(f"aten.istft of {n} with steps of {hop}, not a part of it")
        both = (*z.shape[:-2], 2 * (n // 2 + 1), z.shape[-1])
        x = c.emit("cat", both, "float32", xs=[z.re, z.im], dim=1)
        kernel = real_matrix(n, scale) * window[:, None]
        weight = c.constant(kernel.T[:, None].astype(np.float32), "istft")
        return _transposed(c, x, weight, hop, shape)
    y = real_transform(c, moved(c, z, 2, 1), n, scale)
    y = c.like("mul", y, a=y, b=c.constant(window.astype(np.float32), "istft.window"))
    rows, steps = y.shape[1], n // hop
    parts = []
    for step in range(steps):  # what each frame adds step hops behind its start
        part = indexed(c, y, [ALL, ALL, [step * hop, (step + 1) * hop, None]], (*y.shape[:-1], hop))
        wide = (*y.shape[:1], Size("+", (rows, steps - 1)), hop)
        args = {"pad": [0, 0, step, steps - 1 - step], "mode": "constant", "value": 0}
        parts.append(c.emit("pad", wide, "float32", x=part, **args))
    total = parts[0]
    for part in parts[1:]:
        total = c.like("add", total, a=total, b=part)
    return reshaped(c, total, shape)


def _transposed(c: Converter, x: T, weight: T, hop: int, shape: Any) -> T:
    args = {"weight": weight, "stride": [hop], "output_padding": [0]}
    return c.emit("conv_transpose", shape, "float32", x=x, **args, **_PLAIN)
