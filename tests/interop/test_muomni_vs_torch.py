"""μOmni's components beside a plain torch version with the same weights, over sizes and options."""

from __future__ import annotations

import importlib.util
from pathlib import Path

import numpy as np
import pytest

import forwardpass as fp
from forwardpass.models import muomni as ours
from forwardpass.reference.arrays import make

torch = pytest.importorskip("torch")

_PATH = Path(__file__).resolve().parents[2] / "bench" / "muomni_torch.py"
_SPEC = importlib.util.spec_from_file_location("muomni_torch", _PATH)
theirs = importlib.util.module_from_spec(_SPEC)
_SPEC.loader.exec_module(theirs)

THINKERS = [
    {},
    {"use_gqa": True},
    {"use_gqa": True, "heads": 1},
    {"use_gqa": True, "heads": 6, "d": 48},
    {"use_swiglu": False},
    {"use_moe": True, "num_experts": 3, "num_experts_per_tok": 1},
    {"use_moe": True, "num_experts": 5, "num_experts_per_tok": 5, "use_swiglu": False},
    {"use_moe": True, "num_experts": 8, "num_experts_per_tok": 3, "use_gqa": True},
    {"rope_theta": 500.0, "ff": 100, "n_layers": 3},
]
AUDIO = [{"downsample_factor": factor, "heads": heads} for factor in (4, 8) for heads in (1, 3)]
VISION = [{"img_size": 24, "patch": 8}, {"img_size": 30, "patch": 7, "heads": 4, "layers": 1}]
VOCODERS = [
    {"upsample_rates": (4, 3), "upsample_kernel_sizes": (8, 5)},
    {"upsample_rates": (5,), "upsample_kernel_sizes": (11,), "n_mels": 20},
    {"resblock_kernel_sizes": (3, 11), "resblock_dilation_sizes": ((1, 3, 5), (2,))},
]


def pair(name, **config):
    """Ours and theirs with the same weights, larger than the initial ones, so that all is seen."""
    fp.manual_seed(5)
    mine, other = getattr(ours, name)(**config), getattr(theirs, name)(**config)
    state = {
        key: (0.3 if "norm" not in key else 1) * make(f"muomni/{key}", value.shape)
        for key, value in mine.state_dict().items()
    }
    mine.load_state_dict(state)
    other.load_state_dict({key: torch.from_numpy(value.copy()) for key, value in state.items()})
    return mine, other.eval()


def assert_close(found, expected):
    expected = expected.detach().numpy()
    assert found.shape == expected.shape
    assert np.abs(found - expected).max() <= 2e-5 * np.abs(expected).max()


@pytest.mark.parametrize("options", THINKERS, ids=str)
def test_thinker(options):
    config = {"vocab": 61, "n_layers": 2, "d": 32, "heads": 4, "ff": 48, **options}
    mine, other = pair("Thinker", **config)
    ids = np.random.default_rng(1).integers(0, 61, (2, 19))
    assert_close(mine(ids), other(torch.from_numpy(ids)))
    caches = theirs.new_caches(other.blocks, 2, 19)
    steps = [other(torch.from_numpy(ids[:, a:b]), a, caches) for a, b in ((0, 4), (4, 5), (5, 9))]
    assert_close(mine(ids[:, :9]), torch.cat(steps, 1))


@pytest.mark.parametrize("options", [*THINKERS[:5], {"codebooks": 3}], ids=str)
def test_talker(options):
    names = {"heads": "n_heads"}
    options = {names.get(name, name): value for name, value in options.items()}
    mine, other = pair(
        "Talker", **{"d": 32, "n_layers": 2, "n_heads": 4, "ff": 48, "codebook_size": 9, **options}
    )
    codes = np.random.default_rng(2).integers(0, 9, (2, 13, options.get("codebooks", 2)))
    for found, expected in zip(mine(codes), other(torch.from_numpy(codes)), strict=True):
        assert_close(found, expected)


@pytest.mark.parametrize("options", AUDIO, ids=str)
@pytest.mark.parametrize("frames", [1, 9, 40])
def test_audio_encoder(options, frames):
    mine, other = pair("AudioEncoder", **{"d": 24, "ff": 40, "layers": 2, **options})
    mel = make("muomni/mel", (2, frames, 128))
    assert_close(mine(mel), other(torch.from_numpy(mel)))


@pytest.mark.parametrize("options", VISION, ids=str)
def test_vision_encoder(options):
    mine, other = pair("VisionEncoder", **{"d": 24, "layers": 2, "heads": 3, "ff": 40, **options})
    size = options["img_size"]
    image = make("muomni/image", (2, 3, size, size))
    with torch.inference_mode():
        expected = other(torch.from_numpy(image))
    for found, value in zip(mine(image), expected, strict=True):
        assert_close(found, value)


@pytest.mark.parametrize("size", [(1, 5, 3), (2, 32, 16), (4, 100, 64)])
def test_rvq(size):
    codebooks, rows, d = size
    mine, other = pair("RVQ", codebooks=codebooks, codebook_size=rows, d=d)
    mel = make("muomni/rvq", (3, 40, 128))
    codes = other.encode(torch.from_numpy(mel))
    np.testing.assert_array_equal(mine.encode(mel), codes.numpy())
    assert_close(mine.decode(codes.numpy()), other.decode(codes))


@pytest.mark.parametrize("options", VOCODERS, ids=str)
@pytest.mark.parametrize("scale", [1.0, 1e-8])
def test_vocoder(options, scale):
    mine, other = pair("Vocoder", **{"upsample_initial_channel": 16, "n_mels": 128, **options})
    mel = make("muomni/voice", (2, options.get("n_mels", 128), 7)) * np.float32(scale)
    assert_close(mine(mel), other(torch.from_numpy(mel)))
