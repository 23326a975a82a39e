"""The transformer layers: fused and called one by one, cuts of a causal pass, masks, changes."""

from __future__ import annotations

import copy
import pickle

import numpy as np
import pytest

from _arrays import assert_same_bytes, strided
from forwardpass import _core, nn
from forwardpass.nn import functional as F
from forwardpass.reference.arrays import make

WIDTH, HEADS, HIDDEN = 48, 3, 70


def filled(net):
    state = net.state_dict()
    scale = np.float32(0.2)
    net.load_state_dict({k: make(f"transformer/{k}", v.shape) * scale for k, v in state.items()})
    return net


def encoder_layer(**kwargs):
    kwargs = {"batch_first": True, **kwargs}
    return filled(nn.TransformerEncoderLayer(WIDTH, HEADS, HIDDEN, **kwargs))


def decoder_layer(**kwargs):
    kwargs = {"batch_first": True, **kwargs}
    return filled(nn.TransformerDecoderLayer(WIDTH, HEADS, HIDDEN, **kwargs))


def sample(name="x", batch=2, length=9):
    return make(f"transformer/{name}", (batch, length, WIDTH))


def causal(n):
    return nn.Transformer.generate_square_subsequent_mask(n)


def encoder_by_hand(net, x, activation, *masks):
    """Torch's steps, by calls of the children and plain additions."""

    def attention(z):
        return net.self_attn(z, z, z, *masks)[0]

    def feed_forward(z):
        return net.linear2(activation(net.linear1(z)))

    if net.norm_first:
        x = x + attention(net.norm1(x))
        return x + feed_forward(net.norm2(x))
    x = net.norm1(x + attention(x))
    return net.norm2(x + feed_forward(x))


ACTIVATIONS = {
    "relu": ("relu", F.relu),
    "gelu": ("gelu", F.gelu),
    "function": (F.silu, F.silu),
    "module": (nn.GELU("tanh"), lambda x: F.gelu(x, "tanh")),
    "leaky": (nn.LeakyReLU(0.3), lambda x: F.leaky_relu(x, 0.3)),
    "callable": (lambda x: F.elu(x, 0.5), lambda x: F.elu(x, 0.5)),
    "other module": (nn.ELU(0.5), lambda x: F.elu(x, 0.5)),
}


@pytest.mark.parametrize("activation", ACTIVATIONS)
@pytest.mark.parametrize("norm_first", [False, True])
@pytest.mark.parametrize("bias", [False, True])
def test_encoder_layer_has_the_bits_of_its_steps(isa, activation, norm_first, bias):
    given, function = ACTIVATIONS[activation]
    net = encoder_layer(activation=given, norm_first=norm_first, bias=bias)
    x = sample()
    want = encoder_by_hand(net, x, function)
    assert_same_bytes(net(x), want, "fused")
    assert_same_bytes(net(strided(x)), want, "strided")
    assert_same_bytes(net(x[1]), want[1], "without a batch")
    second = encoder_layer(activation=given, norm_first=norm_first, bias=bias, batch_first=False)
    turned = second(x.swapaxes(0, 1)).swapaxes(0, 1)
    assert_same_bytes(np.ascontiguousarray(turned), want, "the batch second")
    for child in net.children():
        child.register_forward_hook(lambda m, a, y: None)
    assert_same_bytes(net(x), want, "every child called")


@pytest.mark.parametrize("norm_first", [False, True])
def test_decoder_layer_has_the_bits_of_its_steps(isa, norm_first):
    net, x, memory = decoder_layer(norm_first=norm_first), sample(), sample("memory", length=6)
    mask, padding = causal(9), np.arange(6) > np.array([[3], [5]])

    def own(z):
        return net.self_attn(z, z, z, attn_mask=mask)[0]

    def other(z):
        return net.multihead_attn(z, memory, memory, padding)[0]

    def feed_forward(z):
        return net.linear2(F.relu(net.linear1(z)))

    if norm_first:
        y = x + own(net.norm1(x))
        y = y + other(net.norm2(y))
        want = y + feed_forward(net.norm3(y))
    else:
        y = net.norm1(x + own(x))
        y = net.norm2(y + other(y))
        want = net.norm3(y + feed_forward(y))
    rest = {"tgt_mask": mask, "memory_key_padding_mask": padding}
    assert_same_bytes(net(x, memory, **rest), want, "fused")
    assert_same_bytes(net(x, memory, **rest, tgt_is_causal=True), want, "with the hint")
    second = decoder_layer(norm_first=norm_first, batch_first=False)
    turned = second(x.swapaxes(0, 1), memory.swapaxes(0, 1), **rest)
    assert_same_bytes(np.ascontiguousarray(turned.swapaxes(0, 1)), want, "the batch second")
    for child in net.children():
        child.register_forward_pre_hook(lambda m, a: None)
    assert_same_bytes(net(x, memory, **rest), want, "every child called")


def test_a_causal_pass_in_any_cut(isa):
    """A prefix of the sequence has the bytes of the whole, batch and threads or not."""
    encoder = filled(nn.TransformerEncoder(encoder_layer(), 3, nn.LayerNorm(WIDTH)))
    decoder = filled(nn.TransformerDecoder(decoder_layer(), 2))
    x, memory = sample(length=40), sample("memory", length=6)
    mask = causal(40)
    for run in (
        lambda x, mask: encoder(x, mask),
        lambda x, mask: encoder(x, mask, is_causal=True),
        lambda x, mask: encoder(x, mask < 0, is_causal=False),
        lambda x, mask: decoder(x, memory[: len(x)], mask),
    ):
        whole = run(x, mask)
        for n in (1, 16, 39):
            assert_same_bytes(run(x[:, :n], mask[:n, :n]), whole[:, :n], f"{n} positions")
        assert_same_bytes(run(x[:1], mask), whole[:1], "one item")


def test_threads_agree(isa, restore_threads):
    net = filled(nn.Transformer(96, 3, 2, 2, 200, batch_first=True))
    x, y = make("transformer/src", (2, 150, 96)), make("transformer/tgt", (2, 70, 96))
    _core.set_num_threads(1)
    want = net(x, y)
    for threads in (2, 5):
        _core.set_num_threads(threads)
        assert_same_bytes(net(x, y), want, f"{threads} threads")


def test_padding_at_the_end_comes_out_as_zero_where_torch_leaves_it_out():
    layer = filled(nn.TransformerEncoderLayer(8, 2, 16, batch_first=True))
    x = make("transformer/padded", (2, 5, 8))
    padding = np.arange(5) >= np.array([[3], [5]])
    plain = nn.TransformerEncoder(layer, 2, enable_nested_tensor=False)
    zeroed = nn.TransformerEncoder(layer, 2)
    want = plain(x, src_key_padding_mask=padding)
    got = zeroed(x, src_key_padding_mask=padding)
    assert_same_bytes(got[~padding], want[~padding])
    assert not got[padding].any()
    assert want[padding].all()
    for other in (padding[:, ::-1], np.where(padding, -np.inf, 0).astype(np.float32)):
        assert zeroed(x, src_key_padding_mask=other).all()
    assert zeroed(x, np.zeros((5, 5), bool), padding).all()
    odd = nn.TransformerEncoder(nn.TransformerEncoderLayer(9, 3, 16, batch_first=True), 2)
    assert not odd.use_nested_tensor


def test_causal_masks_are_found():
    seen = []

    class Layer(nn.TransformerEncoderLayer):
        def forward(self, src, src_mask=None, src_key_padding_mask=None, is_causal=False):
            seen.append(is_causal)
            return super().forward(src, src_mask, src_key_padding_mask, is_causal)

    net = nn.TransformerEncoder(Layer(8, 2, 16, batch_first=True), 1)
    x, mask = make("transformer/found", (2, 5, 8)), causal(5)
    other = mask.copy()
    other[0, 0] = -np.inf
    for m in (mask, mask < 0, other, None):
        net(x, m)
    net(x, mask, is_causal=False)
    assert seen == [True, True, False, False, False]
    with pytest.raises(ValueError, match="Need attn_mask"):
        net(x, is_causal=True)


def test_copies_begin_equal_and_are_apart():
    layer = nn.TransformerEncoderLayer(8, 2, 16)
    net = nn.TransformerEncoder(layer, 2)
    first, second = (copy.deepcopy(m.state_dict()) for m in net.layers)
    assert all(first[k].tobytes() == second[k].tobytes() for k in first)
    net.layers[0].linear1.weight = np.zeros((16, 8), np.float32)
    assert net.layers[1].linear1.weight.any()
    assert layer.linear1.weight.any()


def test_transformer_draws_matrices_anew():
    net = nn.Transformer(16, 2, 2, 1, 32)
    first, second = (m.linear1.weight for m in net.encoder.layers)
    assert (first != second).any()
    assert abs(first).max() <= np.sqrt(6 / 48)
    assert abs(first).max() > 0.25
    custom = nn.Transformer(16, 2, custom_encoder=nn.Identity(), custom_decoder=net.decoder)
    assert type(custom.encoder) is nn.Identity


CHANGES = {
    "weight": lambda m: setattr(m.linear1, "weight", np.ones((HIDDEN, WIDTH), np.float32)),
    "child": lambda m: setattr(m, "linear2", nn.Linear(HIDDEN, WIDTH)),
    "out_proj": lambda m: setattr(m.self_attn.out_proj, "bias", np.ones(WIDTH, np.float32)),
    "new out_proj": lambda m: setattr(m.self_attn, "out_proj", nn.Linear(WIDTH, WIDTH)),
    "in_proj": lambda m: setattr(m.self_attn, "in_proj_bias", np.ones(3 * WIDTH, np.float32)),
    "activation": lambda m: setattr(m, "activation", F.tanh),
    "dropout": lambda m: setattr(m, "dropout2", nn.Tanh()),
    "norm": lambda m: setattr(m.norm1, "weight", np.ones(WIDTH, np.float32)),
    "forward": lambda m: setattr(m.linear1, "forward", lambda x: np.ones((2, 9, HIDDEN), "f4")),
    "hook": lambda m: m.dropout1.register_forward_hook(lambda m, a, y: y * np.float32(2)),
    "inner hook": lambda m: m.self_attn.out_proj.register_forward_hook(lambda m, a, y: y * 0),
}


@pytest.mark.parametrize("change", CHANGES)
def test_a_change_is_seen_by_the_next_call(change):
    net, x = encoder_layer(), sample()
    before = net(x).tobytes()
    CHANGES[change](net)
    after = net(x)
    assert after.tobytes() != before
    twin = encoder_layer()
    for child in twin.children():  # the general way, with nothing kept from before
        child.register_forward_hook(lambda m, a, y: None)
    CHANGES[change](twin)
    if "new" not in change and change != "child":  # those draw values of their own
        assert_same_bytes(after, twin(x))


def test_a_subclass_is_called():
    class Doubled(nn.Linear):
        def forward(self, input):
            return super().forward(input) * np.float32(2)

    net, x = encoder_layer(), sample()
    net.linear1 = Doubled(WIDTH, HIDDEN)
    net.linear1.load_state_dict(encoder_layer().linear1.state_dict())
    want = encoder_by_hand(net, x, F.relu)
    assert_same_bytes(net(x), want)


def test_copies_and_pickles():
    net, x = filled(nn.Transformer(16, 2, 1, 1, 32, activation="gelu")), make("t/p", (5, 2, 16))
    want = net(x, x).tobytes()
    for twin in (copy.deepcopy(net), pickle.loads(pickle.dumps(net))):
        assert twin(x, x).tobytes() == want


def test_nan_and_infinity_give_no_warning():
    net, x = encoder_layer(), sample()
    x[0, 0, :2] = np.nan, np.inf
    fused = net(x)
    for child in net.children():
        child.register_forward_hook(lambda m, a, y: None)
    assert_same_bytes(net(x), fused)
    assert np.isfinite(fused[1]).all()


def test_bad_input():
    with pytest.raises(ValueError, match="activation should be relu/gelu, not swish"):
        nn.TransformerEncoderLayer(8, 2, activation="swish")
    with pytest.raises(TypeError, match="activation should be a callable"):
        nn.TransformerEncoderLayer(8, 2, activation=3)
    with pytest.raises(ValueError, match="divisible"):
        nn.TransformerDecoderLayer(9, 2)
    with pytest.raises(TypeError, match="dim_feedforward must be an integer"):
        nn.TransformerEncoderLayer(8, 2, 2.5)
    with pytest.raises(TypeError, match="must be a Module"):
        nn.TransformerEncoder("layer", 2)
    with pytest.raises(ValueError, match="num_layers must be at least 0"):
        nn.TransformerEncoder(nn.TransformerEncoderLayer(8, 2), -1)
    with pytest.raises(NotImplementedError, match="cuda"):
        nn.Transformer(8, 2, device="cuda")
    net = nn.Transformer(8, 2, 1, 1, 16)
    x = np.zeros((5, 2, 8), np.float32)
    with pytest.raises(TypeError, match="'src' must be float32"):
        net(x.astype(np.float64), x)
    with pytest.raises(ValueError, match="the batch number of src and tgt must be equal"):
        net(x, x[:, :1])
    with pytest.raises(ValueError, match="the feature number of src and tgt must be equal"):
        net(x, x[..., :7])
    with pytest.raises(ValueError, match="shape of attn_mask"):
        net(x, x, src_mask=np.zeros((4, 5), bool))
    with pytest.raises(ValueError, match="last of 8"):
        net.encoder(x[..., :6])
