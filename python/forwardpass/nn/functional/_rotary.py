"""Rotary position embedding."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

import numpy as np

from forwardpass import _core

from ._rope_scaling import RopeScaling
from ._shape import float32

if TYPE_CHECKING:
    import numpy.typing as npt

    from .._typing import Array, ArrayInput

_OP = "rotary_embedding"
_rotary = _core.rotary_embedding
_table = _core.rotary_table

# Tables by (dim, base, scaling), the first positions of each, at most this many of either.
_TABLES: dict[tuple[int, float, RopeScaling | None], tuple[Array, Array]] = {}
_MOST_TABLES = 16
_MOST_ROWS = 1 << 15


def _made(
    first: int, count: int, dim: int, base: float, scaling: RopeScaling | None
) -> tuple[Array, Array]:
    if scaling is None:
        return _table(first, count, dim, base)
    return _table(first, count, dim, base, None, None, scaling.frequencies(dim, base))


def _cached(
    dim: int, base: float, count: int, scaling: RopeScaling | None = None
) -> tuple[Array, Array]:
    """Tables of at least `count` <= _MOST_ROWS positions from 0; they grow by doubling.

    Whoever comes second writes the same numbers, so there is no lock. Read-only.
    """
    found = _TABLES.get((dim, base, scaling))
    if found is None or len(found[0]) < count:
        rows = min(_MOST_ROWS, max(256, 1 << max(count - 1, 0).bit_length()))
        found = _made(0, rows, dim, base, scaling)
        for array in found:
            array.flags.writeable = False
        if len(_TABLES) >= _MOST_TABLES:
            _TABLES.clear()
        _TABLES[dim, base, scaling] = found
    return found


def table_at(
    dim: int, base: float, first: int, count: int, scaling: RopeScaling | None = None
) -> tuple[Array, Array, int]:
    """Tables (*, dim / 2) with positions first .. first + count - 1, and the row of the first."""
    end = first + count
    if not 0 <= first <= end <= _MOST_ROWS:
        return *_made(first, count, dim, base, scaling), 0
    return *_cached(dim, base, end, scaling), first


def table_rows(
    dim: int, base: float, first: int, count: int, scaling: RopeScaling | None = None
) -> tuple[Array, Array]:
    """Cosines and sines of positions first .. first + count - 1: two arrays (count, dim / 2)."""
    cos, sin, at = table_at(dim, base, first, count, scaling)
    return cos[at : at + count], sin[at : at + count]


def _rows_at(dim: int, base: float, positions: npt.NDArray[Any]) -> tuple[Array, Array]:
    """The same at any positions: two arrays positions.shape + (dim / 2,)."""
    if positions.size == 0:
        empty = np.zeros((*positions.shape, dim // 2), np.float32)
        return empty, empty
    if positions.min() < 0:
        raise ValueError(f"{_OP}(): argument 'position_ids' must be at least 0")
    end = int(positions.max()) + 1
    if end <= _MOST_ROWS:
        cos, sin = _cached(dim, base, end)
        return cos[positions], sin[positions]
    distinct, place = np.unique(positions, return_inverse=True)
    rows = [_table(int(p), 1, dim, base) for p in distinct]
    place = place.reshape(positions.shape)
    return np.concatenate([c for c, _ in rows])[place], np.concatenate([s for _, s in rows])[place]


def rotary_embedding(
    input: ArrayInput,
    rotary_dim: int | None = None,
    base: float = 10000.0,
    offset: int = 0,
    *,
    interleaved: bool = False,
    position_ids: npt.ArrayLike | None = None,
    cos: ArrayInput | None = None,
    sin: ArrayInput | None = None,
    out: Array | None = None,
) -> Array:
    """Rotary position embedding (RoPE): rows turned in pairs by angles that grow with position.

    input (*, T, D), (B, H, T, D) say; gives the same shape. The first `rotary_dim` (all of D unless
    given; even) elements of row t make pairs (a, b) -> (a cos - b sin, b cos + a sin), the angle of
    pair i being position * base**(-2 i / rotary_dim); the others are copied. Pair i is elements i
    and i + rotary_dim / 2 (rotate-half: GPT-NeoX, Llama in transformers), `interleaved` 2 i and
    2 i + 1 (GPT-J, Llama's own code). Row t is at position offset + t, or at position_ids[t]
    (integers from 0 to 2**31, (T,), or (B, T) for each item of the batch). Row by row: the same
    bytes whatever the offset and the cut.

    With `cos` and `sin`, float32 of shape (T, pairs) or (B, T, pairs), the angles are those instead
    (scaled RoPE), and rotary_dim is 2 * pairs.

    The angles are computed in double and their cosines and sines rounded once to float32. `out` may
    be the input. ValueError for shapes that do not fit, an odd rotary_dim, base < 1. Source: Su et
    al. 2021, RoFormer.
    """
    x = input if type(input) is np.ndarray else float32(input, _OP)
    if x.ndim < 2:
        raise ValueError(f"{_OP}(): argument 'input' must have shape (*, T, D), got {x.shape}")
    count = x.shape[-2]
    if cos is not None or sin is not None:
        if cos is None or sin is None:
            raise ValueError(f"{_OP}(): cos and sin must be given together")
        if rotary_dim is not None or position_ids is not None or offset:
            raise ValueError(f"{_OP}(): rotary_dim, offset and position_ids go without cos and sin")
        tables: tuple[Any, Any] = float32(cos, _OP, "cos"), float32(sin, _OP, "sin")
        lead = tables[0].shape[:-1]
    else:
        dim = x.shape[-1] if rotary_dim is None else rotary_dim
        if dim > x.shape[-1]:
            raise ValueError(
                f"{_OP}(): argument 'rotary_dim' must be at most {x.shape[-1]}, got {dim}"
            )
        if position_ids is None:
            return _rotary(x, *table_rows(dim, base, offset, count), interleaved, out)
        positions = np.asarray(position_ids)
        if positions.dtype.kind not in "iu":
            raise TypeError(
                f"{_OP}(): argument 'position_ids' must be integers, got {positions.dtype}"
            )
        if offset:
            raise ValueError(f"{_OP}(): offset and position_ids cannot both be given")
        tables, lead = _rows_at(dim, base, positions), positions.shape
    if lead not in ((count,), (*x.shape[:1], count), (1, count)) or (len(lead) == 2 and x.ndim < 3):
        name = "cos" if cos is not None else "position_ids"
        raise ValueError(
            f"{_OP}(): argument '{name}' must be for positions (T,) or (B, T) of an input "
            f"{x.shape}, got {lead}"
        )
    if len(lead) == 2:  # one row of angles for all that lies between the batch and T
        between = (1,) * (x.ndim - 3)
        tables = tuple(t.reshape(lead[0], *between, *t.shape[-2:]) for t in tables)
    return _rotary(x, *tables, interleaved, out)
