"""Where a Thinker's time goes when it decodes: kernels, their calls, and Python.

The step is raced against the same kernels called by hand, one after the other on the same memory,
with everything looked up before: what the step takes more is Python (modules, checks, caches). Of
each call by hand, reading the arguments and making the result is no kernel either; the time of a
call on 16 floats stands for that.
"""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import numpy as np

from forwardpass import _core
from forwardpass._timing import race, statement
from forwardpass.nn.functional._rotary import table_at

EPS = 1e-5


def by_hand(thinker: Any, cache: Any, ids: np.ndarray, past: int) -> tuple[Callable[[], Any], int]:
    """One step of decoding behind `past` positions, and how many calls it makes."""
    blocks = [_block(block, cache, i, past) for i, block in enumerate(thinker.blocks)]
    shape = (thinker.d,)
    table, norm, head = thinker.tok_emb.weight, thinker.norm.weight, thinker.lm_head._pack

    def step() -> Any:
        x = _core.embedding(ids, table, None)
        for norm1, qkv, attend, out, norm2, both, down in blocks:
            product = qkv(_core.rms_norm(x, shape, norm1, EPS, None))
            x = out(_core._self_attention(product, *attend), None, 0.01, x)
            inner = both(_core.rms_norm(x, shape, norm2, EPS, None))
            x = down(_core._swiglu_halves(inner), None, 0.01, x)
        cache.truncate(past)  # as the other step does
        return head(_core.rms_norm(x, shape, norm, EPS, None))

    return step, 3 + 8 * len(blocks)


def _block(block: Any, cache: Any, layer: int, past: int) -> tuple[Any, ...]:
    attn, mlp = block.attn, block.mlp
    whole = attn._modules.get("qkv")
    qkv = attn._current().pack if whole is None else whole._pack
    cos, sin, at = table_at(attn.rotary_dim, attn.rope_base, past, 1)
    keys, values, _ = cache._with_room(layer, 1)
    heads = attn.num_heads, attn.num_kv_heads
    attend = (*heads, True, cos, sin, False, at, keys, values, past)
    both, down = mlp._current().pack, mlp._modules["down_proj"]._pack
    last = attn._modules["o"]._pack
    return block.norm1.weight, qkv, attend, last, block.norm2.weight, both, down


def report(name: str, thinker: Any, ids: np.ndarray, past: int, seconds: float) -> str:
    """A line: the step, and what of it is Python, calls and kernels."""
    cache = thinker.new_cache()
    thinker(np.zeros((1, past), np.int64), cache=cache)

    def step() -> Any:
        y = thinker(ids, cache=cache)
        cache.truncate(past)
        return y

    expected = step()
    hand, calls = by_hand(thinker, cache, ids, past)
    if not np.array_equal(hand(), expected):
        raise SystemExit(f"{name}: the kernels by hand give other bits")
    few = np.zeros(16, np.float32)
    timers = {
        "step": statement("f()", f=step),
        "hand": statement("f()", f=hand),
        "call": statement("f(x, None)", f=_core.relu, x=few),
    }
    # In turns on the same weights, so that all find the caches alike; medians, since a step reads
    # more than they hold.
    times = race(timers, seconds=seconds, rounds=(25, 200))
    whole, kernels = times["step"].median, times["hand"].median
    call = calls * times["call"].minimum
    share = [100 * part / whole for part in (whole - kernels, call, kernels - call)]
    return (
        f"{name:<22}{whole * 1e6:9.0f} us a step: Python {share[0]:.1f} %, {calls} calls "
        f"{share[1]:.1f} %, kernels {share[2]:.1f} %"
    )
