"""torch in inference mode: its functional calls, and oneDNN's packed layers behind them."""

from __future__ import annotations

from typing import Any

import torch
import torch.nn.functional as F

import transformers
from cases import Arguments, Case
from contenders import RECURRENT, Contender, UnsupportedError, output

_FUSED = {None: "none", "relu": "relu", "gelu": "gelu", "gelu_tanh": "gelu", "silu": "swish"}
# Without out=.
_NO_OUT = (
    *("rms_norm", "layer_norm", "embedding", "max_pool2d", "avg_pool2d"),
    *("batch_norm", "group_norm"),
)
_AFTER = {  # in place: the product's array is nobody else's
    "relu": torch.relu_,
    "gelu": torch._C._nn.gelu_,
    "gelu_tanh": lambda y: torch._C._nn.gelu_(y, approximate="tanh"),
    "silu": torch._C._nn.silu_,
}


class Torch:
    name = "torch"
    version = torch.__version__ + f" ({torch.backends.cpu.get_cpu_capability()})"

    def __init__(self) -> None:
        self._mode = torch.inference_mode()
        self._mode.__enter__()  # for the whole run: leaving it would cost a microsecond a call

    def use_threads(self, n: int) -> None:
        torch.set_num_threads(n)

    def contenders(self, case: Case, arguments: Arguments, reuse: bool) -> list[Contender]:
        a = {
            name: torch.from_numpy(value) if hasattr(value, "dtype") else value
            for name, value in arguments.items()
        }
        out = torch.from_numpy(output(case, arguments)) if reuse else None
        make = {
            "linear": _linear,
            "conv1d": _conv1d,
            "conv2d": _conv2d,
            "conv_transpose1d": _transposed,
            "conv_transpose2d": _transposed,
            "sequential": _sequential,
            **dict.fromkeys(RECURRENT, _recurrent),
            "attention": _attention,
            transformers.OP: _encoder_layer,
        }.get(case.op)
        if make is not None:
            found = make(case, a, out)
        else:
            found = _simple(case, a, out)
        for contender in found:
            contender.read = _read
        return found


def _read(value: Any) -> Any:
    """Of a recurrent layer (output, state), a cell's (h, c): the first."""
    return value[0].numpy() if isinstance(value, tuple) else value.numpy()


def _recurrent(case: Case, a: Arguments, out: Any) -> list[Contender]:
    """The layer; for one step its cell as well, whose state is the sequence's only output."""
    sizes = (a["input"].shape[2], a["h0"].shape[2])
    weights = {n: v for n, v in a.items() if n.startswith(("weight", "bias"))}
    layer = getattr(torch.nn, case.op)(*sizes, len(a["h0"])).eval()
    layer.load_state_dict(weights)
    state = (a["h0"], a["c0"]) if "c0" in a else a["h0"]
    names = {"f": layer, "x": a["input"], "s": state}
    found = [Contender("f(x, s)", names, way=f"nn.{case.op}", fresh_only=out is not None)]
    if len(a["input"]) == len(a["h0"]) == 1:
        cell = getattr(torch.nn, f"{case.op}Cell")(*sizes)
        cell.load_state_dict({n.removesuffix("_l0"): v for n, v in weights.items()})
        names = {"f": cell, "x": a["input"][0]}
        names["s"] = (a["h0"][0], a["c0"][0]) if "c0" in a else a["h0"][0]
        found.append(Contender("f(x, s)[None]", names, way=f"nn.{case.op}Cell"))
        if "c0" in a:
            found[-1].code = "(f(x, s)[0][None],)"
    return found


def _linear(case: Case, a: Arguments, out: Any) -> list[Contender]:
    """F.linear; addmm on a weight stored the other way; oneDNN's packed weight."""
    activation, residual = a.get("activation"), a.get("residual")
    names = {"x": a["input"], "w": a["weight"], "b": a["bias"], "out": out, "r": residual}
    plain = not activation and residual is None
    after = _AFTER.get(activation or "", (lambda y: y.add_(residual)) if not plain else None)
    names |= {"f": F.linear if out is None else torch._C._nn.linear, "g": after}
    code = "f(x, w, b)" if out is None else "f(x, w, b, out=out)"
    wrap = "{}" if plain else "g({})"
    found = [Contender(wrap.format(code), names, way="F.linear")]
    if case.group.startswith("F."):
        return found
    stored = {**names, "f": torch.addmm, "w": a["weight"].T.contiguous()}
    code = "f(b, x, w)" if out is None else "f(b, x, w, out=out)"
    found.append(Contender(wrap.format(code), stored, way="addmm"))
    return found + _packed_linear(a, out is not None)


def _packed_linear(a: Arguments, reuse: bool) -> list[Contender]:
    """What torch.compile's freezing puts in the place of a Linear; a private operator."""
    activation, residual = a.get("activation"), a.get("residual")
    try:
        ops = torch.ops.mkldnn
        packed = ops._reorder_linear_weight(a["weight"], a["input"].shape[0])
        names = {"x": a["input"], "p": packed, "b": a["bias"], "r": residual}
        if residual is not None:
            code = "f(x, r, p, b, 'add')"
            names["f"] = ops._linear_pointwise.binary
        else:
            algorithm = {"gelu": "none", "gelu_tanh": "tanh"}.get(activation or "", "")
            code = f"f(x, p, b, '{_FUSED[activation]}', e, '{algorithm}')"
            names |= {"f": ops._linear_pointwise.default, "e": []}
        return [Contender(code, names, way="oneDNN packed", fresh_only=reuse)]
    except (AttributeError, RuntimeError, KeyError):
        return []  # built without oneDNN, or another version's signature


def _conv1d(case: Case, a: Arguments, out: Any) -> list[Contender]:
    """F.conv1d, which has no out=; oneDNN's packed weight exists for two dimensions only."""
    geometry = {n: a[n] for n in ("stride", "padding", "dilation", "groups")}
    names = {"x": a["input"], "w": a["weight"], "b": a["bias"], "f": F.conv1d, **geometry}
    activation = a.get("activation")
    code = "f(x, w, b, stride, padding, dilation, groups)"
    if activation:
        code = f"g({code})"
        names["g"] = _AFTER[activation]
    reuse = out is not None
    found = [Contender(code, names, way="F.conv1d", fresh_only=reuse)]
    if case.group.startswith("F."):
        return found
    return found + _packed_conv1d(a, reuse)


def _packed_conv1d(a: Arguments, reuse: bool) -> list[Contender]:
    x, w = a["input"][:, :, None], a["weight"][:, :, None]
    activation = a.get("activation")
    names: dict[str, Any] = {"x": x, "b": a["bias"], "g": a["groups"], "e": []}
    names |= {"s": [1, a["stride"]], "d": [1, a["dilation"]], "pad": [0, a["padding"]]}
    algorithm = {"gelu": "none", "gelu_tanh": "tanh"}.get(activation or "", "")
    try:
        ops = torch.ops.mkldnn
        names["f"] = ops._convolution_pointwise.default
        geometry = [names[n] for n in ("pad", "s", "d", "g")]
        names["p"] = ops._reorder_convolution_weight(w, *geometry, list(x.shape))
        code = f"f(x, p, b, pad, s, d, g, '{_FUSED[activation]}', e, '{algorithm}').squeeze(2)"
        return [Contender(code, names, way="oneDNN packed", fresh_only=reuse)]
    except (AttributeError, RuntimeError, KeyError):
        return []


def _conv2d(case: Case, a: Arguments, out: Any) -> list[Contender]:
    """F.conv2d and oneDNN's packed weight, each on planes and with the channels last."""
    geometry = {n: a[n] for n in ("stride", "padding", "dilation", "groups")}
    found = []
    for way, layout in (("", torch.contiguous_format), (", channels last", torch.channels_last)):
        x, w = (a[n].to(memory_format=layout) for n in ("input", "weight"))
        names = {"x": x, "w": w, "b": a["bias"], "f": F.conv2d, **geometry}
        code = "f(x, w, b, stride, padding, dilation, groups)"
        found.append(Contender(code, names, way="F.conv2d" + way, fresh_only=out is not None))
        found += _packed(x, w, a, "oneDNN packed" + way, out is not None)
    return found


def _packed(x: Any, w: Any, a: Arguments, way: str, reuse: bool) -> list[Contender]:
    """oneDNN's convolution in two dimensions, or transposed one, with its weight packed."""
    one = a["input"].dim() == 3  # in a row of height 1
    words = {n: [0, a[n]] if one else [a[n]] * 2 for n in ("padding", "output_padding") if n in a}
    words |= {n: [1, a[n]] if one else [a[n]] * 2 for n in ("stride", "dilation")}
    names: dict[str, Any] = {"x": x, "b": a["bias"], "g": a["groups"], "e": [], **words}
    order = [n for n in ("padding", "output_padding", "stride", "dilation") if n in words]
    geometry = [*(words[n] for n in order), a["groups"]]
    try:
        ops = torch.ops.mkldnn
        if "output_padding" in words:
            names["f"] = ops._convolution_transpose_pointwise
            names["p"] = ops._reorder_convolution_transpose_weight(w, *geometry, list(x.shape))
        else:
            names["f"] = ops._convolution_pointwise.default
            names["p"] = ops._reorder_convolution_weight(w, *geometry, list(x.shape))
        code = f"f(x, p, b, {', '.join(order)}, g, 'none', e, '')" + (".squeeze(2)" if one else "")
        return [Contender(code, names, way=way, fresh_only=reuse)]
    except (AttributeError, RuntimeError, KeyError):
        return []


def _transposed(case: Case, a: Arguments, out: Any) -> list[Contender]:
    """F's function; in two dimensions, where oneDNN has it, packed and with the channels last."""
    one = case.op == "conv_transpose1d"
    order = ("stride", "padding", "output_padding", "groups", "dilation")
    names = {"x": a["input"], "w": a["weight"], "b": a["bias"], **{n: a[n] for n in order}}
    code = f"f(x, w, b, {', '.join(order)})"
    reuse = out is not None
    names["f"] = getattr(F, case.op)
    found = [Contender(code, names, way=f"F.{case.op}", fresh_only=reuse)]
    x, w = (a[n][:, :, None] if one else a[n] for n in ("input", "weight"))
    found += _packed(x, w, a, "oneDNN packed", reuse)
    last = {n: v.to(memory_format=torch.channels_last) for n, v in (("x", x), ("w", w))}
    wide = {n: ((int(n in ("stride", "dilation")), a[n]) if one else a[n]) for n in order}
    wide["groups"] = a["groups"]
    names = {**names, **wide, **last, "f": F.conv_transpose2d}
    code += ".squeeze(2)" if one else ""
    return [*found, Contender(code, names, way="channels last", fresh_only=reuse)]


def _attention(case: Case, a: Arguments, out: Any) -> list[Contender]:
    """Heads as they are; for one query also a group's heads as the queries of one."""
    names = {**a, "f": F.scaled_dot_product_attention}
    names["gqa"] = a["query"].shape[1] != a["key"].shape[1]
    code = "f(query, key, value, is_causal=causal, enable_gqa=gqa)"
    reuse = out is not None
    found = [Contender(code, names, way="F.scaled_dot_product_attention", fresh_only=reuse)]
    if names["gqa"] and a["query"].shape[2] == 1:
        names = {**names, "group": (1, a["key"].shape[1], -1, a["query"].shape[3])}
        names["whole"] = a["query"].shape
        code = "f(query.view(group), key, value).view(whole)"
        found.append(Contender(code, names, way="grouped", fresh_only=reuse))
    return found


def _sequential(case: Case, a: Arguments, out: Any) -> list[Contender]:
    layers = [torch.nn.Linear(3, 4), torch.nn.ReLU(), torch.nn.Linear(4, 2), torch.nn.Sigmoid()]
    for index, layer in ((1, layers[0]), (2, layers[2])):
        layer.weight = torch.nn.Parameter(a[f"weight{index}"], requires_grad=False)
        layer.bias = torch.nn.Parameter(a[f"bias{index}"], requires_grad=False)
    names: dict[str, Any] = {"m": torch.nn.Sequential(*layers), "x": a["input"]}
    names |= {"f": F.linear, "relu": torch.relu_, "sigmoid": torch.sigmoid_}
    names |= {n: a[n] for n in ("weight1", "weight2", "bias1", "bias2")}
    inner = "relu(f(x, weight1, bias1))"
    direct = f"sigmoid(f({inner}, weight2, bias2))"
    ways = {"Sequential": "m(x)", "functional": direct}
    return [Contender(c, names, way=way, fresh_only=out is not None) for way, c in ways.items()]


def _encoder_layer(case: Case, a: Arguments, out: Any) -> list[Contender]:
    """The module in evaluation mode: its fast path, and the operators one by one."""
    layer = transformers.module(a, torch.nn).eval()
    layer.load_state_dict({name: torch.from_numpy(v) for name, v in a["state"].items()})
    layer.requires_grad_(False)
    names = {"f": layer, "x": a["input"]}

    def slow(x: Any) -> Any:
        torch.backends.mha.set_fastpath_enabled(False)
        y = layer(x)
        torch.backends.mha.set_fastpath_enabled(True)
        return y

    reuse = out is not None
    plain = Contender("f(x)", {**names, "f": slow}, way="without its fast path", fresh_only=reuse)
    return [Contender("f(x)", names, way="module", fresh_only=reuse), plain]


def _simple(case: Case, a: Arguments, out: Any) -> list[Contender]:
    """Operators that are one call. Those in `reusing` take out=."""
    plain = {
        "rms_norm": (torch.rms_norm, "f(input, normalized_shape, weight, eps)"),
        "layer_norm": (torch.layer_norm, "f(input, normalized_shape, weight, bias, eps)"),
        "softmax": (torch.softmax, "f(input, dim)"),
        "gelu": (torch._C._nn.gelu, "f(input, approximate=approximate)"),
        "silu": (torch._C._nn.silu, "f(input)"),
        "tanh": (torch.tanh, "f(input)"),
        "sigmoid": (torch.sigmoid, "f(input)"),
        "max_pool2d": (F.max_pool2d, "f(input, kernel_size, stride, padding)"),
        "avg_pool2d": (F.avg_pool2d, "f(input, kernel_size, stride, padding)"),
        "batch_norm": (F.batch_norm, "f(input, m, v, weight, bias, eps=eps)"),
        "group_norm": (F.group_norm, "f(input, num_groups, weight, bias, eps)"),
        "embedding": (torch.embedding, "f(weight, indices)"),
    }
    if case.op not in plain:
        raise UnsupportedError(f"no adapter for {case.op}")
    function, code = plain[case.op]
    names = {"approximate": "none", **a, "f": function, "out": out}
    names |= {"m": a.get("running_mean"), "v": a.get("running_var")}
    reusing = out is not None and case.op not in _NO_OUT
    code = code[:-1] + ", out=out)" if reusing else code
    found = [Contender(code, names, way=case.op, fresh_only=out is not None and not reusing)]
    if case.op == "embedding":
        select = "f(weight, 0, indices)" if out is None else "f(weight, 0, indices, out=out)"
        found.append(Contender(select, {**names, "f": torch.index_select}, way="index_select"))
        if out is not None:
            found = found[1:]
    return found
