"""EmbeddingBag."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

from . import init
from ._checks import integer, require_cpu, require_float32
from ._layer import Layer
from .functional import embedding_bag
from .parameter import Parameter

if TYPE_CHECKING:
    from typing_extensions import Self

    from ._typing import Array, ArrayInput


class EmbeddingBag(Layer):
    """The sum, mean or maximum of the rows of a table that each bag of integers names.

    input (B, n), or (N,) with `offsets` (B,), to (B, embedding_dim); `per_sample_weights` multiply
    the rows of a sum. weight (num_embeddings, embedding_dim) starts as N(0, 1), the row padding_idx
    as zeros. `scale_grad_by_freq` and `sparse` change nothing. Follows torch.nn.EmbeddingBag.
    """

    weight: Array

    def __init__(
        self,
        num_embeddings: int,
        embedding_dim: int,
        max_norm: float | None = None,
        norm_type: float = 2.0,
        scale_grad_by_freq: bool = False,
        mode: str = "mean",
        sparse: bool = False,
        _weight: Any = None,
        include_last_offset: bool = False,
        padding_idx: int | None = None,
        device: Any = None,
        dtype: Any = None,
    ) -> None:
        super().__init__()
        self.num_embeddings = integer("EmbeddingBag", "num_embeddings", num_embeddings, 0)
        self.embedding_dim = integer("EmbeddingBag", "embedding_dim", embedding_dim, 0)
        self.max_norm = max_norm
        self.norm_type = norm_type
        self.scale_grad_by_freq = scale_grad_by_freq
        if padding_idx is not None:
            if not -num_embeddings <= padding_idx < max(num_embeddings, 1):
                raise ValueError("padding_idx must be within num_embeddings")
            padding_idx %= max(num_embeddings, 1)
        self.padding_idx = padding_idx
        require_cpu("EmbeddingBag", device)
        require_float32("EmbeddingBag", dtype)
        shape = (self.num_embeddings, self.embedding_dim)
        weight = Parameter.drawn(init.normal, shape, padding_idx)
        if _weight is not None:
            weight = Parameter(_weight)
            if weight.shape != shape:
                raise ValueError("Shape of weight does not match num_embeddings and embedding_dim")
        self.register_parameter("weight", weight)
        self.mode = mode
        self.sparse = sparse
        self.include_last_offset = include_last_offset

    @classmethod
    def from_pretrained(
        cls,
        embeddings: Any,
        freeze: bool = True,
        max_norm: float | None = None,
        norm_type: float = 2.0,
        scale_grad_by_freq: bool = False,
        mode: str = "mean",
        sparse: bool = False,
        include_last_offset: bool = False,
        padding_idx: int | None = None,
    ) -> Self:
        """An EmbeddingBag with a table (num_embeddings, embedding_dim) that is there already."""
        weight = Parameter(embeddings)
        if weight.ndim != 2:
            raise ValueError("Embeddings parameter is expected to be 2-dimensional")
        rows, columns = weight.shape
        return cls(
            rows,
            columns,
            _weight=weight,
            max_norm=max_norm,
            norm_type=norm_type,
            scale_grad_by_freq=scale_grad_by_freq,
            mode=mode,
            sparse=sparse,
            include_last_offset=include_last_offset,
            padding_idx=padding_idx,
        )

    def forward(
        self,
        input: Any,
        offsets: Any = None,
        per_sample_weights: ArrayInput | None = None,
    ) -> Array:
        return embedding_bag(
            input,
            self.weight,
            offsets,
            self.max_norm,
            self.norm_type,
            self.scale_grad_by_freq,
            self.mode,
            self.sparse,
            per_sample_weights,
            self.include_last_offset,
            self.padding_idx,
        )

    def extra_repr(self) -> str:
        text = f"{self.num_embeddings}, {self.embedding_dim}"
        if self.max_norm is not None:
            text += f", max_norm={self.max_norm}"
        if self.norm_type != 2:
            text += f", norm_type={self.norm_type}"
        if self.scale_grad_by_freq is not False:
            text += f", scale_grad_by_freq={self.scale_grad_by_freq}"
        text += f", mode={self.mode!r}"
        if self.padding_idx is not None:
            text += f", padding_idx={self.padding_idx}"
        return text
