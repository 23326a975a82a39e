"""Talker: the autoregressive model of speech codes."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

import numpy as np

from forwardpass import nn
from forwardpass.nn import init
from forwardpass.nn._checks import integer

from .._fused import add
from ._blocks import EPS, Block, Decoder
from ._tokens import integers

if TYPE_CHECKING:
    import numpy.typing as npt

    from forwardpass.nn._typing import Array


class Talker(Decoder):
    """Codes (B, T, codebooks) to (base, residual) logits, each (B, T, codebook_size), or without B.

    A frame is the sum of its codes' rows of one table; a learned `start` stands before the first
    and takes part in every position, but gives no logits. Logits at frame t are for frame t + 1.
    With a cache from `new_cache(batch)`, which `start` enters first, the frames go on behind those
    that it holds: in any cut each has the bytes of the full pass. Codes are integers in
    [0, codebook_size). dropout changes nothing.
    """

    emb: Any
    base_head: Any
    res_head: Any
    start: Any

    def __init__(
        self,
        d: int = 384,
        n_layers: int = 8,
        n_heads: int = 6,
        ff: int = 1536,
        codebooks: int = 2,
        codebook_size: int = 128,
        dropout: float = 0.0,
        use_gqa: bool = False,
        use_swiglu: bool = True,
        rope_theta: float = 10000.0,
    ) -> None:
        super().__init__()
        integer("Talker", "n_layers", n_layers, 1)
        self.codebooks = integer("Talker", "codebooks", codebooks, 1)
        self.register_parameter("start", nn.Parameter.drawn(init.constant, (1, 1, d), 0.0))
        self.emb = nn.Embedding(codebook_size, d)
        self.blocks = nn.ModuleList(
            Block(d, n_heads, ff, use_gqa, use_swiglu, rope_theta) for _ in range(n_layers)
        )
        self.norm = nn.RMSNorm(d, EPS)
        self.base_head = nn.Linear(d, codebook_size)
        self.res_head = nn.Linear(d, codebook_size)

    def forward(self, codes: npt.ArrayLike, cache: nn.KVCache | None = None) -> tuple[Array, Array]:
        codes = integers(codes, "Talker", "codes", (2, 3), self.codebooks)
        x = add(*(self.emb(codes[..., i]) for i in range(self.codebooks)))
        if x.ndim == 2:
            base, residual = self._heads(x[None], cache)
            return base[0], residual[0]
        return self._heads(x, cache)

    def _heads(self, x: Array, cache: nn.KVCache | None) -> tuple[Array, Array]:
        held = self._start(cache)
        first = held == 0
        if first:
            start = np.broadcast_to(self.start, (len(x), 1, x.shape[-1]))
            x = np.concatenate((start, x), 1)
        y = self._run(x, cache, held)
        if first:
            y = y[:, 1:]
        return self.base_head(y), self.res_head(y)
