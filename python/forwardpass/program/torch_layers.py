"""ATen's layers: products, convolutions, norms, attention, pooling; see torch_ops.py."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

from .torch_ops import ATEN, aten, dim_of, need_float32, transposed, unsupported

if TYPE_CHECKING:
    from .torch_import import Converter, T

_PLAIN = {"activation": None, "slope": 0.01, "residual": None}


def turned(c: Converter, x: T) -> T:
    """The transpose of a matrix; of a constant, a constant."""
    if c.is_constant(x):
        name = f"{x.value.name}.T"
        if name in c.graph.constants:
            shape = c.graph.constants[name].shape
            return type(x)(type(x.value)(name), shape, x.dtype)
        return c.constant(c.graph.constants[x.value.name].T.copy(), name)
    return transposed(c, x, [1, 0])


@aten("linear")
def _linear(c: Converter, out: T, a: dict[str, Any]) -> Any:
    return linear(c, out, a["input"], a["weight"], a["bias"])


def linear(c: Converter, out: T, x: T, weight: T, bias: T | None) -> T:
    need_float32(out, "aten.linear")
    if len(weight.shape) != 2 or len(x.shape) == 0:
        raise unsupported("aten.linear.default with a weight of one dimension")
    return c.emit("linear", out.shape, out.dtype, x=x, weight=weight, bias=bias, **_PLAIN)


@aten("addmm")
def _addmm(c: Converter, out: T, a: dict[str, Any]) -> Any:
    bias = a["self"]
    if a["beta"] == a["alpha"] == 1 and len(bias.shape) == 1 and bias.shape[0] == out.shape[1]:
        return linear(c, out, a["mat1"], turned(c, a["mat2"]), bias)
    y = product(c, out, a["mat1"], a["mat2"])
    return _scaled_sum(c, out, y, a)


def _scaled_sum(c: Converter, out: T, y: T, a: dict[str, Any]) -> T:
    """beta self + alpha y"""
    x = a["self"]
    if a["alpha"] != 1:
        y = c.like("mul", y, a=y, b=c.array(a["alpha"], out.dtype))
    if a["beta"] != 1:
        x = c.like("mul", x, a=x, b=c.array(a["beta"], out.dtype))
    return c.emit("add", out.shape, out.dtype, a=x, b=y)


@aten("baddbmm")
def _baddbmm(c: Converter, out: T, a: dict[str, Any]) -> Any:
    return _scaled_sum(c, out, product(c, out, a["batch1"], a["batch2"]), a)


def product(c: Converter, out: T, x: T, y: T) -> T:
    need_float32(out, "aten.matmul")
    if c.is_constant(y) and len(y.shape) == 2:
        return linear(c, out, x, turned(c, y), None)
    return c.emit("matmul", out.shape, out.dtype, a=x, b=y)


@aten("mm", "bmm", "matmul")
def _matmul(c: Converter, out: T, a: dict[str, Any]) -> Any:
    x: Any = a["self"]
    y: Any = a.get("mat2", a.get("other"))
    if len(x.shape) >= 2 and len(y.shape) >= 2:
        return product(c, out, x, y)
    need_float32(out, "aten.matmul")
    return c.emit("dot", out.shape, out.dtype, a=x, b=y)


@aten("mv", "dot")
def _dot(c: Converter, out: T, a: dict[str, Any]) -> Any:
    need_float32(out, "aten.dot")
    return c.emit("dot", out.shape, out.dtype, a=a["self"], b=a.get("vec", a.get("tensor")))


def _numbers(value: Any, dims: int) -> list[Any]:
    values: list[Any] = value if isinstance(value, list) else [value]
    return values * dims if len(values) == 1 else values


@aten(
    "conv1d",
    "conv2d",
    "conv1d.padding",
    "conv2d.padding",
    "convolution",
    "conv_transpose1d",
    "conv_transpose2d.input",
    "_convolution",
)
def _conv(c: Converter, out: T, a: dict[str, Any]) -> Any:
    need_float32(out, "a convolution")
    x, weight = a["input"], a["weight"]
    dims = len(weight.shape) - 2
    if dims not in (1, 2):
        raise unsupported(f"a convolution of {dims} dimensions")
    stride, dilation = _numbers(a["stride"], dims), _numbers(a["dilation"], dims)
    padding = a["padding"]
    if isinstance(padding, str):
        total = [d * (k - 1) for d, k in zip(dilation, weight.shape[2:], strict=True)]
        if padding == "same" and any(n % 2 for n in total):
            widths = [w for n in reversed(total) for w in (n // 2, n - n // 2)]
            shape = [*x.shape[:-dims], *out.shape[-dims:]]
            x = c.emit("pad", shape, x.dtype, x=x, pad=widths, mode="constant", value=0)
            padding = 0
        else:
            padding = [n // 2 for n in total] if padding == "same" else 0
    padding = _numbers(padding, dims)
    args = {"x": x, "weight": weight, "bias": a["bias"], "stride": stride, "padding": padding}
    args |= {"dilation": dilation, "groups": a["groups"], **_PLAIN}
    if a.get("transposed", "output_padding" in a):
        args["output_padding"] = _numbers(a["output_padding"], dims)
        return c.emit("conv_transpose", out.shape, out.dtype, **args)
    return c.emit("conv", out.shape, out.dtype, **args)


@aten("layer_norm")
def _layer_norm(c: Converter, out: T, a: dict[str, Any]) -> Any:
    need_float32(out, "aten.layer_norm")
    args = {"weight": a["weight"], "bias": a["bias"], "eps": a["eps"]}
    return c.like("layer_norm", out, x=a["input"], shape=a["normalized_shape"], **args)


@aten("native_layer_norm")
def _native_layer_norm(c: Converter, out: Any, a: dict[str, Any]) -> Any:
    return _layer_norm(c, c.tensor(None, out[0]), a), None, None


@aten("rms_norm")
def _rms_norm(c: Converter, out: T, a: dict[str, Any]) -> Any:
    need_float32(out, "aten.rms_norm")
    args = {"weight": a["weight"], "eps": a["eps"]}
    return c.like("rms_norm", out, x=a["input"], shape=a["normalized_shape"], **args)


@aten("group_norm")
def _group_norm(c: Converter, out: T, a: dict[str, Any]) -> Any:
    args = {"weight": a["weight"], "bias": a["bias"], "eps": a["eps"]}
    return c.like("group_norm", out, x=a["input"], groups=a["num_groups"], **args)


@aten("native_group_norm")
def _native_group_norm(c: Converter, out: Any, a: dict[str, Any]) -> Any:
    args = {"weight": a["weight"], "bias": a["bias"], "eps": a["eps"]}
    y = c.tensor(None, out[0])
    return c.like("group_norm", y, x=a["input"], groups=a["group"], **args), None, None


@aten("instance_norm")
def _instance_norm(c: Converter, out: T, a: dict[str, Any]) -> Any:
    if not a["use_input_stats"]:
        return _batch(c, out, a)
    args = {"weight": a["weight"], "bias": a["bias"], "eps": a["eps"]}
    return c.like("group_norm", out, x=a["input"], groups=a["input"].shape[1], **args)


def _batch(c: Converter, out: T, a: dict[str, Any]) -> T:
    if a["running_mean"] is None:
        raise unsupported("a norm over the statistics of the batch")
    args = {"mean": a["running_mean"], "var": a["running_var"], "weight": a["weight"]}
    return c.like("batch_norm", out, x=a["input"], bias=a["bias"], eps=a["eps"], **args)


@aten("batch_norm", "cudnn_batch_norm")
def _batch_norm(c: Converter, out: Any, a: dict[str, Any]) -> Any:
    if a["training"]:
        raise unsupported("aten.batch_norm.default with training=True")
    return _batch(c, out, a)


@aten("_native_batch_norm_legit_no_training")
def _native_batch_norm(c: Converter, out: Any, a: dict[str, Any]) -> Any:
    return _batch(c, c.tensor(None, out[0]), a), None, None


def _over(op: str) -> Any:
    def convert(c: Converter, out: T, a: dict[str, Any]) -> Any:
        need_float32(out, f"aten.{op}")
        x = c.array(a["self"], out.dtype)
        return c.like(op, out, x=x, dim=dim_of(a["dim"], x))

    return convert


aten("softmax.int", "_softmax", "_safe_softmax")(_over("softmax"))
aten("log_softmax.int", "_log_softmax")(_over("log_softmax"))


@aten("scaled_dot_product_attention")
def _attention(c: Converter, out: T, a: dict[str, Any]) -> Any:
    need_float32(out, "attention")
    if a["dropout_p"]:
        raise unsupported("attention with dropout")
    args = {"q": a["query"], "k": a["key"], "v": a["value"], "mask": a["attn_mask"]}
    args |= {"causal": a["is_causal"], "scale": a["scale"], "grouped": bool(a["enable_gqa"])}
    return c.emit("attention", out.shape, out.dtype, **args)


@aten("embedding")
def _embedding(c: Converter, out: T, a: dict[str, Any]) -> Any:
    need_float32(out, "aten.embedding")
    return c.emit("embedding", out.shape, out.dtype, indices=a["indices"], weight=a["weight"])


# --- pooling, resizing ---


def _avg(dims: int) -> Any:
    def convert(c: Converter, out: T, a: dict[str, Any]) -> Any:
        stride = a["stride"] or a["kernel_size"]
        args = {"kernel": a["kernel_size"], "stride": stride, "padding": a["padding"]}
        args = {key: _numbers(value, dims) for key, value in args.items()}
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
        args = {key: _numbers(value, dims) for key, value in args.items()}
        args |= {"dilation": _numbers(a["dilation"], dims), "ceil": a["ceil_mode"]}
        pooled = c.emit("max_pool", y.shape, y.dtype, x=a["self"], **args)
        return (pooled, None) if several else pooled

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
        return (pooled, None) if several else pooled

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


def _recurrent(c: Converter, out: Any, a: dict[str, Any]) -> Any:
    """The op that torch_patches.py puts in the place of RNN, GRU and LSTM."""
    from .ops_layers import has_recurrent

    if not has_recurrent():
        raise unsupported(f"recurrent layers ({a['mode']})")
    groups, at = [], 0
    for count in a["parts"]:
        groups.append(a["weights"][at : at + count])
        at += count
    if not all(c.is_constant(w) for w in a["weights"]):
        raise unsupported("a recurrent layer whose weights are computed")
    args = {"x": a["x"], "h": a["h"], "c": a["c"], "weights": a["weights"], "parts": a["parts"]}
    args |= {key: a[key] for key in ("mode", "batch_first", "bidirectional")}
    results = [c.tensor(None, fake) for fake in out]
    whole = c.emit("recurrent", results[0].shape, results[0].dtype, **args)
    return [c.emit("item", y.shape, y.dtype, x=whole, number=i) for i, y in enumerate(results)]


ATEN["forwardpass.recurrent.default"] = _recurrent
