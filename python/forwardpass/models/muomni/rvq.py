"""RVQ: a codec that names each mel frame by a row of one codebook after the other."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

import numpy as np

from forwardpass import nn
from forwardpass.nn import functional as F
from forwardpass.nn._checks import integer
from forwardpass.nn.functional._shape import float32

if TYPE_CHECKING:
    import numpy.typing as npt

    from forwardpass.nn._typing import Array, ArrayInput

MELS = 128
_MOST = 1 << 20  # floats of differences that a search holds at a time


class RVQ(nn.Module):
    """Residual vector quantizer: mel frames (*, 128) to codes (*, codebooks) and back.

    Each codebook (codebook_size, d) in turn gives the index of its row nearest to what is left of
    proj_in(frame), by squared Euclidean distance, the first of equal ones; that row is subtracted.
    `decode` adds the rows up again. mel is float32; codes are int64 in [0, codebook_size).
    """

    codebooks: Any

    def __init__(self, codebooks: int = 2, codebook_size: int = 128, d: int = 64) -> None:
        super().__init__()
        integer("RVQ", "codebooks", codebooks, 1)
        integer("RVQ", "codebook_size", codebook_size, 1)
        self.codebooks = nn.ModuleList(nn.Embedding(codebook_size, d) for _ in range(codebooks))
        self.proj_in = nn.Linear(MELS, d)
        self.proj_out = nn.Linear(d, MELS)

    def forward(self, mel: ArrayInput) -> Array:
        """What is left of mel (*, 128) after the codec: decode(encode(mel))."""
        return self.decode(self.encode(mel))

    def encode(self, mel: ArrayInput) -> npt.NDArray[np.int64]:
        """mel (B, T, 128) or (B, 128) to codes (B, T, codebooks) or (B, codebooks), int64."""
        rest = self.proj_in(mel)
        codes = np.empty((*rest.shape[:-1], len(self.codebooks)), np.int64)
        for i, codebook in enumerate(self.codebooks):
            codes[..., i] = nearest(rest, codebook.weight)
            rest = rest - codebook(codes[..., i])
        return codes

    def decode(self, codes: npt.ArrayLike) -> Array:
        """codes (B, T, codebooks) or (B, codebooks) to mel (B, T, 128) or (B, 128).

        Raises IndexError for a code outside [0, codebook_size).
        """
        codes = np.asarray(codes)
        if codes.ndim == 0 or codes.shape[-1] != len(self.codebooks):
            raise ValueError(
                f"RVQ.decode(): argument 'codes' must have shape (*, {len(self.codebooks)}), "
                f"got {codes.shape}"
            )
        rows = [codebook(codes[..., i]) for i, codebook in enumerate(self.codebooks)]
        total = rows[0]
        for row in rows[1:]:
            total = total + row
        mel: Array = self.proj_out(total)
        return mel


def nearest(x: ArrayInput, rows: Array) -> npt.NDArray[np.int64]:
    """For each of x (*, d) the index (*,) of the row nearest to it, the first of equal ones.

    The distance is the sum of (x_i - row_i)^2, difference and square rounded, added as linear adds
    K = d products with 1 in its one row (docs/numerics.md). A NaN is nearest, as in torch.argmin.
    """
    points = float32(x, "nearest")
    flat = points.reshape(-1, rows.shape[1])
    found = np.empty(len(flat), np.int64)
    ones = np.ones((1, rows.shape[1]), np.float32)
    step = max(1, _MOST // max(rows.size, 1))
    for at in range(0, len(flat), step):
        apart = flat[at : at + step, None, :] - rows
        np.multiply(apart, apart, out=apart)
        found[at : at + step] = F.linear(apart, ones)[..., 0].argmin(-1)
    return found.reshape(points.shape[:-1])
