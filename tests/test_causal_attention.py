"""CausalSelfAttention: decoding in any chunks has the bytes of the full pass."""

from __future__ import annotations

import copy

import numpy as np
import pytest

from _arrays import assert_same_bytes, strided
from forwardpass import _core, nn
from forwardpass.nn import _stacked
from forwardpass.nn import functional as F
from forwardpass.reference.arrays import make


def layer(width=96, heads=6, groups=3, size=None, **kwargs):
    net = nn.CausalSelfAttention(width, heads, groups, size, **kwargs)
    state = net.state_dict()
    scale = np.float32(width**-0.5)
    net.load_state_dict({k: make(f"causal/{k}", v.shape) * scale for k, v in state.items()})
    return net


def cache_of(net, limit=300, **kwargs):
    return nn.KVCache(limit, net.num_kv_heads, net.head_dim, **kwargs)


def sample(batch, length, width=96):
    return make("causal/x", (batch, length, width))


ARGUMENTS = {
    "grouped": {},
    "one group": {"groups": 1, "size": 40},
    "a group a head": {"groups": 6},
    "biases": {"bias": True, "out_bias": True},
    "no positions": {"rope_base": None},
    "pairs": {"interleaved": True, "rope_base": 500000.0},
    "partial": {"rotary_dim": 6, "size": 20},
    "stacked": {"stacked": True, "bias": True},
    "small": {"groups": 2, "size": 8},  # k_proj and v_proj have 16 outputs: no stacking
}


def by_hand(net, x):
    """By the public functions, without a cache."""
    heads, groups, size = net.num_heads, net.num_kv_heads, net.head_dim
    if "qkv_proj" in net._modules:
        whole = net.qkv_proj(x)
        parts = np.split(whole, [heads * size, (heads + groups) * size], axis=-1)
    else:
        parts = [net.q_proj(x), net.k_proj(x), net.v_proj(x)]
    q, k, v = (p.reshape(*p.shape[:2], -1, size).transpose(0, 2, 1, 3) for p in parts)
    if net.rope_base is not None:
        rest = {"interleaved": net.interleaved}
        q, k = (F.rotary_embedding(t, net.rotary_dim, net.rope_base, **rest) for t in (q, k))
    y = F.scaled_dot_product_attention(q, k, v, is_causal=True, enable_gqa=True)
    return net.o_proj(y.transpose(0, 2, 1, 3).reshape(*x.shape[:2], heads * size))


@pytest.mark.parametrize("name", ARGUMENTS)
def test_is_the_formula(isa, name):
    net = layer(**ARGUMENTS[name])
    x = sample(2, 23)
    want = by_hand(net, x)
    assert_same_bytes(net(x), want)
    assert_same_bytes(net(strided(x)), want, "strided")
    assert_same_bytes(net(x[1]), want[1], "without a batch")
    assert net(x[:0]).shape == (0, 23, 96)
    assert net(x[:, :0]).shape == (2, 0, 96)


@pytest.mark.parametrize("name", ARGUMENTS)
def test_decoding_in_any_chunks_is_the_full_pass(isa, name):
    net = layer(**ARGUMENTS[name])
    x = sample(2, 300)
    whole = net(x)
    for sizes in ([1], [7], [256, 44], [1, 299], [100, 1, 1, 50], [299, 1]):
        cache = cache_of(net, batch_size=2, initial=16)
        parts, at, i = [], 0, 0
        while at < 300:
            size = sizes[i % len(sizes)] if sum(sizes) != 300 else sizes[i]
            parts.append(net(x[:, at : at + size], cache))
            at, i = at + size, i + 1
        assert_same_bytes(np.concatenate(parts, 1), whole, f"chunks of {sizes}")
        assert cache.length == 300


def test_threads_and_batches(isa, restore_threads):
    net, x = layer(), sample(3, 200)
    _core.set_num_threads(1)
    want = net(x)
    for threads in (2, 5):
        _core.set_num_threads(threads)
        assert_same_bytes(net(x), want, f"{threads} threads")
        cache = cache_of(net, batch_size=3)
        parts = [net(x[:, i : i + 67], cache) for i in range(0, 200, 67)]
        assert_same_bytes(np.concatenate(parts, 1), want, f"{threads} threads, cached")
    for b in range(3):
        assert_same_bytes(net(x[b : b + 1])[0], want[b], "an item alone")


def test_a_prefix_does_not_see_what_follows(isa):
    net, x = layer(), sample(1, 50)
    whole = net(x)
    other = x.copy()
    other[:, 30:] = np.nan
    assert_same_bytes(net(other)[:, :30], whole[:, :30])


def test_layers_of_one_cache():
    nets = [layer(), layer(bias=True), layer(interleaved=True)]
    x = sample(1, 40)

    def run(x, cache=None):
        for i, net in enumerate(nets):
            x = x + net(x, cache, i) if cache is not None else x + net(x)
        return x

    whole, cache = run(x), cache_of(nets[0], num_layers=3)
    parts = [run(x[:, i : i + 9], cache) for i in range(0, 40, 9)]
    assert_same_bytes(np.concatenate(parts, 1), whole)
    cache.truncate(20)  # again from there
    assert_same_bytes(run(x[:, 20:], cache), whole[:, 20:])
    cache.reset()
    assert_same_bytes(run(x, cache), whole)


@pytest.mark.parametrize("stacked", [False, True])
def test_hooks_see_what_they_saw_and_change_no_bit(stacked):
    """An array that a hook keeps is not turned afterwards."""
    net, x = layer(stacked=stacked), sample(2, 9)
    want = net(x)
    seen = {}
    for name, child in net.named_children():
        child.register_forward_hook(lambda m, a, y, name=name: seen.__setitem__(name, y))
    assert_same_bytes(net(x), want)
    for name in {"q_proj", "k_proj", "qkv_proj"} & set(seen):
        assert_same_bytes(seen[name], getattr(net, name)(x), name)
    assert net._pack is None


def test_projections_run_as_one_and_are_held_once():
    net, x = layer(), sample(2, 9)
    want = net.state_dict()
    before = by_hand(net, x)
    assert_same_bytes(net(x), before)
    assert isinstance(net._pack, _stacked.Stacked)
    for child in (net.q_proj, net.k_proj, net.v_proj):
        assert child.get_parameter("weight")._array is None
        assert child._pack.stacked is net._pack.pack
    assert all(v.tobytes() == want[k].tobytes() for k, v in net.state_dict().items())
    net.k_proj, net.v_proj = net.v_proj, net.k_proj
    assert_same_bytes(net(x), by_hand(net, x), "traded places")
    net.v_proj.weight = make("causal/new", (48, 96))
    assert_same_bytes(net(x), by_hand(net, x), "a new weight")
    twin = copy.deepcopy(net)
    assert_same_bytes(twin(x), net(x))


def test_a_call_that_fails_adds_nothing():
    net, x = layer(), sample(1, 20)
    cache = cache_of(net, limit=20)
    net(x[:, :12], cache)
    with pytest.raises(ValueError, match="past the limit of 20"):
        net(x[:, :9], cache)
    assert cache.length == 12

    def fail(module, arguments):
        raise RuntimeError("stop")

    handle = net.o_proj.register_forward_pre_hook(fail)
    with pytest.raises(RuntimeError, match="stop"):
        net(x[:, 12:], cache)
    assert cache.length == 12
    handle.remove()
    assert_same_bytes(net(x[:, 12:], cache), net(x)[:, 12:])


def test_keys_repr_and_arguments():
    net = nn.CausalSelfAttention(8, 4, 2)
    assert list(net.state_dict()) == [f"{name}_proj.weight" for name in "qkvo"]
    assert net.k_proj.weight.shape == (4, 8)
    stacked = nn.CausalSelfAttention(8, 4, 2, bias=True, out_bias=True, stacked=True)
    assert stacked.qkv_proj.weight.shape == (16, 8)
    assert list(stacked.state_dict()) == [
        f"{name}.{kind}" for name in ("qkv_proj", "o_proj") for kind in ("weight", "bias")
    ]
    head = "embed_dim=8, num_heads=4, num_kv_heads=2, head_dim=2, rope_base=10000.0"
    assert head in repr(net)


@pytest.mark.parametrize(
    ("error", "words", "arguments"),
    [
        (ValueError, "multiple of num_kv_heads", {"num_kv_heads": 3}),
        (ValueError, "divisible by num_heads", {"embed_dim": 9}),
        (ValueError, "rotary_dim must be even", {"rotary_dim": 3}),
        (ValueError, "rotary_dim must be even and at most", {"rotary_dim": 4}),
        (ValueError, "rotary_dim must be even", {"head_dim": 3}),
        (TypeError, "num_heads must be an integer", {"num_heads": 2.0}),
        (ValueError, "head_dim must be at least 1", {"head_dim": 0}),
        (NotImplementedError, "float64", {"dtype": np.float64}),
    ],
)
def test_bad_arguments(error, words, arguments):
    with pytest.raises(error, match=words):
        nn.CausalSelfAttention(**{"embed_dim": 8, "num_heads": 4, **arguments})


def test_bad_input():
    net = layer()
    x = sample(1, 3)
    for wrong in (x[..., :95], x[0, 0], x[None]):
        with pytest.raises(ValueError, match="input must have shape"):
            net(wrong)
    with pytest.raises(TypeError, match="float32"):
        net(x.astype(np.float64))
    cache = cache_of(net)
    with pytest.raises(IndexError, match="layer 1 is out of range for 1"):
        net(x, cache, 1)
    with pytest.raises(ValueError, match="key must have shape"):
        net(sample(2, 3), cache)
    with pytest.raises(ValueError, match="key must have shape"):
        net(x, nn.KVCache(9, 2, 16))
    assert cache.length == 0
