"""The layers of a BERT-type encoder, on the tokens of all sentences as the rows of one matrix."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any, ClassVar, NamedTuple

import numpy as np

from forwardpass import _core
from forwardpass.nn import LayerNorm, Linear, Module, ModuleList
from forwardpass.nn._children import Children, plain
from forwardpass.nn._stacked import StackingLayer

from ._embedding import TokenEmbedding
from ._fused import Planned, call, layer_norm, packed

_layer_norm: Any = _core.layer_norm


class Rows(NamedTuple):
    """Which rows of a packed matrix are whose: runs (first row, sentences, tokens of each)."""

    runs: tuple[tuple[int, int, int], ...]
    mask: Any = None  # (B, 1, 1, T), of the single run of a padded batch


class BertSelfAttention(StackingLayer):
    """softmax(q kT / sqrt(size)) v by head, within each sentence: (N, width) to (N, width)."""

    _stacking: ClassVar[tuple[str, ...]] = ("query", "key", "value")

    def __init__(self, width: int, heads: int) -> None:
        super().__init__()
        self.heads = heads
        self.query = Linear(width, width)
        self.key = Linear(width, width)
        self.value = Linear(width, width)

    def forward(self, x: Any, rows: Rows) -> Any:
        count, width = x.shape
        stacked = self._current()
        if stacked is not None and rows.mask is None and stacked.in_order:
            return self._at_once(stacked.pack(x), rows.runs)
        parts = self._parts(x, stacked)
        y = np.empty((count, width), np.float32)
        for first, batch, length in rows.runs:
            # (B, heads, T, size) views of the rows of this run; nothing is copied
            cut = slice(first, first + batch * length)
            shape = (batch, length, self.heads, width // self.heads)
            q, k, v = (part[cut].reshape(shape).transpose(0, 2, 1, 3) for part in parts)
            out = y[cut].reshape(shape).transpose(0, 2, 1, 3)
            _core.attention(q, k, v, rows.mask, False, 0, None, out)
        return y

    def _at_once(self, both: Any, runs: Sequence[tuple[int, int, int]]) -> Any:
        """The same of queries, keys and values side by side."""
        heads, count = self.heads, len(both)
        if len(runs) == 1:
            _, batch, length = runs[0]
            rows = both.reshape(batch, length, -1)
            return _core._self_attention(rows, heads, heads).reshape(count, -1)
        y = np.empty((count, both.shape[1] // 3), np.float32)
        for first, batch, length in runs:
            cut = slice(first, first + batch * length)
            rows, out = (a[cut].reshape(batch, length, -1) for a in (both, y))
            _core._self_attention(rows, heads, heads, out=out)
        return y

    def _parts(self, x: Any, stacked: Any) -> Sequence[Any]:
        """Queries, keys and values, (N, width) each."""
        if stacked is None:
            modules: Any = self._modules
            return [modules[name](x) for name in self._stacking]
        both = stacked.pack(x)
        return [both[:, part.rows] for part in stacked.parts]


class BertOutput(Module):
    """LayerNorm(dense(x) + residual)."""

    def __init__(self, inputs: int, width: int, eps: float) -> None:
        super().__init__()
        self.__dict__["_modules"] = Children()
        self.dense = Linear(inputs, width)
        self.LayerNorm = LayerNorm(width, eps=eps)

    def forward(self, x: Any, residual: Any) -> Any:
        modules = self._modules
        return modules["LayerNorm"](call(modules["dense"], x, residual=residual))  # type: ignore[misc]

    def _planned(self) -> Any:
        """The product and what the norm gets, where nobody watches them."""
        dense, norm = (self._modules.get(name) for name in ("dense", "LayerNorm"))
        if not plain(dense, (Linear,)) or not plain(norm, (LayerNorm,)):
            return None
        return packed(dense), layer_norm(norm)


class BertAttention(Module):
    def __init__(self, width: int, heads: int, eps: float) -> None:
        super().__init__()
        self.__dict__["_modules"] = Children()
        self.self = BertSelfAttention(width, heads)
        self.output = BertOutput(width, width, eps)

    def forward(self, x: Any, rows: Rows) -> Any:
        modules: Any = self._modules
        return modules["output"](modules["self"](x, rows), x)


class BertIntermediate(Module):
    def __init__(self, width: int, inner: int, activation: str) -> None:
        super().__init__()
        self.__dict__["_modules"] = Children()
        self.activation = activation
        self.dense = Linear(width, inner)

    def forward(self, x: Any) -> Any:
        return call(self._modules["dense"], x, self.activation)


class BertLayer(Planned):
    def __init__(self, width: int, heads: int, inner: int, activation: str, eps: float) -> None:
        super().__init__()
        self.attention = BertAttention(width, heads, eps)
        self.intermediate = BertIntermediate(width, inner, activation)
        self.output = BertOutput(inner, width, eps)

    def forward(self, x: Any, rows: Rows) -> Any:
        plan = self._current()
        if plan is not None and rows.mask is None:  # nobody watches
            within, qkv, dense, norm, up, intermediate, down, last = plan
            x = dense(within._at_once(qkv(x), rows.runs), None, 0.01, x)
            x = _layer_norm(x, *norm, x)
            x = down(up(x, intermediate.activation), None, 0.01, x)
            return _layer_norm(x, *last, x)
        x = self.attention(x, rows)
        return self.output(self.intermediate(x), x)

    def _planned(self) -> Any:
        names = ("attention", "intermediate", "output")
        modules: Any = [self._modules.get(name) for name in names]
        if not all(map(plain, modules, ((BertAttention,), (BertIntermediate,), (BertOutput,)))):
            return None
        attention, intermediate, output = modules
        within, first = (attention._modules.get(name) for name in ("self", "output"))
        up = intermediate._modules.get("dense")
        if not all(
            map(plain, (within, first, up), ((BertSelfAttention,), (BertOutput,), (Linear,)))
        ):
            return None
        qkv, ends = within._one_product(), (first._planned(), output._planned())
        if qkv is None or None in ends:
            return None
        return within, qkv, *ends[0], packed(up), intermediate, *ends[1]


class BertEncoder(Module):
    def __init__(self, count: int, *arguments: Any) -> None:
        super().__init__()
        self.layer = ModuleList([BertLayer(*arguments) for _ in range(count)])

    def forward(self, x: Any, rows: Rows) -> Any:
        for layer in self.layer:
            x = layer(x, rows)
        return x


class BertEmbeddings(Module):
    def __init__(self, vocabulary: int, positions: int, types: int, width: int, eps: float) -> None:
        super().__init__()
        self.word_embeddings = TokenEmbedding(vocabulary, width)
        self.position_embeddings = TokenEmbedding(positions, width)
        self.token_type_embeddings = TokenEmbedding(types, width)
        self.LayerNorm = LayerNorm(width, eps=eps)

    def forward(self, ids: Any, types: Any, positions: Any) -> Any:
        """types None: all are 0."""
        modules: Any = self._modules
        x = modules["word_embeddings"](ids)
        if not plain(modules["word_embeddings"], (TokenEmbedding,)):
            x = x.copy()  # someone may keep it
        kinds = modules["token_type_embeddings"]
        if types is None and plain(kinds, (TokenEmbedding,)):
            kind = kinds(np.zeros(1, np.int64))  # one row for all
        else:
            kind = kinds(np.zeros_like(ids) if types is None else types)
        with np.errstate(all="ignore"):  # two additions, in this order
            x += kind
            x += modules["position_embeddings"](positions)
        return modules["LayerNorm"](x)
