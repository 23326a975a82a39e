"""fuse: BatchNorm folded into the layer before it."""

from __future__ import annotations

import copy
import itertools
from typing import TYPE_CHECKING, Any, TypeVar

import numpy as np

from ._children import plain
from ._structure import touch
from .channel_norm import BatchNorm1d, BatchNorm2d
from .containers import Sequential
from .conv import Conv1d, Conv2d
from .conv_transpose import ConvTranspose1d, ConvTranspose2d
from .linear import Identity, Linear
from .module import Module
from .parameter import Parameter

if TYPE_CHECKING:
    import numpy.typing as npt

M = TypeVar("M", bound=Module)

_TRANSPOSED = (ConvTranspose1d, ConvTranspose2d)
_LAYERS: tuple[type[Module], ...] = (Linear, Conv1d, Conv2d, *_TRANSPOSED)
_NORMS: tuple[type[Module], ...] = (BatchNorm1d, BatchNorm2d)
# How far the fused model may be from the original: a share of the largest of an output.
_TOLERANCE = 1e-4


def fuse(model: M, *inputs: Any) -> M:
    """A copy of `model` in which each BatchNorm right behind a Linear or a convolution is folded.

    The layer takes the norm's scale into its weight and its shift into its bias, an Identity takes
    the norm's place; `model` is not changed. Neighbours in a Sequential are folded (a Linear's
    input is taken to be (N, C), as torch's fusion does). With `inputs` the copy is called once with
    them, and every norm that is given just what a layer returned is folded too, wherever both
    stand; the result must then agree with the original's, or ValueError says so (another module
    uses the layer's output as well). Norms over batch statistics, and layers of a subclass, stay;
    hooks are not copied. weight / sqrt(var + eps) and its products are computed in float64 and
    rounded once, so the bits are not those of the two layers (docs/numerics.md).
    """
    fused = copy.deepcopy(model)
    pairs = _neighbours(fused)
    if inputs:
        pairs += [pair for pair in _calls(fused, inputs) if pair not in pairs]
    for layer, norm in pairs:
        _fold(layer, norm)
        _replace(fused, norm)
    if inputs:
        _compare(fused(*inputs), model(*inputs))
    return fused


def _foldable(layer: Any, norm: Any) -> bool:
    return (
        plain(layer, _LAYERS)
        and plain(norm, _NORMS)
        and norm.running_mean is not None
        and _channels(layer) == norm.num_features
    )


def _channels(layer: Any) -> int:
    return int(layer.out_features if isinstance(layer, Linear) else layer.out_channels)


def _neighbours(model: Module) -> list[tuple[Any, Any]]:
    """(layer, norm) of every two that follow each other in a Sequential, and stand nowhere else."""
    places: dict[int, int] = {}
    for module in model.modules(remove_duplicate=False):
        places[id(module)] = places.get(id(module), 0) + 1
    pairs = []
    for module in model.modules():
        if type(module) is Sequential:
            steps = list(module)
            for layer, norm in itertools.pairwise(steps):
                alone = places.get(id(layer)) == places.get(id(norm)) == 1
                if alone and _foldable(layer, norm):
                    pairs.append((layer, norm))
    return pairs


def _calls(model: Module, inputs: tuple[Any, ...]) -> list[tuple[Any, Any]]:
    """(layer, norm) where every call of the norm takes what every call of the layer gave."""
    given: dict[int, tuple[Any, Any]] = {}  # id of an output: (layer, output, so that it lives)
    users: dict[int, list[Any]] = {}  # id of a norm: the layers whose outputs it was called with
    calls: dict[int, int] = {}
    layers = [m for m in model.modules() if plain(m, _LAYERS)]
    norms = [m for m in model.modules() if plain(m, _NORMS)]

    def made(module: Any, args: Any, output: Any) -> None:
        calls[id(module)] = calls.get(id(module), 0) + 1
        given[id(output)] = (module, output)

    def used(module: Any, args: Any) -> None:
        layer, _ = given.get(id(args[0]), (None, None)) if args else (None, None)
        users.setdefault(id(module), []).append(layer)

    handles = [layer.register_forward_hook(made) for layer in layers]
    handles += [norm.register_forward_pre_hook(used) for norm in norms]
    try:
        model(*inputs)
    finally:
        for handle in handles:
            handle.remove()
    pairs = []
    for norm in norms:
        found = users.get(id(norm), [])
        same = len(found) > 0 and found[0] is not None and all(f is found[0] for f in found)
        if same and calls[id(found[0])] == len(found) and _foldable(found[0], norm):
            pairs.append((found[0], norm))
    return pairs


def _fold(layer: Any, norm: Any) -> None:
    """weight s, (bias - mean) s + shift with s = norm.weight / sqrt(var + eps)."""

    def exact(value: Any, otherwise: float) -> npt.NDArray[np.float64]:
        n = norm.num_features
        return np.full(n, otherwise) if value is None else np.asarray(value, np.float64)

    scale = exact(norm.weight, 1.0) / np.sqrt(exact(norm.running_var, 1.0) + norm.eps)
    shift = (exact(layer.bias, 0.0) - exact(norm.running_mean, 0.0)) * scale
    weight = np.asarray(layer.weight, np.float64)
    if isinstance(layer, _TRANSPOSED):  # (in, out / groups, *)
        groups = layer.groups
        split = weight.reshape(groups, weight.shape[0] // groups, *weight.shape[1:])
        by = scale.reshape(groups, 1, weight.shape[1], *(1,) * (weight.ndim - 2))
        weight = (split * by).reshape(weight.shape)
    else:
        weight = weight * scale.reshape(-1, *(1,) * (weight.ndim - 1))
    layer.weight = weight.astype(np.float32)
    layer.bias = Parameter((shift + exact(norm.bias, 0.0)).astype(np.float32))


def _replace(model: Module, norm: Module) -> None:
    for module in model.modules():
        for name, child in list(module._modules.items()):
            if child is norm:
                module._modules[name] = Identity()
    touch()


def _compare(found: Any, expected: Any) -> None:
    """Raise ValueError unless the results are close; both arrays, or sequences of them."""
    if isinstance(expected, (tuple, list)):
        for one, other in zip(found, expected, strict=True):
            _compare(one, other)
    elif isinstance(expected, np.ndarray):
        size = float(np.abs(expected).max(initial=0.0))
        if not np.allclose(found, expected, rtol=0, atol=_TOLERANCE * size, equal_nan=True):
            raise ValueError(
                "fuse: the fused model gives another result; a layer in front of a BatchNorm is "
                "used by another module as well. fuse(model) without inputs folds neighbours in a "
                "Sequential only"
            )
