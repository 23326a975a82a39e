"""Module.load and Module.save: weights straight from files, and Parameters that stay in them."""

from __future__ import annotations

import copy
import json
import os
import pickle
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path
from threading import Barrier

import numpy as np
import pytest

from _arrays import assert_same_bytes
from forwardpass import nn
from forwardpass.io.safetensors import load_file, load_metadata, save_file, write
from forwardpass.io.stored import Stored
from forwardpass.nn.parameter import is_mapped

X = np.linspace(-2, 2, 3 * 40, dtype=np.float32).reshape(3, 40)


class Network(nn.Module):
    """Layers of every kind of weight: packed, used as it is, several in one; and buffers."""

    def __init__(self) -> None:
        super().__init__()
        self.table = nn.Embedding(50, 40)
        self.body = nn.Sequential(nn.Linear(40, 64), nn.GELU(), nn.Linear(64, 40))
        self.norm = nn.LayerNorm(40)
        self.conv = nn.Conv1d(40, 48, 3)
        self.own = nn.Parameter(np.ones((40, 40), np.float32))
        self.register_buffer("count", np.zeros((), np.int64))
        self.register_buffer("scratch", np.zeros(3, np.float32), persistent=False)

    def forward(self, indices):
        x = self.norm(self.body(self.table(indices)))
        return self.conv(nn.functional.linear(x, self.own).T[None])


def filled(seed: int = 0) -> dict[str, np.ndarray]:
    """Values for Network that bfloat16 and float16 hold exactly."""
    rng = np.random.default_rng(seed)
    state = {
        name: rng.integers(-100, 100, parameter.shape).astype(np.float32) / 64
        for name, parameter in Network().named_parameters()
    }
    state["count"] = np.array(7)
    return state


def save_as(path: Path, state: dict[str, np.ndarray], dtype: str) -> None:
    """A file as torch writes it, with the float32 arrays as `dtype`; MISALIGNED by one byte."""
    entries, data = {}, b""
    for name, array in state.items():
        kind, values = "I64", array
        if array.dtype == np.float32:
            kind = "F32" if dtype == "MISALIGNED" else dtype
            values = array
            if dtype == "F16":
                values = array.astype(np.float16)
            elif dtype == "BF16":
                values = (array.view(np.uint32) >> 16).astype(np.uint16)
        entries[name] = {
            "dtype": kind,
            "shape": array.shape,
            "data_offsets": [len(data), len(data) + values.nbytes],
        }
        data += values.tobytes()
    header = json.dumps(entries).encode()
    header += b" " * (-len(header) % 8 + (dtype == "MISALIGNED"))
    path.write_bytes(len(header).to_bytes(8, "little") + header + data)


@pytest.fixture(params=["F32", "F16", "BF16", "MISALIGNED"])
def path(request, tmp_path):
    path = tmp_path / "model.safetensors"
    save_as(path, filled(), request.param)
    return path


def reference() -> Network:
    net = Network()
    net.load_state_dict(filled())
    return net


INDICES = np.array([3, 1, 4, 1, 5])


def test_load(path):
    net = Network()
    assert repr(net.load(path)) == "<All keys matched successfully>"
    first = net(INDICES)
    assert_same_bytes(first, reference()(INDICES))
    state, want = net.state_dict(), filled()
    assert all(np.array_equal(state[name], want[name]) for name in want)
    assert all(not array.flags.writeable for name, array in state.items() if name != "count")
    assert_same_bytes(net(INDICES), first)


def test_large_narrow_weights_stay_in_the_file_and_are_forgotten_when_packed(path):
    net = Network()
    net.load(path)
    weight = net.get_parameter("conv.weight")
    in_file = isinstance(weight._source, Stored)
    assert in_file == (weight._array is None)
    assert not isinstance(net.get_parameter("norm.weight")._source, Stored)
    before = net.conv.weight
    assert net.conv.weight is before  # kept, as someone may read it on every call
    net(INDICES)
    if in_file:
        assert weight._array is None
        assert net.conv.weight is not net.conv.weight
    assert np.array_equal(net.conv.weight, before)
    assert net.own is net.own
    assert net.table.weight is net.table.weight is net.table._pack
    net.conv.bias = np.zeros(48, np.float32)  # packs again, from the file
    net(INDICES)
    assert np.array_equal(net.conv.weight, before)
    net.load_state_dict(filled(1))
    net(INDICES)
    assert np.array_equal(net.conv.weight, filled(1)["conv.weight"])


def test_float32_is_used_where_it_is(tmp_path):
    save_as(tmp_path / "x", filled(), "F32")
    first, second = Network(), Network()
    first.load(tmp_path / "x")
    tensors = load_file(tmp_path / "x")
    second.load_state_dict(tensors)
    assert np.shares_memory(second.conv.weight, tensors["conv.weight"])
    assert is_mapped(first.conv.weight)
    assert_same_bytes(first(INDICES), second(INDICES))
    assert is_mapped(first.conv.weight)


def test_the_file_may_be_removed_or_replaced(path):
    net = Network()
    net.load(path)
    want = filled()
    save_file({"else": np.zeros(1)}, path)
    path.unlink()
    assert np.array_equal(net.conv.weight, want["conv.weight"])
    assert_same_bytes(net(INDICES), reference()(INDICES))


def test_load_reports_as_load_state_dict_does(path):
    state = filled()
    net = Network()
    before = {name: value.tobytes() for name, value in net.state_dict().items()}
    state["more"] = state.pop("conv.weight")
    state["own"] = state["own"][:, :39]
    save_as(path, state, "BF16")
    errors = []
    for attempt in (lambda: net.load(path), lambda: net.load_state_dict(load_file(path))):
        with pytest.raises(RuntimeError) as error:
            attempt()
        errors.append(str(error.value))
    assert errors[0] == errors[1]
    for part in ('Missing key(s) in state_dict: "conv.weight"', '"more"', "size mismatch for own"):
        assert part in errors[0]
    assert before == {name: value.tobytes() for name, value in net.state_dict().items()}
    state["own"] = filled()["own"]
    save_as(path, state, "F16")
    assert net.load(path, strict=False) == (["conv.weight"], ["more"])
    assert np.array_equal(net.own, state["own"])
    assert before["conv.weight"] == net.conv.weight.tobytes()


def test_integers_for_a_parameter_are_refused(tmp_path):
    save_file({"weight": np.ones((2, 4), np.int64), "bias": np.ones(2, np.float16)}, tmp_path / "x")
    with pytest.raises(TypeError, match='"weight" must be float32, got int64'):
        nn.Linear(4, 2).load(tmp_path / "x")


def test_float16_into_a_buffer(tmp_path):
    module = nn.Module()
    module.register_buffer("b", np.zeros((40, 40), np.float32))
    save_file({"b": np.full((40, 40), 0.5, np.float16)}, tmp_path / "x")
    module.load(tmp_path / "x")
    assert module.b.dtype == np.float32
    assert (module.b == 0.5).all()


@pytest.mark.parametrize("given", ["head.weight", "table.weight"])
def test_tied_weights_need_one_name(tmp_path, given):
    """Hugging Face's files leave out the second name."""
    net = nn.Module()
    net.table, net.head = nn.Embedding(50, 40), nn.Linear(40, 50, bias=False)
    net.head.weight = net.table.get_parameter("weight")
    values = np.arange(2000, dtype=np.float16).reshape(50, 40)
    save_file({given: values}, tmp_path / "x")
    assert net.load(tmp_path / "x") == ([], [])
    assert np.array_equal(net.table.weight, values)
    assert net.head.get_parameter("weight") is net.table.get_parameter("weight")
    assert np.array_equal(net.head(X), nn.functional.linear(X, values.astype(np.float32)))
    with pytest.raises(RuntimeError, match="Missing key"):
        net.load_state_dict(load_file(tmp_path / "x"))  # torch's rule
    net.save(tmp_path / "y")
    assert load_file(tmp_path / "y").keys() == {"head.weight", "table.weight"}


@pytest.mark.parametrize("packed", [False, True])
def test_save(path, tmp_path, packed):
    net = Network()
    net.load(path)
    if packed:
        net(INDICES)
    net.save(tmp_path / "out", {"format": "pt"})
    assert load_metadata(tmp_path / "out") == {"format": "pt"}
    saved, want = load_file(tmp_path / "out"), filled()
    assert saved.keys() == want.keys()
    assert all(saved[name].dtype == want[name].dtype for name in want)
    assert all(np.array_equal(saved[name], want[name]) for name in want)
    save_file(net.state_dict(), tmp_path / "state", {"format": "pt"})
    assert (tmp_path / "state").read_bytes() == (tmp_path / "out").read_bytes()


@pytest.mark.skipif(os.name != "posix", reason="Windows refuses to replace a mapped file")
def test_save_over_the_file_it_was_loaded_from(path):
    net = Network()
    net.load(path)
    net.save(path)
    assert_same_bytes(net(INDICES), reference()(INDICES))
    again = Network()
    again.load(path)
    assert_same_bytes(again(INDICES), reference()(INDICES))


def test_save_draws_what_was_not_drawn_and_leaves_nothing_behind_on_failure(tmp_path, monkeypatch):
    net = nn.Linear(4, 2)
    net.save(tmp_path / "x")
    assert load_file(tmp_path / "x")["weight"].tobytes() == net.weight.tobytes()
    before = (tmp_path / "x").read_bytes()

    def broken(self, *args, **kwargs):
        raise MemoryError

    monkeypatch.setattr(nn.Parameter, "__array__", broken)
    with pytest.raises(MemoryError):
        net.save(tmp_path / "x")
    assert os.listdir(tmp_path) == ["x"]
    assert (tmp_path / "x").read_bytes() == before


def test_save_file_takes_arrays_only(tmp_path):
    net = nn.Linear(4, 2)
    with pytest.raises(TypeError, match=r"expected a numpy\.ndarray, got Parameter"):
        save_file(dict(net.named_parameters()), tmp_path / "x")
    write(dict(net.named_parameters()), tmp_path / "x")
    assert load_file(tmp_path / "x")["bias"].tobytes() == net.bias.tobytes()


def test_keep_vars_gives_the_parameters():
    net = Network()
    state = net.state_dict(keep_vars=True)
    assert list(state) == list(net.state_dict())
    assert state["body.0.weight"] is net.get_parameter("body.0.weight")
    assert state["count"] is net.count
    assert net.get_parameter("body.0.weight")._array is not None  # state_dict() drew it


@pytest.mark.parametrize("packed", [False, True])
@pytest.mark.parametrize("protocol", range(2, pickle.HIGHEST_PROTOCOL + 1))
def test_pickles_hold_the_weights(path, packed, protocol):
    net = Network()
    net.load(path)
    if packed:
        net(INDICES)
    data = pickle.dumps(net, protocol)
    size = sum(value.nbytes for value in filled().values())
    assert size <= len(data) < 1.4 * size  # protocol 2 writes bytes as text
    path.unlink()
    again = pickle.loads(data)
    assert_same_bytes(again(INDICES), reference()(INDICES))
    for name, parameter in again.named_parameters():
        assert not parameter.data.flags.writeable, name
        with pytest.raises(ValueError, match="WRITEABLE"):
            parameter.data.flags.writeable = True
        assert parameter.data.flags.aligned
    assert again.get_parameter("conv.weight")._array is None


def test_pickles_without_a_copy_in_protocol_5(path):
    """Out-of-band buffers: the arrays themselves."""
    net = reference()
    buffers: list[pickle.PickleBuffer] = []
    data = pickle.dumps(net, 5, buffer_callback=buffers.append)
    assert len(data) < 20_000
    again = pickle.loads(data, buffers=buffers)
    assert np.shares_memory(again.conv.weight, net.conv.weight)


@pytest.mark.parametrize("packed", [False, True])
def test_copies_share_the_weights(path, packed):
    net = Network()
    net.load(path)
    if packed:
        net(INDICES)
    twin = copy.deepcopy(net)
    twin.body[0].weight = np.zeros((64, 40), np.float32)
    assert_same_bytes(net(INDICES), reference()(INDICES))
    twin.load_state_dict(net.state_dict())
    assert_same_bytes(twin(INDICES), reference()(INDICES))


def test_a_copy_lets_go_of_the_pack_it_was_made_from():
    net = nn.Linear(40, 8)
    net.load_state_dict({"weight": np.ones((8, 40), np.float32), "bias": np.ones(8, np.float32)})
    net(X)
    twin = copy.deepcopy(net)
    twin(X)
    source = twin.get_parameter("weight")._source
    assert source.__self__ is twin._pack


def test_threads_read_and_pack_at_once(path):
    net = Network()
    net.load(path)
    start = Barrier(8)

    def work(i):
        start.wait()
        return net(INDICES) if i % 2 else net.state_dict()["conv.weight"]

    with ThreadPoolExecutor(8) as pool:
        results = list(pool.map(work, range(8)))
    want, weight = reference()(INDICES), filled()["conv.weight"]
    for i, result in enumerate(results):
        assert_same_bytes(result, want if i % 2 else weight)
