"""The decoder's block, which the Thinker and the Talker share, and the loop over the blocks."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any, ClassVar

import numpy as np

from forwardpass import _core, nn
from forwardpass.nn import functional as F
from forwardpass.nn._checks import integer
from forwardpass.nn._children import plain

from .._fused import Planned, add, call, packed, rms_norm

if TYPE_CHECKING:
    from collections.abc import Sequence

    from forwardpass.nn._typing import Array

_rms_norm, _swiglu_halves = _core.rms_norm, _core._swiglu_halves
_self_attention = _core._self_attention
EPS = 1e-5  # of all RMSNorms


class Attention(nn.CausalSelfAttention):
    """Causal attention with rotary positions: one `qkv`, or with use_gqa `q`, `k` and `v`; `o`."""

    _stacking: ClassVar[tuple[str, ...]] = ("q", "k", "v")
    _whole: ClassVar[str] = "qkv"
    _last: ClassVar[str] = "o"

    def __init__(self, d: int, heads: int, use_gqa: bool, rope_theta: float) -> None:
        heads = integer("Attention", "heads", heads, 1)
        groups = max(1, heads // 2) if use_gqa else heads
        super().__init__(d, heads, groups, rope_base=rope_theta, stacked=not use_gqa)


class MLP(nn.Module):
    """fc2(gelu(fc1(x))), with biases."""

    def __init__(self, d: int, ff: int) -> None:
        super().__init__()
        self.fc1 = nn.Linear(d, ff)
        self.fc2 = nn.Linear(ff, d)

    def forward(self, x: Array) -> Array:
        return self._added(x, None)

    def _added(self, x: Array, residual: Array | None) -> Array:
        return call(self.fc2, call(self.fc1, x, "gelu"), residual=residual)


def mlp(d: int, ff: int, use_swiglu: bool) -> nn.Module:
    """down_proj(silu(gate_proj(x)) * up_proj(x)) without biases, or an MLP."""
    return nn.SwiGLU(d, ff) if use_swiglu else MLP(d, ff)


class MoE(nn.Module):
    """Mixture of experts: each row goes through the `per_token` experts that the router likes most.

    p = softmax(router(x)); of the largest p in falling order (the first expert of equal ones), the
    weight is p / (their sum + 1e-8), and the output is the weighted sum, added in that order. So a
    row has the same bytes alone and among others.
    """

    router: Any
    experts: Any

    def __init__(self, d: int, ff: int, use_swiglu: bool, num_experts: int, per_token: int) -> None:
        super().__init__()
        integer("MoE", "num_experts", num_experts, 1)
        self.per_token = integer("MoE", "num_experts_per_tok", per_token, 1)
        if per_token > num_experts:
            raise ValueError(
                f"MoE: num_experts_per_tok must be at most num_experts, got {per_token} and "
                f"{num_experts}"
            )
        self.router = nn.Linear(d, num_experts, bias=False)
        self.experts = nn.ModuleList(mlp(d, ff, use_swiglu) for _ in range(num_experts))

    def forward(self, x: Array) -> Array:
        rows = x.reshape(-1, x.shape[-1])
        share = F.softmax(self.router(rows), -1)
        chosen = np.argsort(-share, axis=-1, kind="stable")[:, : self.per_token]
        share = np.take_along_axis(share, chosen, -1)
        total = add(*share.T) + np.float32(1e-8)
        outputs = np.empty((self.per_token, *rows.shape), np.float32)
        for index in np.unique(chosen):
            row, rank = np.nonzero(chosen == index)
            outputs[rank, row] = self.experts[index](rows[row])
        with np.errstate(all="ignore"):
            outputs *= (share.T / total)[:, :, None]
        return add(*outputs).reshape(x.shape)


class Block(Planned):
    """x += attn(norm1(x)); x += mlp(norm2(x)), or the moe in its place."""

    def __init__(
        self,
        d: int,
        heads: int,
        ff: int,
        use_gqa: bool,
        use_swiglu: bool,
        rope_theta: float,
        experts: tuple[int, int] | None = None,
    ) -> None:
        super().__init__()
        self.norm1 = nn.RMSNorm(d, EPS)
        self.attn = Attention(d, heads, use_gqa, rope_theta)
        self.norm2 = nn.RMSNorm(d, EPS)
        if experts is None:
            self.mlp = mlp(d, ff, use_swiglu)
        else:
            self.moe = MoE(d, ff, use_swiglu, *experts)

    def forward(self, x: Array, cache: nn.KVCache | None = None, layer: int = 0) -> Array:
        # Where nobody watches, products add the residual themselves; no bit depends on it.
        plan = self._current()
        if plan is not None and plan[0]._fits(cache, len(x)):
            return _run_plans((plan,), x, cache, layer)
        modules: Any = self._modules
        attn, y = modules["attn"], modules["norm1"](x)
        if plain(attn, (Attention,)):
            x = attn._added(y, cache, layer, x)
        else:
            x = add(x, attn(y, cache, layer))
        inner = modules.get("mlp")
        y = modules["norm2"](x)
        if plain(inner, (nn.SwiGLU, MLP)):
            return inner._added(y, x)  # type: ignore[no-any-return]
        return add(x, (modules["moe"] if inner is None else inner)(y))

    def _planned(self) -> Any:
        modules = self._modules
        parts: Any = [modules.get(name) for name in ("norm1", "attn", "norm2", "mlp")]
        kinds = (nn.RMSNorm,), (Attention,), (nn.RMSNorm,), (nn.SwiGLU,)
        if not all(map(plain, parts, kinds)):
            return None
        norm1, attn, norm2, inner = parts
        qkv, gate = attn._one_product(), inner._one_product()
        lasts = attn._modules["o"], inner._modules["down_proj"]
        if qkv is None or gate is None or not all(plain(last, (nn.Linear,)) for last in lasts):
            return None
        last, down = map(packed, lasts)
        return attn, rms_norm(norm1), qkv, last, rms_norm(norm2), gate, down


def _run_plans(plans: Sequence[Any], x: Array, cache: nn.KVCache | None, layer: int = 0) -> Array:
    """x through blocks of one geometry, the first of which has that layer of the cache."""
    attn, length = plans[0][0], x.shape[1]
    heads, groups, interleaved = attn.num_heads, attn.num_kv_heads, attn.interleaved
    keys: Any = None
    values: Any = None
    start, offset = -1, 0
    for _, norm1, qkv, last, norm2, gate, down in plans:
        if cache is not None:
            keys, values, offset = cache._with_room(layer, length)
        if offset != start:  # once, unless the layers hold unlike many positions
            cos, sin, at = attn._tables(offset, length)
            start = offset
        product = qkv(_rms_norm(x, *norm1))
        y = _self_attention(
            product, heads, groups, True, cos, sin, interleaved, at, keys, values, offset
        )
        if cache is not None:
            cache._lengths[layer] = offset + length
            layer += 1
        x = last(y, None, 0.01, x)
        x = down(_swiglu_halves(gate(_rms_norm(x, *norm2))), None, 0.01, x)
    return x


class Decoder(Planned):
    """Blocks, a norm behind them, and the cache that they share."""

    blocks: Any
    norm: Any

    def new_cache(self, batch: int = 1) -> nn.KVCache:
        """An empty cache for `batch` sequences, which grows up to the longest that there may be."""
        attention = self.blocks[0].attn
        return nn.KVCache(
            self._limit(),
            attention.num_kv_heads,
            attention.head_dim,
            num_layers=len(self.blocks),
            batch_size=batch,
        )

    def _limit(self) -> int:
        return 1 << 30

    def _run(self, x: Array, cache: nn.KVCache | None, start: int) -> Array:
        """x (B, T, d) through the blocks and the norm, behind `start` positions of the cache; what
        fails leaves that as it was.
        """
        modules: Any = self._modules  # not by attribute, which for children is the slow way
        plans = self._current()
        try:
            if plans is not None and plans[0][0]._fits(cache, len(x)):
                x = _run_plans(plans, x, cache)
            else:
                for i, block in enumerate(modules["blocks"]):
                    x = block(x, cache, i)
        except BaseException:
            if cache is not None:
                cache.truncate(start)
            raise
        y: Array = modules["norm"](x)
        return y

    def _planned(self) -> Any:
        """The blocks' plans, where nobody watches one and all are of one geometry."""
        blocks: Any = self._modules["blocks"]
        if not len(blocks) or not all(plain(block, (Block,)) for block in blocks):
            return None
        plans = [block._current() for block in blocks]
        if any(plan is None for plan in plans):
            return None
        return plans if len({plan[0]._geometry() for plan in plans}) == 1 else None

    def _start(self, cache: nn.KVCache | None) -> int:
        """Positions that the cache holds."""
        if cache is None:
            return 0
        blocks: Any = self._modules["blocks"]
        if type(cache) is nn.KVCache and cache.num_layers == len(blocks):
            return cache.length
        name = self._get_name()
        if not isinstance(cache, nn.KVCache):
            raise TypeError(
                f"{name}(): argument 'cache' must be None or an nn.KVCache, such as "
                f"new_cache() gives, got {type(cache).__name__}"
            )
        if cache.num_layers != len(blocks):
            raise ValueError(
                f"{name}(): argument 'cache' must have {len(blocks)} layers, got {cache.num_layers}"
            )
        return cache.length
