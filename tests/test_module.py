"""Module: registration, walking, hooks, text, and what it answers to torch's habits."""

from __future__ import annotations

import numpy as np
import pytest

from _arrays import assert_same_bytes
from forwardpass import nn

X = np.linspace(-2, 2, 12, dtype=np.float32).reshape(3, 4)


class Net(nn.Module):
    def __init__(self):
        super().__init__()
        self.first = nn.Linear(4, 8)
        self.scale = nn.Parameter(np.full(8, 2, np.float32))
        self.register_buffer("count", np.array(3))
        self.register_buffer("scratch", np.zeros(2, np.float32), persistent=False)
        self.act = nn.ReLU()
        self.last = nn.Sequential(nn.Linear(8, 8), nn.Tanh(), nn.Linear(8, 2, bias=False))
        self.note = "a plain attribute"

    def forward(self, x, shift=0.0):
        return self.last(self.act(self.first(x)) * self.scale + np.float32(shift))


def test_walking_gives_torch_names_and_order():
    net = Net()
    parameters = ["scale", "first.weight", "first.bias"]
    parameters += ["last.0.weight", "last.0.bias", "last.2.weight"]
    assert [name for name, _ in net.named_parameters()] == parameters
    assert [p.shape for p in net.parameters()][:3] == [(8,), (8, 4), (8,)]
    assert [name for name, _ in net.named_parameters("net", recurse=False)] == ["net.scale"]
    modules = ["", "first", "act", "last", "last.0", "last.1", "last.2"]
    assert [name for name, _ in net.named_modules()] == modules
    assert [name for name, _ in net.named_children()] == ["first", "act", "last"]
    assert [name for name, _ in net.named_buffers()] == ["count", "scratch"]
    assert list(net.state_dict()) == ["scale", "count", *parameters[1:]]
    assert next(iter(net.state_dict(prefix="a."))) == "a.scale"
    assert sum(p.numel() for p in net.parameters()) == 8 + 40 + 72 + 16
    seen = []
    assert net.apply(lambda m: seen.append(type(m).__name__)) is net
    assert seen == ["Linear", "ReLU", "Linear", "Tanh", "Linear", "Sequential", "Net"]


def test_shared_modules_and_parameters_are_listed_once():
    shared = nn.Linear(4, 4)
    net = nn.Sequential(shared, shared)
    assert len(list(net.modules())) == 2
    assert list(net.children()) == [shared]
    assert len(list(net.parameters())) == 2
    assert len(list(net.named_parameters(remove_duplicate=False))) == 4
    assert list(net.state_dict()) == ["0.weight", "0.bias", "1.weight", "1.bias"]


def test_paths():
    net = Net()
    assert net.get_submodule("last.2") is net.last[2]
    assert net.get_submodule("") is net
    assert net.get_parameter("last.0.weight").shape == (8, 8)
    assert net.get_buffer("count") == 3
    with pytest.raises(AttributeError, match="Net has no attribute `lost`"):
        net.get_submodule("lost.0")
    with pytest.raises(AttributeError, match=r"`scale` is not an nn\.Module"):
        net.get_submodule("scale")
    with pytest.raises(AttributeError, match=r"`first` is not an nn\.Parameter"):
        net.get_parameter("first")
    with pytest.raises(AttributeError, match="`scale` is not a buffer"):
        net.get_buffer("scale")


def test_attributes_move_between_tables():
    net = Net()
    net.scale = nn.Linear(2, 2)
    assert "scale" not in net._parameters
    assert "scale.weight" in net.state_dict()
    net.scale = nn.Parameter(np.ones(3, np.float32))
    assert "scale" not in net._modules
    net.note = nn.Parameter(np.ones(3, np.float32))
    assert "note" in dict(net.named_parameters())
    assert "note" in dir(net)
    del net.note
    assert not hasattr(net, "note")
    net.first = None
    assert net.first is None
    assert "first.weight" not in net.state_dict()
    net.scratch = np.ones(5, np.float32)
    assert net.get_buffer("scratch").shape == (5,)
    assert "scratch" not in net.state_dict()
    with pytest.raises(TypeError, match="cannot assign 'str' as child module 'act'"):
        net.act = "relu"
    with pytest.raises(TypeError, match="cannot assign 'list' as parameter 'scale'"):
        net.scale = [1.0]
    with pytest.raises(TypeError, match="cannot assign 'list' object to buffer 'count'"):
        net.count = [1]
    with pytest.raises(AttributeError, match="'Net' object has no attribute 'missing'"):
        _ = net.missing


@pytest.mark.parametrize(
    ("value", "what"),
    [
        (nn.Parameter(np.ones(1, np.float32)), "parameters"),
        (nn.Identity(), "module"),
    ],
)
def test_forgotten_super_init(value, what):
    class Forgetful(nn.Module):
        def __init__(self):
            self.part = value

    with pytest.raises(AttributeError, match=rf"cannot assign {what} before Module.__init__\(\)"):
        Forgetful()

    class Late(nn.Module):
        def __init__(self):
            pass

    with pytest.raises(AttributeError, match=r"call super\(\).__init__\(\) first"):
        _ = Late().weight
    with pytest.raises(AttributeError, match=r"cannot assign buffer before Module.__init__\(\)"):
        Late().register_buffer("b", None)


def test_names_are_checked():
    net = Net()
    with pytest.raises(KeyError, match="attribute 'forward' already exists"):
        net.register_parameter("forward", None)
    with pytest.raises(KeyError, match="attribute 'act' already exists"):
        net.register_buffer("act", None)
    with pytest.raises(KeyError, match="t contain"):
        net.add_module("a.b", nn.ReLU())
    with pytest.raises(KeyError, match="t be empty"):
        net.register_parameter("", None)
    with pytest.raises(TypeError, match="name should be a string"):
        net.register_buffer(1, None)
    with pytest.raises(TypeError, match="str is not a Module subclass"):
        net.add_module("x", "y")
    with pytest.raises(TypeError, match="Parameter or None required"):
        net.register_parameter("x", np.ones(1, np.float32))


def test_forward_is_required():
    with pytest.raises(NotImplementedError, match=r"Module \[Module\] is missing the required"):
        nn.Module()(1)


def test_hooks_see_and_replace():
    net = Net()
    plain = net(X)
    log = []
    handles = [
        net.register_forward_pre_hook(lambda m, args: log.append(("pre", len(args)))),
        net.register_forward_hook(lambda m, args, out: log.append(("post", out.shape))),
        net.register_forward_hook(lambda m, args, out: out + np.float32(1)),
        net.register_forward_pre_hook(lambda m, args: log.append(("first",)), prepend=True),
    ]
    assert np.array_equal(net(X), plain + np.float32(1))
    assert log == [("first",), ("pre", 1), ("post", (3, 2))]
    with net.register_forward_pre_hook(lambda m, args: args[0] * np.float32(0)):
        assert not np.array_equal(net(X), plain + np.float32(1))
    for handle in handles:
        handle.remove()
        handle.remove()
    assert np.array_equal(net(X), plain)
    assert len(log) == 6


def test_hooks_with_kwargs():
    net = Net()
    shifted = net(X, shift=1.0)
    with net.register_forward_pre_hook(lambda m, a, k: (a, {"shift": 1.0}), with_kwargs=True):
        assert np.array_equal(net(X), shifted)
    seen = []
    with net.register_forward_hook(lambda m, a, k, out: seen.append(k), with_kwargs=True):
        net(X, shift=1.0)
    assert seen == [{"shift": 1.0}]
    with (
        net.register_forward_pre_hook(lambda m, a, k: 5, with_kwargs=True),
        pytest.raises(RuntimeError, match=r"None or a tuple of \(new_args, new_kwargs\)"),
    ):
        net(X)
    with pytest.raises(NotImplementedError, match="always_call"):
        net.register_forward_hook(print, always_call=True)


def test_layers_keep_a_general_call_where_forward_takes_more():
    class Two(nn.Linear):
        def forward(self, input, scale=1.0, *, shift=0.0):
            return super().forward(input) * np.float32(scale) + np.float32(shift)

    class Again(Two):
        def forward(self, x):
            return super().forward(x, 1.0)

    two = Two(4, 2)
    assert np.array_equal(two(X, 2.0, shift=0.0), two(input=X) * np.float32(2))
    assert Again(4, 2)(x=X).shape == (3, 2)
    assert nn.Linear(4, 2)(input=X).shape == (3, 2)
    assert nn.RMSNorm(4)(x=X).shape == (3, 4)


def test_evaluation_is_the_only_mode():
    net = Net()
    for same in (
        net.eval(),
        net.train(False),
        net.float(),
        net.cpu(),
        net.to("cpu"),
        net.to(np.float32),
        net.to("cpu", np.dtype(np.float32), True),
        net.to(device="cpu", dtype="float32", non_blocking=True),
        net.requires_grad_(False),
    ):
        assert same is net
    assert net.training is False
    with pytest.raises(NotImplementedError, match=r"train\(True\)"):
        net.train()
    with pytest.raises(ValueError, match="expected to be boolean"):
        net.train(0)
    with pytest.raises(NotImplementedError, match="gradients"):
        net.requires_grad_()
    for args in (("cuda",), (np.float64,), (0,), ("cpu", np.float16)):
        with pytest.raises(NotImplementedError, match="float32 on the CPU"):
            net.to(*args)
    with pytest.raises(NotImplementedError, match="device='cuda:0'"):
        net.to(device="cuda:0")
    with pytest.raises(TypeError, match="colour"):
        net.to(colour="red")


def test_repr_nests_as_in_torch():
    assert repr(Net()) == (
        "Net(\n"
        "  (first): Linear(in_features=4, out_features=8, bias=True)\n"
        "  (act): ReLU()\n"
        "  (last): Sequential(\n"
        "    (0): Linear(in_features=8, out_features=8, bias=True)\n"
        "    (1): Tanh()\n"
        "    (2): Linear(in_features=8, out_features=2, bias=False)\n"
        "  )\n"
        ")"
    )
    assert repr(nn.Module()) == "Module()"

    class Talkative(nn.Sequential):
        def extra_repr(self):
            return "one\ntwo"

    assert repr(Talkative()) == "Talkative(\n  one\n  two\n)"
    assert repr(Talkative(nn.ReLU())) == "Talkative(\n  one\n  two\n  (0): ReLU()\n)"


def test_a_call_goes_through_whatever_stands_before_the_pack():
    """A packed layer calls its pack directly only while nothing else is asked for."""

    class Doubles:
        def forward(self, input):
            return 2 * nn.Linear.forward(self, input)

    class Mixed(Doubles, nn.Linear):
        pass

    class Own(nn.Linear):
        def forward(self, input):
            return 2 * super().forward(input)

    x = np.ones((1, 3), np.float32)
    plain = nn.Linear(3, 2)
    y = plain(x)
    assert plain._quick is not None
    assert_same_bytes(plain(x), y)
    for twice in (Mixed(3, 2), Own(3, 2)):
        twice.load_state_dict(plain.state_dict())
        for _ in range(3):
            assert_same_bytes(twice(x), 2 * y)
    plain.forward = lambda input: 3 * y
    assert_same_bytes(plain(x), 3 * y)
    del plain.forward
    assert_same_bytes(plain(x), y)
    handle = plain.register_forward_hook(lambda module, args, output: 4 * output)
    for _ in range(3):
        assert_same_bytes(plain(x), 4 * y)
    handle.remove()
    for _ in range(3):
        assert_same_bytes(plain(x), y)
    plain.weight = np.zeros((2, 3), np.float32)
    assert_same_bytes(plain(x), plain.bias[None])
