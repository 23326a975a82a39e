"""The text of trace(): the data flow in words."""

from __future__ import annotations

import os
import subprocess
import sys
from collections import OrderedDict

import numpy as np
import pytest

import forwardpass as fp
from forwardpass import nn
from forwardpass.view.words import describe

ACTIVATIONS = [nn.ReLU, nn.GELU, nn.SiLU, nn.Sigmoid, nn.Tanh, nn.LeakyReLU]


def array(*shape, seed=0):
    return np.random.default_rng(seed).standard_normal(shape).astype(np.float32)


class Block(nn.Module):
    """A residual block that adds in place to what a layer returned."""

    def __init__(self, width):
        super().__init__()
        self.norm = nn.LayerNorm(width)
        self.up = nn.Linear(width, 2 * width)
        self.act = nn.GELU()
        self.down = nn.Linear(2 * width, width)

    def forward(self, x):
        h = self.down(self.act(self.up(self.norm(x))))
        h += x
        return h


def test_text():
    net = nn.Sequential(nn.Linear(3, 2), nn.ReLU())
    net[0].weight = np.array([[1, 0, 0], [0, 1, -1]], np.float32)
    net[0].bias = np.array([0.5, -10], np.float32)
    assert str(fp.trace(net, np.array([[1, 2, 3]], np.float32))).splitlines() == [
        "input: (1, 3)",
        "  1 to 3, mean 2; first: 1 2 3",
        "Sequential takes (1, 3)",
        "  1. (0) Linear: 2 weighted sums of 3 values, plus a bias",
        "     (1, 3) → (1, 2)",
        "     -11 to 1.5, mean -4.75; first: 1.5 -11",
        "  2. (1) ReLU: keeps what is positive, makes the rest 0",
        "     (1, 2) → (1, 2)",
        "     0 to 1.5, mean 0.75; first: 1.5 0",
        "Sequential returns that: (1, 2)",
    ]


def test_text_of_a_result_outside_layers():
    text = str(fp.trace(nn.Sequential(Block(4)), array(1, 4)))
    assert "  (0) Block takes (1, 4)" in text
    assert "  (0) Block returns (1, 4)\n" in text
    assert "Sequential returns that: (1, 4)" in text


@pytest.mark.parametrize(
    ("values", "words"),
    [
        ([np.nan, 1, np.inf, -np.inf], "1 to 1, mean 1, 1 NaN, 2 infinite; first: nan 1 inf -inf"),
        ([np.nan], "no finite value, 1 NaN; first: nan"),
        ([], "empty"),
        ([-0.0], "0 to 0, mean 0; first: 0"),
        ([3e38, 3e38], "3e+38 to 3e+38, mean 3e+38; first: 3e+38 3e+38"),
        ([-1, 1, 1e-6], "-1 to 1, mean about 0; first: -1 1 1e-06"),
    ],
)
def test_odd_values_in_words(values, words):
    text = str(fp.trace(nn.Identity(), np.array(values, np.float32)))
    assert text.splitlines()[1] == f"  {words}"


def test_every_layer_has_words():
    modules = [
        nn.Embedding(5, 3),
        nn.LayerNorm(3),
        nn.RMSNorm((2, 3), elementwise_affine=False),
        nn.Conv1d(4, 6, 3, groups=4 // 2),
        nn.Linear(2, 2, bias=False),
        nn.Dropout(),
        nn.Flatten(),
        nn.Softmax(-1),
        *(kind() for kind in ACTIVATIONS),
    ]
    for module in modules:
        assert describe(module), module
        assert len(describe(module)) < 85
    assert (
        describe(modules[3])
        == "6 filters of size 3 slide over 2 channels of their group, plus a bias"
    )
    assert describe(modules[4]) == "2 weighted sums of 2 values"

    class Linear(nn.Linear):
        """May mean anything."""

    assert describe(Linear(2, 3)) == "in_features=2, out_features=3, bias=True"


def test_strange_names_stay_on_their_line():
    net = nn.Sequential(OrderedDict({"a\nb\x1b[31m": nn.ReLU()}))
    text = str(fp.trace(net, array(1)))
    assert "(a\\nb\\x1b[31m) ReLU" in text
    assert "\x1b" not in text
    assert "\x1b" not in str(fp.summary(net, array(1)))


@pytest.mark.parametrize("code", ["fp.trace(net, x)", "fp.summary(net, x)"])
def test_printed_in_ascii(code):
    script = (
        "import forwardpass as fp, numpy as np\n"
        "net, x = fp.nn.Sequential(fp.nn.Linear(3, 2)), np.ones((1, 3), np.float32)\n"
        f"print({code})\n"
    )
    done = subprocess.run(
        [sys.executable, "-X", "utf8=0", "-c", script],
        capture_output=True,
        env={**os.environ, "PYTHONIOENCODING": "ascii"},
        timeout=120,
    )
    assert done.returncode == 0, done.stderr
    assert done.stdout.isascii()


def test_imported_when_asked_for():
    script = (
        "import sys, forwardpass as fp\n"
        "assert not any(name.startswith('forwardpass.view') for name in sys.modules)\n"
        "fp.trace, fp.summary\n"
        "assert 'matplotlib' not in sys.modules\n"
        "assert {'trace', 'summary'} <= {*dir(fp)}\n"
    )
    done = subprocess.run([sys.executable, "-c", script], capture_output=True, text=True)
    assert done.returncode == 0, done.stderr
