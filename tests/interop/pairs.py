"""Every layer of ours, made by either library, and modules of both with the same weights."""

from __future__ import annotations

from collections import OrderedDict

import numpy as np
import torch

import forwardpass.nn as ours

theirs = torch.nn

# How to make a layer of either library, and the shape of its input (None: indices).
MADE = {
    "linear": (lambda nn: nn.Linear(5, 7), (3, 4, 5)),
    "linear 1d": (lambda nn: nn.Linear(5, 7, bias=False), (5,)),
    "linear empty": (lambda nn: nn.Linear(5, 0), (3, 5)),
    "linear no batch": (lambda nn: nn.Linear(5, 7), (0, 5)),
    "conv1d": (lambda nn: nn.Conv1d(4, 6, 3), (2, 4, 11)),
    "conv1d flat": (lambda nn: nn.Conv1d(4, 6, 3, stride=2, padding=1), (4, 11)),
    "conv1d same": (lambda nn: nn.Conv1d(4, 6, 4, padding="same", dilation=2), (2, 4, 11)),
    "conv1d valid": (lambda nn: nn.Conv1d(4, 6, (4,), padding="valid", bias=False), (2, 4, 11)),
    "conv1d depthwise": (lambda nn: nn.Conv1d(4, 8, 3, 1, 2, 2, 4), (2, 4, 11)),
    "conv1d groups": (lambda nn: nn.Conv1d(4, 6, 3, (2,), (1,), (1,), 2), (2, 4, 11)),
    "conv1d reflect": (
        lambda nn: nn.Conv1d(4, 6, 3, padding=2, padding_mode="reflect"),
        (2, 4, 11),
    ),
    "conv1d circular": (
        lambda nn: nn.Conv1d(4, 6, 4, padding="same", padding_mode="circular"),
        (4, 11),
    ),
    "constant pad": (lambda nn: nn.ConstantPad1d((3, -1), 1.5), (2, 4, 11)),
    "zero pad": (lambda nn: nn.ZeroPad1d((2, 1)), (2, 4, 11)),
    "zero pad both": (lambda nn: nn.ZeroPad1d(2), (4, 11)),
    "reflection pad": (lambda nn: nn.ReflectionPad1d((3, 1)), (2, 4, 11)),
    "reflection pad2d": (lambda nn: nn.ReflectionPad2d((3, 1, 0, 2)), (2, 4, 11, 9)),
    "replication pad": (lambda nn: nn.ReplicationPad1d(3), (4, 11)),
    "replication pad2d": (lambda nn: nn.ReplicationPad2d((3, 1, -2, 2)), (4, 11, 9)),
    "circular pad": (lambda nn: nn.CircularPad1d((3, 1)), (2, 4, 11)),
    "circular pad2d": (lambda nn: nn.CircularPad2d(2), (2, 4, 11, 9)),
    "constant pad2d": (lambda nn: nn.ConstantPad2d((3, -1, 0, 2), 1.5), (2, 4, 11, 9)),
    "zero pad2d": (lambda nn: nn.ZeroPad2d(1), (4, 11, 9)),
    "conv2d": (lambda nn: nn.Conv2d(4, 6, 3), (2, 4, 11, 9)),
    "conv2d flat": (lambda nn: nn.Conv2d(4, 6, (3, 2), stride=2, padding=(1, 0)), (4, 11, 9)),
    "conv2d same": (lambda nn: nn.Conv2d(4, 6, 4, padding="same", dilation=2), (2, 4, 11, 9)),
    "conv2d valid": (lambda nn: nn.Conv2d(4, 6, 4, padding="valid", bias=False), (2, 4, 11, 9)),
    "conv2d depthwise": (lambda nn: nn.Conv2d(4, 8, 3, 1, 2, 2, 4), (2, 4, 11, 9)),
    "conv2d patches": (lambda nn: nn.Conv2d(3, 20, 4, 4), (2, 3, 17, 20)),
    "conv2d pointwise": (lambda nn: nn.Conv2d(4, 20, 1), (2, 4, 7, 7)),
    "conv2d reflect": (
        lambda nn: nn.Conv2d(4, 6, 3, padding=(2, 1), padding_mode="reflect"),
        (2, 4, 7, 5),
    ),
    "conv2d replicate": (
        lambda nn: nn.Conv2d(4, 6, 3, padding=2, padding_mode="replicate"),
        (4, 7, 5),
    ),
    "conv2d circular": (
        lambda nn: nn.Conv2d(4, 6, (4, 2), padding="same", padding_mode="circular"),
        (2, 4, 7, 5),
    ),
    "conv_transpose1d": (lambda nn: nn.ConvTranspose1d(4, 6, 3), (2, 4, 11)),
    "conv_transpose1d up": (lambda nn: nn.ConvTranspose1d(4, 6, 16, 8, 4), (4, 11)),
    "conv_transpose1d more": (
        lambda nn: nn.ConvTranspose1d(4, 6, (3,), 3, 1, 2, 2, False, 2),
        (2, 4, 11),
    ),
    "conv_transpose2d": (lambda nn: nn.ConvTranspose2d(4, 6, 3), (2, 4, 7, 5)),
    "conv_transpose2d up": (lambda nn: nn.ConvTranspose2d(4, 6, 4, 2, 1), (4, 7, 5)),
    "conv_transpose2d more": (
        lambda nn: nn.ConvTranspose2d(4, 6, (3, 2), (2, 3), 1, (1, 2), 2, True, (1, 2)),
        (2, 4, 7, 5),
    ),
    "embedding": (lambda nn: nn.Embedding(10, 3), None),
    "embedding padding": (lambda nn: nn.Embedding(10, 3, padding_idx=-2), None),
    "embedding more": (lambda nn: nn.Embedding(10, 3, None, None, 1.0, True, True), None),
    "rms_norm": (lambda nn: nn.RMSNorm(5), (3, 4, 5)),
    "rms_norm eps": (lambda nn: nn.RMSNorm((4, 5), eps=1e-3), (3, 4, 5)),
    "rms_norm plain": (lambda nn: nn.RMSNorm([5], elementwise_affine=False), (3, 4, 5)),
    "layer_norm": (lambda nn: nn.LayerNorm(5), (3, 4, 5)),
    "layer_norm no bias": (lambda nn: nn.LayerNorm((4, 5), 1e-3, bias=False), (3, 4, 5)),
    "layer_norm plain": (lambda nn: nn.LayerNorm([5], elementwise_affine=False), (3, 4, 5)),
    "relu": (lambda nn: nn.ReLU(), (3, 4, 5)),
    "relu inplace": (lambda nn: nn.ReLU(inplace=True), (3, 4, 5)),
    "leaky_relu": (lambda nn: nn.LeakyReLU(), (3, 4, 5)),
    "leaky_relu slope": (lambda nn: nn.LeakyReLU(0.3, inplace=True), (3, 4, 5)),
    "gelu": (lambda nn: nn.GELU(), (3, 4, 5)),
    "gelu tanh": (lambda nn: nn.GELU(approximate="tanh"), (3, 4, 5)),
    "silu": (lambda nn: nn.SiLU(), (3, 4, 5)),
    "silu inplace": (lambda nn: nn.SiLU(inplace=True), (3, 4, 5)),
    "sigmoid": (lambda nn: nn.Sigmoid(), (3, 4, 5)),
    "tanh": (lambda nn: nn.Tanh(), (3, 4, 5)),
    "softmax": (lambda nn: nn.Softmax(dim=1), (3, 4, 5)),
    "softmax None": (lambda nn: nn.Softmax(), (4, 5)),
    "relu6": (lambda nn: nn.ReLU6(), (3, 4, 5)),
    "relu6 inplace": (lambda nn: nn.ReLU6(inplace=True), (3, 4, 5)),
    "hardtanh": (lambda nn: nn.Hardtanh(), (3, 4, 5)),
    "hardtanh bounds": (lambda nn: nn.Hardtanh(-0.5, 2.0, True), (3, 4, 5)),
    "hardsigmoid": (lambda nn: nn.Hardsigmoid(), (3, 4, 5)),
    "hardswish": (lambda nn: nn.Hardswish(inplace=True), (3, 4, 5)),
    "elu": (lambda nn: nn.ELU(), (3, 4, 5)),
    "elu alpha": (lambda nn: nn.ELU(0.5, inplace=True), (3, 4, 5)),
    "softplus": (lambda nn: nn.Softplus(), (3, 4, 5)),
    "softplus beta": (lambda nn: nn.Softplus(2.0, 3), (3, 4, 5)),
    "mish": (lambda nn: nn.Mish(), (3, 4, 5)),
    "mish inplace": (lambda nn: nn.Mish(True), (3, 4, 5)),
    "glu": (lambda nn: nn.GLU(), (3, 4, 6)),
    "glu dim": (lambda nn: nn.GLU(1), (3, 4, 5)),
    "prelu": (lambda nn: nn.PReLU(), (3, 4, 5)),
    "prelu channels": (lambda nn: nn.PReLU(4, init=0.5), (3, 4, 5)),
    "prelu flat": (lambda nn: nn.PReLU(4), (3, 4)),
    "selu": (lambda nn: nn.SELU(inplace=True), (3, 4, 5)),
    "celu": (lambda nn: nn.CELU(), (3, 4, 5)),
    "celu alpha": (lambda nn: nn.CELU(0.5, True), (3, 4, 5)),
    "log_sigmoid": (lambda nn: nn.LogSigmoid(), (3, 4, 5)),
    "softsign": (lambda nn: nn.Softsign(), (3, 4, 5)),
    "tanhshrink": (lambda nn: nn.Tanhshrink(), (3, 4, 5)),
    "hardshrink": (lambda nn: nn.Hardshrink(), (3, 4, 5)),
    "softshrink": (lambda nn: nn.Softshrink(0.25), (3, 4, 5)),
    "threshold": (lambda nn: nn.Threshold(0.1, 2.0), (3, 4, 5)),
    "threshold inplace": (lambda nn: nn.Threshold(0, -2, True), (3, 4, 5)),
    "rrelu": (lambda nn: nn.RReLU().eval(), (3, 4, 5)),
    "rrelu bounds": (lambda nn: nn.RReLU(0.2, 0.3, True).eval(), (3, 4, 5)),
    "softmin": (lambda nn: nn.Softmin(1), (3, 4, 5)),
    "softmax2d": (lambda nn: nn.Softmax2d(), (3, 4, 5)),
    "log_softmax": (lambda nn: nn.LogSoftmax(dim=1), (3, 4, 5)),
    "log_softmax None": (lambda nn: nn.LogSoftmax(), (4, 5)),
    "max_pool1d": (lambda nn: nn.MaxPool1d(3, 2), (2, 4, 11)),
    "max_pool1d flat": (lambda nn: nn.MaxPool1d((3,), padding=1, ceil_mode=True), (4, 11)),
    "max_pool2d": (lambda nn: nn.MaxPool2d(3, 2, 1), (2, 4, 11, 9)),
    "max_pool2d dilated": (lambda nn: nn.MaxPool2d((2, 3), 1, dilation=(1, 2)), (4, 11, 9)),
    "avg_pool1d": (lambda nn: nn.AvgPool1d(3, 2, 1, count_include_pad=False), (2, 4, 11)),
    "avg_pool2d": (lambda nn: nn.AvgPool2d((3, 2), divisor_override=5), (2, 4, 11, 9)),
    "adaptive_avg_pool1d": (lambda nn: nn.AdaptiveAvgPool1d(5), (2, 4, 11)),
    "adaptive_avg_pool2d": (lambda nn: nn.AdaptiveAvgPool2d((None, 5)), (2, 4, 11, 9)),
    "adaptive_avg_pool2d one": (lambda nn: nn.AdaptiveAvgPool2d(1), (2, 4, 11, 9)),
    "adaptive_max_pool1d": (lambda nn: nn.AdaptiveMaxPool1d(5), (2, 4, 11)),
    "adaptive_max_pool2d": (lambda nn: nn.AdaptiveMaxPool2d((None, 5)), (2, 4, 11, 9)),
    "group_norm": (lambda nn: nn.GroupNorm(2, 4), (3, 4, 5)),
    "group_norm no bias": (lambda nn: nn.GroupNorm(4, 4, 1e-3, bias=False), (3, 4, 5, 2)),
    "group_norm plain": (lambda nn: nn.GroupNorm(1, 4, affine=False), (3, 4)),
    "batch_norm1d": (lambda nn: nn.BatchNorm1d(4), (3, 4)),
    "batch_norm1d signal": (lambda nn: nn.BatchNorm1d(4, 1e-3, None, bias=False), (3, 4, 5)),
    "batch_norm1d batch": (lambda nn: nn.BatchNorm1d(4, track_running_stats=False), (3, 4, 5)),
    "batch_norm2d": (lambda nn: nn.BatchNorm2d(4, momentum=0.2), (3, 4, 5, 6)),
    "batch_norm2d plain": (lambda nn: nn.BatchNorm2d(4, affine=False), (3, 4, 5, 6)),
    "batch_norm2d batch": (lambda nn: nn.BatchNorm2d(4, 1e-3, 0.1, True, False), (3, 4, 5, 6)),
    "instance_norm1d": (lambda nn: nn.InstanceNorm1d(4), (3, 4, 5)),
    "instance_norm1d flat": (lambda nn: nn.InstanceNorm1d(4, affine=True), (4, 5)),
    "instance_norm1d tracked": (
        lambda nn: nn.InstanceNorm1d(4, affine=True, track_running_stats=True),
        (3, 4, 5),
    ),
    "instance_norm2d": (lambda nn: nn.InstanceNorm2d(4, affine=True), (3, 4, 5, 6)),
    "instance_norm2d flat": (lambda nn: nn.InstanceNorm2d(4), (4, 5, 6)),
    "embedding max_norm": (lambda nn: nn.Embedding(10, 3, max_norm=1.0), None),
    "embedding_bag": (lambda nn: nn.EmbeddingBag(10, 3), None),
    "embedding_bag sum": (
        lambda nn: nn.EmbeddingBag(10, 3, 1.0, 1.0, True, "sum", True, padding_idx=-3),
        None,
    ),
    "embedding_bag max": (lambda nn: nn.EmbeddingBag(10, 3, mode="max"), None),
    "pixel_shuffle": (lambda nn: nn.PixelShuffle(2), (3, 8, 2, 3)),
    "pixel_unshuffle": (lambda nn: nn.PixelUnshuffle(2), (3, 2, 4, 6)),
    "channel_shuffle": (lambda nn: nn.ChannelShuffle(4), (3, 8, 2, 3)),
    "upsampling nearest": (lambda nn: nn.UpsamplingNearest2d(scale_factor=2), (3, 4, 5, 6)),
    "upsampling bilinear": (lambda nn: nn.UpsamplingBilinear2d((7, 3)), (3, 4, 5, 6)),
    "upsample": (lambda nn: nn.Upsample(scale_factor=2), (3, 4, 5)),
    "upsample size": (lambda nn: nn.Upsample((7, 3), mode="bilinear"), (3, 4, 5, 6)),
    "upsample corners": (lambda nn: nn.Upsample(9, None, "linear", True), (3, 4, 5)),
    "upsample factors": (
        lambda nn: nn.Upsample(None, (1.5, 2), "bilinear"),
        (1, 2, 5, 4),
    ),
    "identity": (lambda nn: nn.Identity(54, unused=True), (3, 4, 5)),
    "flatten": (lambda nn: nn.Flatten(), (3, 4, 5)),
    "flatten some": (lambda nn: nn.Flatten(start_dim=0, end_dim=1), (3, 4, 5)),
    "flatten scalar": (lambda nn: nn.Flatten(0), ()),
    "unflatten": (lambda nn: nn.Unflatten(1, (2, -1)), (3, 4, 5)),
    "unflatten last": (lambda nn: nn.Unflatten(-1, [5, 1]), (3, 4, 5)),
    "dropout1d": (lambda nn: nn.Dropout1d().eval(), (3, 4, 5)),
    "dropout2d": (lambda nn: nn.Dropout2d(0.2).eval(), (3, 4, 5, 6)),
    "dropout3d": (lambda nn: nn.Dropout3d(inplace=True).eval(), (3, 4, 5, 6, 2)),
    "alpha_dropout": (lambda nn: nn.AlphaDropout().eval(), (3, 4, 5)),
    "feature_alpha_dropout": (lambda nn: nn.FeatureAlphaDropout().eval(), (3, 4, 5, 6)),
    "dropout": (lambda nn: nn.Dropout(), (3, 4, 5)),
    "dropout p": (lambda nn: nn.Dropout(0.25, inplace=True), (3, 4, 5)),
    "encoder layer": (lambda nn: nn.TransformerEncoderLayer(8, 2, 16), (4, 3, 8)),
    "encoder layer more": (
        lambda nn: nn.TransformerEncoderLayer(
            8, 4, 16, 0.3, "gelu", 1e-3, True, norm_first=True, bias=False
        ),
        (4, 3, 8),
    ),
    "encoder layer module": (
        lambda nn: nn.TransformerEncoderLayer(8, 2, 16, 0.0, nn.GELU(), batch_first=True),
        (3, 8),
    ),
    "encoder": (
        lambda nn: nn.TransformerEncoder(
            nn.TransformerEncoderLayer(8, 2, 16, batch_first=True), 3, nn.LayerNorm(8)
        ),
        (4, 3, 8),
    ),
    "linear bias 1": (lambda nn: nn.Linear(5, 1), (3, 5)),
    "sequential": (
        lambda nn: nn.Sequential(
            nn.Conv1d(4, 6, 3, padding=1),
            nn.GELU(),
            nn.Sequential(nn.Linear(5, 8), nn.SiLU(), nn.RMSNorm(8)),
            nn.Flatten(),
            nn.Dropout(),
            nn.Linear(48, 3),
            nn.Softmax(-1),
        ),
        (2, 4, 5),
    ),
    "sequential slice": (
        lambda nn: nn.Sequential(nn.Linear(5, 4), nn.ReLU(), nn.Linear(5, 3), nn.Tanh())[2:],
        (2, 5),
    ),
}


# Containers without a forward of their own.
HELD = {
    "attention": lambda nn: nn.MultiheadAttention(8, 2),
    "attention sizes": lambda nn: nn.MultiheadAttention(8, 2, 0.1, False, kdim=4, vdim=6),
    "attention more": lambda nn: nn.MultiheadAttention(8, 2, add_bias_kv=True, add_zero_attn=True),
    "decoder layer": lambda nn: nn.TransformerDecoderLayer(8, 2, 16, activation="gelu"),
    "decoder": lambda nn: nn.TransformerDecoder(
        nn.TransformerDecoderLayer(8, 2, 16, bias=False), 2
    ),
    "transformer": lambda nn: nn.Transformer(8, 2, 2, 1, 16, batch_first=True),
    "bilinear": lambda nn: nn.Bilinear(2, 3, 4),
    "bilinear no bias": lambda nn: nn.Bilinear(2, 3, 4, bias=False),
    "module": lambda nn: nn.Module(),
    "module list": lambda nn: nn.ModuleList([nn.Linear(2, 3), nn.ReLU(), nn.Linear(2, 3)]),
    "module list repeats": lambda nn: nn.ModuleList(
        [nn.Sequential(nn.Linear(2, 2), nn.Tanh()) for _ in range(3)] + [nn.GELU(), nn.GELU()]
    ),
    "module list empty": lambda nn: nn.ModuleList(),
    "module list nested": lambda nn: nn.ModuleList(
        [nn.ModuleList([nn.RMSNorm(2)] * 2), nn.ModuleDict({"b": nn.ModuleList()})]
    ),
    "module dict": lambda nn: nn.ModuleDict({"z": nn.Linear(2, 3), "a": nn.ModuleDict()}),
    "module dict pairs": lambda nn: nn.ModuleDict([["z", nn.Linear(2, 3)], ("a", nn.ReLU())]),
    "module dict empty": lambda nn: nn.ModuleDict(),
    "parameter list": lambda nn: nn.ParameterList(
        [nn.Parameter(array(nn, (2, 3))), array(nn, (4,)), nn.Parameter(array(nn, ())), "text"]
    ),
    "rnn": lambda nn: nn.RNN(3, 4, 2, "relu", False),
    "lstm": lambda nn: nn.LSTM(3, 4, 2, batch_first=True, bidirectional=True, proj_size=2),
    "gru": lambda nn: nn.GRU(3, 4, 2, dropout=0.5),
    "rnn base": lambda nn: nn.RNNBase("LSTM", 3, 4),
    "rnn cell": lambda nn: nn.RNNCell(3, 4, nonlinearity="relu"),
    "lstm cell": lambda nn: nn.LSTMCell(3, 4),
    "gru cell": lambda nn: nn.GRUCell(3, 4, bias=False),
    "cell base": lambda nn: nn.RNNCellBase(3, 4, True, 2),
    "parameter list one": lambda nn: nn.ParameterList([array(nn, (2,))]),
    "parameter list empty": lambda nn: nn.ParameterList(),
    "parameter dict": lambda nn: nn.ParameterDict(
        {"z": array(nn, (2, 3)), "a": nn.Parameter(array(nn, (4,)))}
    ),
    "parameter dict pairs": lambda nn: nn.ParameterDict([("z", array(nn, (2,))), ("a", None)]),
    "sequential names": lambda nn: nn.Sequential(OrderedDict(fc=nn.Linear(2, 2), act=nn.ReLU())),
    "sequential empty": lambda nn: nn.Sequential(),
    "sequential times": lambda nn: nn.Sequential(nn.Linear(2, 2), nn.ReLU()) * 2,
}


def array(nn, shape):
    return np.ones(shape, np.float32) if nn is ours else torch.ones(shape)


def made(name, nn):
    """A layer or container of either table."""
    return MADE[name][0](nn) if name in MADE else HELD[name](nn)


def filled(net, seed):
    """numpy values for every parameter and buffer, the same for both libraries."""
    rng = np.random.default_rng(seed)
    values = {
        name: rng.uniform(-1, 1, tuple(p.shape)).astype(np.float32)
        for name, p in net.named_parameters()
    }
    for name, buffer in net.named_buffers():  # running statistics: a variance is positive
        values[name] = buffer.numpy()
        if buffer.ndim:
            values[name] = rng.uniform(0.5, 1.5, tuple(buffer.shape)).astype(np.float32)
    return values


def pair(name):
    """Our layer and torch's, with the same weights."""
    make = MADE[name][0]
    mine, other = make(ours), make(theirs).eval()
    values = filled(other, 1)
    mine.load_state_dict(values)
    other.load_state_dict({k: torch.as_tensor(v) for k, v in values.items()})
    return mine, other


def sample(shape, seed=2):
    rng = np.random.default_rng(seed)
    if shape is None:
        return rng.integers(0, 10, (4, 3))
    return np.asarray(rng.uniform(-3, 3, shape), np.float32)


def network(nn):
    class Net(nn.Module):
        def __init__(self):
            super().__init__()
            self.embed = nn.Embedding(10, 4)
            self.norm = nn.LayerNorm(4)
            self.body = nn.Sequential(nn.Linear(4, 8), nn.ReLU(), nn.Linear(8, 4, bias=False))
            self.scale = nn.Parameter(array(nn, (4,)))
            self.register_buffer("mean", array(nn, (3,)))
            self.register_buffer("scratch", array(nn, (3,)), persistent=False)

        def forward(self, x):
            return self.body(self.norm(self.embed(x))) * self.scale

    return Net()
