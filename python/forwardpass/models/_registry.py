"""Which class runs which `model_type`: the one table that `load` looks in."""

from __future__ import annotations

from importlib import import_module
from typing import Any

# model_type of a config.json (general.architecture of a GGUF): module and class.
_MODELS = {
    "bert": ("bert", "BertModel"),
    "llama": ("llama", "LlamaForCausalLM"),
    "muomni": ("muomni", "MuOmni"),
}


def known() -> tuple[str, ...]:
    """The values of `model_type` that load understands."""
    return tuple(sorted(_MODELS))


def find(model_type: Any, where: str) -> Any:
    """The class for a model_type, imported now. ValueError names those there are."""
    if not isinstance(model_type, str) or model_type not in _MODELS:
        given = "has no model_type" if model_type is None else f"has model_type {model_type!r:.80}"
        raise ValueError(f"{where}: {given}; known are {', '.join(known())}")
    module, name = _MODELS[model_type]
    return getattr(import_module(f"forwardpass.models.{module}"), name)
