"""ATen's convolutions."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

from ..ir import Size
from .products import PLAIN
from .table import aten, need_float32, unsupported

if TYPE_CHECKING:
    from ..torch_converter import Converter, T


def _plus(size: Any, n: int) -> Any:
    return size + n if isinstance(size, int) else Size("+", (size, n))


def numbers(value: Any, dims: int) -> list[Any]:
    values: list[Any] = value if isinstance(value, list) else [value]
    return values * dims if len(values) == 1 else values


@aten(
    "conv1d",
    "conv2d",
    "conv1d.padding",
    "conv2d.padding",
    "conv3d",
    "conv3d.padding",
    "convolution",
    "conv_transpose1d",
    "conv_transpose2d.input",
    "_convolution",
)
def _conv(c: Converter, out: T, a: dict[str, Any]) -> Any:
    need_float32(out, "a convolution")
    x, weight = a["input"], a["weight"]
    dims = len(weight.shape) - 2
    whole = dims == 3 and not a.get("transposed", "output_padding" in a)
    if dims not in (1, 2) and not whole:
        from .volumes import spread

        return spread(c, out, a)
    stride, dilation = numbers(a["stride"], dims), numbers(a["dilation"], dims)
    padding = a["padding"]
    if isinstance(padding, str):
        total = [d * (k - 1) for d, k in zip(dilation, weight.shape[2:], strict=True)]
        if padding == "same" and any(n % 2 for n in total):
            widths = [w for n in reversed(total) for w in (n // 2, n - n // 2)]
            sizes = zip(x.shape[-dims:], total, strict=True)
            shape = [*x.shape[:-dims], *(_plus(size, n) for size, n in sizes)]
            x = c.emit("pad", shape, x.dtype, x=x, pad=widths, mode="constant", value=0)
            padding = 0
        else:
            padding = [n // 2 for n in total] if padding == "same" else 0
    padding = numbers(padding, dims)
    args = {"x": x, "weight": weight, "bias": a["bias"], "stride": stride, "padding": padding}
    args |= {"dilation": dilation, "groups": a["groups"]}
    if whole:
        if not c.is_constant(weight):
            raise unsupported("a convolution of 3 dimensions whose weight is computed")
        return c.emit("conv3d", out.shape, out.dtype, **args)
    args |= PLAIN
    if a.get("transposed", "output_padding" in a):
        args["output_padding"] = numbers(a["output_padding"], dims)
        return c.emit("conv_transpose", out.shape, out.dtype, **args)
    return c.emit("conv", out.shape, out.dtype, **args)
