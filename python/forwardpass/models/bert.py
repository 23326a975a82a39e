"""BERT-type encoders and the sentence embeddings made from them (all-MiniLM-L6-v2 and relatives).

    h = LayerNorm(word[id] + token_type[type] + position[t])
    for each layer:  h = LayerNorm(h + dense(attention(h)));  h = LayerNorm(h + down(gelu(up(h))))
    embedding = pool(h over the real tokens) / its length

Source: Devlin et al. 2018; Reimers and Gurevych 2019 for the pooling. Modules have the names of
Hugging Face's BertModel, so that its checkpoints load as they are.

Sentences of unequal lengths are packed, not padded: sorted by length, their tokens stand one after
the other as the rows of one matrix, and only attention knows where each begins. A row's bytes do
not depend on the other rows (docs/numerics.md), so neither do a sentence's on its batch.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any, ClassVar

import numpy as np

from forwardpass.nn import functional as F

from ._bert_layers import BertEmbeddings, BertEncoder, Rows
from ._settings import Settings
from ._text import TextEncoder

_ACTIVATIONS = {
    "gelu": "gelu",
    "gelu_new": "gelu_tanh",
    "gelu_pytorch_tanh": "gelu_tanh",
    "relu": "relu",
    "silu": "silu",
}
_MOST_TOKENS = 1024  # of a pack: the hidden layer of a feed-forward block stays in the last cache


class BertModel(TextEncoder):
    """A BERT-type encoder; `models.load` makes it from a folder.

    `model(input_ids, attention_mask=None, token_type_ids=None)`: integers (B, T) to the last hidden
    state (B, T, hidden_size), as Hugging Face's BertModel. `model.encode(texts)` and
    `model.embed(ids)` give sentence embeddings.

    Raises ValueError for a setting that makes no sense, NotImplementedError for relative positions
    and for decoders.
    """

    base_prefix: ClassVar[str] = "bert."
    # Positions in order, and heads on top of the encoder, whose results nobody asks for here.
    unused: ClassVar[tuple[str, ...]] = (
        r"position_ids$",
        r"^pooler\.",
        r"^cls\.",
        r"^classifier\.",
    )
    tied: ClassVar[Mapping[str, str]] = {}

    def __init__(
        self,
        vocab_size: int,
        hidden_size: int = 768,
        num_hidden_layers: int = 12,
        num_attention_heads: int = 12,
        intermediate_size: int = 3072,
        hidden_act: str = "gelu",
        max_position_embeddings: int = 512,
        type_vocab_size: int = 2,
        layer_norm_eps: float = 1e-12,
    ) -> None:
        super().__init__()
        if hidden_size % num_attention_heads:
            raise ValueError(
                "BertModel: hidden_size must be a multiple of num_attention_heads, got "
                f"{hidden_size} and {num_attention_heads}"
            )
        if hidden_act not in _ACTIVATIONS.values():
            choices = ", ".join(sorted(set(_ACTIVATIONS.values())))
            raise ValueError(f"BertModel: hidden_act must be one of {choices}, got {hidden_act!r}")
        self.hidden_size, self.longest = hidden_size, max_position_embeddings
        self.embeddings = BertEmbeddings(
            vocab_size, max_position_embeddings, type_vocab_size, hidden_size, layer_norm_eps
        )
        self.encoder = BertEncoder(
            num_hidden_layers,
            hidden_size,
            num_attention_heads,
            intermediate_size,
            hidden_act,
            layer_norm_eps,
        )

    @classmethod
    def from_config(cls, config: Mapping[str, Any]) -> BertModel:
        """From the settings of a config.json."""
        settings = Settings(config, "config.json")
        settings.refuse("position_embedding_type", "absolute")
        settings.refuse("is_decoder", False)
        return cls(
            settings.count("vocab_size"),
            settings.count("hidden_size"),
            settings.count("num_hidden_layers"),
            settings.count("num_attention_heads"),
            settings.count("intermediate_size"),
            settings.choice("hidden_act", _ACTIVATIONS, "gelu"),
            settings.count("max_position_embeddings", 512),
            settings.count("type_vocab_size", 2),
            settings.positive("layer_norm_eps", 1e-12),
        )

    def forward(
        self, input_ids: Any, attention_mask: Any = None, token_type_ids: Any = None
    ) -> Any:
        """Integers (B, T) to (B, T, hidden_size).

        attention_mask (B, T): nonzero where a token is real; the others are seen by nobody, and
        have a hidden state without meaning. token_type_ids (B, T), 0 unless given.
        """
        ids = self._integers(input_ids, "input_ids")
        batch, length = ids.shape
        if length > self.longest:
            raise ValueError(f"BertModel: at most {self.longest} tokens, got {length}")
        mask = None
        if attention_mask is not None:
            real = self._integers(attention_mask, "attention_mask", ids.shape)
            mask = (real != 0)[:, None, None, :]
        types = None
        if token_type_ids is not None:
            types = self._integers(token_type_ids, "token_type_ids", ids.shape).ravel()
        positions = np.broadcast_to(np.arange(length), ids.shape)
        x = self.embeddings(ids.ravel(), types, positions.ravel())
        x = self.encoder(x, Rows(((0, batch, length),), mask))
        return x.reshape(batch, length, self.hidden_size)

    def hidden_states(self, sentences: Sequence[Any]) -> tuple[Any, Any]:
        """The last hidden states of sentences of one length or of falling lengths, packed.

        Gives (N, hidden_size), one sentence behind the other, and where each begins.
        """
        lengths = [len(ids) for ids in sentences]
        ends = np.cumsum([0, *lengths])
        runs: list[tuple[int, int, int]] = []
        for first, length in zip(ends.tolist(), lengths, strict=False):
            if runs and runs[-1][2] == length:
                runs[-1] = (runs[-1][0], runs[-1][1] + 1, length)
            elif length:
                runs.append((first, 1, length))
        ids = np.concatenate(sentences)
        positions = np.arange(len(ids)) - np.repeat(ends[:-1], lengths)
        x = self.embeddings(ids, None, positions)
        return self.encoder(x, Rows(tuple(runs))), ends[:-1]

    def embed(self, sentences: Sequence[Any]) -> Any:
        """Sentence embeddings (B, hidden_size) of sentences given as token ids, in their order.

        sentences: one-dimensional integer arrays or lists of any lengths from 1 to the model's
            positions, with the special tokens. Pooled and normalised as `pooling` and `normalize`
            say. A sentence has the same bytes in any batch.
        """
        arrays = [self._sentence(ids, i) for i, ids in enumerate(sentences)]
        found = np.empty((len(arrays), self.hidden_size), np.float32)
        order = sorted(range(len(arrays)), key=lambda i: -len(arrays[i]))
        for pack in _packs(order, arrays):
            x, starts = self.hidden_states([arrays[i] for i in pack])
            found[pack] = self._pooled(x, starts)
        return F.normalize(found, dim=-1) if self.normalize else found

    def _pooled(self, x: Any, starts: Any) -> Any:
        if self.pooling == "cls":
            return x[starts]
        return F.embedding_bag(np.arange(len(x)), x, starts, mode=self.pooling)

    def _sentence(self, ids: Any, index: int) -> Any:
        array = np.asarray(ids)
        if array.ndim != 1 or not 0 < len(array) <= self.longest:
            raise ValueError(
                f"BertModel: sentence {index} must be 1 to {self.longest} token ids, "
                f"got shape {array.shape}"
            )
        return self._integers(array, f"sentence {index}", array.shape)

    def _integers(self, value: Any, name: str, shape: tuple[int, ...] | None = None) -> Any:
        array = np.asarray(value)
        if array.dtype.kind not in "iub":
            raise TypeError(f"BertModel: {name} must be integers, got {array.dtype}")
        if (array.ndim != 2) if shape is None else (array.shape != shape):
            raise ValueError(
                f"BertModel: {name} must have shape {shape or '(B, T)'}, got {array.shape}"
            )
        return array.astype(np.int64, copy=False)


def _packs(order: Sequence[int], arrays: Sequence[Any]) -> list[list[int]]:
    """`order` cut where a pack is full."""
    packs: list[list[int]] = []
    room = 0
    for index in order:
        length = len(arrays[index])
        if length > room:
            packs.append([])
            room = max(_MOST_TOKENS, length)
        packs[-1].append(index)
        room -= length
    return packs
