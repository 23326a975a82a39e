"""Tokens and text from a decoder, as they come."""

from __future__ import annotations

import os
from collections.abc import Callable, Iterable, Iterator, Sequence
from typing import Any

import numpy as np

from ._settings import Settings
from ._text import TextModel, package, read_json
from .sampling import Sampler

_OP = "generate"
_CHUNK = 512  # positions of a prompt at once: what a layer makes of them stays in the last cache


class TextDecoder(TextModel):
    """A model that continues a sequence of tokens.

    stop: the token ids that end it: eos_token_id of generation_config.json, else of the model's
        own settings; one id or a list of them.
    """

    vocab_size: int
    longest: int
    new_cache: Callable[..., Any]

    def __init__(self) -> None:
        super().__init__()
        self.stop: frozenset[int] = frozenset()

    def attach(self, source: Any) -> None:
        super().attach(source)
        folder, name = source.tokenizer, "generation_config.json"
        found = read_json(folder, name) if isinstance(folder, str) else None
        if isinstance(found, dict) and found.get("eos_token_id") is not None:
            self.stop = frozenset(Settings(found, os.path.join(folder, name)).ids("eos_token_id"))

    def generate(
        self,
        input_ids: Sequence[int] | Any,
        max_new_tokens: int = 128,
        *,
        temperature: float = 0.0,
        top_k: int | None = None,
        top_p: float = 1.0,
        rng: np.random.Generator | int | None = None,
        stop: Iterable[int] | None = None,
        cache: Any = None,
    ) -> Iterator[int]:
        """The ids of the tokens that follow `input_ids`, one by one.

        input_ids: (T,), at least one. With a cache, they follow the positions that it holds; it
            then holds them and every token given but the last.
        max_new_tokens: the most tokens; fewer where a stop token comes or the model's positions
            end.
        temperature, top_k, top_p, rng: as for sampling.Sampler; temperature 0 is greedy.
        stop: ids that end the sequence, the last one given; None: the model's own.

        Arguments are checked by the call, not when the first token is asked for. ValueError for bad
        ones.
        """
        ids = np.asarray(input_ids)
        if ids.ndim != 1 or not len(ids):
            raise ValueError(
                f"{_OP}: input_ids must have shape (T,), T at least 1, got {ids.shape}"
            )
        if ids.dtype.kind not in "iu":
            raise TypeError(f"{_OP}: input_ids must be integers, got {ids.dtype}")
        if max_new_tokens < 0:
            raise ValueError(f"{_OP}: max_new_tokens must be at least 0, got {max_new_tokens}")
        sampler = Sampler(temperature, top_k, top_p, rng)
        cache = self.new_cache() if cache is None else cache
        room = min(self.longest, cache.limit) - len(cache) - len(ids)
        if room < 0:
            raise ValueError(
                f"{_OP}: {len(cache)} positions and {len(ids)} more are past the model's "
                f"{self.longest} or the cache's {cache.limit}"
            )
        ends = self.stop if stop is None else frozenset(stop)
        # The last token needs no position: nothing follows it.
        return self._tokens(ids, min(max_new_tokens, room + 1), sampler, ends, cache)

    def _tokens(
        self, ids: Any, count: int, sampler: Sampler, ends: frozenset[int], cache: Any
    ) -> Iterator[int]:
        for _ in range(count):
            for first in range(0, len(ids), _CHUNK):
                logits = self(ids[None, first : first + _CHUNK], cache, 1)
            token = sampler(logits[0, -1])
            yield token
            if token in ends:
                return
            ids = np.array([token])

    def stream(self, text: str, max_new_tokens: int = 128, **options: Any) -> Iterator[str]:
        """The text that follows `text`, in pieces, as tokens come. Options as for generate."""
        tokens = self.generate(self.tokenizer.encode(text).ids, max_new_tokens, **options)
        return self.pieces(tokens)

    def pieces(self, tokens: Iterable[int]) -> Iterator[str]:
        """Tokens as text, special ones left out: a piece comes when its last byte is there."""
        decoder = package().decoders.DecodeStream(skip_special_tokens=True)
        for token in tokens:
            piece = decoder.step(self.tokenizer, token)
            if piece:
                yield piece

    def chat_prompt(self, messages: Sequence[dict[str, str]], system: str | None = None) -> str:
        """Messages ({"role", "content"}) as ChatML, up to where the assistant begins to write.

        system: a first message of the system, unless messages begin with one. ValueError for a
        model whose vocabulary lacks ChatML's marks.
        """
        if self.tokenizer.token_to_id("<|im_start|>") is None:
            raise ValueError("chat_prompt: this model does not know ChatML's <|im_start|>")
        turns = list(messages)
        if system is not None and (not turns or turns[0]["role"] != "system"):
            turns.insert(0, {"role": "system", "content": system})
        texts = [f"<|im_start|>{turn['role']}\n{turn['content']}<|im_end|>\n" for turn in turns]
        return "".join(texts) + "<|im_start|>assistant\n"
