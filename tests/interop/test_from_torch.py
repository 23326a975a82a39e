"""What forwardpass.from_torch takes and refuses."""

from __future__ import annotations

import numpy as np
import pytest

import forwardpass

torch = pytest.importorskip("torch")
nn, F = torch.nn, torch.nn.functional

pytestmark = pytest.mark.filterwarnings("ignore")


X = torch.randn(2, 5, 6)


def test_missing_ops_are_all_named_with_their_places():
    class Largest(nn.Module):
        def forward(self, x):
            return torch.i0(x)

    class Net(nn.Module):
        def __init__(self):
            super().__init__()
            self.first, self.second = nn.Sequential(nn.Linear(6, 6), Largest()), Largest()

        def forward(self, x):
            return torch.lgamma(self.second(self.first(x)))

    with pytest.raises(NotImplementedError) as caught:
        forwardpass.from_torch(Net(), X)
    text = str(caught.value)
    assert "prims.bessel_i0.default: in first.1, second" in text
    assert "lgamma.default: in the module itself" in text


class OfParameters(torch.nn.Module):
    """Position embeddings of another size, and a factorization: ops that are not in the table."""

    def __init__(self):
        super().__init__()
        torch.manual_seed(0)
        self.places = torch.nn.Parameter(torch.randn(1, 7 * 7, 6))
        self.mix = torch.nn.Parameter(torch.randn(6, 6))

    def forward(self, x):
        grid = self.places.reshape(1, 7, 7, 6).permute(0, 3, 1, 2)
        size = {"size": (5, 5), "mode": "bicubic", "antialias": True}
        grid = torch.nn.functional.interpolate(grid, **size).flatten(2).transpose(1, 2)
        q, r = torch.linalg.qr(self.mix)
        return (x + grid) @ q @ r


def test_what_is_made_of_parameters_alone_is_computed_once():
    module, x = OfParameters(), torch.randn(3, 25, 6)
    program = forwardpass.from_torch(module, (x,), dynamic={0: "batch"})
    for batch in (x, x[:1]):
        expected = module(batch).detach().numpy()
        np.testing.assert_allclose(program(batch.numpy()), expected, rtol=1e-5, atol=1e-5)
    assert "bicubic" not in str(program)


@pytest.mark.parametrize("op", ["linalg_qr", "rand"])
def test_what_depends_on_inputs_or_chance_is_not(op):
    class Module(torch.nn.Module):
        def __init__(self):
            super().__init__()
            self.weight = torch.nn.Parameter(torch.full((4, 4), 0.5))

        def forward(self, x):
            if op == "rand":
                return x * torch.bernoulli(self.weight)
            return torch.linalg.qr(x)[0]

    with pytest.raises(NotImplementedError, match=op):
        forwardpass.from_torch(Module(), (torch.randn(4, 4),))


def test_a_module_that_changes_itself_is_refused():
    class Counts(nn.Module):
        def __init__(self):
            super().__init__()
            self.register_buffer("count", torch.zeros(1))

        def forward(self, x):
            self.count += 1
            return x + self.count

    with pytest.raises(NotImplementedError, match=r"changes itself as it runs.*: count"):
        forwardpass.from_torch(Counts(), X)


def test_inputs_are_left_alone():
    class Adds(nn.Module):
        def forward(self, x):
            x += 1
            return x.relu()

    x = np.zeros((2, 3), np.float32)
    program = forwardpass.from_torch(Adds(), torch.zeros(2, 3))
    np.testing.assert_array_equal(program(x), x + 1)
    assert not x.any()


class AlwaysOn(nn.Module):
    def forward(self, x):
        return F.dropout(x, 0.5, True)


def test_a_dropout_that_is_always_on_is_refused():
    with pytest.raises(NotImplementedError, match=r"dropout|bernoulli|rand"):
        forwardpass.from_torch(AlwaysOn(), X)


def test_half_precision_is_refused():
    with pytest.raises(NotImplementedError, match=r"module\.float\(\)"):
        forwardpass.from_torch(nn.Linear(6, 6).bfloat16(), X.bfloat16())


def test_statistics_of_the_batch():
    module = nn.BatchNorm1d(5, track_running_stats=False).eval()
    program = forwardpass.from_torch(module, X)
    np.testing.assert_allclose(program(X.numpy()), module(X).detach(), rtol=1e-5, atol=1e-5)


def test_the_modes_of_the_module_are_left_as_they_were():
    net = nn.Sequential(nn.Linear(6, 6), nn.Dropout(0.9))
    net[0].eval()
    program = forwardpass.from_torch(net, X)
    assert (net.training, net[0].training, net[1].training) == (True, False, True)
    assert [node.op for node in program._graph.nodes] == ["linear"]


def test_weights_are_those_of_the_conversion():
    net = nn.Linear(6, 6)
    program = forwardpass.from_torch(net, X)
    before = program(X.numpy())
    with torch.no_grad():
        net.weight.zero_()
    np.testing.assert_array_equal(program(X.numpy()), before)


class Several(nn.Module):
    def forward(self, x, y, scale=2.0, *, mask=None):
        z = x * scale + y
        return (z, {"kept": z if mask is None else z * mask}), None, [x]


def test_inputs_by_position_and_name_constants_and_nesting():
    mask = torch.ones(2, 5, 6)
    kwargs = {"scale": 3.0, "mask": mask}
    program = forwardpass.from_torch(Several(), (X, X), example_kwargs=kwargs)
    x, m = X.numpy(), mask.numpy()
    for result in (program(x, x, m), program(x, y=x, mask=m), program(mask=m, y=x, x=x)):
        (z, kept), nothing, rest = result
        np.testing.assert_array_equal(z, x * np.float32(3) + x)
        np.testing.assert_array_equal(kept["kept"], z)
        assert nothing is None
        assert isinstance(rest, list)
    with pytest.raises(TypeError, match="no input 'scale'"):
        program(x, x, m, scale=1.0)
    with pytest.raises(TypeError, match=r"missing inputs \['y'\]"):
        program(x, mask=m)


class Nested(nn.Module):
    def forward(self, x, state, *more, extra=None):
        h, c = state
        y = x + h * c["scale"]
        for z in more:
            y = y + z
        return {"y": y if extra is None else y * extra[0], "state": (y, [h])}


def test_nested_inputs_keep_their_structure(tmp_path):
    torch.manual_seed(0)
    x, h, s = torch.randn(3, 2, 5, 6)
    state = h, {"scale": s, "factor": 2}
    args = (x, state, x, h)
    module, axes = Nested().eval(), {0: "batch"}
    for dynamic in (axes, (axes, (axes, {"scale": axes, "factor": None}), axes, axes, axes)):
        program = forwardpass.from_torch(
            module, args, dynamic, example_kwargs={"extra": [torch.ones(2, 1, 1)]}
        )
        program.save(tmp_path / "p.safetensors")
        for p in (program, forwardpass.load(tmp_path / "p.safetensors")):
            a = [t[:1].numpy() for t in (x, h, s)]
            given = (a[0], (a[1], {"scale": a[2], "factor": 2}), a[0], a[1])
            two = np.full((1, 1, 1), 2, np.float32)
            got = p(*given, extra=[two])
            want = module(x[:1], (h[:1], {"scale": s[:1]}), x[:1], h[:1], extra=[2.0])
            np.testing.assert_array_equal(got["y"], want["y"].numpy())
            assert isinstance(got["state"], tuple)
            assert isinstance(got["state"][1], list)
            with pytest.raises(TypeError, match="'state' must be a tuple of 2"):
                p(a[0], a[1][0], a[0], a[1], extra=[two])
            with pytest.raises(TypeError, match=r"'state\.1' must be a dict with the keys"):
                p(a[0], (a[1], {"scale": a[2]}), a[0], a[1], extra=[two])
            with pytest.raises(ValueError, match=r"'state\.1\.factor' is fixed at 2"):
                p(a[0], (a[1], {"scale": a[2], "factor": 3}), a[0], a[1], extra=[two])
    got = program(x, state, x, h, extra=[torch.ones(2, 1, 1)])
    assert isinstance(got["state"][1][0], torch.Tensor)


def test_results_are_not_the_memory_of_inputs_or_weights():
    class Views(nn.Module):
        def __init__(self):
            super().__init__()
            self.register_buffer("table", torch.ones(4, 6))

        def forward(self, x):
            return x.view(-1), x.clone(), self.table, self.table[1:], x[:1].expand(3, -1)

    x = np.ones((2, 6), np.float32)
    program = forwardpass.from_torch(Views(), torch.from_numpy(x.copy()))
    for result in program(x):
        result[...] = 7
    assert (x == 1).all()
    assert all((result == 1).all() for result in program(x))


def test_tensors_give_tensors():
    program = forwardpass.from_torch(nn.Linear(6, 6), X)
    y = program(X)
    assert isinstance(y, torch.Tensor)
    np.testing.assert_array_equal(y.numpy(), program(X.numpy()))


def test_dynamic_sizes():
    net = nn.Linear(6, 6)
    fixed = forwardpass.from_torch(net, X)
    with pytest.raises(ValueError, match=r"\(2, 5, 6\)"):
        fixed(np.zeros((3, 5, 6), np.float32))
    program = forwardpass.from_torch(net, X, {0: "batch", 1: "time"})
    for shape in ((1, 1, 6), (0, 5, 6), (7, 2, 6)):
        assert program(np.zeros(shape, np.float32)).shape == shape
    with pytest.raises(ValueError, match=r"\(batch, time, 6\)"):
        program(np.zeros((2, 5, 7), np.float32))


def test_equal_names_are_equal_sizes():
    axes = {0: "batch"}, {0: "batch"}
    program = forwardpass.from_torch(Several(), (X, X), axes)
    with pytest.raises(ValueError, match="batch"):
        program(np.zeros((3, 5, 6), np.float32), np.zeros((4, 5, 6), np.float32))


@pytest.mark.parametrize(
    ("dynamic", "words"),
    [
        ({3: "more"}, "'input' has no axis 3"),
        (({0: "batch"}, {0: "batch"}), "each of the 1 inputs, got 2"),
        ({2: "width"}, "for size 6 alone in axis 2"),
    ],
)
def test_bad_dynamic(dynamic, words):
    with pytest.raises(ValueError, match="dynamic") as caught:
        forwardpass.from_torch(nn.Linear(6, 6), X, dynamic)
    assert words in str(caught.value)


def test_an_example_of_one_is_refused_where_dynamic():
    with pytest.raises(ValueError, match="at least 2"):
        forwardpass.from_torch(nn.Linear(6, 6), X[:1], {0: "batch"})
