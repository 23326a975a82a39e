"""Text in: tokenizers (the `tokenizers` package, extra [text]) and models that take strings."""

from __future__ import annotations

import json
import os
from collections.abc import Callable, Sequence
from typing import TYPE_CHECKING, Any

import numpy as np

from forwardpass.nn import Module

from ._progress import Progress

if TYPE_CHECKING:
    from ._load import Source

_POOLINGS = {
    "pooling_mode_cls_token": "cls",
    "pooling_mode_max_tokens": "max",
    "pooling_mode_mean_tokens": "mean",
}


def package() -> Any:
    """The `tokenizers` package. ImportError says how to get it."""
    try:
        import tokenizers
    except ImportError:
        raise ImportError(
            "text needs the tokenizers package: pip install 'forwardpass[text]'; "
            "token ids work without it"
        ) from None
    return tokenizers


def open_tokenizer(source: Any) -> Any:
    """A tokenizer from a folder with tokenizer.json, or from a call that makes one."""
    if source is None:
        raise ValueError("this model has no tokenizer: it was not loaded from a folder with one")
    if callable(source):
        return source()
    path = os.path.join(source, "tokenizer.json")
    if not os.path.exists(path):
        raise FileNotFoundError(f"{source}: no tokenizer.json; token ids work without it")
    tokenizer = package().Tokenizer.from_file(path)
    tokenizer.no_padding()
    tokenizer.no_truncation()
    return tokenizer


class TextModel(Module):
    """A model that came from files, with the tokenizer beside them."""

    def __init__(self) -> None:
        super().__init__()
        self._tokenizer_source: Any = None
        self._tokenizer: Any = None

    def attach(self, source: Source) -> None:
        """Called by load, when the weights are there."""
        self._tokenizer_source = source.tokenizer

    @property
    def tokenizer(self) -> Any:
        """A tokenizers.Tokenizer, opened when first asked for."""
        if self._tokenizer is None:
            self._tokenizer = open_tokenizer(self._tokenizer_source)
        return self._tokenizer


class TextEncoder(TextModel):
    """A model that gives a vector for a text.

    pooling: "mean" of the tokens' states, "cls" for the first token's, or "max".
    normalize: whether vectors have length 1.
    max_tokens: what of a text is looked at, special tokens counted; None: the model's positions.

    load sets them from sentence-transformers' files where there are any.
    """

    longest: int
    embed: Callable[[Sequence[Any]], Any]

    def __init__(self) -> None:
        super().__init__()
        self.pooling, self.normalize = "mean", True
        self.max_tokens: int | None = None

    def attach(self, source: Source) -> None:
        super().attach(source)
        folder = source.tokenizer
        modules = read_json(folder, "modules.json")
        if modules is None:
            return
        if not isinstance(modules, list) or not all(isinstance(m, dict) for m in modules):
            raise ValueError(f"{folder}: modules.json must be a list of objects")
        kinds = {str(m.get("type", "")).rpartition(".")[2]: m for m in modules}
        if extra := sorted(kinds.keys() - {"Transformer", "Pooling", "Normalize"}):
            raise NotImplementedError(f"{folder}: modules.json has {', '.join(extra)}")
        self.normalize = "Normalize" in kinds
        # a name from a stranger: only its last part, which is inside the folder
        name = os.path.basename(str(kinds.get("Pooling", {}).get("path", "1_Pooling")))
        pooling = read_json(folder, name, "config.json")
        chosen = [k for k, v in (pooling or {}).items() if k.startswith("pooling_mode_") and v]
        if len(chosen) != 1 or chosen[0] not in _POOLINGS:
            raise NotImplementedError(f"{folder}: pooling by {', '.join(chosen) or 'nothing'}")
        self.pooling = _POOLINGS[chosen[0]]
        limit = (read_json(folder, "sentence_bert_config.json") or {}).get("max_seq_length")
        if isinstance(limit, int) and 0 < limit <= self.longest:
            self.max_tokens = limit

    def encode(self, texts: str | Sequence[str], *, progress: bool | None = False) -> Any:
        """Vectors (B, hidden_size) of texts, (hidden_size,) of a single one.

        A text beyond `max_tokens` is cut, as sentence-transformers does. progress: a bar on stderr,
        as for load. ImportError without the `tokenizers` package.
        """
        if isinstance(texts, str):
            return self.encode([texts])[0]
        limit = self.max_tokens or self.longest
        tokenizer = self.tokenizer
        tokenizer.enable_truncation(limit)
        ids = [encoding.ids for encoding in tokenizer.encode_batch(list(texts))]
        return self._in_parts(ids, progress)

    def _in_parts(self, ids: list[Any], progress: bool | None) -> Any:
        size = len(ids) if progress is False else 256  # texts between two steps of the bar
        with Progress(len(ids), "texts", progress) as bar:
            parts = []
            for first in range(0, max(len(ids), 1), max(size, 1)):
                parts.append(self.embed(ids[first : first + size] if size else []))
                bar.step(len(parts[-1]))
        return np.concatenate(parts)


def read_json(*path: Any) -> Any:
    """The JSON in a file, None where there is none."""
    if not all(isinstance(part, str) for part in path):
        return None
    name = os.path.join(*path)
    if not os.path.isfile(name):
        return None
    with open(name, encoding="utf-8") as file:
        return json.load(file)
