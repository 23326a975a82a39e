"""Embedding."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any, ClassVar

from forwardpass import _core

from . import init
from ._checks import integer, require_cpu, require_float32
from ._layer import Layer
from .functional import embedding
from .parameter import LOCK, Parameter

if TYPE_CHECKING:
    from typing_extensions import Self

    from ._typing import Array

_embedding = _core.embedding


class Embedding(Layer):
    """Rows of a table by index: integers (*) in [0, num_embeddings) to (*, embedding_dim).

    weight (num_embeddings, embedding_dim) starts as N(0, 1), the row `padding_idx` as zeros; a
    negative `padding_idx` counts from the end. `norm_type`, `scale_grad_by_freq` and `sparse` are
    accepted and change nothing; rows above `max_norm` are scaled to it. Follows torch.nn.Embedding.
    """

    weight: Array
    _structural: ClassVar[frozenset[str]] = Layer._structural | {"weight", "max_norm"}

    def __init__(
        self,
        num_embeddings: int,
        embedding_dim: int,
        padding_idx: int | None = None,
        max_norm: float | None = None,
        norm_type: float = 2.0,
        scale_grad_by_freq: bool = False,
        sparse: bool = False,
        _weight: Any = None,
        _freeze: bool = False,
        device: Any = None,
        dtype: Any = None,
    ) -> None:
        super().__init__()
        self.num_embeddings = integer("Embedding", "num_embeddings", num_embeddings, 0)
        self.embedding_dim = integer("Embedding", "embedding_dim", embedding_dim, 0)
        self.padding_idx = self._checked_padding(padding_idx)
        self.max_norm = max_norm
        self.norm_type = norm_type
        self.scale_grad_by_freq = scale_grad_by_freq
        self.sparse = sparse
        weight = self._first_weight(_weight)
        require_cpu("Embedding", device)
        require_float32("Embedding", dtype)
        self.register_parameter("weight", weight)

    def _checked_padding(self, padding_idx: int | None) -> int | None:
        if padding_idx is None:
            return None
        padding_idx = integer("Embedding", "padding_idx", padding_idx, -self.num_embeddings)
        if padding_idx >= self.num_embeddings:
            raise ValueError("Padding_idx must be within num_embeddings")
        return padding_idx + self.num_embeddings if padding_idx < 0 else padding_idx

    def _first_weight(self, given: Any) -> Parameter:
        shape = (self.num_embeddings, self.embedding_dim)
        if given is None:
            return Parameter.drawn(init.normal, shape, self.padding_idx)
        weight = Parameter(given)
        if weight.shape != shape:
            raise ValueError("Shape of weight does not match num_embeddings and embedding_dim")
        return weight

    @classmethod
    def from_pretrained(
        cls,
        embeddings: Any,
        freeze: bool = True,
        padding_idx: int | None = None,
        max_norm: float | None = None,
        norm_type: float = 2.0,
        scale_grad_by_freq: bool = False,
        sparse: bool = False,
    ) -> Self:
        """An Embedding with a table (num_embeddings, embedding_dim) that is there already."""
        weight = Parameter(embeddings)
        if weight.ndim != 2:
            raise ValueError("Embeddings parameter is expected to be 2-dimensional")
        rows, columns = weight.shape
        return cls(
            rows,
            columns,
            _weight=weight,
            _freeze=freeze,
            padding_idx=padding_idx,
            max_norm=max_norm,
            norm_type=norm_type,
            scale_grad_by_freq=scale_grad_by_freq,
            sparse=sparse,
        )

    def _make_pack(self) -> Array:
        with LOCK:
            weight = self.weight
            self.__dict__["_pack"] = weight
        return weight

    def forward(self, input: Any) -> Array:
        weight = self._pack
        if weight is None:
            weight = self._make_pack()
        if self.max_norm is not None:
            return embedding(input, weight, None, self.max_norm, self.norm_type)
        return _embedding(input, weight, None)

    def extra_repr(self) -> str:
        text = f"{self.num_embeddings}, {self.embedding_dim}"
        if self.padding_idx is not None:
            text += f", padding_idx={self.padding_idx}"
        if self.max_norm is not None:
            text += f", max_norm={self.max_norm}"
        if self.norm_type != 2:
            text += f", norm_type={self.norm_type}"
        if self.scale_grad_by_freq is not False:
            text += f", scale_grad_by_freq={self.scale_grad_by_freq}"
        if self.sparse is not False:
            text += ", sparse=True"
        return text
