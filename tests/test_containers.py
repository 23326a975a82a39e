"""ModuleList, ModuleDict, ParameterList, ParameterDict, and what Sequential shares with them."""

from __future__ import annotations

import copy
import pickle
from collections import OrderedDict

import numpy as np
import pytest

from forwardpass import nn

X = np.linspace(-1, 1, 10, dtype=np.float32).reshape(2, 5)


def array(*shape):
    return np.full(shape, 0.5, np.float32)


def test_module_list_is_a_list():
    a, b, c, d = nn.Linear(5, 5), nn.ReLU(), nn.Linear(5, 2), nn.Tanh()
    held = nn.ModuleList([a, b])
    assert (len(held), list(held), held[0], held[-1]) == (2, [a, b], a, b)
    assert held.append(c) is held
    assert held.extend(iter([d])) is held
    part = held[1:3]
    assert (type(part), list(part), list(part._modules)) == (nn.ModuleList, [b, c], ["0", "1"])
    held[-1] = b
    assert held[3] is b
    del held[0]
    assert (list(held), list(held._modules)) == ([b, c, b], ["0", "1", "2"])
    del held[::2]
    assert list(held) == [c]
    held.insert(0, a)
    assert (list(held), held.pop(1), list(held)) == ([a, c], c, [a])
    held += [b]
    assert list(held + nn.ModuleList([c, d])) == [a, b, c, d]
    assert list(held.extend(held)) == [a, b, a, b]
    assert list(nn.ModuleList(net for net in (a, b))) == [a, b]
    assert list(nn.ModuleList()) == []


def test_module_list_registers():
    held = nn.ModuleList([nn.Linear(5, 5), nn.ModuleList([nn.LayerNorm(5)])])
    assert list(held.state_dict()) == ["0.weight", "0.bias", "1.0.weight", "1.0.bias"]
    for twin in (copy.deepcopy(held), pickle.loads(pickle.dumps(held))):
        assert twin[0](X).tobytes() == held[0](X).tobytes()
        assert twin[0] is not held[0]


def test_module_list_refuses():
    held = nn.ModuleList([nn.ReLU()])
    with pytest.raises(NotImplementedError, match="is missing the required"):
        held(X)
    with pytest.raises(IndexError, match="index 1 is out of range"):
        _ = held[1]
    with pytest.raises(TypeError, match="should be called with an iterable, but got int"):
        nn.ModuleList(3)
    with pytest.raises(TypeError, match="is not a Module subclass"):
        held.append(3)
    with pytest.raises(TypeError):
        held[0] = 3


def test_equal_neighbours_share_an_entry_in_the_repr():
    block = nn.Sequential(nn.Linear(2, 2), nn.ReLU())
    held = nn.ModuleList([block, copy.deepcopy(block), nn.Tanh(), block])
    inner = "(0): Linear(in_features=2, out_features=2, bias=True)\n    (1): ReLU()\n  )"
    assert repr(held) == (
        "ModuleList(\n"
        f"  (0-1): 2 x Sequential(\n    {inner}\n"
        "  (2): Tanh()\n"
        f"  (3): Sequential(\n    {inner}\n"
        ")"
    )
    assert repr(nn.ModuleList()) == "ModuleList()"


def test_module_dict_is_a_dict():
    a, b, c = nn.Linear(5, 5), nn.ReLU(), nn.Tanh()
    held = nn.ModuleDict({"a": a, "b": b})
    assert (len(held), list(held), "a" in held, "c" in held) == (2, ["a", "b"], True, False)
    assert (held["a"], held.b) == (a, b)
    assert (list(held.keys()), list(held.values())) == (["a", "b"], [a, b])
    held.update([("c", c), ["a", b]])
    assert list(held.items()) == [("a", b), ("b", b), ("c", c)]
    assert (held.pop("c"), list(held)) == (c, ["a", "b"])
    del held["a"]
    held["d"] = a
    assert list(held.state_dict()) == ["d.weight", "d.bias"]
    held.clear()
    assert len(held) == 0
    assert list(nn.ModuleDict(nn.ModuleDict({"x": a}))) == ["x"]


@pytest.mark.parametrize(
    ("give", "error", "match"),
    [
        (lambda: nn.ModuleDict(3), TypeError, "iterable of key/value pairs, but got int"),
        (lambda: nn.ModuleDict([3]), TypeError, "element #0 should be Iterable; is int"),
        (lambda: nn.ModuleDict([("a",)]), ValueError, "element #0 has length 1; 2 is required"),
        (lambda: nn.ModuleDict({"a": 3}), TypeError, "is not a Module subclass"),
        (lambda: nn.ModuleDict({"pop": nn.ReLU()}), KeyError, "already exists"),
        (lambda: nn.ModuleDict({"a.b": nn.ReLU()}), KeyError, "contain"),
        (lambda: nn.ModuleDict()["a"], KeyError, "a"),
        (lambda: nn.ParameterList(array(2)), TypeError, "but got ndarray"),
        (lambda: nn.ParameterList([np.zeros(2)]), TypeError, "must be float32, got float64"),
        (lambda: nn.ParameterList()[0], IndexError, "index 0 is out of range"),
        (lambda: nn.ParameterList()(X), RuntimeError, "ParameterList should not be called"),
        (lambda: nn.ParameterDict({3: array(2)}), TypeError, "string"),
        (lambda: nn.ParameterDict()["a"], KeyError, "a"),
        (lambda: nn.ParameterDict()["_keys"], KeyError, "_keys"),
    ],
)
def test_what_dicts_and_parameter_lists_refuse(give, error, match):
    with pytest.raises(error, match=match):
        give()


def test_parameter_list_is_a_list_of_parameters():
    held = nn.ParameterList([array(2, 3), nn.Parameter(array(4)), "text"])
    assert len(held) == 3
    assert held[0].shape == (2, 3)
    assert not held[0].flags.writeable
    assert held[-1] == "text"
    assert [name for name, _ in held.named_parameters()] == ["0", "1"]
    held[1] = array(5)
    held.append(np.float32(2)).extend([array()])
    held += [array(1)]
    assert [np.shape(value) for value in held] == [(2, 3), (5,), (), (), (), (1,)]
    assert list(held.state_dict()) == ["0", "1", "4", "5"]
    part = held[:2]
    assert type(part) is nn.ParameterList
    assert part.get_parameter("1") is held.get_parameter("1")
    assert repr(held[:3]) == (
        "ParameterList(\n"
        "    (0): Parameter containing: [torch.float32 of size 2x3]\n"
        "    (1): Parameter containing: [torch.float32 of size 5]\n"
        "    (2): Object of type: str\n"
        ")"
    )
    held.load_state_dict({key: value * 2 for key, value in held.state_dict().items()})
    assert (held[0] == 1).all()
    twin = pickle.loads(pickle.dumps(held))
    assert [np.shape(value) for value in twin] == [np.shape(value) for value in held]


def test_parameter_dict_is_a_dict_of_parameters():
    held = nn.ParameterDict({"b": array(2), "a": array(3)})
    assert list(held) == ["a", "b"]  # torch sorts a plain dict, but no OrderedDict
    assert list(nn.ParameterDict(OrderedDict(b=array(2), a=array(3)))) == ["b", "a"]
    held["c"] = nn.Parameter(array(1))
    held.update([("d", None)])
    assert list(held.state_dict()) == ["a", "b", "c"]
    assert [key for key, _ in held.items()] == list(held.keys()) == ["a", "b", "c", "d"]
    assert list(reversed(held)) == ["d", "c", "b", "a"]
    assert held.get("d", 3) is None
    assert (held.get("x"), "x" in held, len(held)) == (None, False, 4)
    shared = nn.ParameterDict(held)
    assert shared.get_parameter("a") is held.get_parameter("a")
    assert (held.pop("a") == 0.5).all()
    del held["b"]
    assert [name for name, _ in held.named_parameters()] == ["c"]
    held.clear()
    assert (len(held), list(held.values())) == (0, [])


def test_sequential_times_a_number():
    a, b = nn.Linear(5, 5), nn.ReLU()
    net = nn.Sequential(a, b)
    assert list(net * 2) == list(2 * net) == [a, b, a, b]
    expected = b(a(b(a(X)))).tobytes()
    assert (net * 2)(X).tobytes() == expected
    net *= 2
    assert net(X).tobytes() == expected
    with pytest.raises(ValueError, match="Non-positive multiplication factor 0"):
        _ = net * 0
    with pytest.raises(TypeError, match="unsupported operand"):
        _ = net * 1.5
