"""ATen's norms."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

from .table import aten, need_float32, unsupported

if TYPE_CHECKING:
    from ..torch_converter import Converter, T


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
