"""Plain torch: the convolutions of a vocoder in the manner of HiFi-GAN, under weight_norm."""

import torch.nn as nn
import torch.nn.functional as F
from torch.nn import Conv1d
from torch.nn.utils.parametrizations import weight_norm

LRELU_SLOPE = 0.1


def get_padding(kernel_size, dilation=1):
    return int((kernel_size * dilation - dilation) / 2)


class ResBlock(nn.Module):
    def __init__(self, channels, kernel_size=3, dilation=(1, 3, 5)):
        super().__init__()
        self.convs1 = nn.ModuleList(
            [
                weight_norm(
                    Conv1d(
                        channels,
                        channels,
                        kernel_size,
                        1,
                        dilation=d,
                        padding=get_padding(kernel_size, d),
                    )
                )
                for d in dilation
            ]
        )
        self.convs2 = nn.ModuleList(
            weight_norm(
                Conv1d(channels, channels, kernel_size, padding=get_padding(kernel_size, 1))
            )
            for _ in dilation
        )

    def forward(self, x):
        for c1, c2 in zip(self.convs1, self.convs2, strict=True):
            xt = F.leaky_relu(x, LRELU_SLOPE)
            xt = c1(xt)
            xt = F.leaky_relu(xt, LRELU_SLOPE)
            xt = c2(xt)
            x = xt + x
        return x


class Vocoder(nn.Module):
    def __init__(self, mels=10, channels=12, kernel_sizes=(3, 7)):
        super().__init__()
        self.num_kernels = len(kernel_sizes)
        self.conv_pre = weight_norm(Conv1d(mels, channels, 7, 1, padding=3))
        self.resblocks = nn.ModuleList()
        for k in kernel_sizes:
            self.resblocks.append(ResBlock(channels, k))
        self.gate = weight_norm(nn.Linear(1, channels))
        self.conv_post = weight_norm(Conv1d(channels, 1, 7, 1, padding=3))

    def forward(self, x, loudness):
        x = self.conv_pre(x)
        x = x * F.sigmoid(self.gate(loudness))[:, :, None]
        xs = None
        for block in self.resblocks:
            if xs is None:
                xs = block(x)
            else:
                xs += block(x)
        x = xs / self.num_kernels
        x = F.leaky_relu(x)
        x = self.conv_post(x)
        return F.tanh(x)
