"""fuse: a BatchNorm folded into the layer before it."""

from __future__ import annotations

import numpy as np
import pytest

from forwardpass import nn
from forwardpass.nn.utils import fuse
from forwardpass.reference.arrays import make


def filled(model):
    """No norm is left at mean 0, variance 1."""
    for index, module in enumerate(model.modules()):
        if isinstance(module, (nn.BatchNorm1d, nn.BatchNorm2d)):
            n = module.num_features
            module.running_mean = make(f"fuse/mean/{index}", (n,))
            module.running_var = np.abs(make(f"fuse/var/{index}", (n,))) + np.float32(0.1)
            if module.affine:
                module.weight = make(f"fuse/weight/{index}", (n,))
                module.bias = make(f"fuse/bias/{index}", (n,))
    return model


def close(found, expected):
    np.testing.assert_allclose(found, expected, rtol=1e-5, atol=1e-5 * np.abs(expected).max())


def test_neighbours_in_a_sequential():
    net = filled(
        nn.Sequential(
            nn.Conv1d(3, 6, 3, groups=3, bias=False),
            nn.BatchNorm1d(6),
            nn.ReLU(),
            nn.Sequential(nn.Conv1d(6, 4, 1), nn.BatchNorm1d(4, affine=False)),
            nn.Flatten(),
            nn.Linear(32, 5),
            nn.BatchNorm1d(5),
        )
    )
    x = make("fuse/x", (2, 3, 10))
    before = {key: value.tobytes() for key, value in net.state_dict().items()}
    expected = net(x)
    fused = fuse(net)
    assert not any(isinstance(m, nn.BatchNorm1d) for m in fused.modules())
    close(fused(x), expected)
    assert {key: value.tobytes() for key, value in net.state_dict().items()} == before
    assert net(x).tobytes() == expected.tobytes()
    assert isinstance(fused[1], nn.Identity)


def test_every_convolution():
    for layer, x in (
        (nn.Conv2d(4, 6, 3, groups=2), make("fuse/x", (2, 4, 5, 6))),
        (nn.ConvTranspose2d(4, 6, 3, 2, groups=2), make("fuse/x", (2, 4, 5, 6))),
        (nn.ConvTranspose1d(4, 6, 4, 2, 1, bias=False), make("fuse/x", (2, 4, 9))),
    ):
        norm = nn.BatchNorm2d(6) if x.ndim == 4 else nn.BatchNorm1d(6)
        net = filled(nn.Sequential(layer, norm, nn.ReLU()))
        fused = fuse(net)
        assert isinstance(fused[1], nn.Identity)
        close(fused(x), net(x))


class Block(nn.Module):
    def __init__(self):
        super().__init__()
        self.bn = nn.BatchNorm1d(4)
        self.conv = nn.Conv1d(4, 4, 3, padding=1)
        self.last = nn.BatchNorm1d(4)

    def forward(self, x):
        return x + self.bn(self.conv(x)) - self.last(x)


def test_calls_show_what_follows_what():
    net, x = filled(Block()), make("fuse/b", (2, 4, 9))
    assert isinstance(fuse(net).bn, nn.BatchNorm1d)
    fused = fuse(net, x)
    assert isinstance(fused.bn, nn.Identity)
    assert isinstance(fused.last, nn.BatchNorm1d)
    close(fused(x), net(x))
    assert isinstance(net.bn, nn.BatchNorm1d)


class Twice(Block):
    def forward(self, x):
        y = self.conv(x)
        return y + self.bn(y)


def test_an_output_that_is_used_twice_is_noticed():
    with pytest.raises(ValueError, match="used by another module"):
        fuse(filled(Twice()), make("fuse/b", (2, 4, 9)))


def test_what_stays():
    class Scaled(nn.Linear):
        pass

    assert isinstance(fuse(nn.Sequential(Scaled(4, 4), nn.BatchNorm1d(4)))[1], nn.BatchNorm1d)
    batch = nn.Sequential(nn.Linear(4, 4), nn.BatchNorm1d(4, track_running_stats=False))
    assert isinstance(fuse(batch)[1], nn.BatchNorm1d)
    layer, norm = nn.Linear(4, 4), filled(nn.BatchNorm1d(4))
    shared = nn.Sequential(layer, norm, layer, norm)
    assert isinstance(fuse(shared)[1], nn.BatchNorm1d)
    other = nn.Sequential(nn.Linear(4, 4), nn.ReLU(), nn.BatchNorm1d(4))
    assert isinstance(fuse(other)[2], nn.BatchNorm1d)


def test_folding_rounds_once():
    net = filled(nn.Sequential(nn.Linear(3, 2), nn.BatchNorm1d(2)))
    linear, norm = net
    s = norm.weight.astype(float) / np.sqrt(norm.running_var.astype(float) + norm.eps)
    want = (linear.weight.astype(float) * s[:, None]).astype(np.float32)
    assert fuse(net)[0].weight.tobytes() == want.tobytes()
