"""Vocoder: the generator of HiFi-GAN (Kong et al. 2020), from mel spectrograms to samples."""

from __future__ import annotations

from collections.abc import Sequence
from typing import TYPE_CHECKING, Any

import numpy as np

from forwardpass import nn
from forwardpass.nn import functional as F
from forwardpass.nn.functional._shape import float32

from .._fused import call

if TYPE_CHECKING:
    from forwardpass.nn._typing import Array, ArrayInput

SLOPE = 0.1


class ResBlock(nn.Module):
    """For each dilation: x += convs2(leaky_relu(convs1(leaky_relu(x)))), (B, C, L) to the same."""

    convs1: Any
    convs2: Any

    def __init__(self, channels: int, kernel: int, dilations: Sequence[int]) -> None:
        super().__init__()
        self.convs1 = nn.ModuleList(
            nn.Conv1d(channels, channels, kernel, padding=(kernel - 1) * d // 2, dilation=d)
            for d in dilations
        )
        self.convs2 = nn.ModuleList(
            nn.Conv1d(channels, channels, kernel, padding=(kernel - 1) // 2) for _ in dilations
        )

    def forward(self, x: Array) -> Array:
        for first, second in zip(self.convs1, self.convs2, strict=True):
            inner = call(first, F.leaky_relu(x, SLOPE), "leaky_relu", SLOPE)
            x = call(second, inner, residual=x)
        return x


class Vocoder(nn.Module):
    """Mel (B, n_mels, T) to audio (B, T * prod(upsample_rates)), or both without B.

    The mel is first scaled to [0, 1] by its own least and largest value, over the whole batch. Each
    upsampling is a transposed convolution and the mean of one residual block for each kernel size.
    sample_rate, n_fft and hop_length say what the samples mean and change nothing.
    """

    ups: Any
    resblocks: Any

    def __init__(
        self,
        sample_rate: int = 16000,
        n_mels: int = 128,
        n_fft: int = 1024,
        hop_length: int = 256,
        upsample_rates: Sequence[int] = (8, 8, 2, 2),
        upsample_kernel_sizes: Sequence[int] = (16, 16, 4, 4),
        upsample_initial_channel: int = 256,
        resblock_kernel_sizes: Sequence[int] = (3, 5, 7),
        resblock_dilation_sizes: Sequence[Sequence[int]] = ((1, 2), (1, 2), (1, 2)),
    ) -> None:
        super().__init__()
        _require_pairs("upsample_kernel_sizes", upsample_rates, upsample_kernel_sizes)
        _require_pairs("resblock_dilation_sizes", resblock_kernel_sizes, resblock_dilation_sizes)
        self.sample_rate, self.n_fft, self.hop_length = sample_rate, n_fft, hop_length
        self.n_mels = n_mels
        channels = upsample_initial_channel
        self.conv_pre = nn.Conv1d(n_mels, channels, 7, padding=3)
        self.ups, self.resblocks = nn.ModuleList(), nn.ModuleList()
        for rate, kernel in zip(upsample_rates, upsample_kernel_sizes, strict=True):
            padding = (kernel - rate) // 2
            self.ups.append(nn.ConvTranspose1d(channels, channels // 2, kernel, rate, padding))
            channels //= 2
            for size, dilations in zip(resblock_kernel_sizes, resblock_dilation_sizes, strict=True):
                self.resblocks.append(ResBlock(channels, size, dilations))
        self.conv_post = nn.Conv1d(channels, 1, 7, padding=3)

    def forward(self, mel: ArrayInput) -> Array:
        x = float32(mel, "Vocoder", "mel")
        if x.ndim not in (2, 3) or x.shape[-2] != self.n_mels or not x.size:
            raise ValueError(
                f"Vocoder(): argument 'mel' must have shape (batch, {self.n_mels}, frames) or "
                f"({self.n_mels}, frames), neither of them empty, got {x.shape}"
            )
        x = self.conv_pre(scaled(x))
        count = len(self.resblocks) // len(self.ups)
        for i, up in enumerate(self.ups):
            x = up(F.leaky_relu(x, SLOPE))
            x = _mean([block(x) for block in self.resblocks[i * count : (i + 1) * count]])
        audio = F.tanh(self.conv_post(F.leaky_relu(x, 0.01)))
        return audio[..., 0, :]


def scaled(mel: Array) -> Array:
    """mel brought to [0, 1] by its least and largest value; if they agree to 1e-6, clipped."""
    least, most = mel.min(), mel.max()
    size = most - least
    if size <= np.float32(1e-6):
        return F.hardtanh(mel, 0.0, 1.0)
    return (mel - least) / (size + np.float32(1e-8))  # type: ignore[no-any-return]


def _mean(arrays: list[Array]) -> Array:
    """Added in order, then divided by their number."""
    total = arrays[0]
    for array in arrays[1:]:
        total = total + array
    return total / np.float32(len(arrays))


def _require_pairs(name: str, first: Sequence[Any], second: Sequence[Any]) -> None:
    if len(first) != len(second) or not first:
        raise ValueError(f"Vocoder: {name} must have {len(first)} > 0 entries, got {len(second)}")
