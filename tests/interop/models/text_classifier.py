"""Plain torch: words, two convolutions over time, a classifier."""

import torch.nn.functional as F
from torch import Tensor, nn


class ConvBlock(nn.Module):
    def __init__(self, channels: int, kernel_size: int, dropout: float = 0.1) -> None:
        super().__init__()
        self.conv = nn.Conv1d(channels, channels, kernel_size, padding="same")
        self.norm = nn.LayerNorm(channels, eps=1e-6)
        self.dropout = nn.Dropout(dropout)

    def forward(self, x: Tensor) -> Tensor:
        y = F.relu(self.conv(x.swapaxes(1, 2)))
        y = self.norm(y.swapaxes(1, 2))
        return x + self.dropout(y)


class TextClassifier(nn.Module):
    def __init__(self, vocabulary: int = 50, length: int = 12, channels: int = 16) -> None:
        super().__init__()
        self.embed = nn.Embedding(vocabulary, channels, padding_idx=0)
        self.position = nn.Embedding(length, channels)
        self.blocks = nn.ModuleList([ConvBlock(channels, k) for k in (3, 5)])
        self.head = nn.Sequential(
            nn.Flatten(),
            nn.Linear(length * channels, 32),
            nn.GELU(),
            nn.Dropout(0.2),
            nn.Linear(32, 4),
        )
        for parameter in self.position.parameters():
            parameter.requires_grad = False

    def forward(self, tokens: Tensor) -> Tensor:
        x = self.embed(tokens) + self.position.weight[: tokens.shape[1]]
        for block in self.blocks:
            x = block(x)
        return F.softmax(self.head(x), dim=-1)
