"""MultiheadAttention as a module: hooks, copies, weights held once, changes, what it refuses."""

from __future__ import annotations

import copy
import pickle
import threading

import numpy as np
import pytest

import forwardpass as fp
from _attention_layer import layer, samples
from forwardpass import _core, nn
from forwardpass.reference.arrays import make


def test_hooks_copies_and_pickles():
    net = layer(48, batch_first=True)
    x = make("mha/hooks", (2, 5, 48))
    want = net(x, x, x)[0].tobytes()
    seen = []
    net.out_proj.register_forward_hook(lambda m, a, y: seen.append(y.shape))
    net.register_forward_hook(lambda m, a, y: seen.append(len(y)))
    assert net(x, x, x)[0].tobytes() == want
    assert seen == [(2, 5, 48), 2]
    for twin in (copy.deepcopy(net), pickle.loads(pickle.dumps(net))):
        assert twin(x, x, x)[0].tobytes() == want
        twin.in_proj_weight = np.ones((144, 48), np.float32)
        assert twin(x, x, x)[0].tobytes() != want
    assert net(x, x, x)[0].tobytes() == want


@pytest.mark.parametrize("arguments", [{}, {"kdim": 5, "vdim": 4}], ids=str)
@pytest.mark.parametrize("width", [8, 48])
def test_weights_are_held_once_and_read_back(width, arguments):
    net = layer(width, **arguments, batch_first=True)
    want = net.state_dict()
    q, k, v = samples(net)
    net(q, k, v)
    if not arguments:
        net(q, q, q)
        net(q, k, k)
    for name, parameter in net.named_parameters():
        if name.endswith("_weight"):
            assert parameter._array is None, name
    for key, value in net.state_dict().items():
        assert value.tobytes() == want[key].tobytes()


def test_a_change_is_seen_by_the_next_call():
    net = layer(48, batch_first=True)
    x = make("mha/change", (2, 5, 48))
    before = net(x, x, x)[0].tobytes()
    for name, value in (
        ("in_proj_weight", make("mha/w", (144, 48))),
        ("in_proj_bias", make("mha/b", (144,))),
        ("in_proj_bias", None),
    ):
        setattr(net, name, value)
        after = net(x, x, x)[0].tobytes()
        assert after != before
        before = after


def test_threads_pack_once(monkeypatch):
    made = []
    pack = _core.PackedLinear
    monkeypatch.setattr(_core, "PackedLinear", lambda *a: made.append(1) or pack(*a))
    net, x = layer(48, batch_first=True), make("mha/threads", (2, 5, 48))
    barrier, results = threading.Barrier(8), []

    def call():
        barrier.wait()
        results.append(net(x, x, x)[0].tobytes())

    threads = [threading.Thread(target=call) for _ in range(8)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join(timeout=60)
    assert len(set(results)) == 1
    assert len(results) == 8
    assert len(made) == 2  # in_proj and out_proj


def test_initial_values():
    fp.manual_seed(1)
    net = nn.MultiheadAttention(64, 4, add_bias_kv=True)
    bound = np.sqrt(6 / (4 * 64))
    assert abs(net.in_proj_weight).max() <= bound
    assert abs(net.in_proj_weight).max() > 0.95 * bound
    assert not net.in_proj_bias.any()
    assert not net.out_proj.bias.any()
    assert 0.5 < net.bias_k.std() * 8 < 1.5


def bad(words, error=ValueError, **arguments):
    return pytest.param(arguments, error, words, id=words)


Q = np.zeros((2, 5, 8), np.float32)
K = np.zeros((2, 7, 8), np.float32)


@pytest.mark.parametrize(
    ("arguments", "error", "words"),
    [
        bad("'query' must be float32", TypeError, query=Q.astype(np.float64)),
        bad("2D or batched 3D", query=Q[None]),
        bad("query must have 3 dimensions, the last of 8", query=Q[..., :7]),
        bad("key must have 3 dimensions", key=K[0]),
        bad("key must have 3 dimensions, the last of 8", key=K[..., :7]),
        bad("value must have shape", value=K[:, :6]),
        bad("same number of batches", key=K[:1], value=K[:1]),
        bad("key_padding_mask", key_padding_mask=np.zeros((2, 6), bool)),
        bad("key_padding_mask", key_padding_mask=np.zeros(7, bool)),
        bad("shape of attn_mask", attn_mask=np.zeros((5, 6), bool)),
        bad("shape of attn_mask", attn_mask=np.zeros((2, 5, 7), bool)),
        bad("bool and float32", TypeError, attn_mask=np.zeros((5, 7), int)),
        bad("attn_mask", TypeError, attn_mask=np.zeros((5, 7))),
        bad("Need attn_mask", is_causal=True),
    ],
)
def test_bad_input(arguments, error, words):
    net = layer(batch_first=True)
    with pytest.raises(error, match=words):
        net(**{"query": Q, "key": K, "value": K, **arguments})


def test_bad_arguments():
    with pytest.raises(ValueError, match="embed_dim must be divisible by num_heads"):
        nn.MultiheadAttention(8, 3)
    with pytest.raises(ValueError, match="embed_dim and num_heads must be greater than 0"):
        nn.MultiheadAttention(8, 0)
    with pytest.raises(TypeError, match="kdim must be an integer"):
        nn.MultiheadAttention(8, 2, kdim=2.5)
    with pytest.raises(NotImplementedError, match="float64"):
        nn.MultiheadAttention(8, 2, dtype=np.float64)
