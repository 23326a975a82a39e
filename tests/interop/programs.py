"""Modules in plain torch that forwardpass.from_torch converts in the tests: (module, inputs of a
batch and a length, what is dynamic) by name.
"""

from __future__ import annotations

import torch
import torch.nn.functional as F
from torch import nn
from torch.nn.utils import parametrizations


class Block(nn.Module):
    """A residual block with batch norms, a stride perhaps, and in-place operations."""

    def __init__(self, inside, outside, stride):
        super().__init__()
        self.conv1 = nn.Conv2d(inside, outside, 3, stride, 1, bias=False)
        self.bn1, self.bn2 = nn.BatchNorm2d(outside), nn.BatchNorm2d(outside)
        self.conv2 = nn.Conv2d(outside, outside, 3, 1, 1, bias=False)
        self.relu = nn.ReLU(inplace=True)
        self.down = None
        if stride != 1 or inside != outside:
            conv = nn.Conv2d(inside, outside, 1, stride, bias=False)
            self.down = nn.Sequential(conv, nn.BatchNorm2d(outside))

    def forward(self, x):
        y = self.bn2(self.conv2(self.relu(self.bn1(self.conv1(x)))))
        y += x if self.down is None else self.down(x)
        return self.relu(y)


class ResNet(nn.Module):
    def __init__(self):
        super().__init__()
        stem = nn.Conv2d(3, 16, 7, 2, 3, bias=False), nn.BatchNorm2d(16), nn.ReLU(inplace=True)
        self.stem = nn.Sequential(*stem, nn.MaxPool2d(3, 2, 1))
        self.layers = nn.Sequential(Block(16, 16, 1), Block(16, 32, 2))
        self.pool, self.fc = nn.AdaptiveAvgPool2d((1, 1)), nn.Linear(32, 10)
        for module in self.modules():
            if isinstance(module, nn.BatchNorm2d):
                nn.init.normal_(module.running_mean)
                nn.init.uniform_(module.running_var, 0.5, 2.0)

    def forward(self, x):
        return self.fc(torch.flatten(self.pool(self.layers(self.stem(x))), 1))


def double(inside, outside):
    norm = nn.GroupNorm(4, outside), nn.SiLU()
    first = nn.Conv2d(inside, outside, 3, padding=1)
    return nn.Sequential(first, *norm, nn.Conv2d(outside, outside, 3, padding=1), nn.SiLU())


class UNet(nn.Module):
    def __init__(self):
        super().__init__()
        self.down = nn.ModuleList([double(3, 8), double(8, 16), double(16, 16)])
        self.up1 = nn.ConvTranspose2d(16, 16, 2, 2)
        self.up2 = nn.Upsample(scale_factor=2, mode="bilinear", align_corners=False)
        self.join1, self.join2, self.last = double(32, 8), double(16, 8), nn.Conv2d(8, 1, 1)

    def forward(self, x):
        a = self.down[0](x)
        b = self.down[1](F.max_pool2d(a, 2))
        c = self.down[2](F.avg_pool2d(b, 2))
        d = self.join1(torch.cat([self.up1(c), b], 1))
        return torch.sigmoid(self.last(self.join2(torch.cat([self.up2(d), a], 1))))


class Vocoder(nn.Module):
    """HiFi-GAN's generator, small."""

    def __init__(self, norm):
        super().__init__()
        self.pre = norm(nn.Conv1d(20, 32, 7, padding=3))
        shapes = (32, 16, 8, 4, 2), (16, 8, 4, 2, 1)
        self.ups = nn.ModuleList([norm(nn.ConvTranspose1d(*shape)) for shape in shapes])
        self.blocks = nn.ModuleList(
            nn.ModuleList([norm(nn.Conv1d(c, c, 3, padding=d, dilation=d)) for d in (1, 3)])
            for c in (16, 8)
        )
        self.post = norm(nn.Conv1d(8, 1, 7, padding=3))

    def forward(self, x):
        x = self.pre(x)
        for up, block in zip(self.ups, self.blocks, strict=True):
            x = up(F.leaky_relu(x, 0.1))
            for conv in block:
                x = x + conv(F.leaky_relu(x, 0.1))
        return torch.tanh(self.post(F.leaky_relu(x)))


class Translator(nn.Module):
    def __init__(self):
        super().__init__()
        self.transformer = nn.Transformer(16, 4, 2, 2, 32, batch_first=True)

    def forward(self, src, tgt):
        mask = nn.Transformer.generate_square_subsequent_mask(tgt.shape[1])
        return self.transformer(src, tgt, tgt_mask=mask)


class Tagger(nn.Module):
    def __init__(self, kind):
        super().__init__()
        self.embed = nn.Embedding(50, 16)
        self.recurrent = getattr(nn, kind)(16, 24, 2, batch_first=True, bidirectional=True)
        self.out = nn.Linear(48, 5)

    def forward(self, ids):
        return F.log_softmax(self.out(self.recurrent(self.embed(ids))[0]), -1)


class Video(nn.Module):
    """Convolutions and pooling of three dimensions."""

    def __init__(self):
        super().__init__()
        self.first = nn.Conv3d(2, 8, (2, 3, 3), (1, 2, 1), (1, 1, 0), (1, 1, 2), groups=2)
        self.norm, self.pool = nn.BatchNorm3d(8), nn.MaxPool3d(2, 2, (0, 1, 0))
        self.last = nn.Conv3d(8, 8, 1, padding="same", bias=False)

    def forward(self, x):
        y = self.pool(F.relu(self.norm(self.first(x))))
        return y, F.adaptive_avg_pool3d(self.last(y), 1).flatten(1)


class Mixture(nn.Module):
    """What appears between layers, with a nested result."""

    def __init__(self):
        super().__init__()
        self.w = nn.Parameter(torch.randn(6, 6))
        self.register_buffer("positions", torch.arange(40))

    def forward(self, x):
        y = torch.einsum("btc,cd->btd", x, self.w)
        z = F.softmax(y @ x.transpose(1, 2) / 2.5, -1)
        spread = x.std(1, keepdim=True) + x.var(-1).unsqueeze(-1).mean(1, keepdim=True)
        hot = F.one_hot(x.argmax(-1), 6).float()
        norms = F.normalize(x, dim=-1), x.norm(dim=-1), F.cosine_similarity(x, y, dim=-1)
        return {
            "scores": (z @ x, spread, torch.where(x > 0, x, x.exp() - 1).cumsum(1)),
            "largest": [x.abs().clamp(min=1e-3).log().amax(1), hot, x.amin((1, 2))],
            "norms": norms,
            "sums": (torch.logsumexp(x, 1), x.sum(), x.mean((0, 2)), (x > 0).sum(1)),
            "powers": (x.abs() ** 2.5, x**3, x.abs().sqrt(), torch.rsqrt(x * x + 1), 2.0**x),
            "waves": (x.sin() * x.cos(), torch.stack([x, y], 1).flip(-1), torch.roll(x, 1, 1)),
            "masks": (x.masked_fill(x < 0, float("-inf")).max(1).values, (x > 2).any(), x.isnan()),
            "moves": (x[:, ::2], x.new_zeros(3), F.pad(x, (1, 2)), self.positions[: x.shape[1]]),
            "gates": (F.glu(torch.cat([x, y], -1)), F.silu(x) * y, F.layer_norm(x, (6,))),
            "whole": (x.round() // 2, x.long() % 3, torch.triu(z), x.floor().int()),
        }


def images(batch, length):
    return (torch.randn(batch, 3, 8 * length, 8 * length),)


def videos(batch, length):
    return (torch.randn(batch, 2, 4, length + 4, 8),)


def mels(batch, length):
    return (torch.randn(batch, 20, length + 3),)


def tokens(batch, length):
    return (torch.randint(0, 50, (batch, length)),)


def sequences(batch, length):
    return (torch.randn(batch, length, 6),)


def pairs(batch, length):
    return torch.randn(batch, length + 2, 16), torch.randn(batch, length, 16)


def mlp():
    first = nn.Linear(6, 8), nn.GELU("tanh"), nn.Linear(8, 8), nn.Softplus(), nn.Dropout()
    return nn.Sequential(*first, nn.Linear(8, 3), nn.Softmax(-1))


PLANE, LINE, TIME = {0: "batch", 2: "height", 3: "width"}, {0: "batch", 2: "time"}, {0: "b", 1: "t"}
MODULES = {
    "mlp": (mlp, sequences, TIME),
    "mixture": (Mixture, sequences, TIME),
    "resnet": (ResNet, images, PLANE),
    "unet": (UNet, images, PLANE),
    "video": (Video, videos, {0: "batch", 3: "height"}),
    "vocoder": (lambda: Vocoder(nn.utils.weight_norm), mels, LINE),
    "vocoder_parametrized": (lambda: Vocoder(parametrizations.weight_norm), mels, LINE),
    "transformer": (Translator, pairs, ({0: "batch", 1: "source"}, {0: "batch", 1: "target"})),
    "lstm": (lambda: Tagger("LSTM"), tokens, TIME),
    "gru": (lambda: Tagger("GRU"), tokens, TIME),
    "rnn": (lambda: Tagger("RNN"), tokens, TIME),
}
