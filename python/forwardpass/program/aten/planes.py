"""ATen's pooling and resizing."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

from .convolutions import numbers
from .table import aten

if TYPE_CHECKING:
    from ..torch_converter import Converter, T


# --- pooling, resizing ---


def _avg(dims: int) -> Any:
    def convert(c: Converter, out: T, a: dict[str, Any]) -> Any:
        stride = a["stride"] or a["kernel_size"]
        args = {"kernel": a["kernel_size"], "stride": stride, "padding": a["padding"]}
        args = {key: numbers(value, dims) for key, value in args.items()}
        args |= {"ceil": a["ceil_mode"], "count_padding": a["count_include_pad"]}
        divisor = a.get("divisor_override")
        return c.emit("avg_pool", out.shape, out.dtype, x=a["self"], divisor=divisor, **args)

    return convert


aten("avg_pool1d")(_avg(1))
aten("avg_pool2d")(_avg(2))


def _max(dims: int) -> Any:
    def convert(c: Converter, out: Any, a: dict[str, Any]) -> Any:
        several = not hasattr(out, "value")
        y = c.tensor(None, out[0]) if several else out
        stride = a["stride"] or a["kernel_size"]
        args = {"kernel": a["kernel_size"], "stride": stride, "padding": a["padding"]}
        args = {key: numbers(value, dims) for key, value in args.items()}
        args |= {"dilation": numbers(a["dilation"], dims), "ceil": a["ceil_mode"]}
        pooled = c.emit("max_pool", y.shape, y.dtype, x=a["self"], **args)
        if not several:
            return pooled
        return pooled, c.emit("max_pool_indices", y.shape, "int64", x=a["self"], **args)

    return convert


aten("max_pool1d", "max_pool1d_with_indices")(_max(1))
aten("max_pool2d", "max_pool2d_with_indices")(_max(2))


def _adaptive(dims: int, largest: bool) -> Any:
    def convert(c: Converter, out: Any, a: dict[str, Any]) -> Any:
        several = not hasattr(out, "value")
        y = c.tensor(None, out[0]) if several else out
        size = [y.shape[-dims:][i] for i in range(dims)]
        args = {"size": size, "largest": largest}
        pooled = c.emit("adaptive_pool", y.shape, y.dtype, x=a["self"], **args)
        if not several:
            return pooled
        return pooled, c.emit("adaptive_pool_indices", y.shape, "int64", x=a["self"], size=size)

    return convert


aten("adaptive_avg_pool1d")(_adaptive(1, False))
aten("adaptive_avg_pool2d", "_adaptive_avg_pool2d")(_adaptive(2, False))
aten("adaptive_max_pool1d")(_adaptive(1, True))
aten("adaptive_max_pool2d")(_adaptive(2, True))


def _resize(mode: str) -> Any:
    def convert(c: Converter, out: T, a: dict[str, Any]) -> Any:
        import numpy as np

        dims = len(out.shape) - 2
        factors = a.get("scale_factors", a.get("scales"))
        if factors is None and a.get("scales_h") is not None:
            factors = [a["scales_h"], a["scales_w"]]
        given = None
        if factors is not None:
            factors = factors if isinstance(factors, list) else [factors]
            given = c.constant(np.array(factors, np.float64))
        args = {"x": a.get("self", a.get("input")), "mode": mode, "factors": given}
        args |= {"size": list(out.shape[-dims:])}
        align = bool(a.get("align_corners", False))
        return c.emit("resize", out.shape, out.dtype, align_corners=align, **args)

    return convert


for _name, _dims in (("nearest", 1), ("nearest", 2), ("linear", 1), ("bilinear", 2)):
    _key = f"upsample_{_name}{_dims}d"
    aten(_key, f"{_key}.vec")(_resize(_name))
for _dims in (1, 2):
    _key = f"_upsample_nearest_exact{_dims}d"
    aten(_key, f"{_key}.vec")(_resize("nearest-exact"))


@aten("pixel_shuffle")
def _pixel_shuffle(c: Converter, out: T, a: dict[str, Any]) -> Any:
    return c.emit("pixel_shuffle", out.shape, out.dtype, x=a["self"], factor=a["upscale_factor"])
