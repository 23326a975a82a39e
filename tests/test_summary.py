"""summary(): the table, and its numbers against counts by hand."""

from __future__ import annotations

import numpy as np
import pytest

import forwardpass as fp
from forwardpass import demo, nn
from forwardpass.nn import functional as F


def row(summary, path):
    (found,) = (row for row in summary.rows if row.path == path)
    return found


def test_the_digits_network():
    net, _ = demo.load()
    summary = fp.summary(net, (1, 8, 8))
    assert str(summary).splitlines()[:15] == [
        "─────────────────────────────────────────────────────────────────",
        "layer          output shape  parameters  multiply-adds  allocates",
        "─────────────────────────────────────────────────────────────────",
        "Sequential     (1, 10)",
        "├─ 0: Conv1d   (1, 32, 8)           800          6,144     1.0 kB",
        "├─ 1: GELU     (1, 32, 8)                                  1.0 kB",
        "├─ 2: Conv1d   (1, 32, 8)         3,104         24,576     1.0 kB",
        "├─ 3: GELU     (1, 32, 8)                                  1.0 kB",
        "├─ 4: Flatten  (1, 256)                                      view",
        "├─ 5: RMSNorm  (1, 256)             256                    1.0 kB",
        "├─ 6: Linear   (1, 64)           16,448         16,384      256 B",
        "├─ 7: GELU     (1, 64)                                      256 B",
        "└─ 8: Linear   (1, 10)              650            640       40 B",
        "─────────────────────────────────────────────────────────────────",
        "parameters               21,258     85.0 kB",
    ]
    assert summary.total_params == sum(p.size for p in net.parameters()) == 21258
    assert summary.total_mult_adds == 32 * 8 * 24 + 32 * 8 * 96 + 256 * 64 + 64 * 10
    assert summary.input_bytes == 256
    assert summary.output_bytes == 5 * 1024 + 2 * 256 + 40
    assert summary.param_bytes == 4 * 21258
    assert summary.total_bytes == 256 + 5672 + 4 * 21258


@pytest.mark.parametrize(
    ("layer", "count"),
    [
        (lambda: nn.Linear(10, 5), 55),
        (lambda: nn.Linear(256, 512), 131_584),
        (lambda: nn.Sequential(nn.Linear(100, 50), nn.Linear(50, 25), nn.Linear(25, 10)), 6585),
        (lambda: nn.Embedding(5000, 256), 1_280_000),
    ],
)
def test_parameter_counts_of_the_book(layer, count):
    assert fp.summary(layer()).total_params == count
    assert f"{count:,}" in str(fp.summary(layer()))


@pytest.mark.parametrize(
    ("layer", "shape", "products"),
    [
        (lambda: nn.Linear(7, 3), (2, 5, 7), 2 * 5 * 3 * 7),
        (lambda: nn.Linear(7, 3, bias=False), (7,), 3 * 7),
        (lambda: nn.Conv1d(4, 6, 3, stride=2, padding=1), (2, 4, 9), 2 * 6 * 5 * 4 * 3),
        (lambda: nn.Conv1d(4, 6, 3, groups=2), (4, 9), 6 * 7 * 2 * 3),
        (lambda: nn.SwiGLU(8, 64), (5, 8), 5 * 3 * 8 * 64),
        (lambda: nn.GELU(), (5, 8), 0),
        (lambda: nn.LayerNorm(8), (5, 8), 0),
    ],
)
def test_multiply_adds(layer, shape, products):
    assert fp.summary(layer(), shape).total_mult_adds == products


def test_multiply_adds_of_attention():
    """Four projections; with the feed-forward block of a transformer."""
    attention = nn.MultiheadAttention(8, 2, batch_first=True)
    x = np.zeros((3, 5, 8), np.float32)
    assert fp.summary(attention, (x, x, x)).total_mult_adds == 3 * 5 * 4 * 8 * 8
    layer = nn.TransformerEncoderLayer(8, 2, 16, batch_first=True)
    assert fp.summary(layer, x).total_mult_adds == 3 * 5 * (4 * 8 * 8 + 2 * 8 * 16)


def test_a_subclass_of_linear_counts_and_a_namesake_does_not():
    class Mine(nn.Linear):
        pass

    class Linear(nn.Module):
        def __init__(self):
            super().__init__()
            self.weight = nn.Parameter(np.ones((3, 3), np.float32))

        def forward(self, x):
            return x + 1

    assert fp.summary(Mine(3, 3), (1, 3)).total_mult_adds == 9
    assert fp.summary(Linear(), (1, 3)).total_mult_adds == 0


class Tied(nn.Module):
    """An embedding whose table is the head's weight too, and a part that is not used."""

    def __init__(self):
        super().__init__()
        self.emb = nn.Embedding(11, 4)
        self.blocks = nn.Sequential(nn.Linear(4, 4), nn.ReLU())
        self.drop = nn.Dropout()
        self.head = nn.Linear(4, 11, bias=False)
        self.head.register_parameter("weight", self.emb._parameters["weight"])
        self.unused = nn.Sequential(nn.Linear(3, 2))
        self.register_buffer("steps", np.zeros(3, np.int64))

    def forward(self, ids):
        x = self.drop(self.blocks(self.emb(ids)))
        return self.head(self.blocks(x) + x)


def test_shared_again_unused():
    net = Tied()
    summary = fp.summary(net, (2, 3), dtype=np.int64)
    assert summary.total_params == 44 + 20 + 8
    assert sum(r.parameters for r in summary.rows) == summary.total_params
    assert row(summary, "head").note == "shared"
    assert row(summary, "drop").note == "view"
    assert row(summary, "unused.0")[-1] == "not called"
    assert row(summary, "unused.0").parameters == 8
    assert [r.note for r in summary.rows if r.path == "blocks.0"] == ["", "again"]
    assert summary.total_mult_adds == 6 * (2 * 16 + 44)
    assert summary.buffer_bytes == 24
    assert summary.input_shapes == "(2, 3) int64"
    assert "buffers" in str(summary)
    assert str(fp.summary(net)).count("\n") < str(summary).count("\n")


def test_results_outside_layers_are_counted():
    class Residual(nn.Module):
        def __init__(self):
            super().__init__()
            self.fc = nn.Linear(4, 4)

        def forward(self, x):
            return self.fc(x) + x

    summary = fp.summary(Residual(), (2, 4))
    assert [r.output_bytes for r in summary.rows] == [32, 32]


def test_depth_adds_up_what_is_inside():
    net = nn.Sequential(nn.Sequential(nn.Linear(3, 3), nn.ReLU()), nn.Linear(3, 2))
    full, short = fp.summary(net, (1, 3)), fp.summary(net, (1, 3), depth=1)
    assert [r.path for r in short.rows] == ["", "0", "1"]
    assert short.rows[1][5:8] == (12, 9, 24)
    assert short.total_mult_adds == full.total_mult_adds
    assert short.output_bytes == full.output_bytes
    assert [r.path for r in fp.summary(net, depth=0).rows] == [""]


def test_modules_in_lists_have_a_line_for_the_list():
    class Stack(nn.Module):
        def __init__(self):
            super().__init__()
            self.layers = nn.ModuleList([nn.Linear(3, 3), nn.Linear(3, 3)])

        def forward(self, x):
            for layer in self.layers:
                x = F.relu(layer(x))
            return x

    lines = str(fp.summary(Stack(), (1, 3))).splitlines()
    assert [line.split("  (")[0].rstrip() for line in lines[3:7]] == [
        "Stack",
        "└─ layers: ModuleList",
        "   ├─ 0: Linear",
        "   └─ 1: Linear",
    ]


def test_kinds_of_input():
    class Add(nn.Module):
        def forward(self, a, b):
            return a + b

    x = np.ones((2, 3), np.float32)
    for given in ((x, x), [x, x], {"a": x, "b": x}, ((2, 3), (2, 3)), {"a": (2, 3), "b": x}):
        summary = fp.summary(Add(), given)
        assert summary.rows[0].output == "(2, 3)"
        assert summary.input_bytes == 48
    assert fp.summary(nn.ReLU(), x).rows[0].output == "(2, 3)"
    assert fp.summary(nn.ReLU(), (np.int64(2), 3)).rows[0].output == "(2, 3)"
    assert fp.summary(nn.ReLU(), x[:0]).output_bytes == 0
    with pytest.raises(ValueError, match="Linear"):
        fp.summary(nn.Linear(4, 2), x)


def test_large_numbers_stay_aligned():
    net = nn.Sequential(nn.Embedding(1000, 2000), nn.ReLU())
    lines = str(fp.summary(net, (3,), dtype=np.int64)).splitlines()
    assert "2,000,000" in lines[4]
    assert lines[4].endswith("24.0 kB")
    assert {len(line) for line in lines[:3]} == {len(lines[0])}
    assert len(lines[4]) == len(lines[5]) == len(lines[0])


def test_text_is_also_the_repr():
    summary = fp.summary(nn.ReLU())
    assert repr(summary) == str(summary)
    assert "multiply-adds" not in str(summary)
