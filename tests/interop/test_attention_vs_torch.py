"""Attention and transformers beside torch 2.13's: options, masks and layouts of everyday use."""

from __future__ import annotations

import itertools
import warnings

import numpy as np
import pytest

import forwardpass.nn as ours

torch = pytest.importorskip("torch")

from interop.pairs import filled, sample  # noqa: E402

theirs = torch.nn
BATCH, QUERIES, KEYS, WIDTH, HEADS = 3, 5, 7, 48, 4


@pytest.fixture(params=[False, True], ids=["operators", "fast path"], autouse=True)
def fast_path(request):
    """Torch has two ways through these layers in evaluation mode."""
    torch.backends.mha.set_fastpath_enabled(request.param)
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")
        yield request.param
    torch.backends.mha.set_fastpath_enabled(True)


def pair(make):
    with torch.no_grad():
        mine, other = make(ours), make(theirs).eval()
    values = filled(other, 3)
    values = {k: v * np.float32(0.3) for k, v in values.items()}
    mine.load_state_dict(values)
    other.load_state_dict({k: torch.as_tensor(v) for k, v in values.items()})
    return mine, other


def tensors(value):
    if isinstance(value, np.ndarray):
        return torch.from_numpy(np.ascontiguousarray(value))
    return value


def compare(mine, other, *args, **kwargs):
    with torch.no_grad():
        expected = other(*map(tensors, args), **{k: tensors(v) for k, v in kwargs.items()})
    found = mine(*args, **kwargs)
    if not isinstance(expected, tuple):
        expected, found = (expected,), (found,)
    for a, b in zip(found, expected, strict=True):
        assert (a is None) == (b is None)
        if b is not None:
            np.testing.assert_allclose(a, b.numpy(), rtol=1e-5, atol=2e-5)


def masks(kind, queries=QUERIES, keys=KEYS):
    rng = np.random.default_rng(4)
    if kind == "none":
        return None
    if kind == "causal":
        return np.asarray(ours.Transformer.generate_square_subsequent_mask(queries))
    shape = (BATCH * HEADS, queries, keys) if kind == "heads" else (queries, keys)
    if kind == "float":
        return rng.uniform(-3, 3, shape).astype(np.float32)
    mask = rng.random(shape) < 0.4
    mask[..., 0] = False  # a query that sees nothing is NaN in torch, depending on the way
    return mask


def padding(kind, keys=KEYS):
    mask = np.arange(keys) >= np.array([[keys], [4], [2]])
    if kind == "none":
        return None
    return np.where(mask, -np.inf, 0).astype(np.float32) if kind == "float" else mask


def side(x, batch_first):
    return x if batch_first else x.swapaxes(0, 1)


@pytest.mark.parametrize("batch_first", [False, True])
@pytest.mark.parametrize(
    "options",
    [
        {},
        {"bias": False},
        {"kdim": 10, "vdim": 9},
        {"add_bias_kv": True},
        {"add_zero_attn": True, "add_bias_kv": True, "vdim": 9},
    ],
    ids=str,
)
def test_multihead_attention(options, batch_first):
    mine, other = pair(
        lambda nn: nn.MultiheadAttention(WIDTH, HEADS, batch_first=batch_first, **options)
    )
    q = side(sample((BATCH, QUERIES, WIDTH)), batch_first)
    k = side(sample((BATCH, KEYS, options.get("kdim", WIDTH)), 5), batch_first)
    v = side(sample((BATCH, KEYS, options.get("vdim", WIDTH)), 6), batch_first)
    for kind, pad in itertools.product(
        ("none", "bool", "float", "heads"), ("none", "bool", "float")
    ):
        rest = {"key_padding_mask": padding(pad), "attn_mask": masks(kind)}
        for weights, average in ((True, True), (True, False), (False, True)):
            compare(
                mine, other, q, k, v, **rest, need_weights=weights, average_attn_weights=average
            )
    if not options:
        compare(mine, other, q, q, q)
        compare(mine, other, q, q, q, attn_mask=masks("causal"), is_causal=True, need_weights=False)


@pytest.mark.parametrize("batch_first", [False, True])
@pytest.mark.parametrize("norm_first", [False, True])
@pytest.mark.parametrize("activation", ["relu", "gelu"])
def test_encoder(fast_path, batch_first, norm_first, activation):
    more = {"activation": activation, "batch_first": batch_first, "norm_first": norm_first}

    def make(nn):
        layer = nn.TransformerEncoderLayer(WIDTH, HEADS, 64, **more)
        # On the fast path torch leaves out what is padded; else it computes that too.
        return nn.TransformerEncoder(layer, 2, nn.LayerNorm(WIDTH), fast_path)

    mine, other = pair(make)
    x = side(sample((BATCH, KEYS, WIDTH)), batch_first)
    for kind, pad in itertools.product(("none", "causal", "bool", "heads"), ("none", "bool")):
        mask = masks(kind, KEYS, KEYS)
        compare(mine, other, x, mask, padding(pad))
    compare(mine, other, x, masks("causal", KEYS), is_causal=True)
    compare(mine, other, x[:, 0], masks("causal", len(x)))
    nothing = np.zeros((BATCH, KEYS), bool)
    compare(mine, other, x, None, nothing)


@pytest.mark.parametrize("batch_first", [False, True])
@pytest.mark.parametrize("norm_first", [False, True])
def test_transformer(fast_path, batch_first, norm_first):
    more = {"batch_first": batch_first, "norm_first": norm_first}
    mine, other = pair(lambda nn: nn.Transformer(WIDTH, HEADS, 2, 2, 64, **more))
    mine.encoder.use_nested_tensor &= fast_path
    src = side(sample((BATCH, KEYS, WIDTH)), batch_first)
    tgt = side(sample((BATCH, QUERIES, WIDTH), 5), batch_first)
    compare(mine, other, src, tgt)
    rest = {"tgt_mask": masks("causal"), "src_key_padding_mask": padding("bool")}
    compare(mine, other, src, tgt, **rest)
    rest |= {"memory_key_padding_mask": padding("bool"), "memory_mask": masks("bool")}
    compare(mine, other, src, tgt, **rest, tgt_is_causal=True)


def test_square_subsequent_mask():
    for size in (0, 1, 5):
        mine = ours.Transformer.generate_square_subsequent_mask(size)
        expected = theirs.Transformer.generate_square_subsequent_mask(size).numpy()
        assert mine.dtype == expected.dtype
        assert (mine == expected).all()
