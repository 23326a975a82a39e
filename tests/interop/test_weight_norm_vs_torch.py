"""Folding weight_norm gives the weight that torch computes."""

from __future__ import annotations

import numpy as np
import pytest

import forwardpass.nn as ours

torch = pytest.importorskip("torch")

SPELLINGS = {
    "old": torch.nn.utils.weight_norm,
    "new": torch.nn.utils.parametrizations.weight_norm,
}
LAYERS = {
    "linear": (lambda nn: nn.Linear(37, 11), (4, 37)),
    "linear, one row": (lambda nn: nn.Linear(300, 1), (4, 300)),
    "conv1d": (lambda nn: nn.Conv1d(6, 8, 5, padding=2), (2, 6, 20)),
    "conv1d, depthwise": (lambda nn: nn.Conv1d(6, 6, 3, groups=6), (2, 6, 20)),
    "conv1d, large": (lambda nn: nn.Conv1d(256, 16, 11), (1, 256, 20)),
}


@pytest.mark.filterwarnings("ignore:`torch.nn.utils.weight_norm`:FutureWarning")
@pytest.mark.parametrize("dim", [0, 1, -1, None])
@pytest.mark.parametrize("spelling", SPELLINGS)
@pytest.mark.parametrize("name", LAYERS)
def test_weight_and_output(name, spelling, dim):
    make, shape = LAYERS[name]
    torch.manual_seed(2)
    theirs = SPELLINGS[spelling](make(torch.nn), dim=dim).eval()
    with torch.no_grad():
        for parameter in theirs.parameters():
            parameter *= 1 + torch.rand(parameter.shape)
    mine = make(ours)
    assert str(mine.load_state_dict(theirs.state_dict())) == "<All keys matched successfully>"
    x = np.random.default_rng(0).standard_normal(shape, dtype=np.float32)
    with torch.no_grad():
        expected = theirs(torch.from_numpy(x)).numpy()
        weight = theirs.weight.numpy()
    # torch sums n squares in float32; ours is the exact weight rounded once.
    np.testing.assert_allclose(mine.weight, weight, rtol=4e-6)
    np.testing.assert_allclose(mine(x), expected, rtol=2e-5, atol=2e-5)


def test_reports_on_the_two_parts_are_torchs():
    theirs = SPELLINGS["new"](torch.nn.Linear(3, 2))
    mine = ours.Linear(3, 2)
    state = theirs.state_dict()
    for key in ("parametrizations.weight.original0", "parametrizations.weight.original1"):
        spoiled = {**state, key: torch.ones(5, 1)}
        reports = []
        for net in (mine, theirs):
            with pytest.raises(RuntimeError) as caught:
                net.load_state_dict(spoiled)
            reports.append(str(caught.value).split("\n\t")[1:])
        assert reports[0] == reports[1]
