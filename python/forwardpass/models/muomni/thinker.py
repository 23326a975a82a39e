"""Thinker: the language model, a decoder over text and over what the encoders see and hear."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

from forwardpass import nn
from forwardpass.nn._checks import integer
from forwardpass.nn.functional._shape import float32

from ._blocks import EPS, Block, Decoder
from ._tokens import integers

if TYPE_CHECKING:
    import numpy.typing as npt

    from forwardpass.nn._typing import Array, ArrayInput


class Thinker(Decoder):
    """Token ids (B, T) or embeddings (B, T, d) to logits (B, T, vocab), or all without B.

    Position t sees positions 0 to t. With a cache from `new_cache(batch)` the positions go on
    behind those that it holds: in any cut of a sequence each has the bytes of the full pass. ids
    are integers in [0, vocab); there are at most ctx positions. dropout changes nothing.
    """

    tok_emb: Any
    lm_head: Any

    def __init__(
        self,
        vocab: int = 32000,
        n_layers: int = 16,
        d: int = 512,
        heads: int = 8,
        ff: int = 2048,
        dropout: float = 0.0,
        rope_theta: float = 10000.0,
        ctx: int = 1024,
        use_gqa: bool = False,
        use_swiglu: bool = True,
        use_moe: bool = False,
        num_experts: int = 8,
        num_experts_per_tok: int = 2,
    ) -> None:
        super().__init__()
        integer("Thinker", "n_layers", n_layers, 1)
        self.d, self.ctx = d, integer("Thinker", "ctx", ctx, 1)
        experts = (num_experts, num_experts_per_tok) if use_moe else None
        self.tok_emb = nn.Embedding(vocab, d)
        self.blocks = nn.ModuleList(
            Block(d, heads, ff, use_gqa, use_swiglu, rope_theta, experts) for _ in range(n_layers)
        )
        self.norm = nn.RMSNorm(d, EPS)
        self.lm_head = nn.Linear(d, vocab, bias=False)

    def forward(
        self,
        ids: npt.ArrayLike | None = None,
        embeddings: ArrayInput | None = None,
        cache: nn.KVCache | None = None,
    ) -> Array:
        head: Any = self._modules["lm_head"]
        logits: Array = head(self.hidden(ids, embeddings, cache))
        return logits

    def hidden(
        self,
        ids: npt.ArrayLike | None = None,
        embeddings: ArrayInput | None = None,
        cache: nn.KVCache | None = None,
    ) -> Array:
        """What lm_head turns into logits: (B, T, d), or (T, d)."""
        if (ids is None) == (embeddings is None):
            raise ValueError("Thinker(): exactly one of ids and embeddings must be given")
        if ids is not None:
            table: Any = self._modules["tok_emb"]
            x: Any = table(integers(ids, "Thinker", "ids", (1, 2)))
        else:
            x = float32(embeddings, "Thinker", "embeddings")
            if x.ndim not in (2, 3) or x.shape[-1] != self.d:
                raise ValueError(
                    f"Thinker(): argument 'embeddings' must have shape (batch, length, {self.d}) "
                    f"or (length, {self.d}), got {x.shape}"
                )
        held, shape = self._start(cache), x.shape
        end = held + shape[-2]
        if end > self.ctx:
            raise ValueError(f"Thinker(): {end} positions are past ctx={self.ctx}")
        return self._run(x, cache, held) if len(shape) == 3 else self._run(x[None], cache, held)[0]

    def _limit(self) -> int:
        return self.ctx
