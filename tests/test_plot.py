"""The pictures of trace().plot and plot.filters."""

from __future__ import annotations

import subprocess
import sys

import numpy as np
import pytest

import forwardpass as fp
from forwardpass import demo, nn
from forwardpass.view import plot


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


class Call(nn.Module):
    """Runs a function."""

    def __init__(self, function):
        super().__init__()
        self.function = function

    def forward(self, *args, **kwargs):
        return self.function(*args, **kwargs)


@pytest.fixture
def agg():
    return pytest.importorskip("matplotlib")


def drawn(path):
    from matplotlib.image import imread

    picture = imread(path)
    assert picture.shape[0] > 200
    assert picture.shape[1] > 200
    assert len(np.unique(picture.reshape(-1, picture.shape[2]), axis=0)) > 20
    return picture


def titles(figure):
    return [axes.get_title(loc="left") for axes in figure.axes if axes.get_title(loc="left")]


def test_plot_of_the_digits_network(agg, tmp_path):
    net, digits = demo.load()
    trace = fp.trace(net, demo.pixels(digits.images[:2]))
    figure = trace.plot(tmp_path / "flow.png", item=1)
    drawn(tmp_path / "flow.png")
    assert titles(figure) == ["input"] + [
        f"{i + 1}. ({i}) {type(layer).__name__}" for i, layer in enumerate(net)
    ]
    first = figure.axes[0].images[0].get_array()
    assert np.array_equal(first, trace.input[1])
    bars = [bar.get_height() for bar in figure.axes[-1].patches]
    assert bars == trace.output[1].tolist()
    trace.plot(tmp_path / "flow.svg")
    assert (tmp_path / "flow.svg").read_text().lstrip().startswith("<?xml")


def test_plot_leaves_the_users_matplotlib_alone(agg, tmp_path):
    """In a process of its own: no pyplot, no chosen backend, no open figure."""
    script = (
        "import sys, matplotlib, numpy as np, forwardpass as fp\n"
        "trace = fp.trace(fp.nn.Linear(3, 2), np.ones((1, 3), np.float32))\n"
        "settings = lambda: dict(dict.items(matplotlib.rcParams))  # looks up no backend\n"
        "before = settings()\n"
        f"trace.plot({str(tmp_path / 'a.png')!r})\n"
        "assert 'matplotlib.pyplot' not in sys.modules\n"
        "assert settings() == before\n"
        "import gc, weakref\n"
        "figure = weakref.ref(trace.plot())\n"
        "gc.collect()\n"
        "assert figure() is None\n"
    )
    done = subprocess.run(
        [sys.executable, "-c", script], capture_output=True, text=True, timeout=120
    )
    assert done.returncode == 0, done.stderr


def test_plot_of_blocks_and_tokens(agg, tmp_path):
    net = nn.Sequential(nn.Embedding(9, 4), Block(4), nn.Dropout())
    figure = fp.trace(net, np.arange(6).reshape(2, 3)).plot(tmp_path / "x.png")
    drawn(tmp_path / "x.png")
    assert titles(figure)[0] == "input"
    assert "result of (1) Block" in titles(figure)
    assert len(titles(figure)) == 1 + 6 + 1
    assert figure.axes[1].images[0].get_array().shape == (3, 4)
    chosen = fp.trace(net, np.arange(3)[None]).plot(layers=["1.act", 1, "1"])
    assert titles(chosen) == ["4. (1.act) GELU", "1. (0) Embedding", "result of (1) Block"]


def test_plot_of_feature_maps(agg, tmp_path):
    net = Call(lambda x: np.concatenate([x, -x, 2 * x], 1))
    figure = fp.trace(net, array(2, 2, 5, 7)).plot(tmp_path / "x.png")
    drawn(tmp_path / "x.png")
    assert "6 maps of 5 x 7" in figure.axes[1].get_xlabel()
    sheet = figure.axes[1].images[0].get_array()
    assert sheet.count() == 6 * 5 * 7


def test_plot_of_odd_values(agg, tmp_path):
    shapes = [(1, 0), (1,), (1, 1, 5000), (1, 3000, 3), (1, 100, 3, 3), (1, 2, 3, 4, 5), (1, 70)]
    for value in (
        *(array(*shape) for shape in shapes),
        np.full((1, 4), np.nan, np.float32),
        np.array([[[1, np.inf], [np.nan, -1]]], np.float32),
        np.zeros((1, 3, 3), np.float32),
        np.array([[True, False]]),
        np.ones((1, 3), np.complex64),
        np.full((1, 2, 2), 3e38, np.float32),
        (array(1, 2), array(1, 3)),
        None,
    ):
        fp.trace(Call(lambda x, value=value: value), array(1, 2)).plot(tmp_path / "x.png")
        assert (tmp_path / "x.png").stat().st_size > 0


def test_more_layers_than_a_picture_holds(agg):
    net = nn.Sequential(*(nn.Identity() for _ in range(80)))
    figure = fp.trace(net, array(1, 2)).plot()
    assert len(titles(figure)) == 60
    assert any("21 more layers" in text.get_text() for text in figure.texts)


def test_batch_or_not(agg):
    conv = nn.Conv1d(8, 8, 3, padding=1)
    assert fp.trace(conv, array(8, 9)).plot().axes[1].images[0].get_array().shape == (8, 9)
    assert fp.trace(conv, array(1, 8, 9)).plot().axes[1].images[0].get_array().shape == (8, 9)
    trace = fp.trace(nn.Linear(4, 4), array(5, 4))
    assert "4 values" in trace.plot().axes[0].get_xlabel()
    assert "5 rows x 4 columns" in trace.plot(batched=False).axes[0].get_xlabel()
    with pytest.raises(IndexError, match="item 5 is not in a batch of 5"):
        trace.plot(item=5)


def test_filters(agg, tmp_path):
    conv = nn.Conv1d(2, 12, 5)
    figure = plot.filters(conv, tmp_path / "conv.png")
    drawn(tmp_path / "conv.png")
    assert figure.axes[0].images[0].get_array().count() == 12 * 2 * 5
    linear = nn.Linear(6, 4)
    figure = plot.filters(linear)
    assert np.array_equal(figure.axes[0].images[0].get_array(), linear.weight)
    sheet = plot.filters(linear, shape=(2, 3)).axes[0].images[0].get_array()
    assert np.array_equal(sheet[1:3, 1:4], linear.weight[0].reshape(2, 3))
    for shape in [
        (6, 1, 3, 3),
        (6, 3, 5, 5),
        (100, 64, 3, 3),
        (70, 1, 3),
        (2, 2, 2, 2, 2),
        (0, 3, 3),
    ]:
        layer = nn.Module()
        layer.weight = nn.Parameter(np.ones(shape, np.float32))
        plot.filters(layer, tmp_path / "x.png")


def test_filters_of_the_wrong_thing(agg):
    with pytest.raises(TypeError, match="ReLU has no weight"):
        plot.filters(nn.ReLU())
    with pytest.raises(TypeError, match=r"layer must be an nn\.Module"):
        plot.filters(np.ones(3))
    with pytest.raises(ValueError, match=r"weight of shape \(4,\) has no filters"):
        plot.filters(nn.RMSNorm(4))
    with pytest.raises(ValueError, match=r"shape \(2, 2\) does not hold the 6 weights"):
        plot.filters(nn.Linear(6, 4), shape=(2, 2))


@pytest.mark.parametrize("code", ["trace.plot('x.png')", "plot.filters(net, 'x.png')"])
def test_without_matplotlib(code):
    script = (
        "import sys; sys.modules['matplotlib'] = None\n"
        "import forwardpass as fp, numpy as np\n"
        "from forwardpass.view import plot\n"
        "net = fp.nn.Linear(3, 2)\n"
        "trace = fp.trace(net, np.ones((1, 3), np.float32))\n"
        f"try: {code}\n"
        "except ImportError as error: print(error)\n"
    )
    done = subprocess.run([sys.executable, "-c", script], capture_output=True, text=True)
    assert done.stdout == (
        "plots need matplotlib, which is not installed: pip install 'forwardpass[plot]'\n"
    ), done.stderr
