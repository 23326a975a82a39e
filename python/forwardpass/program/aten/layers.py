"""ATen's softmax, attention, embedding and recurrent layers."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

from .table import ATEN, aten, dim_of, need_float32, unsupported

if TYPE_CHECKING:
    from ..torch_converter import Converter, T


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


def _recurrent(c: Converter, out: Any, a: dict[str, Any]) -> Any:
    """The op that torch_patches.py puts in the place of RNN, GRU and LSTM."""
    from ..ops_layers import has_recurrent

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
