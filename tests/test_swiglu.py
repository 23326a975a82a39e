"""SwiGLU: one product for gate and up, whose bits are those of two."""

from __future__ import annotations

import copy
import pickle
import threading

import numpy as np
import pytest

from forwardpass import nn
from forwardpass.nn import _stacked
from forwardpass.nn import functional as F

HIDDEN = [0, 1, 2, 3, 4, 5, 8, 16, 17, 31, 32, 33, 34, 47, 48, 64, 65, 100]


def by_hand(net, x):
    """From the state_dict alone."""
    state = net.state_dict()
    weight = [state[f"{name}_proj.weight"] for name in ("gate", "up", "down")]
    bias = [state.get(f"{name}_proj.bias") for name in ("gate", "up", "down")]
    gate, up = F.linear(x, weight[0], bias[0]), F.linear(x, weight[1], bias[1])
    with np.errstate(all="ignore"):
        return F.linear(F.silu(gate) * up, weight[2], bias[2])


def sample(*shape):
    return np.random.default_rng(3).standard_normal(shape, dtype=np.float32)


def is_fused(net):
    return isinstance(net._pack, _stacked.Stacked)


def fused(bias=False, rows=3):
    net, x = nn.SwiGLU(20, 40, bias), sample(rows, 20)
    net(x)
    assert is_fused(net)
    return net, x


@pytest.mark.parametrize("bias", [False, True])
@pytest.mark.parametrize("hidden", HIDDEN)
@pytest.mark.parametrize("dim", [1, 3, 70])
def test_bits_are_those_of_the_formula(isa, dim, hidden, bias):
    net = nn.SwiGLU(dim, hidden, bias)
    for shape in ((dim,), (1, dim), (7, dim), (2, 3, dim), (0, dim)):
        x = sample(*shape)
        y = net(x)
        assert y.shape == shape
        assert y.tobytes() == by_hand(net, x).tobytes()
        hands = net.down_proj(F.silu(net.gate_proj(x)) * net.up_proj(x))
        assert y.tobytes() == hands.tobytes()
    assert is_fused(net) == (hidden > 32)


def test_keys_repr_and_arguments():
    net = nn.SwiGLU(4, 8)
    assert list(net.state_dict()) == ["gate_proj.weight", "up_proj.weight", "down_proj.weight"]
    assert repr(net) == (
        "SwiGLU(\n"
        "  (gate_proj): Linear(in_features=4, out_features=8, bias=False)\n"
        "  (up_proj): Linear(in_features=4, out_features=8, bias=False)\n"
        "  (down_proj): Linear(in_features=8, out_features=4, bias=False)\n"
        ")"
    )
    assert list(nn.SwiGLU(4, 8, bias=True).state_dict())[:2] == [
        "gate_proj.weight",
        "gate_proj.bias",
    ]
    with pytest.raises(TypeError, match="SwiGLU: hidden must be an integer"):
        nn.SwiGLU(4, 8.5)
    with pytest.raises(NotImplementedError, match="float64"):
        nn.SwiGLU(4, 8, dtype=np.float64)
    with pytest.raises(ValueError, match="linear"):
        net(sample(3, 5))
    with pytest.raises(TypeError, match="float32"):
        net(np.zeros((3, 4)))


def test_nan_infinity_and_large_values_give_no_warning():
    net = nn.SwiGLU(2, 40)
    ones = {key: np.ones_like(value) for key, value in net.state_dict().items()}
    net.load_state_dict(ones)
    x = np.array([[np.nan, 0], [np.inf, -np.inf], [3e38, -1], [3e30, 0], [1, 2]], np.float32)
    y = net(x)
    assert y.tobytes() == by_hand(net, x).tobytes()
    assert np.isfinite(y).all(1).tolist() == [False, False, False, False, True]
    assert net(x[-1]).tobytes() == y[-1].tobytes()


class Doubled(nn.Linear):
    def forward(self, input):
        return super().forward(input) * np.float32(2)


@pytest.mark.parametrize("name", ["gate_proj", "up_proj"])
def test_watched_and_other_children_are_called(name):
    net, x = fused()
    plain = net(x).tobytes()
    seen = []
    handle = getattr(net, name).register_forward_hook(lambda m, args, out: seen.append(out.shape))
    assert net(x).tobytes() == plain
    assert seen == [(3, 40)]
    assert not is_fused(net)
    handle.remove()
    assert net(x).tobytes() == plain
    assert is_fused(net)
    getattr(net, name).forward = lambda input: np.zeros((3, 40), np.float32)
    assert not net(x).any()
    del getattr(net, name).forward
    assert net(x).tobytes() == plain
    setattr(net, name, Doubled(20, 40, bias=False))
    after = net(x)
    assert not is_fused(net)
    assert after.tobytes() != plain
    child = nn.Sequential(nn.Linear(20, 40), nn.LayerNorm(40))
    setattr(net, name, child)
    child.register_forward_hook(lambda m, args, out: seen.append("child"))
    assert net(x).shape == (3, 20)
    assert seen[1:] == ["child"]


def test_hooks_on_the_block_and_on_down_run():
    net, x = fused()
    seen = []
    net.register_forward_pre_hook(lambda m, args: seen.append("net"))
    net.down_proj.register_forward_pre_hook(lambda m, args: seen.append(args[0].shape))
    net(x)
    assert seen == ["net", (3, 40)]
    assert is_fused(net)


def changes():
    def gate(net):
        net.gate_proj.weight = np.ones((40, 20), np.float32)

    def up(net):
        net.up_proj.weight = np.ones((40, 20), np.float32)

    def bias(net):
        net.up_proj.bias = np.ones(40, np.float32)

    def no_bias(net):
        net.gate_proj.bias = None

    def no_biases(net):
        net.gate_proj.bias = net.up_proj.bias = None

    def down(net):
        net.down_proj.weight = np.ones((20, 40), np.float32)

    def load(net):
        state = net.state_dict()
        net.load_state_dict({key: value * np.float32(2) for key, value in state.items()})

    def load_one(net):
        net.load_state_dict({"up_proj.weight": np.ones((40, 20), np.float32)}, strict=False)

    def wider(net):
        for name in ("gate_proj", "up_proj"):
            getattr(net, name).weight = nn.Parameter(np.ones((64, 20), np.float32))
            getattr(net, name).bias = nn.Parameter(np.ones(64, np.float32))
        net.down_proj.weight = nn.Parameter(np.ones((20, 64), np.float32))

    def child(net):
        net.gate_proj = nn.Linear(20, 40)

    def table(net):
        net._modules["up_proj"] = nn.Linear(20, 40)

    def swapped(net):
        net.gate_proj, net.up_proj = net.up_proj, net.gate_proj

    def one(net):
        net.gate_proj = net.up_proj

    return [f for f in locals().values() if callable(f)]


@pytest.mark.parametrize("change", changes(), ids=lambda f: f.__name__)
def test_a_change_is_seen_by_the_next_call(change):
    net, x = fused(bias=True)
    before = net(x).tobytes()
    change(net)
    after = net(x).tobytes()
    assert after == by_hand(net, x).tobytes() != before
    assert after == net(x).tobytes()


def test_wrong_biases_are_refused_and_not_stacked():
    net, x = fused(bias=True)
    net.gate_proj.bias = nn.Parameter(np.ones(41, np.float32))
    net.up_proj.bias = nn.Parameter(np.ones(39, np.float32))
    with pytest.raises(ValueError, match="bias"):
        net(x)


def test_weights_are_held_once_and_read_back():
    net = nn.SwiGLU(20, 40)
    values = {key: sample(*value.shape) for key, value in net.state_dict().items()}
    net.load_state_dict(values)
    for prepare in (lambda: None, lambda: net.up_proj(sample(2, 20))):
        prepare()
        net(sample(2, 20))
        for child in (net.gate_proj, net.up_proj):
            assert child.get_parameter("weight")._array is None
            assert child._pack.stacked is net._pack.pack
        for key, value in net.state_dict().items():
            assert value.tobytes() == values[key].tobytes()
            assert not value.flags.writeable


def test_children_work_alone_and_in_other_containers():
    net, x = fused()
    alone = nn.Linear(20, 40, bias=False)
    alone.weight = net.gate_proj.weight
    assert net.gate_proj(x).tobytes() == alone(x).tobytes()
    assert net.gate_proj(x).flags.c_contiguous
    twin = nn.Sequential(net.gate_proj, nn.GELU())
    assert twin(x).tobytes() == F.gelu(alone(x)).tobytes()


@pytest.mark.parametrize("names", [["gate_proj"], ["up_proj"], ["gate_proj", "up_proj"]])
def test_blocks_may_share_children(names):
    a, x = fused()
    b = nn.SwiGLU(20, 40)
    for name in names:
        setattr(b, name, getattr(a, name))
    for _ in range(2):
        for net in (a, b):
            assert net(x).tobytes() == by_hand(net, x).tobytes()
        getattr(b, names[0]).weight = sample(40, 20)


def test_halves_of_different_blocks_are_not_mixed():
    (a, x), (b, _) = fused(), fused()
    c = nn.SwiGLU(20, 40)
    c.gate_proj, c.up_proj = a.gate_proj, b.up_proj
    for net in (c, a, b, c):
        assert net(x).tobytes() == by_hand(net, x).tobytes()
        assert is_fused(net) == (net is not c)


@pytest.mark.parametrize("names", [[], ["gate_proj"], ["up_proj"], ["gate_proj", "up_proj"]])
def test_sharing_never_packs_twice(names, monkeypatch):
    made = []
    build = _stacked.stack
    monkeypatch.setattr(_stacked, "stack", lambda *args: made.append(1) or build(*args))
    (a, x), b = fused(), nn.SwiGLU(20, 40)
    for name in names:
        setattr(b, name, getattr(a, name))
    for _ in range(3):
        a(x)
        b(x)
    assert len(made) == (1 if names else 2)
    a.gate_proj = a.up_proj  # a block with one child in both places
    assert a(x).tobytes() == a(x).tobytes() == by_hand(a, x).tobytes()
    assert not is_fused(a)
    assert len(made) <= 3


def test_copies_and_pickles():
    net, x = fused(bias=True)
    for twin in (copy.deepcopy(net), pickle.loads(pickle.dumps(net))):
        assert twin(x).tobytes() == net(x).tobytes()
        twin.up_proj.weight = np.zeros((40, 20), np.float32)
        assert twin(x).tobytes() != net(x).tobytes()


def test_threads_pack_once(monkeypatch):
    made = []
    build = _stacked.stack
    monkeypatch.setattr(_stacked, "stack", lambda *args: made.append(1) or build(*args))
    net, x = nn.SwiGLU(64, 256), sample(2, 64)
    expected = by_hand(net, x).tobytes()
    barrier, results = threading.Barrier(8), []

    def call():
        barrier.wait()
        results.append(net(x).tobytes())

    threads = [threading.Thread(target=call) for _ in range(8)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join(timeout=60)
    assert results == [expected] * 8
    assert made == [1]
