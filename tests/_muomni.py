"""μOmni for the tests: its goldens, and a small model of the whole."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import numpy as np

import forwardpass as fp
from forwardpass import load_file
from forwardpass.io.safetensors import load_metadata
from forwardpass.models import muomni
from forwardpass.reference.arrays import make

GOLDENS = Path(__file__).parent / "data" / "muomni"
MODELS = {
    "audio-encoder": muomni.AudioEncoder,
    "audio-encoder-ds4": muomni.AudioEncoder,
    "rvq": muomni.RVQ,
    "talker": muomni.Talker,
    "thinker-gqa": muomni.Thinker,
    "thinker-mha": muomni.Thinker,
    "thinker-moe-gelu": muomni.Thinker,
    "vision-encoder": muomni.VisionEncoder,
    "vocoder": muomni.Vocoder,
}
THINKERS = [name for name in MODELS if name.startswith("thinker")]


def golden(name: str) -> tuple[Any, dict[str, np.ndarray]]:
    """The model with a golden's weights, and its inputs and outputs."""
    path = GOLDENS / f"{name}.safetensors"
    tensors = load_file(path)
    model = MODELS[name](**json.loads(load_metadata(path)["config"]))
    state = {k.removeprefix("state."): v for k, v in tensors.items() if k.startswith("state.")}
    model.load_state_dict(state, strict=True)
    assert list(state) == sorted(model.state_dict())
    return model, {k: v for k, v in tensors.items() if not k.startswith("state.")}


def assert_close(found: np.ndarray, expected: np.ndarray) -> None:
    assert found.dtype == np.float32
    assert found.shape == expected.shape
    assert np.abs(found - expected).max() <= 2e-5 * np.abs(expected).max()


SMALL = {
    "thinker": dict(vocab=50, n_layers=2, d=32, heads=4, ff=64, ctx=40, use_gqa=True),
    "audio_encoder": dict(d=16, heads=2, ff=32, layers=1, downsample_factor=8),
    "vision_encoder": dict(img_size=16, patch=8, d=24, layers=1, heads=2, ff=32),
    "talker": dict(d=24, n_layers=1, n_heads=2, ff=32, codebook_size=16),
    "rvq": dict(codebook_size=16, d=8),
    "vocoder": dict(
        upsample_rates=[4, 2], upsample_kernel_sizes=[8, 4], upsample_initial_channel=8
    ),
}
IMAGE, MEL = make("whole/image", (3, 16, 16)), make("whole/mel", (33, 128))
PROMPT = np.array([1, 7, 8, 9])


def small_model() -> muomni.MuOmni:
    fp.manual_seed(6)
    model = muomni.MuOmni(**SMALL)
    for name, parameter in model.named_parameters():  # so that every part is heard
        if parameter.ndim > 1:
            parent, _, own = name.rpartition(".")
            setattr(model.get_submodule(parent), own, make(f"small/{name}", parameter.shape))
    return model
