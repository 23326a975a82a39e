"""Scaled dot-product attention in float64, with its bound.

In units of ln 2: z = log2(e) (scale q k + mask), weights 2^(z - m), m the running maximum as
computed, which cancels in p / l. What reaches a weight, relative to the largest one:

- the score: q scaled (a rounding of the factor in float64 and in float32, one of the product:
  gamma(3) is more than these and float64's own) and a chain of D fma: gamma(D + 3) sum|q k| scale
  log2(e), and D + 1 underflows; a float mask: log2(e) as float32 is off by less than u / 2, and the
  fma rounds once;
- z - m rounds once, m the maximum after its block; from each block to the next the weights so far
  are scaled by 2^(m - m'), whose exponent rounds once. The maxima only rise, so these differences
  add up to the last maximum less z, and their roundings to u times that;
- exp2: 3 u, or 2 ULP where subnormal, once for the weight and once for each later block; the
  products with the factors, u each.

An error d of the exponent changes a weight by 2^d - 1. A score off by d moves m too, but m cancels.
The sum l has only positive terms: their errors, and ceil(256 / 64) + 6 roundings in a block and one
a block. The output is one chain of S fma with a product a block: gamma(S + blocks) sum p |v|.
"""

from __future__ import annotations

import math
from typing import Any

import numpy as np

from .bounds import ETA, F64, SLACK, UNIT, Bounded, float64, gamma, grow

BLOCK = 256
LOG2E = 1.4426950408889634


def _seen(mask: Any, causal: bool, offset: int, shape: tuple[int, ...]) -> Any:
    queries, keys = shape[-2:]
    seen = np.ones(shape, dtype=bool)
    if causal:
        seen &= np.arange(keys) <= offset + np.arange(queries)[:, None]
    if mask is not None:
        seen &= mask if mask.dtype == np.bool_ else mask != -np.inf
    return seen


def _scores(q: F64, k: F64, mask: Any, scale: float) -> tuple[F64, F64]:
    """The exponents of 2 and how far float32's are from them."""
    turned = np.swapaxes(k, -1, -2)
    unit = scale * LOG2E
    z = (q @ turned) * unit
    size = (np.abs(q) @ np.abs(turned)) * abs(unit)
    width = q.shape[-1]
    underflow = (np.abs(k).sum(axis=-1)[..., None, :] + width + 1) * ETA
    error = gamma(width + 3) * size + underflow
    if mask is not None and mask.dtype != np.bool_:
        added = float64(mask) * LOG2E
        error = error + 0.5 * UNIT * np.abs(added)
        z = z + added
        error = error + UNIT * (np.abs(z) + error) + ETA
    return z, error


def attention(
    query: Any,
    key: Any,
    value: Any,
    mask: Any = None,
    causal: bool = False,
    offset: int = 0,
    scale: float | None = None,
) -> Bounded:
    """query (B, H, T, D), key (B, G, S, D), value (B, G, S, Dv), H a multiple of G."""
    with np.errstate(all="ignore"):
        q, k, v = float64(query), float64(key), float64(value)
        shape = (*q.shape[:-1], v.shape[-1])
        keys, width = k.shape[-2:]
        if 0 in shape or keys == 0:
            return np.zeros(shape), np.zeros(shape)
        k, v = (np.repeat(a, q.shape[1] // k.shape[1], axis=1) for a in (k, v))
        given = 1.0 / math.sqrt(max(width, 1)) if scale is None else float(np.float32(scale))
        z, error = _scores(q, k, mask, given)
        seen = _seen(mask, causal, offset, z.shape)
        z = np.where(seen, z, -np.inf)
        top = z.max(axis=-1, keepdims=True)
        dropped = np.isneginf(z)
        down = np.where(dropped, 0.0, z - np.where(np.isneginf(top), 0.0, top))
        error = np.where(dropped, 0.0, error)
        blocks = math.ceil(keys / BLOCK)
        spread = np.abs(down) + error + error.max(axis=-1, keepdims=True)
        moved = np.expm1(math.log(2.0) * (error + UNIT * spread))
        relative = grow(moved, (1.0 + 3 * UNIT) ** (blocks + 1) - 1.0, gamma(blocks + 1))
        p = np.where(dropped, 0.0, np.exp2(down))
        lost = np.where(dropped, 0.0, p * relative + 2.0**-148 * (blocks + 1))
        return _averaged(p, lost, v, seen.any(axis=-1), blocks)


def _averaged(p: F64, lost: F64, v: F64, seen: Any, blocks: int) -> Bounded:
    """sum p v / sum p from weights that are off by `lost`."""
    total = p.sum(axis=-1, keepdims=True)
    total = np.where(total == 0, 1.0, total)
    keys = v.shape[-2]
    sum_relative = grow(lost.sum(axis=-1, keepdims=True) / total, gamma(10 + blocks))
    scale = grow(sum_relative / np.maximum(1 - sum_relative, 2.0**-20), gamma(2))
    y = (p @ v) / total
    size = (p @ np.abs(v)) / total
    moved = (lost @ np.abs(v)) / total
    g = gamma(keys + blocks)
    chain = moved + g * (size + moved) + (keys + blocks) * ETA
    tolerance = (chain * (1 + scale) + size * scale + ETA) * SLACK
    return y, np.where(seen[..., None], tolerance, 0.0)
