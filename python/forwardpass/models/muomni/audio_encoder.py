"""AudioEncoder: mel spectrograms to frames at the Thinker's pace."""

from __future__ import annotations

from functools import lru_cache
from typing import TYPE_CHECKING, Any

import numpy as np

from forwardpass import _core, nn
from forwardpass.nn._checks import integer
from forwardpass.nn._children import plain
from forwardpass.nn.functional._shape import float32

from .._fused import Planned, add, call, packed, rms_norm
from ._blocks import EPS

if TYPE_CHECKING:
    import numpy.typing as npt

    from forwardpass.nn._typing import Array, ArrayInput

MELS, CHANNELS = 128, 64
_rms_norm, _self_attention = _core.rms_norm, _core._self_attention


@lru_cache(maxsize=1)
def by_time(batch: int, channels: int, length: int) -> npt.NDArray[Any]:
    """Where rows (b, c, t) stand, in the order (b, t, c)."""
    rows = np.arange(batch * channels * length).reshape(batch, channels, length)
    return rows.transpose(0, 2, 1).ravel()


class ConvDown(nn.Module):
    """Two convolutions that halve time and mels each: (B, 1, T, 128) to (B, 64, ~T/4, 32)."""

    def __init__(self) -> None:
        super().__init__()
        self.net = nn.Sequential(
            nn.Conv2d(1, CHANNELS, 3, 2, 1),
            nn.GELU(),
            nn.Conv2d(CHANNELS, CHANNELS, 3, 2, 1),
            nn.GELU(),
        )

    def forward(self, x: Array) -> Array:
        return self.net(x)  # type: ignore[no-any-return]


class EncoderBlock(Planned):
    """x += out_proj(attention(qkv_proj(norm1(x)))); x += mlp(norm2(x))."""

    def __init__(self, d: int, heads: int, ff: int) -> None:
        super().__init__()
        self.heads = integer("AudioEncoder", "heads", heads, 1)
        if d % heads:
            raise ValueError(f"AudioEncoder: d must be divisible by heads, got {d} and {heads}")
        self.norm1 = nn.RMSNorm(d, EPS)
        self.qkv_proj = nn.Linear(d, 3 * d)
        self.out_proj = nn.Linear(d, d)
        self.norm2 = nn.RMSNorm(d, EPS)
        self.mlp = nn.Sequential(nn.Linear(d, ff), nn.GELU(), nn.Linear(ff, d))

    def forward(self, x: Array) -> Array:
        heads, plan = self.heads, self._current()
        if plan is not None:  # nobody watches
            norm1, qkv_proj, out_proj, norm2, up, activation, down = plan
            y = _self_attention(qkv_proj(_rms_norm(x, *norm1)), heads, heads)
            x = out_proj(y, None, 0.01, x)
            return down(up(_rms_norm(x, *norm2), activation), None, 0.01, x)  # type: ignore[no-any-return]
        y = np.ascontiguousarray(self.qkv_proj(self.norm1(x)))
        x = call(self.out_proj, _self_attention(y, heads, heads), residual=x)
        return add(x, self.mlp(self.norm2(x)))

    def _planned(self) -> Any:
        modules: Any = self._modules
        mlp = modules["mlp"]
        if not plain(mlp, (nn.Sequential,)) or len(mlp) != 3 or not plain(mlp[1], (nn.GELU,)):
            return None
        norms = modules["norm1"], modules["norm2"]
        products = modules["qkv_proj"], modules["out_proj"], mlp[0], mlp[2]
        if not all(plain(norm, (nn.RMSNorm,)) for norm in norms):
            return None
        if not all(plain(product, (nn.Linear,)) for product in products):
            return None
        norm1, norm2 = map(rms_norm, norms)
        qkv_proj, out_proj, up, down = map(packed, products)
        return norm1, qkv_proj, out_proj, norm2, up, mlp[1].fused()[0], down


class AudioEncoder(nn.Module):
    """mel (B, T, 128) to frames (B, T', d), or both without B; T' = T / downsample_factor, up.

    downsample_factor is 4 or 8: convolutions halve time and mels two or three times, then come
    blocks of attention over all frames, which have no positions. dropout changes nothing.
    """

    down: Any
    proj: Any
    blocks: Any
    norm: Any

    def __init__(
        self,
        d: int = 192,
        heads: int = 3,
        ff: int = 768,
        layers: int = 4,
        dropout: float = 0.0,
        downsample_factor: int = 4,
    ) -> None:
        super().__init__()
        if downsample_factor not in (4, 8):
            raise ValueError(
                f"AudioEncoder: downsample_factor must be 4 or 8, got {downsample_factor!r}"
            )
        if downsample_factor == 4:
            self.down = ConvDown()
        else:
            last = nn.Conv2d(CHANNELS, CHANNELS, 3, 2, 1)
            self.down = nn.Sequential(ConvDown(), last, nn.GELU())
        self.proj = nn.Linear(CHANNELS * MELS // downsample_factor, d)
        self.blocks = nn.ModuleList(EncoderBlock(d, heads, ff) for _ in range(layers))
        self.norm = nn.RMSNorm(d, EPS)

    def forward(self, mel: ArrayInput) -> Array:
        x = float32(mel, "AudioEncoder", "mel")
        if x.ndim not in (2, 3) or x.shape[-1] != MELS or x.shape[-2] == 0:
            raise ValueError(
                f"AudioEncoder(): argument 'mel' must have shape (batch, frames, {MELS}) or "
                f"(frames, {MELS}) with at least one frame, got {x.shape}"
            )
        y = self.down(x.reshape(-1, 1, *x.shape[-2:]))
        batch, channels, length, mels = y.shape
        # (B, channels, T', mels) to (B, T', channels, mels): by a kernel that all threads share
        y = _core.embedding(by_time(batch, channels, length), y.reshape(-1, mels), None)
        y = self.proj(y.reshape(batch, length, channels * mels))
        for block in self.blocks:
            y = block(y)
        y = self.norm(y)
        return y if x.ndim == 3 else y[0]  # type: ignore[no-any-return]
