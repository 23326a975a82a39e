"""weight_norm folded at load, and hints for prefixes."""

from __future__ import annotations

import hashlib
import math

import numpy as np
import pytest

from forwardpass import nn
from forwardpass.nn import _weight_norm

OLD = "{}_g", "{}_v"
NEW = "parametrizations.{}.original0", "parametrizations.{}.original1"


def sample(*shape, seed=5):
    return np.random.default_rng(seed).standard_normal(shape, dtype=np.float32)


def split(state, names, spelling):
    """`state` with the named weights as g and v, in place and in torch's order."""
    result = {}
    for key, value in state.items():
        if key in names:
            prefix, _, name = key.rpartition(".")
            prefix = f"{prefix}." if prefix else ""
            g = sample(len(value), *(1,) * (value.ndim - 1), seed=1)
            result[prefix + spelling[0].format(name)] = g
            result[prefix + spelling[1].format(name)] = value
        else:
            result[key] = value
    return result


def exact(g, v):
    """v * (g / ||v||) with the norm over all but the first dimension, by math.fsum."""
    norm = [math.sqrt(math.fsum(float(x) ** 2 for x in row.ravel())) for row in v]
    scale = np.array([float(a) / n for a, n in zip(g.ravel(), norm, strict=True)])
    return v.astype(np.float64) * scale.reshape(-1, *(1,) * (v.ndim - 1))


def network():
    return nn.Sequential(nn.Conv1d(3, 4, 5), nn.ReLU(), nn.Sequential(nn.Linear(7, 2)))


@pytest.mark.parametrize("spelling", [OLD, NEW], ids=["old", "new"])
def test_both_spellings_are_folded(spelling):
    net = network()
    values = {key: sample(*value.shape) for key, value in net.state_dict().items()}
    state = split(values, ["0.weight", "2.0.weight"], spelling)
    result = net.load_state_dict(state)
    assert str(result) == "<All keys matched successfully>"
    for name in ("0", "2.0"):
        g, v = (state[f"{name}.{part.format('weight')}"] for part in spelling)
        found = net.get_submodule(name).weight
        assert found.tobytes() == exact(g, v).astype(np.float32).tobytes()
        assert not found.flags.writeable
    assert net[0].bias.tobytes() == values["0.bias"].tobytes()


@pytest.mark.parametrize("columns", [1, 2, 3, 7, 64, 65, 1000])
def test_a_root_module_and_any_row_length(columns):
    net = nn.Linear(columns, 3)
    g, v = sample(3, 1), sample(3, columns)
    net.load_state_dict({"weight_g": g, "weight_v": v, "bias": g[:, 0]})
    np.testing.assert_allclose(net.weight, exact(g, v), rtol=1.2e-7)


def test_the_order_of_additions():
    """The tree of docs/numerics.md, element by element in Python."""
    v = sample(5, 37)
    for row in v:
        line = [float(x) ** 2 for x in row]
        while len(line) > 1:
            half = (len(line) + 1) // 2
            line = [line[i] + (line[i + half] if i + half < len(line) else 0) for i in range(half)]
        squares = row.astype(np.float64)[None] ** 2
        assert _weight_norm._tree_sum(squares)[0, 0] == line[0]


def test_bits_are_fixed(monkeypatch):
    v = (np.arange(9 * 31 * 7) * 7919 % 1009 - 500).astype(np.float32).reshape(9, 31, 7) / 512
    g = np.arange(1, 10, dtype=np.float32).reshape(9, 1, 1)
    folded = _weight_norm.fold(g, v)
    digest = hashlib.sha256(folded.astype("<f4").tobytes()).hexdigest()[:16]
    assert digest == "b8aada068a562e9c"
    for block in (1, 300, 1000):
        monkeypatch.setattr(_weight_norm, "_BLOCK", block)
        assert _weight_norm.fold(g, v).tobytes() == folded.tobytes()


@pytest.mark.parametrize("shape", [(1, 5, 1), (1, 1, 3), (1, 1, 1), (), (4, 1, 1)])
def test_other_dimensions_by_the_shape_of_g(shape):
    """torch's weight_norm(dim=1), dim=2 and dim=None."""
    net = nn.Conv1d(5, 4, 3, bias=False)
    g, v = sample(*shape), sample(4, 5, 3)
    net.load_state_dict({"weight_g": g, "weight_v": v})
    over = tuple(i for i in range(3) if not shape or shape[i] == 1)
    norm = np.sqrt((v.astype(np.float64) ** 2).sum(over, keepdims=True))
    np.testing.assert_allclose(net.weight, v * (g / norm), rtol=1.2e-7)


@pytest.mark.parametrize("shape", [(0, 3, 2), (3, 0, 2), (0, 0, 0)])
def test_empty_weights(shape):
    g = np.ones((shape[0], 1, 1), np.float32)
    folded = _weight_norm.fold(g, np.ones(shape, np.float32))
    assert (folded.shape, folded.dtype) == (shape, np.float32)


def test_a_row_of_zeros_is_nan_as_in_torch():
    net = nn.Linear(3, 2, bias=False)
    v = np.array([[0, 0, 0], [3, 0, 4]], np.float32)
    net.load_state_dict({"weight_g": np.ones((2, 1), np.float32), "weight_v": v})
    assert np.isnan(net.weight[0]).all()
    assert net.weight[1].tolist() == [np.float32(0.6), 0, np.float32(0.8)]


def test_other_dtypes_and_extreme_values():
    net = nn.Linear(2, 2, bias=False)
    v = np.array([[3, 4], [-6e4, 0]], np.float16)
    net.load_state_dict({"weight_g": np.array([[5.0], [2.0]]), "weight_v": v})
    assert net.weight.tolist() == [[3, 4], [-2, 0]]
    v = np.array([[3e38, 3e38], [1e-45, 0]], np.float32)
    net.load_state_dict({"weight_g": np.ones((2, 1), np.float32), "weight_v": v})
    assert net.weight.tolist() == [[np.float32(0.5**0.5)] * 2, [1, 0]]


class Own(nn.Module):
    """Has parameters of these names itself."""

    def __init__(self):
        super().__init__()
        self.weight = nn.Parameter(sample(2, 2))
        self.weight_g = nn.Parameter(sample(2, 1))
        self.weight_v = nn.Parameter(sample(2, 2))


def test_what_is_not_folded():
    net = Own()
    state = net.state_dict()
    assert str(net.load_state_dict(state)) == "<All keys matched successfully>"
    del state["weight"]
    assert net.load_state_dict(state, strict=False).missing_keys == ["weight"]
    net = nn.Linear(2, 2, bias=False)
    with pytest.raises(RuntimeError) as caught:
        net.load_state_dict({"weight_g": sample(2, 1)})
    assert str(caught.value).split("\n\t")[1:] == [
        'Missing key(s) in state_dict: "weight". ',
        'Unexpected key(s) in state_dict: "weight_g". ',
    ]
    both = {"weight": sample(2, 2), "weight_g": sample(2, 1), "weight_v": sample(2, 2)}
    with pytest.raises(RuntimeError, match='"weight_g", "weight_v"'):
        net.load_state_dict(both)


def test_a_failed_fold_is_reported_and_changes_nothing():
    net = nn.Linear(2, 3)
    before = net.weight.tobytes()
    bad = {"weight_g": sample(2, 1), "weight_v": sample(3, 3), "bias": sample(3)}
    with pytest.raises(RuntimeError) as caught:
        net.load_state_dict(bad)
    assert str(caught.value).split("\n\t")[1:] == [
        "size mismatch for weight_g: copying a param with shape torch.Size([2, 1]) "
        "from checkpoint, the shape in current model is torch.Size([3, 1]).",
        "size mismatch for weight_v: copying a param with shape torch.Size([3, 3]) "
        "from checkpoint, the shape in current model is torch.Size([3, 2]).",
    ]
    with pytest.raises(TypeError, match='"weight_v" must be float32, got int64'):
        net.load_state_dict({**bad, "weight_g": sample(3, 1), "weight_v": np.ones((3, 2), int)})
    with pytest.raises(RuntimeError, match="received <class 'list'>"):
        net.load_state_dict({**bad, "weight_g": [1, 2, 3], "weight_v": sample(3, 2)})
    assert net.weight.tobytes() == before


def test_code_that_builds_under_weight_norm_runs():
    layer = nn.Conv1d(2, 2, 3)
    assert nn.utils.weight_norm(layer) is layer
    assert nn.utils.weight_norm(layer, name="weight", dim=2) is layer
    assert nn.utils.remove_weight_norm(layer) is layer
    with pytest.raises(AttributeError, match="lost"):
        nn.utils.weight_norm(layer, "lost")


# ---- hints -------------------------------------------------------------------------------------


def report(net, state):
    with pytest.raises(RuntimeError) as caught:
        net.load_state_dict(state)
    return str(caught.value).split("\n\t")


@pytest.mark.parametrize(
    "prefix", ["module.", "_orig_mod.", "model.", "module._orig_mod.", "_orig_mod.module."]
)
@pytest.mark.parametrize("spelling", [None, OLD, NEW], ids=["plain", "old", "new"])
def test_hints_for_prefixes(prefix, spelling):
    net = network()
    state = net.state_dict()
    if spelling is not None:
        state = split(state, ["0.weight"], spelling)
    wrapped = {prefix + key: value for key, value in state.items()}
    last = report(net, wrapped)[-1]
    recipe = f"{{k.removeprefix('{prefix}'): v for k, v in state_dict.items()}}"
    assert last == f"Hint: the keys match without '{prefix}': {recipe}"
    renamed = eval(recipe, {"state_dict": wrapped})
    assert str(net.load_state_dict(renamed)) == "<All keys matched successfully>"
    outer = nn.Module()
    outer.add_module("model", net)
    last = report(outer, state)[-1]
    recipe = "{'model.' + k: v for k, v in state_dict.items()}"
    assert last == f"Hint: the keys match behind 'model.': {recipe}"
    outer.load_state_dict(eval(recipe, {"state_dict": state}))


def test_no_hint_where_it_would_not_help():
    net = network()
    state = {f"module.{key}": value for key, value in net.state_dict().items()}
    del state["module.0.bias"]
    assert len(report(net, state)) == 3
    assert len(report(net, {f"net.{key}": value for key, value in net.state_dict().items()})) == 3
    clash = {"module.weight": sample(2, 2), "weight": sample(2, 2)}
    assert len(report(nn.Linear(2, 2, bias=False), clash)) == 2
    assert net.load_state_dict(state, strict=False).unexpected_keys == list(state)
