"""torch's functions, one by one, through forwardpass.from_torch."""

from __future__ import annotations

import numpy as np
import pytest

import forwardpass

torch = pytest.importorskip("torch")
F = torch.nn.functional

pytestmark = pytest.mark.filterwarnings("ignore")

INDEX = torch.tensor([[0, 2, 1, 3], [3, 0, 2, 1], [1, 1, 0, 0]])


def checked(x):
    torch._check(x.max().item() < 100)
    return x + 1


CUBE, KERNEL = torch.randn(2, 4, 5, 6, 7), torch.randn(4, 3, 3, 2, 3)
FUNCTIONS = {
    "angles": lambda x: (x.atan(), torch.atan2(x, x.flip(0)), x.clamp(-1, 1).asin(), x.tan()),
    "arc cosine": lambda x: x.clamp(-1, 1).acos(),
    "hyperbolic": lambda x: ((x * 5).sinh() / 1e3, x.sinh(), x.cosh(), F.tanhshrink(x)),
    "logarithms": lambda x: (x.abs().log2(), x.abs().log10(), x.exp2(), torch.hypot(x, x + 1)),
    "erfc": lambda x: torch.erfc(x),
    "activations": lambda x: (
        F.selu(x),
        F.celu(x, 0.5),
        F.softsign(x),
        F.hardshrink(x),
        F.rrelu(x),
    ),
    "sort": lambda x: (*torch.sort(x, -1, descending=True), torch.argsort(x, 0)),
    "topk": lambda x: (*torch.topk(x, 2, -1), *torch.topk(x, 3, 0, largest=False)),
    "kthvalue": lambda x: torch.kthvalue(x, 2, -1, keepdim=True),
    "scatter": lambda x: torch.zeros(3, 6).scatter(1, INDEX, x[:3]).scatter(1, INDEX[:, :1], 2.0),
    "scatter_add": lambda x: torch.zeros(3, 6).scatter_add(1, INDEX, x[:3]),
    "index_add": lambda x: torch.zeros(4, 4).index_add(0, INDEX[0, :3], x[:3], alpha=2),
    "index_put": lambda x: torch.zeros(4, 4).index_put((INDEX[0],), x[0], accumulate=True),
    "products": lambda x: (x.prod(-1), x.prod(), torch.cumprod(x, 1)),
    "norms": lambda x: (x.norm(3, -1), x.norm(float("inf"), 0), x.norm(0), torch.cdist(x, x + 1)),
    "diagonals": lambda x: (x.diagonal(), torch.diag_embed(x), x[:4, :4].trace()),
    "vectors": lambda x: (torch.outer(x[0], x[1]), torch.kron(x[0], x[1]), torch.logaddexp(x, -x)),
    "grid_sample": lambda x: F.grid_sample(
        x[None, None], torch.stack([x / 3, -x / 3], -1)[None], align_corners=False
    ),
    "a number as one element": lambda x: (
        x.sum().index_add(0, INDEX[0, :1] * 0, x[0, 0], alpha=2),
        x.sum().unfold(0, 1, 1),
        x.sum().gather(0, INDEX[0] * 0),
        x[0].gather(0, INDEX[0, 0]),
        x.sum().index_select(0, INDEX[0, :1] * 0),
        x[0].index_select(0, INDEX[0, 0]),
        *x.sum().kthvalue(1, 0, keepdim=True),
        *x.sum().min(0),
    ),
    "take": lambda x: (x.take(INDEX), x.take(-1 - INDEX), x.sum().take(INDEX * 0)),
    "prod of nothing": lambda x: (x[:, :0].prod(1), x[:0].prod(0, keepdim=True), x[:0].prod()),
    "folds": lambda x: F.fold(F.unfold(x[None, None], 3, padding=1), x.shape, 3, padding=1),
    "histc": lambda x: (torch.histc(x, 5, -1, 1), torch.histc(INDEX.float(), 4, 0, 3)),
    "lookups": lambda x: (
        torch.searchsorted(x.sort(-1)[0], x, right=True),
        torch.bucketize(x, torch.tensor([-1.0, 0.0, 0.5])),
    ),
    "masked_scatter": lambda x: x.masked_scatter(x > 0, x.flip(0).flip(1)),
    "scatter_reduce": lambda x: tuple(
        x.scatter_reduce(1, INDEX, x * 2, mode, include_self=own)
        for mode in ("sum", "prod", "mean", "amax", "amin")
        for own in (True, False)
    ),
    "medians": lambda x: (
        x.median(),
        *torch.median(x, 1, keepdim=True),
        torch.median(torch.where(x > 1, torch.nan, x), 0)[0],
    ),
    "running extremes": lambda x: (
        *torch.cummax(x, 1),
        *torch.cummin(torch.where(x > 1, torch.nan, x), 0),
    ),
    "volumes": lambda x: (
        F.avg_pool3d(CUBE * x.sum(), 3, 2, 1, ceil_mode=True, count_include_pad=False),
        F.max_pool3d(CUBE * x.sum(), (1, 2, 3), 2),
        F.adaptive_avg_pool3d(CUBE * x.sum(), (2, 3, 1)),
        F.conv_transpose3d(CUBE * x[0, 0], KERNEL, None, (2, 1, 3), 1, (1, 0, 2), 2),
    ),
    "divisions": lambda x: tuple(
        torch.div(y, d, rounding_mode=mode)
        for mode in ("floor", "trunc")
        for y, d in ((x, 0.3), ((x * 9).long(), 2), ((x * 9).long(), -2))
    ),
    "differences": lambda x: (torch.rsub(x, x * 2, alpha=3), torch.rsub(x, 2, alpha=0.5)),
    "smaller sides": lambda x: (torch.hypot(x, x[:1]), torch.hypot(x[:, :1], x[0])),
    "flat": lambda x: (x.roll(3), x.repeat_interleave(2), x.sum().amax(), (x.sum() > 0).any()),
    "places in pools": lambda x: (
        *F.max_pool1d(x, 2, return_indices=True),
        *F.max_pool2d(x[None], 2, 1, 1, return_indices=True),
        *F.adaptive_max_pool1d(x, 3, return_indices=True),
        *F.adaptive_max_pool2d(x[None], (2, 3), return_indices=True),
    ),
    "same with dilation": lambda x: F.conv2d(
        x[None, None], x[None, None, :3, :2], padding="same", dilation=3
    ),
    "queries for all": lambda x: F.scaled_dot_product_attention(
        x[None], CUBE[0, :, :4, 0, :4].contiguous()[None], CUBE[0, :, :4, 1, :4].contiguous()[None]
    ),
    "assertions": checked,
    "bicubic": lambda x: F.interpolate(x[None, None], scale_factor=2, mode="bicubic"),
}


@pytest.mark.parametrize("name", FUNCTIONS)
def test_as_torch(name):
    class Of(torch.nn.Module):
        def forward(self, x):
            return FUNCTIONS[name](x)

    torch.manual_seed(0)
    x = torch.randn(4, 4)
    got, want = forwardpass.from_torch(Of().eval(), x)(x.numpy()), Of().eval()(x)
    if isinstance(want, torch.Tensor):
        got, want = (got,), (want,)
    assert len(got) == len(want)
    for mine, theirs in zip(got, want, strict=True):
        assert (mine.shape, str(mine.dtype)) == (theirs.shape, str(theirs.dtype)[6:])
        np.testing.assert_allclose(mine, theirs.numpy(), rtol=1e-5, atol=1e-5)


def test_results_that_are_missing_are_said():
    class Of(torch.nn.Module):
        def forward(self, x):
            return F.max_pool3d(x, 2, return_indices=True)

    with pytest.raises(NotImplementedError, match=r"max_pool3d_with_indices.*its result 1"):
        forwardpass.from_torch(Of().eval(), (torch.randn(1, 1, 4, 4, 4),))
