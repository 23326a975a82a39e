"""ATen's softmax, attention, embedding and recurrent layers."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

from .table import ATEN, aten, dim_of, need_float32, unsupported
from .views import expanded

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
    lead = out.shape[:-2]
    q, k, v = a["query"], a["key"], a["value"]
    if (
        not a["enable_gqa"] and len({len(x.shape) for x in (q, k, v)}) > 1
    ):  # fewer dimensions are repeated
        q, k, v = (expanded(c, x, (*lead, *x.shape[-2:])) for x in (q, k, v))
    args = {"q": q, "k": k, "v": v, "mask": a["attn_mask"]}
    args |= {"causal": a["is_causal"], "scale": a["scale"], "grouped": bool(a["enable_gqa"])}
    return c.emit("attention", out.shape, out.dtype, **args)


@aten("embedding")
def _embedding(c: Converter, out: T, a: dict[str, Any]) -> Any:
    need_float32(out, "aten.embedding")
    return c.emit("embedding", out.shape, out.dtype, indices=a["indices"], weight=a["weight"])


@aten("_embedding_bag", "_embedding_bag_forward_only")
def _embedding_bag(c: Converter, out: Any, a: dict[str, Any]) -> Any:
    y = c.tensor(None, out[0])
    need_float32(y, "aten._embedding_bag")
    if a["per_sample_weights"] is not None or a["include_last_offset"] or a["padding_idx"] >= 0:
        raise unsupported("an embedding_bag with weights, a last offset or a padding_idx")
    args = {"indices": a["indices"], "offsets": a["offsets"], "weight": a["weight"]}
    mode = ("sum", "mean", "max")[a["mode"]]
    return c.emit("bag", y.shape, y.dtype, mode=mode, **args), None, None, None


def _recurrent(c: Converter, out: Any, a: dict[str, Any]) -> Any:
    """The op that torch_patches.py puts in the place of RNN, GRU and LSTM."""
    if not all(c.is_constant(w) for w in a["weights"]):
        raise unsupported("a recurrent layer whose weights are computed")
    args = {"x": a["x"], "h": a["h"], "c": a["c"], "weights": a["weights"], "parts": a["parts"]}
    args |= {key: a[key] for key in ("mode", "batch_first", "bidirectional")}
    results = [c.tensor(None, fake) for fake in out]
    whole = c.emit("recurrent", results[0].shape, results[0].dtype, **args)
    return [c.emit("item", y.shape, y.dtype, x=whole, number=i) for i, y in enumerate(results)]


ATEN["forwardpass.recurrent.default"] = _recurrent


def _of_torch(mode: str) -> Any:
    """torch's own op of such a layer, which torch.compile gives where allow_rnn is set."""

    def convert(c: Converter, out: Any, a: dict[str, Any]) -> Any:
        if a["train"] and a["dropout"]:
            raise unsupported(f"{mode} with dropout")
        need_float32(c.tensor(None, out[0]), mode)
        layers, state = a["num_layers"] * (1 + a["bidirectional"]), a["hx"]
        args = {"x": a["input"], "weights": a["params"], "mode": mode}
        args |= {"h": state[0], "c": state[1]} if mode == "lstm" else {"h": state, "c": None}
        args |= {"parts": [len(a["params"]) // layers] * layers}
        args |= {key: a[key] for key in ("batch_first", "bidirectional")}
        return _recurrent(c, out, args)

    return convert


for _mode in ("lstm", "gru", "rnn_tanh", "rnn_relu"):
    aten(f"{_mode}.input")(_of_torch(_mode))
