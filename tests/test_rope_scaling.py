"""Scaled rotary frequencies: linear and llama3, in the tables and in whole models."""

from __future__ import annotations

import json
import math

import numpy as np
import pytest

import _networks as net
from _arrays import assert_same_bytes
from forwardpass import _core, models, nn
from forwardpass.models.llama import LlamaForCausalLM
from forwardpass.nn.functional._rope_scaling import RopeScaling
from forwardpass.nn.functional._rotary import _MOST_ROWS, table_rows

LLAMA3 = {
    "rope_type": "llama3",
    "factor": 8.0,
    "low_freq_factor": 1.0,
    "high_freq_factor": 4.0,
    "original_max_position_embeddings": 256,
}
LINEAR = {"type": "linear", "factor": 2.0}
IDS = np.arange(1, 12)[None]


def by_hand(config: dict, dim: int, base: float) -> list[float]:
    found = []
    for i in range(dim // 2):
        f = base ** (-2 * i / dim)
        wavelength = 2 * math.pi / f
        if config is LINEAR or wavelength > 256:
            f /= config["factor"]
        elif wavelength > 256 / 4:
            s = (256 / wavelength - 1) / 3
            f = (1 - s) * f / 8 + s * f
        found.append(f)
    return found


@pytest.mark.parametrize("config", [LINEAR, LLAMA3])
@pytest.mark.parametrize("first", [0, 300, _MOST_ROWS + 5])
def test_tables(config, first):
    scaling = RopeScaling.from_config(config, "here")
    frequencies = np.array(by_hand(config, 64, 5e5))
    np.testing.assert_allclose(scaling.frequencies(64, 5e5), frequencies, rtol=1e-14)
    cos, sin = table_rows(64, 5e5, first, 3, scaling)
    angles = (first + np.arange(3))[:, None] * frequencies
    np.testing.assert_allclose(cos, np.cos(angles), atol=1e-7)
    np.testing.assert_allclose(sin, np.sin(angles), atol=1e-7)


def test_frequencies_that_are_not_scaled_have_the_bytes_of_the_base():
    plain = _core.rotary_table(3, 5, 32, 1e4)
    given = _core.rotary_table(3, 5, 32, 1e4, None, None, _core._rotary_frequencies(32, 1e4))
    for a, b in zip(plain, given, strict=True):
        assert_same_bytes(a, b)
    with pytest.raises(ValueError, match="frequencies"):
        _core.rotary_table(3, 5, 32, 1e4, None, None, np.ones(3))


@pytest.mark.parametrize("config", [LINEAR, LLAMA3])
def test_transformers_has_the_same(config):
    utils = pytest.importorskip("transformers.modeling_rope_utils")
    llama = pytest.importorskip("transformers").LlamaConfig
    kind = config.get("rope_type", config.get("type"))
    parameters = {"rope_type": kind, "rope_theta": 5e5}
    parameters |= {k: v for k, v in config.items() if k not in ("type", "rope_type")}
    theirs = llama(head_dim=64, max_position_embeddings=2048, rope_parameters=parameters)
    found, scale = utils.ROPE_INIT_FUNCTIONS[kind](theirs, "cpu")
    assert scale == 1.0
    ours = RopeScaling.from_config(config, "here").frequencies(64, 5e5)
    np.testing.assert_allclose(found.numpy(), ours, rtol=2e-6)


def test_models_turn_by_scaled_angles_and_decode_in_any_chunks():
    """Factor 1 is no scaling; linear with factor 2 at even positions is none at their halves."""
    plain = LlamaForCausalLM.from_config(net.LLAMA)
    model = LlamaForCausalLM.from_config({**net.LLAMA, "rope_scaling": LLAMA3})
    same = LlamaForCausalLM.from_config({**net.LLAMA, "rope_scaling": {**LINEAR, "factor": 1.0}})
    for other in (model, same):
        other.load_state_dict(plain.state_dict())
    assert_same_bytes(same(IDS), plain(IDS))
    assert np.abs(model(IDS) - plain(IDS)).max() > 1e-4
    cache = model.new_cache()
    parts = [model(IDS[:, :5], cache), model(IDS[:, 5:6], cache), model(IDS[:, 6:], cache)]
    assert_same_bytes(np.concatenate(parts, 1), model(IDS))


@pytest.mark.parametrize(
    ("scaling", "error", "text"),
    [
        ({"rope_type": "yarn"}, NotImplementedError, "'yarn' is not supported; known are default"),
        ({"rope_type": "linear"}, ValueError, "factor must be a number above 0, got None"),
        ({**LLAMA3, "low_freq_factor": 4.0}, ValueError, "high_freq_factor must be above"),
        ({**LLAMA3, "factor": "8"}, ValueError, "factor must be a number above 0, got '8'"),
        ("linear", ValueError, "must be an object"),
        ({"rope_type": "factors"}, ValueError, "factors must be a number above 0, got None"),
        ({"rope_type": "factors", "factors": [1, 0.0]}, ValueError, "factors must be a number"),
        ({"rope_type": "factors", "factors": [1.0]}, ValueError, "1 factors for"),
    ],
)
def test_errors(scaling, error, text):
    with pytest.raises(error, match=text):
        LlamaForCausalLM.from_config({**net.LLAMA, "rope_scaling": scaling})


def test_the_layer_takes_it():
    layer = nn.CausalSelfAttention(16, 2, rope_scaling=LINEAR)
    assert layer.rope_scaling == RopeScaling("linear", 2.0)
    with pytest.raises(NotImplementedError, match="dynamic"):
        nn.CausalSelfAttention(16, 2, rope_scaling={"rope_type": "dynamic"})


@pytest.mark.parametrize("given", [5, [5, 9]])
def test_generation_config_says_where_to_stop(tmp_path, given):
    folder = net.write(tmp_path, net.LLAMA, net.llama_state())
    before = models.load(folder).stop
    text = json.dumps({"eos_token_id": given, "temperature": 0.6})
    (tmp_path / "generation_config.json").write_text(text)
    stop = models.load(folder).stop
    assert stop == {5} | set([given] if isinstance(given, int) else given)
    assert stop != before
    (tmp_path / "generation_config.json").write_text('{"eos_token_id": "x"}')
    with pytest.raises(ValueError, match="eos_token_id"):
        models.load(folder)
