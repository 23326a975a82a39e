"""Folding of weight_norm at load: w = v * (g / ||v||), in a fixed order of additions.

Checkpoints of models trained under torch's weight_norm hold a magnitude g and a direction v where
the layer has a weight, under the names of either of torch's two implementations:

    weight_g, weight_v                                   torch.nn.utils.weight_norm
    parametrizations.weight.original0, ....original1     torch.nn.utils.parametrizations.weight_norm

Steps, each operation in float64 and rounded once: the squares (exact: 24 bits times 24), their sum
by halving (`_tree_sum`), the square root, g / norm, v * that; then one rounding to float32. Nothing
but + * / sqrt on whole arrays, whose results IEEE 754 fixes: np.sum and np.linalg.norm add in an
order that depends on the machine.
"""

from __future__ import annotations

import math
from typing import TYPE_CHECKING, Any, NamedTuple

import numpy as np

if TYPE_CHECKING:
    from collections.abc import Collection, Iterable

    import numpy.typing as npt

    from ._typing import Array

_BLOCK = 1 << 18  # elements unpacked to float64 at a time


class Pair(NamedTuple):
    """Stands in a checkpoint where a weight will be: the keys and values of g and v."""

    g_key: str
    v_key: str
    g: Any = None
    v: Any = None


def pairs(keys: Collection[str], expected: Iterable[str]) -> dict[str, Pair]:
    """For every expected key that `keys` lacks but has as g and v: those two keys."""
    found = {}
    expected = set(expected)
    for key in expected:
        if key in keys:
            continue
        prefix, dot, name = key.rpartition(".")
        home = f"{prefix}{dot}parametrizations.{name}.original"
        for g, v in ((f"{key}_g", f"{key}_v"), (f"{home}0", f"{home}1")):
            if g in keys and v in keys and g not in expected and v not in expected:
                found[key] = Pair(g, v)
    return found


def folded(state: dict[str, Any], expected: Iterable[str]) -> dict[str, Any]:
    """`state` with a Pair in place of the two keys of each weight that weight_norm split."""
    found = pairs(state.keys(), expected)
    if not found:
        return state
    by_v = {pair.v_key: key for key, pair in found.items()}
    dropped = {pair.g_key for pair in found.values()}
    result = {}
    for key, value in state.items():
        if key in by_v:
            pair = found[by_v[key]]
            result[by_v[key]] = pair._replace(g=state[pair.g_key], v=value)
        elif key not in dropped:
            result[key] = value
    return result


def g_shapes(shape: tuple[int, ...]) -> list[tuple[int, ...]]:
    """What g may look like for a weight of `shape`: one value for each index of one dimension.

    torch's default, dim=0, first; a g of one value is dim=None.
    """
    rank = len(shape)
    shapes = [tuple(n if i == dim else 1 for i, n in enumerate(shape)) for dim in range(rank)]
    return [*shapes, (1,) * rank, ()]


def fold(g: Array, v: Array) -> Array:
    """v * (g / ||v||), the norm over the dimensions in which g has size 1; float32 arrays."""
    kept = [i for i, n in enumerate(g.shape) if n != 1]
    axis = kept[0] if kept else 0
    turned = np.moveaxis(v, axis, 0)
    # (rows, columns), one norm a row
    columns = math.prod(turned.shape[1:]) if kept else v.size
    rows = turned.reshape(g.size, columns)
    result = np.empty_like(rows)
    step = max(1, _BLOCK // max(1, columns))
    magnitude = g.reshape(-1, 1)
    with np.errstate(all="ignore"):  # a row of zeros is NaN, as in torch
        for i in range(0, len(rows), step):
            block = rows[i : i + step].astype(np.float64)
            scale = magnitude[i : i + step] / np.sqrt(_tree_sum(block * block))
            result[i : i + step] = block * scale
    back = np.moveaxis(result.reshape(turned.shape), 0, axis)
    return np.ascontiguousarray(back)


def _tree_sum(squares: npt.NDArray[np.float64]) -> npt.NDArray[np.float64]:
    """The sum of each row, (rows, n) to (rows, 1): while n > 1, element i takes element i + h.

    h = ceil(n / 2), i < floor(n / 2); then n = h.
    """
    n = squares.shape[1]
    if n == 0:
        return np.zeros((len(squares), 1))
    while n > 1:
        half = (n + 1) // 2
        squares[:, : n - half] += squares[:, half:n]
        n = half
    return squares[:, :1]
