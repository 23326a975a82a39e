"""A byte-level BPE tokenizer from the vocabulary in a GGUF file."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from . import _text

_CONTROL, _USER = 3, 4  # token types of ggml: never split, the first kind not shown
# How a text is cut before BPE, by the file's tokenizer.ggml.pre: whether digits stand alone.
_DIGITS_ALONE = {"smollm": True, "gpt-2": False, "default": False}


def build(vocabulary: Mapping[str, Any], where: str) -> Any:
    """vocabulary: what the file has under tokenizer.ggml, by the last part of the name.

    NotImplementedError for another kind of tokenizer (SentencePiece) and another way to cut.
    """
    tokenizers = _text.package()
    kind, cut = vocabulary.get("model"), vocabulary.get("pre", "default")
    if kind != "gpt2" or cut not in _DIGITS_ALONE:
        raise NotImplementedError(
            f"{where}: a tokenizer {kind!r}, cut as {cut!r}; known is 'gpt2', cut as "
            f"{', '.join(_DIGITS_ALONE)}. Token ids work without it"
        )
    tokens, merges = vocabulary.get("tokens", []), vocabulary.get("merges", [])
    pairs = [tuple(merge.split(" ", 1)) for merge in merges]
    ids = {token: i for i, token in enumerate(tokens)}
    if len(ids) != len(tokens) or any(len(pair) != 2 for pair in pairs):
        raise ValueError(f"{where}: tokens that are there twice, or merges that are not pairs")
    made = tokenizers.Tokenizer(tokenizers.models.BPE(ids, pairs))
    pre = tokenizers.pre_tokenizers
    bytewise = pre.ByteLevel(add_prefix_space=bool(vocabulary.get("add_space_prefix", False)))
    digits = [pre.Digits(individual_digits=True)] if _DIGITS_ALONE[cut] else []
    made.pre_tokenizer = pre.Sequence([*digits, bytewise])
    made.decoder = tokenizers.decoders.ByteLevel()
    types = vocabulary.get("token_type", [])
    named = [(tokens[i], kind) for i, kind in enumerate(types) if i < len(tokens)]
    made.add_special_tokens([token for token, kind in named if kind == _CONTROL])
    made.add_tokens([token for token, kind in named if kind == _USER])
    return made
