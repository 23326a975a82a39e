"""forwardpass.nn.from_torch: the twin of a torch module that is made of layers we have."""

from __future__ import annotations

import inspect
from collections.abc import Callable, Iterator
from typing import Any

from . import functional as F
from .containers import ModuleList, Sequential
from .holders import ModuleDict, ParameterDict, ParameterList
from .module import Module
from .parameter import Parameter


def from_torch(module: Any) -> Any:
    """The same layers as a torch module's, with the same names, settings and values.

    `module` is a torch.nn.Module made of layers that forwardpass.nn has, in Sequential, ModuleList
    and ModuleDict of any depth, or one such layer. Values are copied, to float32. A weight_norm is
    folded into its weight, and a module that stands in several places does so in the twin. The twin
    computes as torch does after eval().

    Returns:
        A forwardpass.nn.Module: `twin.state_dict()` has the keys of `module.state_dict()`.

    Raises:
        NotImplementedError: layers of other classes, or with hooks or parametrizations: all, with
            their places. `forwardpass.from_torch` converts what a module computes instead.
        TypeError: `module` is no torch module.
    """
    if not _is_torch_module(module):
        raise TypeError(
            f"nn.from_torch: module must be a torch.nn.Module, got {type(module).__name__}"
        )
    missing: dict[str, list[str]] = {}
    for place, layer in module.named_modules():
        reason = _reason(layer)
        if reason and not any(_inside(place, whole) for whole in _opaque(module)):
            missing.setdefault(reason, []).append(place or "the module itself")
    if missing:
        lines = [f"  {reason}: {', '.join(places)}" for reason, places in missing.items()]
        raise NotImplementedError(
            "forwardpass.nn.from_torch: forwardpass.nn lacks:\n" + "\n".join(lines) + "\n"
            "forwardpass.from_torch(module, example_inputs) converts what a module computes"
        )
    made = _twin(module, {})
    made.load_state_dict(module.state_dict())
    return made


def _is_torch_module(module: Any) -> bool:
    return any(c.__module__ == "torch.nn.modules.module" for c in type(module).__mro__)


def _opaque(module: Any) -> Iterator[str]:
    """Places whose inside is no layer of its own: what holds a weight_norm."""
    for place, layer in module.named_modules():
        if "parametrizations" in getattr(layer, "_modules", {}):
            yield f"{place}.parametrizations".lstrip(".")


def _inside(place: str, whole: str) -> bool:
    return place == whole or place.startswith(f"{whole}.")


def _class(layer: Any) -> Any:
    """torch's class of a layer; of one of a subclass that runs as its base does, the base."""
    forward = getattr(type(layer), "forward", None)
    for kind in type(layer).__mro__:
        if kind.__module__.startswith("torch.nn.modules") and _ours(kind.__name__):
            return kind if getattr(kind, "forward", None) is forward else None
    return None


def _reason(layer: Any) -> str:
    """Why a layer has no twin, in words; empty where it has one."""
    name = type(layer).__name__
    if _class(layer) is None:
        return f"{type(layer).__module__}.{name}"
    hooks = [*layer._forward_hooks.values(), *layer._forward_pre_hooks.values()]
    if any(type(hook).__name__ != "WeightNorm" for hook in hooks):
        return f"{name} with a forward hook"
    for parametrization in _parametrizations(layer):
        if type(parametrization).__name__ != "_WeightNorm":
            return f"{name} with the parametrization {type(parametrization).__name__}"
    return ""


def _parametrizations(layer: Any) -> list[Any]:
    held = layer._modules.get("parametrizations")
    return [one for stack in held.values() for one in stack] if held is not None else []


def _ours(name: str) -> Any:
    from forwardpass import nn

    found = getattr(nn, name, None)
    bases = ("Module", "RNNBase", "RNNCellBase", "Parameter")  # classes of torch's, no layers
    return found if name in nn.__all__ and inspect.isclass(found) and name not in bases else None


def _twin(layer: Any, made: dict[int, Any]) -> Any:
    if layer is None:
        return None
    if id(layer) not in made:
        kind = _class(layer).__name__
        build = _BUILDERS.get(kind)
        twin = build(layer, lambda child: _twin(child, made)) if build else _layer(kind, layer)
        made[id(layer)] = twin
    return made[id(layer)]


def _layer(kind: str, layer: Any) -> Module:
    """A layer made by its constructor, from the attributes of the other's that have its names."""
    make = _ours(kind)
    given = {}
    for name in inspect.signature(make).parameters:
        if name in ("device", "dtype") or name.startswith("_") or not hasattr(layer, name):
            continue
        value = getattr(layer, name)
        is_tensor = name == "bias" and not isinstance(value, bool)
        given[name] = value is not None if is_tensor else value
    result: Module = make(**given)
    return result


Build = Callable[[Any, Callable[[Any], Any]], Any]


def _sequential(layer: Any, twin: Callable[[Any], Any]) -> Any:
    result = Sequential()
    for name, child in layer._modules.items():  # also one that stands there twice
        result.add_module(name, twin(child))
    return result


def _named(layer: Any, twin: Callable[[Any], Any]) -> Any:
    return ModuleDict({name: twin(child) for name, child in layer.items()})


def _parameters(layer: Any, twin: Callable[[Any], Any]) -> Any:
    return ParameterList([Parameter(p.detach().numpy().copy()) for p in layer])


def _named_parameters(layer: Any, twin: Callable[[Any], Any]) -> Any:
    return ParameterDict({k: Parameter(p.detach().numpy().copy()) for k, p in layer.items()})


def _attention(layer: Any, twin: Callable[[Any], Any]) -> Any:
    names = ("embed_dim", "num_heads", "dropout", "add_zero_attn", "kdim", "vdim", "batch_first")
    given = {name: getattr(layer, name) for name in names}
    given |= {"bias": layer.in_proj_bias is not None, "add_bias_kv": layer.bias_k is not None}
    return _ours("MultiheadAttention")(**given)


def _activation(function: Any) -> Any:
    """relu and gelu by name, another layer's twin, another function of torch's by its name."""
    if _is_torch_module(function):
        return _twin(function, {})
    name = getattr(function, "__name__", "")
    if name in ("relu", "gelu"):
        return name
    if getattr(function, "__module__", "").startswith(("torch", "builtins")) and hasattr(F, name):
        return getattr(F, name)
    raise NotImplementedError(f"forwardpass.nn.from_torch: the activation {function}")


def _transformer_layer(layer: Any, twin: Callable[[Any], Any]) -> Any:
    attention = layer.self_attn
    return _ours(_class(layer).__name__)(
        attention.embed_dim, attention.num_heads, layer.linear1.out_features, layer.dropout.p,
        _activation(layer.activation), layer.norm1.eps, attention.batch_first, layer.norm_first,
        layer.linear1.bias is not None,
    )  # fmt: skip


def _stack(layer: Any, twin: Callable[[Any], Any]) -> Any:
    layers = [twin(child) for child in layer.layers]
    given: list[Any] = [layers[0], 0, twin(layer.norm)]
    if hasattr(layer, "enable_nested_tensor"):
        given += [layer.enable_nested_tensor, layer.mask_check]
    result = _ours(_class(layer).__name__)(*given)
    result.layers, result.num_layers = ModuleList(layers), len(layers)
    return result


def _transformer(layer: Any, twin: Callable[[Any], Any]) -> Any:
    parts = {"custom_encoder": twin(layer.encoder), "custom_decoder": twin(layer.decoder)}
    more = {"batch_first": layer.batch_first}
    return _ours("Transformer")(layer.d_model, layer.nhead, **parts, **more)


_BUILDERS: dict[str, Build] = {
    "Sequential": _sequential,
    "ModuleList": lambda layer, twin: ModuleList([twin(child) for child in layer]),
    "ModuleDict": _named,
    "ParameterList": _parameters,
    "ParameterDict": _named_parameters,
    "MultiheadAttention": _attention,
    "TransformerEncoderLayer": _transformer_layer,
    "TransformerDecoderLayer": _transformer_layer,
    "TransformerEncoder": _stack,
    "TransformerDecoder": _stack,
    "Transformer": _transformer,
}
