"""torch.compile(model, backend="forwardpass"): torch's results, with a graph break in the middle
and with ops that we lack; training and gradients refused.
"""

from __future__ import annotations

import importlib.util
import warnings

import pytest

torch = pytest.importorskip("torch")
from interop.programs import MODULES  # noqa: E402

nn, F = torch.nn, torch.nn.functional

pytestmark = pytest.mark.filterwarnings("ignore")

CASES = list(MODULES)
if importlib.util.find_spec("transformers"):
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")
        from interop.transformers_models import MODELS

    CASES += list(MODELS)


@pytest.fixture(autouse=True)
def _fresh():
    torch._dynamo.reset()
    torch.manual_seed(0)
    yield
    torch._dynamo.reset()


@pytest.fixture
def programs(monkeypatch):
    """The Programs that calls have made, as they appear."""
    from forwardpass.program import torch_split

    made = []

    class Counted(torch_split._Part):
        def __init__(self, program, sizes):
            super().__init__(program, sizes)
            made.append(program)

    monkeypatch.setattr(torch_split, "_Part", Counted)
    return made


def flat(value):
    if hasattr(value, "to_tuple"):
        value = value.to_tuple()
    if isinstance(value, dict):
        value = list(value.values())
    if isinstance(value, (list, tuple)):
        return [leaf for item in value for leaf in flat(item)]
    return [] if value is None else [value]


def near(got, want):
    assert len(flat(got)) == len(flat(want))
    for mine, theirs in zip(flat(got), flat(want), strict=True):
        assert (mine.shape, mine.dtype) == (theirs.shape, theirs.dtype)
        if theirs.dtype != torch.float32:
            assert torch.equal(mine, theirs)
            continue
        finite = theirs.isfinite()
        assert torch.equal(mine[~finite].nan_to_num(), theirs[~finite].nan_to_num())
        scale = theirs[finite].abs().max() if finite.any() else 0
        assert (mine - theirs)[finite].abs().max() <= 1e-5 * scale if finite.any() else True


def case(name):
    """The module, and a function of (batch, length) that makes keyword inputs."""
    build, make, _ = MODULES[name] if name in MODULES else MODELS[name]
    module = build().eval()
    if name not in MODULES:
        return module, make
    names = list(module.forward.__code__.co_varnames[1 : module.forward.__code__.co_argcount])
    if isinstance(module, nn.Sequential):
        names = ["input"]
    return module, lambda *size: dict(zip(names, make(*size), strict=True))


def broken_in_the_middle(module):
    """The module, with a graph break in front of a part in its middle."""
    parts = [m for m in module.modules() if type(m) in (nn.Linear, nn.Conv1d, nn.Conv2d)]

    def graph_break(module, inputs):
        torch._dynamo.graph_break()

    for part in parts[len(parts) // 2 :][:1]:
        part.register_forward_pre_hook(graph_break)
    return module


@pytest.mark.parametrize("name", CASES)
def test_with_a_graph_break_in_the_middle(name, programs):
    module, make = case(name)
    compiled = torch.compile(broken_in_the_middle(module), backend="forwardpass")
    with torch.no_grad(), torch._dynamo.config.patch(allow_rnn=True):
        for size in ((2, 7), (3, 12)):
            inputs = make(*size)
            near(compiled(**inputs), module(**inputs))
    assert programs or name == "mlp"  # dynamo does not go on within Sequential's loop


class Net(nn.Module):
    """Layers around an op that we lack, in-place operations, a dropout."""

    def __init__(self):
        super().__init__()
        self.first, self.norm = nn.Linear(6, 8), nn.LayerNorm(8)
        self.last, self.drop = nn.Linear(8, 6), nn.Dropout()

    def forward(self, x):
        y = F.relu_(self.norm(self.first(x)))
        y = torch.i0(y)
        return self.last(self.drop(y)).add_(x)


X = torch.randn(2, 5, 6)


def test_what_is_missing_runs_in_torch(programs):
    net = Net().eval()
    compiled = torch.compile(net, backend="forwardpass")
    with torch.inference_mode():
        near(compiled(X), net(X))
    used = [[node.op for node in program._graph.nodes] for program in programs]
    assert sorted(used) == [["linear"], ["linear", "layer_norm", "relu"]]


def test_changing_sizes_need_one_program(programs):
    net = Net().eval()
    compiled = torch.compile(net, backend="forwardpass", dynamic=True)
    with torch.no_grad():
        for batch in (2, 3, 7):
            x = torch.randn(batch, 5, 6)
            near(compiled(x), net(x))
    assert len(programs) == 2


def test_weights_are_those_of_each_call():
    net = Net().eval()
    compiled = torch.compile(net, backend="forwardpass")
    with torch.no_grad():
        near(compiled(X), net(X))
        net.first.weight.mul_(2)
        near(compiled(X), net(X))
        net.last.bias.data = torch.ones(6)
        near(compiled(X), net(X))


def test_inputs_that_are_written_to():
    class Adds(nn.Module):
        def forward(self, x):
            x += 1
            return x.clone(), x[0], x.relu()

    x, y = X.clone(), X.clone()
    with torch.no_grad():
        mine = torch.compile(Adds(), backend="forwardpass")(x)
        near(mine, Adds()(y))
    assert torch.equal(x, y)
    mine[0].zero_()
    assert torch.equal(x, y)


def test_gradients_are_refused():
    compiled = torch.compile(Net().eval(), backend="forwardpass")
    with pytest.raises(Exception, match=r"gradients are asked for.*torch\.no_grad"):
        compiled(X)


@pytest.mark.parametrize("layer", [nn.Dropout(), nn.BatchNorm1d(5)])
def test_training_is_refused(layer):
    compiled = torch.compile(nn.Sequential(nn.Linear(6, 6), layer), backend="forwardpass")
    with torch.no_grad(), pytest.raises(Exception, match=r"training mode; call model\.eval"):
        compiled(X)


def test_nothing_is_left_changed():
    with torch.no_grad():
        torch.compile(Net().eval(), backend="forwardpass")(X)
    x = torch.randn(3, 6, requires_grad=True)
    F.linear(x, torch.randn(4, 6)).sum().backward()
    assert x.grad is not None
