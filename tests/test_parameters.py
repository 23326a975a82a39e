"""Parameters: laziness, replacement, packing, sharing, seeds."""

from __future__ import annotations

import mmap
import pickle
from concurrent.futures import ThreadPoolExecutor
from threading import Barrier

import numpy as np
import pytest

import forwardpass as fp
from forwardpass import nn
from forwardpass.nn import init

X = np.linspace(-2, 2, 12, dtype=np.float32).reshape(3, 4)


def ones(*shape):
    return np.ones(shape, np.float32)


@pytest.fixture
def drawn(monkeypatch):
    """The shapes drawn while the test runs."""
    shapes = []
    generator = init._generator
    monkeypatch.setattr(init, "_generator", lambda seed: shapes.append(seed) or generator(seed))
    return shapes


@pytest.fixture
def packs(monkeypatch):
    """The packed forms made while the test runs."""
    made = []
    for kind in (nn.Linear, nn.Conv1d):
        build = kind._build_pack
        monkeypatch.setattr(
            kind, "_build_pack", lambda self, build=build: made.append(self) or build(self)
        )
    return made


def network():
    return nn.Sequential(
        nn.Embedding(10, 6, padding_idx=0),
        nn.Conv1d(3, 4, 3, padding=1),
        nn.LayerNorm(6),
        nn.Linear(6, 2),
    )


def test_a_model_that_gets_loaded_is_never_drawn(drawn):
    state = {k: np.zeros(p.shape, np.float32) for k, p in network().named_parameters()}
    net = network()
    repr(net)
    assert sum(p.size for p in net.parameters()) == 60 + 40 + 12 + 14
    net.load_state_dict(state)
    net(np.array([1, 2, 3]))
    assert drawn == []
    assert network()[3].weight.shape == (2, 6)
    assert len(drawn) == 1


def test_seeds_belong_to_the_layer_not_to_the_first_look():
    fp.manual_seed(7)
    first = network()
    forwards = {k: v.tobytes() for k, v in first.state_dict().items()}
    fp.manual_seed(7)
    second = network()
    backwards = {k: p.data.tobytes() for k, p in reversed(list(second.named_parameters()))}
    assert forwards == backwards
    assert network()[3].weight.tobytes() != forwards["3.weight"]
    fp.manual_seed(-1)
    with pytest.raises(ValueError, match="manual_seed"):
        fp.manual_seed(1 << 64)
    with pytest.raises(TypeError):
        fp.manual_seed(1.5)


def test_initial_distributions_are_torchs():
    fp.manual_seed(1)
    linear, conv = nn.Linear(100, 400), nn.Conv1d(16, 64, 5, groups=4)
    for values, bound in (
        (linear.weight, 0.1),
        (linear.bias, 0.1),
        (conv.weight, 20**-0.5),
        (conv.bias, 20**-0.5),
    ):
        assert values.dtype == np.float32
        assert abs(values).max() <= bound
        assert abs(values).max() > 0.95 * bound
        assert abs(values.mean()) < 6 * bound / np.sqrt(3 * values.size)
        assert abs(values.std() / (bound / np.sqrt(3)) - 1) < 4 / np.sqrt(values.size)
    table = nn.Embedding(200, 50, padding_idx=-1).weight
    assert not table[-1].any()
    assert abs(table[:-1].mean()) < 0.05
    assert abs(table[:-1].std() - 1) < 0.05
    norm = nn.LayerNorm((2, 3))
    assert (norm.weight == 1).all()
    assert (norm.bias == 0).all()
    assert (nn.RMSNorm(3).weight == 1).all()
    assert nn.Linear(0, 3).bias.tolist() == [0, 0, 0]


def test_reading_gives_a_read_only_array():
    linear = nn.Linear(4, 2)
    for _ in range(2):  # before and after packing
        weight = linear.weight
        assert type(weight) is np.ndarray
        assert weight.dtype == np.float32
        assert weight.shape == (2, 4)
        assert weight.flags.c_contiguous
        with pytest.raises(ValueError, match="read-only"):
            weight[0] = 1
        with pytest.raises(ValueError, match="WRITEABLE"):
            weight.flags.writeable = True
        linear(X)


def test_assignment_replaces_copies_and_repacks(packs):
    linear = nn.Linear(4, 2, bias=False)
    before = linear.weight
    linear(X)
    mine = ones(2, 4)
    linear.weight = mine
    assert np.array_equal(linear(X), np.broadcast_to(X.sum(1, keepdims=True), (3, 2)))
    mine[:] = 5
    assert (linear.weight == 1).all()
    assert not np.array_equal(before, linear.weight)
    assert len(packs) == 2
    linear.weight = np.asfortranarray(ones(2, 4))[::-1]
    assert linear.weight.flags.c_contiguous
    linear.weight = nn.Parameter(ones(5, 4))
    assert linear(X).shape == (3, 5)
    linear.bias = nn.Parameter(ones(5))
    assert (linear(X) - X.sum(1, keepdims=True) - 1 == 0).all()
    linear.bias = None
    assert (linear(X) - X.sum(1, keepdims=True) == 0).all()


@pytest.mark.parametrize(
    ("value", "error", "match"),
    [
        (np.ones((2, 4)), TypeError, r"got float64; use data.astype\(np.float32\)"),
        (np.ones((2, 4), int), TypeError, "got int64"),
        (np.ones((2, 4), ">f4"), TypeError, "got >f4"),
        (np.ones((2, 4), complex), TypeError, "got complex128"),
        (np.full((2, 4), None), TypeError, "got object"),
        ([[1.0]], TypeError, "cannot assign 'list' as parameter 'weight'"),
        ("weights", TypeError, "cannot assign 'str' as parameter 'weight'"),
        (ones(4, 2), ValueError, r"Linear.weight has shape \(2, 4\), got \(4, 2\)"),
        (ones(), ValueError, r"got \(\)"),
    ],
)
def test_wrong_assignments_change_nothing(value, error, match):
    linear = nn.Linear(4, 2)
    before = linear.weight.tobytes(), linear(X).tobytes()
    with pytest.raises(error, match=match):
        linear.weight = value
    assert (linear.weight.tobytes(), linear(X).tobytes()) == before


def test_parameter_takes_what_an_op_takes():
    assert nn.Parameter(np.float32(3)).shape == ()
    array = ones(2, 3)
    parameter = nn.Parameter(array, requires_grad=False)
    array[:] = 7
    assert (parameter.data == 1).all()
    assert (np.asarray(parameter) == 1).all()
    assert np.array(parameter, dtype=np.float64).dtype == np.float64
    assert (parameter.size, parameter.numel(), parameter.ndim, len(parameter)) == (6, 6, 2, 2)
    assert (parameter.nbytes, str(parameter.dtype), parameter.device) == (24, "float32", "cpu")
    assert parameter.requires_grad is False
    parameter.requires_grad = True
    assert repr(parameter) == "Parameter(shape=(2, 3), dtype=float32)"
    assert nn.Parameter(parameter).data is parameter.data

    class Lender:
        def __dlpack__(self, **options):
            return array.__dlpack__(**options)

        def __dlpack_device__(self):
            return array.__dlpack_device__()

    assert (nn.Parameter(Lender()).data == 7).all()
    with pytest.raises(TypeError, match="Parameter: data must be a float32 array, got list"):
        nn.Parameter([1.0])
    with pytest.raises(TypeError, match="got float64"):
        nn.Parameter(np.ones(3))


def test_packing_keeps_one_form(packs):
    linear = nn.Linear(4, 2)
    weight = linear.weight.copy()
    linear(X)
    assert linear._parameters["weight"]._array is None
    assert linear.weight.tobytes() == weight.tobytes()
    assert linear.state_dict()["weight"].tobytes() == weight.tobytes()
    assert linear._parameters["weight"]._array is None
    conv = nn.Conv1d(6, 4, 3, stride=2, groups=2)
    weight = conv.weight.copy()
    assert conv(ones(1, 6, 9)).shape == (1, 4, 4)
    assert conv._parameters["weight"]._array is None
    assert conv.weight.tobytes() == weight.tobytes()
    conv.stride = (1,)
    assert conv(ones(1, 6, 9)).shape == (1, 4, 7)
    conv.padding = (1,)
    conv.padding_mode = "circular"
    assert conv(ones(1, 6, 9)).shape == (1, 4, 9)
    assert len(packs) == 4


def test_a_plain_attribute_may_take_a_parameters_place():
    linear = nn.Linear(4, 2, bias=False)
    linear(X)
    del linear.weight
    with pytest.raises(AttributeError, match="no attribute 'weight'"):
        linear(X)
    for value in (1, 2):
        linear.weight = ones(2, 4) * np.float32(value)
        assert (linear(X) == value * X.sum(1, keepdims=True)).all()
    assert linear.state_dict() == {}
    held = linear.weight
    del linear.weight
    with pytest.raises(AttributeError, match="no attribute 'weight'"):
        linear(X)
    linear.weight = held
    del linear.bias
    linear.bias = ones(2)
    assert repr(linear) == "Linear(in_features=4, out_features=2, bias=True)"
    assert (linear(X) == 2 * X.sum(1, keepdims=True) + 1).all()


def mapped(path, array):
    array.tofile(path)
    return np.memmap(path, np.float32, "r", shape=array.shape)


def test_mapped_weights_stay_where_they_are(tmp_path):
    values = np.arange(8, dtype=np.float32).reshape(2, 4)
    weight = mapped(tmp_path / "w", values)
    linear = nn.Linear(4, 2, bias=False)
    for install in (
        lambda: setattr(linear, "weight", weight),
        lambda: linear.load_state_dict({"weight": weight}),
    ):
        install()
        assert np.shares_memory(linear.weight, weight)
        linear(X)
        assert np.shares_memory(linear.weight, weight)
        assert type(linear.weight) is np.ndarray
    with open(tmp_path / "w", "rb") as file:
        raw = mmap.mmap(file.fileno(), 0, access=mmap.ACCESS_READ)
    view = np.frombuffer(raw, np.float32).reshape(2, 4)
    linear.weight = view
    assert np.shares_memory(linear.weight, view)
    assert pickle.loads(pickle.dumps(linear)).weight.tobytes() == values.tobytes()


@pytest.mark.parametrize("mode", ["c", "r+", "view"])
def test_maps_that_can_be_written_to_are_copied(tmp_path, mode):
    mapped(tmp_path / "w", ones(2, 4))
    weight = np.memmap(tmp_path / "w", np.float32, mode.replace("view", "c"), shape=(2, 4))
    locked = weight[:]
    if mode == "view":
        locked = np.frombuffer(memoryview(weight).toreadonly(), np.float32).reshape(2, 4)
    locked.flags.writeable = False
    linear = nn.Linear(4, 2, bias=False)
    linear.weight = locked
    assert not np.shares_memory(linear.weight, weight)
    weight[:] = 9
    assert (linear.weight == 1).all()
    linear(X)
    assert linear._parameters["weight"]._array is None


def test_a_misaligned_or_strided_map_is_copied(tmp_path):
    path = tmp_path / "w"
    path.write_bytes(b"\0" + ones(2, 4).tobytes())
    crooked = np.memmap(path, np.uint8, "r")[1:].view(np.float32).reshape(2, 4)
    linear = nn.Linear(4, 2, bias=False)
    linear.weight = crooked
    assert linear.weight.flags.aligned
    assert (linear.weight == 1).all()


def test_tied_parameters_stay_tied(packs):
    table, head = nn.Embedding(5, 4), nn.Linear(4, 5, bias=False)
    head.weight = table.get_parameter("weight")
    net = nn.Sequential(table, head)
    assert len(list(net.parameters())) == 1
    net(np.array([1]))
    assert head.get_parameter("weight")._array is not None  # the table reads it on every call
    table.load_state_dict({"weight": ones(5, 4)})
    assert (head(X) == X.sum(1, keepdims=True)).all()
    head.weight = ones(5, 4) * 2  # an assignment concerns this module alone
    assert (table.weight == 1).all()
    assert (head(X) == 2 * X.sum(1, keepdims=True)).all()


def test_a_parameter_that_is_no_longer_shared_is_released():
    first, second, third = (nn.Linear(4, 2, bias=False) for _ in range(3))
    shared = first.get_parameter("weight")
    second.weight = shared
    third.weight = shared
    second.weight = ones(2, 4)
    del third.weight
    first(X)
    assert shared._array is None
    assert first.weight.shape == (2, 4)


def test_eight_threads_pack_once(packs):
    net = nn.Sequential(nn.Linear(64, 64), nn.ReLU(), nn.Linear(64, 8))
    x = np.linspace(-1, 1, 640, dtype=np.float32).reshape(10, 64)
    barrier = Barrier(8)

    def call(_):
        barrier.wait(timeout=60)
        return net(x).tobytes()

    with ThreadPoolExecutor(8) as pool:
        outputs = set(pool.map(call, range(8)))
    assert outputs == {net(x).tobytes()}
    assert len(packs) == 2


def test_assignment_while_others_call_never_leaves_an_old_pack():
    linear = nn.Linear(32, 16, bias=False)
    x = ones(1, 32)
    stop = False

    def call():
        while not stop:
            linear(x)

    with ThreadPoolExecutor(4) as pool:
        calls = [pool.submit(call) for _ in range(4)]
        try:
            for value in range(200):
                linear.weight = np.full((16, 32), value, np.float32)
                assert (linear(x) == 32 * value).all()
        finally:
            stop = True
        for finished in calls:
            finished.result()


def test_huge_layers_cost_nothing_until_used():
    linear = nn.Linear(1 << 40, 1 << 20)
    assert linear.get_parameter("weight").size == 1 << 60
    with pytest.raises((MemoryError, ValueError)):
        _ = linear.weight
