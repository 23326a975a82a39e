"""state_dict, load_state_dict, copies, pickles, forks."""

from __future__ import annotations

import copy
import multiprocessing
import pickle
import threading
import time

import numpy as np
import pytest

from _workers import put_result
from forwardpass import nn
from forwardpass.nn.parameter import LOCK

X = np.linspace(-2, 2, 12, dtype=np.float32).reshape(3, 4)


class Counter(nn.Module):
    def __init__(self):
        super().__init__()
        self.register_buffer("steps", np.array(0))
        self.register_buffer("mean", np.zeros(2, np.float32))
        self.register_buffer("lost", np.zeros(2, np.float32), persistent=False)


def network():
    return nn.Sequential(
        nn.Linear(4, 3),
        nn.GELU(),
        nn.RMSNorm(3),
        nn.Sequential(nn.Linear(3, 2, bias=False), nn.LayerNorm(2)),
    )


def values(net):
    return {k: v.tobytes() for k, v in net.state_dict().items()}


def good(net):
    return {k: np.full_like(v, 0.5) for k, v in net.state_dict().items()}


def without(state, key):
    del state[key]
    return state


FAILURES = {
    "missing": (lambda s: without(s, "0.bias"), RuntimeError, 'Missing key.*"0.bias"'),
    "unexpected": (lambda s: {**s, "4.weight": X}, RuntimeError, 'Unexpected key.*"4.weight"'),
    "module": (lambda s: {**s, "0": X}, RuntimeError, 'Unexpected key.*"0"'),
    "bias": (lambda s: {**s, "3.0.bias": X}, RuntimeError, 'Unexpected key.*"3.0.bias"'),
    "size": (lambda s: {**s, "3.1.bias": X}, RuntimeError, r"torch.Size\(\[3, 4\]\)"),
    "list": (lambda s: {**s, "3.1.bias": [0, 0]}, RuntimeError, "received <class 'list'>"),
    "int": (lambda s: {**s, "3.1.bias": np.ones(2, int)}, TypeError, "float32, got int64"),
    "bits": (lambda s: {**s, "3.1.bias": np.ones(2, "u2")}, TypeError, "bits of bfloat16"),
    "bool": (lambda s: {**s, "3.1.bias": np.ones(2, bool)}, TypeError, "got bool"),
    "complex": (lambda s: {**s, "3.1.bias": np.ones(2, "c8")}, TypeError, "got complex64"),
    "object": (lambda s: {**s, "3.1.bias": np.full(2, None)}, TypeError, "got object"),
    "text": (lambda s: {**s, "3.1.bias": np.array(["a", "b"])}, TypeError, "got <U1"),
    "no dict": (list, TypeError, "Expected state_dict to be dict-like, got <class 'list'>"),
}


@pytest.mark.parametrize("name", FAILURES)
def test_a_failed_load_changes_nothing(name):
    spoil, error, match = FAILURES[name]
    net = network()
    net(X)
    before, output = values(net), net(X).tobytes()
    with pytest.raises(error, match=match):
        net.load_state_dict(spoil(good(net)))
    assert values(net) == before
    assert net(X).tobytes() == output


def test_all_problems_are_reported_at_once():
    net = network()
    state = good(net)
    del state["0.weight"], state["2.weight"]
    state.update(extra=X, **{"3.0.weight": X, "3.1.weight": X, "3.1.bias": np.ones(2, int)})
    with pytest.raises(RuntimeError) as caught:
        net.load_state_dict(state)
    assert str(caught.value).split("\n\t") == [
        "Error(s) in loading state_dict for Sequential:",
        'Missing key(s) in state_dict: "0.weight", "2.weight". ',
        'Unexpected key(s) in state_dict: "extra". ',
        "size mismatch for 3.0.weight: copying a param with shape torch.Size([3, 4]) "
        "from checkpoint, the shape in current model is torch.Size([2, 3]).",
        "size mismatch for 3.1.weight: copying a param with shape torch.Size([3, 4]) "
        "from checkpoint, the shape in current model is torch.Size([2]).",
        '"3.1.bias" must be float32, got int64; use value.astype(np.float32)',
    ]


def test_not_strict_loads_what_fits_but_never_a_wrong_size():
    net = network()
    kept = net.state_dict()["0.bias"].tobytes()
    state = good(net)
    del state["0.bias"]
    result = net.load_state_dict({**state, "more": X}, strict=False)
    assert result == (["0.bias"], ["more"])
    assert result.missing_keys == ["0.bias"]
    assert repr(result) == "IncompatibleKeys(missing_keys=['0.bias'], unexpected_keys=['more'])"
    assert (net[0].weight == 0.5).all()
    assert net[0].bias.tobytes() == kept
    with pytest.raises(RuntimeError, match=r"size mismatch for 0\.weight"):
        net.load_state_dict({"0.weight": X.T}, strict=False)


def test_a_load_is_seen_by_the_next_call():
    net = network()
    old = net.state_dict()
    first = net(X)
    result = net.load_state_dict(good(net))
    assert repr(result) == "<All keys matched successfully>"
    assert not np.array_equal(net(X), first)
    state = good(net)
    net.load_state_dict(state)
    state["0.weight"][:] = 9
    assert (net[0].weight == 0.5).all()
    net.load_state_dict(old)  # an earlier state is as it was
    assert net(X).tobytes() == first.tobytes()


@pytest.mark.parametrize("dtype", [np.float16, np.float64, ">f4", ">f8"])
def test_other_floats_are_converted(dtype):
    linear = nn.Linear(4, 2)
    weight = np.array([[1, 1e-5, -3e4, 0.1], [np.nan, np.inf, -0.0, 2]], dtype)
    linear.load_state_dict({"weight": weight, "bias": np.array([1, 1e4], dtype)})
    assert linear.weight.dtype == np.float32
    assert np.array_equal(linear.weight, weight.astype(np.float32), equal_nan=True)
    assert not linear.weight.flags.writeable


def test_out_of_range_becomes_infinity_without_a_warning():
    linear = nn.Linear(2, 1, bias=False)
    linear.load_state_dict({"weight": np.array([[1e300, -1e-300]])})
    assert linear.weight.tolist() == [[np.inf, 0]]


def test_one_element_fits_a_scalar():
    net = nn.Module()
    net.p = nn.Parameter(np.float32(1))
    net.load_state_dict({"p": np.array([3], np.float32)})
    assert net.p.shape == ()
    assert net.p == 3


def test_buffers_keep_their_dtype():
    net = Counter()
    held = net.steps
    assert list(net.state_dict()) == ["steps", "mean"]
    net.load_state_dict({"steps": np.array(5, np.int32), "mean": np.array([1, 2], np.float16)})
    assert (net.steps.dtype, net.mean.dtype) == (np.dtype(int), np.dtype(np.float32))
    assert (net.steps, net.mean.tolist(), held) == (5, [1, 2], 0)
    net.mean[0] = 7  # a buffer is the user's own array
    with pytest.raises(TypeError, match='"steps" must be int64, got float32'):
        net.load_state_dict({"steps": np.float32(1), "mean": net.mean})
    assert net.steps == 5


def test_copies_and_pickles_give_the_same_bytes():
    net = network()
    net.tag = "mine"
    for warm in (False, True):
        if warm:
            net(X)
            net.register_forward_hook(lambda m, args, out: out * np.float32(2))
        for twin in (copy.deepcopy(net), pickle.loads(pickle.dumps(net))):
            assert type(twin) is nn.Sequential
            assert twin.tag == "mine"
            assert values(twin) == values(net)
            assert twin(X).tobytes() == network_output(net)
            twin[0].weight = np.zeros((3, 4), np.float32)
            twin[3][0] = nn.Identity()
            assert not np.array_equal(twin[0].weight, net[0].weight)
            assert isinstance(net[3][0], nn.Linear)


def network_output(net):
    """Of the net without its hooks."""
    output = X
    for module in net:
        output = module(output)
    return output.tobytes()


def test_a_pickle_of_a_new_model_stays_lazy():
    net = nn.Linear(1000, 1000)
    data = pickle.dumps(net)
    assert len(data) < 2000
    assert pickle.loads(data).weight.tobytes() == net.weight.tobytes()


def test_a_shallow_copy_shares_values_but_not_tables():
    net = nn.Linear(4, 2)
    twin = copy.copy(net)
    assert twin(X).tobytes() == net(X).tobytes()
    twin.bias = np.full(2, 100, np.float32)
    assert (twin(X) > 50).all()
    assert (net(X) < 50).all()
    assert (net.bias < 50).all()


def test_deep_copies_keep_parameters_tied():
    table, head = nn.Embedding(5, 4), nn.Linear(4, 5, bias=False)
    head.weight = table.get_parameter("weight")
    for twin in (
        copy.deepcopy(nn.Sequential(table, head)),
        pickle.loads(pickle.dumps(nn.Sequential(table, head))),
    ):
        twin[1](X)
        twin[0].load_state_dict({"weight": np.ones((5, 4), np.float32)})
        assert (twin[1](X) == X.sum(1, keepdims=True)).all()
    assert not (table.weight == 1).all()


def test_handles_survive_copies_of_their_module():
    net = nn.Linear(4, 2)
    net.handle = net.register_forward_hook(lambda m, args, out: None)
    for twin in (copy.deepcopy(net), pickle.loads(pickle.dumps(nn.Sequential(net)))[0]):
        twin.handle.remove()
    assert net._hooked
    net.handle.remove()
    assert not net._hooked


# Python 3.12 and later warn of any fork while threads exist, which is what is tested here.
forking = pytest.mark.filterwarnings("ignore:.*multi-threaded.*:DeprecationWarning")


@forking
@pytest.mark.parametrize("warm", [False, True])
@pytest.mark.parametrize("method", ["fork", "spawn"])
def test_modules_work_in_other_processes(method, warm):
    if method not in multiprocessing.get_all_start_methods():
        pytest.skip(f"no {method} on this system")
    net = network()
    expected = copy.deepcopy(net)(X).tobytes()
    if warm:
        net(X)
    context = multiprocessing.get_context(method)
    queue = context.Queue()
    process = context.Process(target=put_result, args=(queue, net, X))
    process.start()
    assert queue.get(timeout=60) == expected
    process.join(timeout=60)
    assert process.exitcode == 0


@forking
def test_a_fork_waits_for_a_layer_that_is_being_packed():
    """Otherwise the child would own a lock that no thread of its own can release."""
    if "fork" not in multiprocessing.get_all_start_methods():
        pytest.skip("no fork on this system")
    net, locked = network(), threading.Event()

    def pack_slowly():
        with LOCK:
            locked.set()
            time.sleep(0.3)

    thread = threading.Thread(target=pack_slowly)
    thread.start()
    assert locked.wait(timeout=60)
    context = multiprocessing.get_context("fork")
    queue = context.Queue()
    process = context.Process(target=put_result, args=(queue, net, X), daemon=True)
    process.start()
    assert queue.get(timeout=60) == net(X).tobytes()
    process.join(timeout=60)
    thread.join(timeout=60)
