"""Our layers beside torch 2.13's: outputs, repr, state_dict keys, arguments, load reports."""

from __future__ import annotations

import copy
import inspect
import re
import typing
import warnings

import numpy as np
import pytest

import forwardpass as fp
import forwardpass.nn as ours
import forwardpass.nn.functional as ours_f

torch = pytest.importorskip("torch")

from interop.pairs import HELD, MADE, array, made, network, pair, sample  # noqa: E402

theirs, theirs_f = torch.nn, torch.nn.functional

LAYERS = [
    name
    for name, value in vars(ours).items()
    if name in ours.__all__ and inspect.isclass(value) and hasattr(theirs, name)
]
OURS_ALONE = ("add_layer_norm", "add_rms_norm", "rotary_embedding", "swiglu")
OF_MODULES = [name for name in LAYERS if issubclass(getattr(ours, name), ours.Module)]


@pytest.mark.parametrize("name", MADE)
@pytest.mark.filterwarnings("ignore:Initializing zero-element tensors", "ignore:Implicit dim")
def test_outputs_repr_and_keys(name):
    mine, other = pair(name)
    x = sample(MADE[name][1])
    with torch.no_grad():
        # A copy: torch's max_norm changes the weight.
        expected = copy.deepcopy(other)(torch.from_numpy(x.copy())).numpy()
    found = mine(x)
    assert found.shape == expected.shape
    np.testing.assert_allclose(found, expected, rtol=2e-6, atol=2e-6)
    assert repr(mine) == repr(other)
    assert list(mine.state_dict()) == list(other.state_dict())
    for key, value in other.state_dict().items():
        assert mine.state_dict()[key].tobytes() == value.numpy().tobytes()
    assert [n for n, _ in mine.named_modules()] == [n for n, _ in other.named_modules()]


def test_every_layer_is_in_the_tables():
    """So that a new layer cannot be forgotten here. Some are not torch's."""
    seen = {type(m).__name__ for name in (*MADE, *HELD) for m in made(name, ours).modules()}
    assert seen >= set(OF_MODULES)
    for name in set(ours.__all__) - set(LAYERS):
        assert name in (
            *("CausalSelfAttention", "KVCache", "StreamState", "SwiGLU"),
            *("functional", "from_torch", "utils"),
        )


@pytest.mark.parametrize("name", HELD)
def test_containers_repr_and_keys(name):
    mine, other = made(name, ours), made(name, theirs)
    assert repr(mine) == repr(other)
    assert repr(ours.Sequential(mine)) == repr(theirs.Sequential(other))
    assert list(mine.state_dict()) == list(other.state_dict())
    for method in ("named_modules", "named_children", "named_parameters", "named_buffers"):
        found = [key for key, _ in getattr(mine, method)()]
        assert found == [key for key, _ in getattr(other, method)()]
    if hasattr(other, "__len__"):
        assert len(mine) == len(other)
        assert len(list(mine)) == len(list(other))


@pytest.mark.parametrize("name", [n for n in OF_MODULES if n != "Module"])
def test_constructor_arguments_and_defaults(name):
    def arguments(layer):
        init = layer.__init__
        if layer.__module__.startswith("torch") and name in ("RNN", "LSTM", "GRU"):
            init = typing.get_overloads(init)[0]  # what is documented; itself says *args, **kwargs
        found = inspect.signature(init).parameters.values()
        # A function is torch's own or ours: its name.
        return [(p.name, p.kind, getattr(p.default, "__name__", p.default)) for p in found]

    expected = arguments(getattr(theirs, name))
    if name in ("Sigmoid", "Tanh", "LogSigmoid", "Softsign", "Tanhshrink", "Softmax2d"):
        # torch's say *args, **kwargs and refuse both
        expected = expected[:1]
    assert arguments(getattr(ours, name)) == expected


@pytest.mark.parametrize("name", [n for n in ours_f.__all__ if n not in OURS_ALONE])
def test_function_arguments_and_defaults(name):
    found = inspect.signature(getattr(ours_f, name)).parameters.values()
    mine = [(p.name, p.default) for p in found if p.kind is not p.KEYWORD_ONLY]
    function = getattr(theirs_f, name)
    if "max_pool" in name:  # dispatched by return_indices: torch's own signature says *args
        function = getattr(theirs_f, f"_{name}")
    if inspect.isfunction(function):
        signature = inspect.signature(function)
    else:  # a C function: the signature begins its documentation
        first = re.search(rf"{name}\((.*?)\) -> Tensor", function.__doc__, re.DOTALL)[1]
        first = " ".join(first.split())
        signature = inspect.signature(eval(f"lambda {first}: None"))
    expected = [(p.name, p.default) for p in signature.parameters.values()]
    if name == "dropout":  # there is no training here: the default is the only value
        expected[2] = ("training", False)
    assert mine == expected


def test_method_arguments():
    for name in ("named_parameters", "named_modules", "named_buffers", "load_state_dict"):
        mine, other = getattr(ours.Module, name), getattr(theirs.Module, name)
        assert list(inspect.signature(mine).parameters) == list(inspect.signature(other).parameters)
    for name in ("register_forward_hook", "register_forward_pre_hook", "register_buffer"):
        mine, other = getattr(ours.Module, name), getattr(theirs.Module, name)
        assert [
            (p.name, p.kind, p.default) for p in inspect.signature(mine).parameters.values()
        ] == [(p.name, p.kind, p.default) for p in inspect.signature(other).parameters.values()]


BAD_CONSTRUCTIONS = {
    "groups 0": lambda nn: nn.Conv1d(4, 4, 3, groups=0),
    "groups in": lambda nn: nn.Conv1d(4, 4, 3, groups=3),
    "heads": lambda nn: nn.MultiheadAttention(8, 3),
    "heads 0": lambda nn: nn.MultiheadAttention(8, 0),
    "hint": lambda nn: nn.MultiheadAttention(2, 1)(*[array(nn, (2, 2))] * 3, is_causal=True),
    "activation": lambda nn: nn.TransformerEncoderLayer(4, 2, activation="swish"),
    "features": lambda nn: nn.Transformer(4, 2, 1, 1, 4, batch_first=True)(
        *[array(nn, (2, 1, 3))] * 2
    ),
    "batches": lambda nn: nn.Transformer(4, 2, 1, 1, 4, batch_first=True)(
        array(nn, (1, 2, 4)), array(nn, (2, 2, 4))
    ),
    "groups out": lambda nn: nn.Conv1d(4, 6, 3, groups=4),
    "same stride": lambda nn: nn.Conv1d(4, 4, 3, stride=2, padding="same"),
    "dropout": lambda nn: nn.Dropout(1.5),
    "dropout below": lambda nn: nn.Dropout(-0.5),
    "padding_idx": lambda nn: nn.Embedding(4, 2, padding_idx=4),
    "weight": lambda nn: nn.Embedding(4, 2, _weight=nn.Parameter(array(nn, (2, 2)))),
    "2d": lambda nn: nn.Embedding.from_pretrained(array(nn, (2,))),
    "not a module": lambda nn: nn.Sequential("relu"),
    "dotted": lambda nn: nn.Sequential().add_module("a.b", nn.ReLU()),
    "empty": lambda nn: nn.Sequential().add_module("", nn.ReLU()),
    "taken": lambda nn: nn.Sequential().add_module("forward", nn.ReLU()),
    "buffer taken": lambda nn: nn.Linear(2, 2).register_buffer("weight", None),
    "index": lambda nn: nn.Sequential(nn.ReLU())[1],
    "path": lambda nn: nn.Sequential(nn.ReLU()).get_submodule("0.weight"),
    "no parameter": lambda nn: nn.Linear(2, 2).get_parameter("lost"),
    "no attribute": lambda nn: nn.Linear(2, 2).lost,
    "mode": lambda nn: nn.Linear(2, 2).train("yes"),
    "flatten": lambda nn: nn.Flatten(1)(array(nn, (2,))),
    "flatten order": lambda nn: nn.Flatten(1, 0)(array(nn, (2, 2))),
    "no forward": lambda nn: nn.Module()(),
    "state": lambda nn: nn.Module().load_state_dict([]),
}


@pytest.mark.parametrize("name", BAD_CONSTRUCTIONS)
def test_errors_have_torchs_words(name):
    """Where torch raises AssertionError or RuntimeError for a bad value, ours is a ValueError."""
    raised = []
    for nn in (ours, theirs):
        with pytest.raises(Exception) as caught:
            BAD_CONSTRUCTIONS[name](nn)
        raised.append(caught.value)
    assert str(raised[0]) == str(raised[1])
    if isinstance(raised[1], (AssertionError, RuntimeError)) and type(raised[1]) is not (
        NotImplementedError
    ):
        assert type(raised[0]) is ValueError
    else:
        assert type(raised[0]) is type(raised[1])


def test_a_networks_repr_keys_and_output():
    mine, other = network(ours), network(theirs)
    assert repr(mine) == repr(other)
    assert list(mine.state_dict()) == list(other.state_dict())
    for method in ("named_parameters", "named_buffers", "named_modules", "named_children"):
        found = [name for name, _ in getattr(mine, method)()]
        assert found == [name for name, _ in getattr(other, method)()]
    assert str(mine.load_state_dict(other.state_dict())) == "<All keys matched successfully>"
    x = np.array([[1, 2, 9]])
    with torch.no_grad():
        expected = other(torch.from_numpy(x)).numpy()
    np.testing.assert_allclose(mine(x), expected, rtol=2e-6, atol=2e-6)


@pytest.mark.parametrize("dtype", ["float16", "bfloat16", "float64"])
def test_torch_tensors_of_other_floats_load(dtype):
    other = theirs.Linear(6, 5).to(getattr(torch, dtype))
    mine = ours.Linear(6, 5)
    mine.load_state_dict(dict(other.named_parameters()))
    for name, parameter in other.named_parameters():
        expected = parameter.detach().float().numpy()
        assert getattr(mine, name).tobytes() == expected.tobytes()


def test_torch_devices_and_dtypes_are_known():
    layer = ours.Linear(2, 3, device=torch.device("cpu"), dtype=torch.float32)
    assert layer.to(torch.device("cpu")) is layer
    assert layer.to(torch.float32) is layer
    assert layer.to(device=torch.device("cpu"), dtype=torch.float32) is layer
    with pytest.raises(NotImplementedError, match="float64"):
        layer.to(torch.float64)
    with pytest.raises(NotImplementedError, match="cuda"):
        ours.Linear(2, 3, device=torch.device("cuda"))


def test_initial_distributions():
    """The same bounds and moments as torch's own draws, for every layer that draws."""
    fp.manual_seed(3)
    torch.manual_seed(3)
    for make in (
        lambda nn: nn.Linear(64, 256),
        lambda nn: nn.Conv1d(32, 64, 3, groups=2),
        lambda nn: nn.Embedding(300, 60, padding_idx=3),
        lambda nn: nn.LayerNorm((4, 5)),
        lambda nn: nn.RMSNorm(7),
        lambda nn: nn.MultiheadAttention(256, 4, kdim=32, vdim=48, add_bias_kv=True),
        lambda nn: nn.TransformerDecoderLayer(48, 4, 96),
        lambda nn: nn.Transformer(32, 4, 1, 1, 64, batch_first=True),
    ):
        mine, other = make(ours).state_dict(), make(theirs).state_dict()
        for name, tensor in other.items():
            a, b = mine[name], tensor.numpy()
            assert a.shape == b.shape
            assert abs(a.mean() - b.mean()) < 8 * b.std() / np.sqrt(b.size) + 1e-12
            assert abs(a.std() - b.std()) < 0.2 * b.std() + 1e-12
            if b.size > 1000:
                assert abs(abs(a).max() / abs(b).max() - 1) < 0.35


def test_hooks_run_as_in_torch():
    logs = []
    for nn in (ours, theirs):
        log = []
        net = nn.Sequential(nn.Linear(2, 2), nn.ReLU())
        net[0].register_forward_hook(lambda m, a, o, log=log: log.append("linear"))
        net[1].register_forward_pre_hook(lambda m, a, log=log: log.append("relu"))
        net.register_forward_pre_hook(lambda m, a, log=log: log.append("before"))
        first = net.register_forward_pre_hook(
            lambda m, a, k, log=log: log.append(("first", len(a), k)),
            prepend=True,
            with_kwargs=True,
        )
        net.register_forward_hook(lambda m, a, o, log=log: o * 0)
        net.register_forward_hook(lambda m, a, o, log=log: log.append(float(abs(o).sum())))
        with torch.no_grad():
            net(array(nn, (1, 2)))
            first.remove()
            net(array(nn, (1, 2)))
        logs.append(log)
    assert logs[0] == logs[1]


def test_softmax_without_dim_is_torchs_choice():
    for shape in ((), (3,), (3, 4), (3, 4, 5), (2, 3, 4, 5)):
        x = sample(shape)
        with warnings.catch_warnings():
            warnings.simplefilter("ignore")
            expected = theirs_f.softmax(torch.from_numpy(x)).numpy()
        np.testing.assert_allclose(ours_f.softmax(x), expected, rtol=2e-6, atol=1e-7)


def test_bad_values_in_torchs_words():
    for nn in (ours, theirs):
        with pytest.raises(ValueError, match="padding_mode must be one of"):
            nn.Conv1d(2, 2, 3, padding_mode="round")
        with pytest.raises(ValueError, match="Invalid padding string 'full'"):
            nn.Conv1d(2, 2, 3, padding="full")
