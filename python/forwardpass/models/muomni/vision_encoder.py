"""VisionEncoder: a vision transformer (Dosovitskiy et al. 2021)."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

import numpy as np

from forwardpass import nn
from forwardpass.nn import init
from forwardpass.nn._checks import integer
from forwardpass.nn.functional._shape import float32

from .._fused import add
from ._blocks import EPS

if TYPE_CHECKING:
    from forwardpass.nn._typing import Array, ArrayInput


class VisionEncoder(nn.Module):
    """image (B, 3, img_size, img_size) to (cls (B, 1, d), grid (B, N, d)), or all without B.

    Patches of `patch` by `patch` pixels become N = (img_size // patch)^2 tokens in row order; a
    learned token `cls` stands before them, learned positions `pos` are added. dropout changes
    nothing.
    """

    proj: Any
    cls: Any
    pos: Any
    blocks: Any
    norm: Any

    def __init__(
        self,
        img_size: int = 224,
        patch: int = 16,
        d: int = 192,
        layers: int = 12,
        heads: int = 3,
        ff: int = 768,
        dropout: float = 0.0,
    ) -> None:
        super().__init__()
        self.img_size = integer("VisionEncoder", "img_size", img_size, 1)
        integer("VisionEncoder", "patch", patch, 1)
        if patch > img_size:
            raise ValueError(
                f"VisionEncoder: patch must be at most img_size, got {patch} and {img_size}"
            )
        tokens = (img_size // patch) ** 2 + 1
        self.register_parameter("cls", nn.Parameter.drawn(init.constant, (1, 1, d), 0.0))
        self.register_parameter("pos", nn.Parameter.drawn(init.constant, (1, tokens, d), 0.0))
        self.proj = nn.Conv2d(3, d, patch, patch)
        self.blocks = nn.ModuleList(
            nn.TransformerEncoderLayer(
                d, heads, ff, dropout, "gelu", batch_first=True, norm_first=True
            )
            for _ in range(layers)
        )
        self.norm = nn.RMSNorm(d, EPS)

    def forward(self, image: ArrayInput) -> tuple[Array, Array]:
        x = float32(image, "VisionEncoder", "image")
        size = self.img_size
        if x.ndim not in (3, 4) or x.shape[-3:] != (3, size, size):
            raise ValueError(
                f"VisionEncoder(): argument 'image' must have shape (batch, 3, {size}, {size}) or "
                f"(3, {size}, {size}), got {x.shape}"
            )
        y = self.proj(x.reshape(-1, 3, size, size))
        batch, d = y.shape[:2]
        grid = y.reshape(batch, d, -1).transpose(0, 2, 1)
        y = np.concatenate((np.broadcast_to(self.cls, (batch, 1, d)), grid), 1)
        y = add(y, self.pos)
        for block in self.blocks:
            y = block(y)
        y = self.norm(y)
        return (y[:, :1], y[:, 1:]) if x.ndim == 4 else (y[0, :1], y[0, 1:])
