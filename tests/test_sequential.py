"""Sequential: a list of modules, and the fusion of a layer with the activation behind it."""

from __future__ import annotations

import copy
import operator
from collections import OrderedDict

import numpy as np
import pytest

from forwardpass import nn

X = np.linspace(-3, 3, 60, dtype=np.float32).reshape(3, 4, 5)

ACTIVATIONS = [
    nn.ReLU(),
    nn.GELU(),
    nn.GELU("tanh"),
    nn.SiLU(),
    nn.Sigmoid(),
    nn.Tanh(),
    nn.LeakyReLU(),
    nn.LeakyReLU(0.3),
]


def one_by_one(net, x):
    for module in net:
        x = module(x)
    return x


def steps(net):
    """How many kernels a call of the net runs."""
    return len(net._make_plan())


@pytest.mark.parametrize("layer", [nn.Linear(5, 7), nn.Conv1d(4, 6, 3, padding="same")])
@pytest.mark.parametrize("activation", ACTIVATIONS, ids=repr)
def test_fused_gives_the_bits_of_one_by_one(layer, activation):
    net = nn.Sequential(layer, activation, nn.Identity())
    assert steps(net) == 2
    assert net(X).tobytes() == one_by_one(net, X).tobytes()


def test_fusion_leaves_other_neighbours_alone():
    net = nn.Sequential(nn.ReLU(), nn.Linear(5, 5), nn.Dropout(), nn.Tanh(), nn.LayerNorm(5))
    net.extend([nn.SiLU(), nn.Linear(5, 5), nn.Softmax(-1), nn.Linear(5, 2)])
    assert steps(net) == 9
    assert net(X).tobytes() == one_by_one(net, X).tobytes()
    assert nn.Sequential()(X) is X


class Mine(nn.Linear):
    def forward(self, input):
        return super().forward(input) + np.float32(1)


class Loud(nn.ReLU):
    pass


@pytest.mark.parametrize("pair", [(Mine(5, 5), nn.ReLU()), (nn.Linear(5, 5), Loud())])
def test_subclasses_are_not_fused(pair):
    net = nn.Sequential(*pair)
    assert steps(net) == 2
    assert net(X).tobytes() == one_by_one(net, X).tobytes()


@pytest.mark.parametrize("index", [0, 1])
@pytest.mark.parametrize("kind", ["register_forward_hook", "register_forward_pre_hook"])
def test_a_hook_is_called_from_when_it_is_there(index, kind):
    net = nn.Sequential(nn.Linear(5, 5), nn.ReLU())
    plain = net(X).tobytes()
    seen = []
    handle = getattr(net[index], kind)(lambda m, *rest: seen.append(m))
    assert net(X).tobytes() == plain
    assert seen == [net[index]]
    handle.remove()
    assert net(X).tobytes() == plain
    assert len(seen) == 1
    assert steps(net) == 1


@pytest.mark.parametrize("index", [0, 1])
def test_a_replaced_forward_is_called(index):
    net = nn.Sequential(nn.Linear(5, 5), nn.ReLU())
    plain = net(X).tobytes()
    net[index].forward = lambda input: np.zeros_like(input)
    assert not net(X).any()
    del net[index].forward
    assert net(X).tobytes() == plain


def changes():
    def slope(net):
        net[3].negative_slope = 0.7

    def approximate(net):
        net[1].approximate = "tanh"

    def setitem(net):
        net[1] = nn.Tanh()

    def attribute(net):
        setattr(net, "1", nn.Identity())

    def table(net):
        net._modules["1"] = nn.SiLU()

    def update(net):
        net._modules.update({"1": nn.SiLU()})

    def tables(net):
        net._modules = dict(net._modules, **{"1": nn.SiLU()})

    def delete(net):
        del net[1]

    def insert(net):
        net.insert(1, nn.LayerNorm(5))

    def append(net):
        net.append(nn.Sigmoid())

    def weight(net):
        net[0].weight = np.eye(5, dtype=np.float32)

    def load(net):
        net.load_state_dict({k: v * np.float32(2) for k, v in net.state_dict().items()})

    def unregister(net):
        net[0].bias = None

    def kind(net):
        net[1].__class__ = nn.Tanh

    return [f for f in locals().values() if callable(f)]


@pytest.mark.parametrize("change", changes(), ids=lambda f: f.__name__)
def test_a_change_is_seen_by_the_next_call(change):
    net = nn.Sequential(nn.Linear(5, 5), nn.GELU(), nn.Linear(5, 5), nn.LeakyReLU())
    before = net(X)
    change(net)
    after = net(X)
    assert after.tobytes() == one_by_one(net, X).tobytes()
    assert after.tobytes() != before.tobytes()


def test_a_plan_lasts_while_nothing_changes(monkeypatch):
    class Counting(nn.Module):
        def forward(self, x):
            self.calls = getattr(self, "calls", 0) + 1
            return x

    net = nn.Sequential(nn.Linear(5, 5), nn.ReLU(), Counting())
    net(X)
    monkeypatch.setattr(nn.Sequential, "_make_plan", None)
    net(X)
    assert net[2].calls == 2


def test_as_a_list():
    a, b, c, d = nn.Linear(5, 5), nn.ReLU(), nn.Linear(5, 2), nn.Tanh()
    net = nn.Sequential(OrderedDict(fc=a, act=b))
    assert list(net._modules) == ["fc", "act"]
    assert net.fc is a
    net = nn.Sequential(a, b, c)
    assert (len(net), list(net), net[0], net[-1]) == (3, [a, b, c], a, c)
    assert net.append(d) is net
    part = net[1:]
    assert type(part) is nn.Sequential
    assert (list(part), list(part._modules)) == ([b, c, d], ["1", "2", "3"])
    assert list(net[::2]) == [a, c]
    net[-1] = nn.Sigmoid()
    assert isinstance(net[3], nn.Sigmoid)
    del net[0]
    assert (list(net._modules), net[0]) == (["0", "1", "2"], b)
    del net[1:]
    assert list(net) == [b]
    assert net.insert(0, a) is net
    assert list(net) == [a, b]
    assert net.pop(1) is b
    net += nn.Sequential(b, c)
    assert list(net) == [a, b, c]
    assert list(net + nn.Sequential(d)) == [a, b, c, d]
    for index in (3, -4):
        with pytest.raises(IndexError, match=f"index {index} is out of range"):
            _ = net[index]
    with pytest.raises(IndexError, match="out of range"):
        net.insert(9, a)
    with pytest.raises(TypeError):
        _ = net["0"]
    with pytest.raises(TypeError, match="is not a Module subclass"):
        nn.Sequential(3)
    with pytest.raises(TypeError):
        operator.add(net, [a])


def test_copies_plan_for_themselves():
    net = nn.Sequential(nn.Linear(5, 5), nn.ReLU())
    net(X)
    twin = copy.deepcopy(net)
    twin._modules["1"] = nn.Sigmoid()
    assert twin(X).tobytes() == one_by_one(twin, X).tobytes()
    assert net(X).tobytes() == one_by_one(net, X).tobytes()
