"""forwardpass.nn.from_torch: twins with torch's names and results, and what is refused."""

from __future__ import annotations

import numpy as np
import pytest

from forwardpass import nn as ours

torch = pytest.importorskip("torch")
from interop.pairs import MADE  # noqa: E402

nn = torch.nn

pytestmark = pytest.mark.filterwarnings("ignore")


def near(got, want):
    want = want.detach().numpy()
    assert got.shape == want.shape
    np.testing.assert_allclose(got, want, rtol=2e-5, atol=2e-5)


def check(module, *inputs):
    """The twin, which has torch's keys, repr and results."""
    module = module.eval()
    twin = ours.from_torch(module)
    assert isinstance(twin, ours.Module)
    with torch.no_grad():
        want = module(*inputs)
    got = twin(*(x.numpy() for x in inputs))
    while isinstance(want, tuple):
        want, got = want[0], got[0]
    near(got, want)
    return twin


@pytest.mark.parametrize("name", MADE)
def test_every_layer(name):
    torch.manual_seed(0)
    make, shape = MADE[name]
    module = make(nn).eval()
    twin = ours.from_torch(module)
    assert list(twin.state_dict()) == list(module.state_dict())
    assert repr(twin) == repr(module)
    if shape is not None:
        x = torch.randn(shape)
        with torch.no_grad():
            near(np.asarray(twin(x.numpy())), module(x))


def blocks():
    block = nn.Sequential(nn.Conv1d(4, 8, 3, padding=1), nn.BatchNorm1d(8), nn.ReLU())
    return nn.Sequential(block, nn.Sequential(nn.Flatten(), nn.Linear(40, 3)), nn.Softmax(-1))


def test_nested_containers():
    torch.manual_seed(0)
    twin = check(blocks(), torch.randn(2, 4, 5))
    assert list(twin.state_dict()) == list(blocks().state_dict())
    both = nn.ModuleDict({"a": nn.ModuleList([blocks(), nn.PReLU()]), "b": nn.Embedding(4, 3)})
    twin = ours.from_torch(both)
    assert list(twin.state_dict()) == list(both.state_dict())
    assert repr(twin) == repr(both)


@pytest.mark.parametrize("kind", ["LSTM", "GRU", "RNN"])
def test_recurrent_layers(kind):
    torch.manual_seed(0)
    check(getattr(nn, kind)(4, 5, 2, bias=False, bidirectional=True), torch.randn(3, 2, 4))
    check(getattr(nn, f"{kind}Cell")(4, 5), torch.randn(2, 4))


def test_attention_and_transformers():
    torch.manual_seed(0)
    x = torch.randn(2, 5, 8)
    check(nn.MultiheadAttention(8, 2, bias=False, batch_first=True, add_zero_attn=True), x, x, x)
    layer = nn.TransformerEncoderLayer(8, 2, 12, activation="gelu", norm_first=True)
    check(nn.TransformerEncoder(layer, 2, nn.LayerNorm(8)), x)
    layer = nn.TransformerDecoderLayer(8, 2, 12, activation=nn.SiLU(), batch_first=True)
    check(nn.TransformerDecoder(layer, 2), x, x)
    check(nn.Transformer(8, 2, 1, 2, 12, layer_norm_eps=1e-3, batch_first=True), x, x)


@pytest.mark.parametrize(
    "norm", [nn.utils.weight_norm, nn.utils.parametrizations.weight_norm], ids=["old", "new"]
)
def test_weight_norm_is_folded(norm):
    torch.manual_seed(0)
    check(nn.Sequential(norm(nn.Conv1d(4, 6, 3)), nn.Tanh()), torch.randn(2, 4, 9))


def test_a_subclass_that_runs_as_its_base_does():
    class Block(nn.Sequential):
        def __init__(self):
            super().__init__(nn.Linear(4, 4), nn.ReLU())

    check(nn.Sequential(Block(), Block()), torch.randn(2, 4))


def test_a_module_in_two_places_is_one():
    layer = nn.Linear(4, 4)
    twin = check(nn.Sequential(layer, nn.ReLU(), layer), torch.randn(2, 4))
    assert twin[0] is twin[2]


def test_all_that_is_missing_is_named_with_its_places():
    class Own(nn.Module):
        def forward(self, x):
            return x

    hooked = nn.Linear(4, 4)
    hooked.register_forward_hook(lambda module, inputs, output: output * 2)
    spectral = nn.utils.parametrizations.spectral_norm(nn.Linear(4, 4))
    inner = nn.Sequential(Own(), nn.Conv3d(1, 1, 1), hooked)
    with pytest.raises(NotImplementedError) as caught:
        ours.from_torch(nn.Sequential(Own(), inner, spectral))
    lines = str(caught.value).splitlines()
    assert any(line.endswith("Own: 0, 1.0") for line in lines)
    assert any(line.endswith("Conv3d: 1.1") for line in lines)
    assert "  Linear with a forward hook: 1.2" in lines
    assert any(line.endswith("_SpectralNorm: 2") for line in lines)
    assert len(lines) == 6


def test_what_is_no_module():
    with pytest.raises(TypeError, match=r"must be a torch\.nn\.Module, got int"):
        ours.from_torch(3)
