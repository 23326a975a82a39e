"""MultiheadAttention: the formula, masks, layouts, weights, cuts."""

from __future__ import annotations

import numpy as np
import pytest

from _arrays import assert_same_bytes, strided
from _attention_layer import layer, samples
from forwardpass import _core, nn
from forwardpass.nn import functional as F
from forwardpass.reference.arrays import make

INF = np.float32(np.inf)


def by_hand(net, q, k, v, seen):
    """(B, T, E) from the state_dict, in float64; seen (B, H, T, S)."""
    state = {key: value.astype(np.float64) for key, value in net.state_dict().items()}
    width, heads = net.embed_dim, net.num_heads
    bias = state.get("in_proj_bias", np.zeros(3 * width)).reshape(3, width)
    if "in_proj_weight" in state:
        weights = state["in_proj_weight"].reshape(3, width, width)
    else:
        weights = [state[f"{name}_proj_weight"] for name in "qkv"]
    q, k, v = (x @ w.T + b for x, w, b in zip((q, k, v), weights, bias, strict=True))
    if "bias_k" in state:
        rows = [np.broadcast_to(state[name], (len(k), 1, width)) for name in ("bias_k", "bias_v")]
        k, v = np.concatenate([k, rows[0]], 1), np.concatenate([v, rows[1]], 1)
    if net.add_zero_attn:
        zeros = np.zeros((len(k), 1, width))
        k, v = np.concatenate([k, zeros], 1), np.concatenate([v, zeros], 1)
    more = k.shape[1] - seen.shape[3]
    seen = np.concatenate([seen, np.ones((*seen.shape[:3], more), bool)], 3)
    split = [x.reshape(*x.shape[:2], heads, -1).transpose(0, 2, 1, 3) for x in (q, k, v)]
    scores = split[0] @ split[1].swapaxes(2, 3) / np.sqrt(width // heads)
    scores = np.where(seen, np.exp(scores), 0)
    total = scores.sum(-1, keepdims=True)
    weights = np.divide(scores, total, out=np.zeros_like(scores), where=total > 0)
    y = (weights @ split[2]).transpose(0, 2, 1, 3).reshape(q.shape)
    out = y @ state["out_proj.weight"].T
    return out + state.get("out_proj.bias", 0), weights


def masks(kind, batch=2, heads=2, length=5, keys=7):
    """key_padding_mask, attn_mask and what is seen."""
    rng = np.random.default_rng(5)
    padding = rng.random((batch, keys)) < 0.3
    mask = rng.random((length, keys)) < 0.3
    each = rng.random((batch * heads, length, keys)) < 0.3
    mask[2] = True  # a query that sees nothing
    seen = np.ones((batch, heads, length, keys), bool)
    added = lambda m: np.where(m, -INF, np.float32(0))  # noqa: E731
    found = {
        "none": (None, None, seen),
        "padding": (padding, None, seen & ~padding[:, None, None]),
        "float padding": (added(padding), None, seen & ~padding[:, None, None]),
        "mask": (None, mask, seen & ~mask),
        "float mask": (None, added(mask), seen & ~mask),
        "heads": (None, each, seen & ~each.reshape(seen.shape)),
        "both": (padding, mask, seen & ~mask & ~padding[:, None, None]),
        "mixed": (padding, added(mask), seen & ~mask & ~padding[:, None, None]),
        "all": (added(padding), each, seen & ~each.reshape(seen.shape) & ~padding[:, None, None]),
    }
    return found[kind]


KINDS = ["none", "padding", "float padding", "mask", "float mask", "heads", "both", "mixed", "all"]
ARGUMENTS = [
    {},
    {"bias": False},
    {"kdim": 6, "vdim": 3},
    {"kdim": 6, "bias": False},
    {"add_bias_kv": True},
    {"add_zero_attn": True},
    {"add_bias_kv": True, "add_zero_attn": True, "vdim": 5},
]


@pytest.mark.parametrize("kind", KINDS)
@pytest.mark.parametrize("arguments", ARGUMENTS, ids=str)
@pytest.mark.parametrize("width", [8, 48])
def test_is_the_formula(isa, width, arguments, kind):
    net = layer(width, **arguments, batch_first=True)
    q, k, v = samples(net)
    padding, mask, seen = masks(kind)
    y, weights = net(q, k, v, padding, True, mask, False)
    want, want_weights = by_hand(net, q, k, v, seen)
    np.testing.assert_allclose(y, want, rtol=0, atol=2e-5 * np.abs(want).max())
    np.testing.assert_allclose(weights, want_weights, rtol=0, atol=1e-5)
    mean = net(q, k, v, padding, True, mask)[1]
    np.testing.assert_allclose(mean, want_weights.mean(1), rtol=0, atol=1e-5)
    alone, nothing = net(q, k, v, padding, need_weights=False, attn_mask=mask)
    assert nothing is None
    assert_same_bytes(alone, y, "without weights")


@pytest.mark.parametrize("kind", KINDS)
@pytest.mark.parametrize("width", [8, 48])
def test_layouts_have_the_same_bytes(width, kind):
    """batch_first or not, one item alone, one array for three: the same numbers."""
    first, second = layer(width, batch_first=True), layer(width)
    q = k = v = make("mha/self", (2, 7, width))
    padding, mask, _ = masks(kind, length=7)
    y, weights = first(q, k, v, padding, attn_mask=mask)
    assert_same_bytes(first(q, k.copy(), v.copy(), padding, attn_mask=mask)[0], y, "three arrays")
    assert_same_bytes(first(q, k.copy(), None or k, padding, attn_mask=mask)[0], y, "two")
    t = q.swapaxes(0, 1)
    for x in (t, np.ascontiguousarray(t), strided(t)):
        other, others = second(x, x, x, padding, attn_mask=mask)
        assert other.shape == (7, 2, width)
        assert_same_bytes(np.ascontiguousarray(other.swapaxes(0, 1)), y, "the batch second")
        assert_same_bytes(others, weights)
    for b in range(2):
        own = None if mask is None else mask if mask.ndim == 2 else mask[2 * b : 2 * b + 2]
        pad = None if padding is None else padding[b]
        for net in (first, second):
            alone, ones = net(q[b], q[b], q[b], pad, attn_mask=own)
            assert_same_bytes(alone, y[b], "without a batch")
            assert_same_bytes(ones, weights[b])


def test_threads_and_batches(isa, restore_threads):
    net = layer(96, 3, batch_first=True)
    x = make("mha/long", (3, 130, 96))
    _core.set_num_threads(1)
    want, weights = net(x, x, x)
    for threads in (2, 5):
        _core.set_num_threads(threads)
        y, w = net(x, x, x)
        assert_same_bytes(y, want, f"{threads} threads")
        assert_same_bytes(w, weights)
    for b in range(3):
        assert_same_bytes(net(x[b : b + 1], x[b : b + 1], x[b : b + 1])[0][0], want[b])


def test_causal_hint_and_cuts(isa):
    """The hint in the place of the mask: the same bytes; a prefix has the bytes of the whole."""
    net = layer(48, 3, batch_first=True)
    x = make("mha/causal", (2, 40, 48))
    mask = nn.Transformer.generate_square_subsequent_mask(40)
    whole = net(x, x, x, attn_mask=mask, is_causal=True)[0]
    for other in (mask, mask < 0):
        assert_same_bytes(net(x, x, x, attn_mask=other)[0], whole, "the mask itself")
    assert_same_bytes(net(x, x, x, attn_mask=mask, need_weights=False)[0], whole)
    padding = np.arange(40) > np.array([[30], [39]])
    both = net(x, x, x, padding, attn_mask=mask, is_causal=True)[0]
    assert_same_bytes(both, net(x, x, x, padding, attn_mask=mask)[0], "and padding")
    for n in (1, 17, 39):
        part = x[:, :n]
        hint = mask[:n, :n]
        assert_same_bytes(net(part, part, part, attn_mask=hint, is_causal=True)[0], whole[:, :n])
    zero = layer(48, 3, batch_first=True, add_zero_attn=True)
    assert_same_bytes(
        zero(x, x, x, attn_mask=mask, is_causal=True)[0], zero(x, x, x, attn_mask=mask)[0]
    )


def test_keys_that_are_not_seen_change_nothing(isa):
    net = layer(48, 3, batch_first=True)
    x = make("mha/unseen", (2, 9, 48))
    padding = np.arange(9) >= np.array([[6], [9]])
    other = x.copy()
    other[0, 6:] = np.nan
    want = net(x, x, x, padding)[0]
    got = net(x, other, other, padding)[0]
    assert_same_bytes(got, want)


def test_a_query_that_sees_nothing():
    net = layer(batch_first=True)
    q, k, v = samples(net)
    y, weights = net(q, k, v, np.ones((2, 7), bool))
    assert not weights.any()
    assert (y == net.out_proj.bias).all()


def test_empty_shapes():
    net = layer(batch_first=True)
    for batch, length, keys in ((0, 5, 7), (2, 0, 7), (2, 5, 0)):
        q, k, v = samples(net, batch, length, keys)
        y, weights = net(q, k, v)
        assert y.shape == (batch, length, 8)
        assert weights.shape == (batch, length, keys)


def test_the_weights_are_those_of_the_operations(isa):
    """linear, the mask, softmax: docs/numerics.md."""
    net = layer(48, 3, batch_first=True)
    x = make("mha/weights", (1, 37, 48))
    state = net.state_dict()
    whole = F.linear(x, state["in_proj_weight"], state["in_proj_bias"])[0]
    q, k = (whole[:, i * 48 : i * 48 + 16] for i in (0, 1))
    scale = np.float32(1) / np.sqrt(np.float32(16))
    want = F.softmax(F.linear(q * scale, k), -1)
    assert_same_bytes(net(x, x, x, average_attn_weights=False)[1][0, 0], want)
