"""Blocks that run kernels without calling their layers: who watches or changes one counts."""

from __future__ import annotations

import copy

import numpy as np
import pytest

import _networks as net
import forwardpass as fp
from _arrays import assert_same_bytes
from forwardpass.models import muomni
from forwardpass.models.bert import BertModel
from forwardpass.reference.arrays import make

IDS = np.arange(5)[None]


def thinker(**more):
    return muomni.Thinker(vocab=50, n_layers=2, d=96, heads=4, ff=64, **more)


MODELS = {
    "gqa": (lambda: thinker(use_gqa=True), IDS),
    "mha": (thinker, IDS),
    "gelu": (lambda: thinker(use_swiglu=False), IDS),
    "audio": (
        lambda: muomni.AudioEncoder(d=48, heads=2, ff=64, layers=1),
        make("plans/mel", (1, 9, 128)),
    ),
    "bert": (lambda: BertModel.from_config(net.BERT), IDS),
}


@pytest.fixture(params=MODELS)
def model_and_input(request):
    fp.manual_seed(0)
    make_model, x = MODELS[request.param]
    model = make_model()
    model(x)
    return model, x


def test_every_new_parameter_counts(model_and_input):
    model, x = model_and_input
    before = model(x)
    for name, parameter in list(model.named_parameters()):
        path, _, leaf = name.rpartition(".")
        setattr(model.get_submodule(path), leaf, parameter.data * np.float32(1.5) + np.float32(0.1))
        after = model(x)
        assert_same_bytes(after, copy.deepcopy(model)(x))  # which has no plans yet
        if "pos" not in name and "token_type" not in name:
            assert (after != before).any(), name
        before = after


def test_loaded_weights_count(model_and_input):
    model, x = model_and_input
    state = {name: value * np.float32(0.5) for name, value in model.state_dict().items()}
    model.load_state_dict(state)
    assert_same_bytes(model(x), copy.deepcopy(model)(x))


def test_eps_counts(model_and_input):
    model, x = model_and_input
    for name, module in list(model.named_modules()):
        if hasattr(module, "eps"):
            before, module.eps = model(x), 0.5
            assert (model(x) != before).any(), name


@pytest.mark.parametrize("name", ["gqa", "mha", "gelu"])
@pytest.mark.parametrize("some", [slice(None), slice(1)])
def test_another_geometry_counts(name, some):
    """Of all blocks, and of one alone."""
    fp.manual_seed(0)
    model = MODELS[name][0]()
    before = model(IDS)
    for key, value in {"rope_base": 77.0, "rotary_dim": 8, "interleaved": True}.items():
        for block in model.blocks[some]:
            setattr(block.attn, key, value)
        after = model(IDS)
        assert (after != before).any(), key
        assert_same_bytes(after, copy.deepcopy(model)(IDS))
        cache = model.new_cache()
        steps = [model(IDS[:, i : i + 1], cache=cache) for i in range(IDS.shape[1])]
        assert_same_bytes(np.concatenate(steps, 1), after)
        before = after


def test_every_hook_is_called(model_and_input):
    model, x = model_and_input
    expected = model(x)
    for name, module in list(model.named_modules()):
        if isinstance(module, fp.nn.ModuleList):
            continue
        calls = []
        handle = module.register_forward_hook(lambda *_: calls.append(0))  # noqa: B023
        assert_same_bytes(model(x), expected)
        assert calls, name
        handle.remove()
        assert_same_bytes(model(x), expected)


def test_a_child_in_another_place_counts(model_and_input):
    model, x = model_and_input
    expected = model(x)
    for name, module in list(model.named_modules()):
        if isinstance(module, (fp.nn.Linear, fp.nn.RMSNorm, fp.nn.LayerNorm)):
            path, _, leaf = name.rpartition(".")
            other = copy.deepcopy(module)
            other.weight = module.weight * np.float32(2)
            setattr(model.get_submodule(path), leaf, other)
            changed = model(x)
            assert (changed != expected).any(), name
            setattr(model.get_submodule(path), leaf, module)
            assert_same_bytes(model(x), expected)


def test_blocks_have_plans(model_and_input):
    """Else the tests above would show little; blocks with a GELU have none."""
    model, _ = model_and_input
    blocks = model.encoder.layer if isinstance(model, BertModel) else model.blocks
    gelu = isinstance(model, muomni.Thinker) and hasattr(blocks[0].mlp, "fc1")
    assert all((block._current() is None) == gelu for block in blocks)
