"""examples/chapter: each script runs without a warning, and prints the numbers that it should."""

from __future__ import annotations

import functools
import importlib.util
import math
import re
import subprocess
import sys
from pathlib import Path

import numpy as np
import pytest

from forwardpass.io.safetensors import load_file, load_metadata

FOLDER = Path(__file__).resolve().parents[1] / "examples" / "chapter"
SCRIPTS = sorted(path.stem for path in FOLDER.glob("[0-9]*.py"))


@functools.cache
def output(name: str, *arguments: str) -> str:
    """What a script prints."""
    done = subprocess.run(
        [sys.executable, "-W", "error", "-X", "utf8", str(FOLDER / f"{name}.py"), *arguments],
        capture_output=True,
        encoding="utf-8",
        timeout=120,
    )
    assert (done.returncode, done.stderr) == (0, "")
    return done.stdout


def numbers(text: str) -> list[float]:
    return [float(n.replace(",", "")) for n in re.findall(r"-?\d[\d,]*(?:\.\d+)?", text)]


def line(text: str, start: str) -> str:
    """The only line that starts so, blanks aside."""
    (found,) = (row for row in text.splitlines() if row.strip().startswith(start))
    return found.strip().removeprefix(start)


def script(name: str, monkeypatch: pytest.MonkeyPatch):
    """The module, to look at what it computes."""
    monkeypatch.syspath_prepend(str(FOLDER))
    spec = importlib.util.spec_from_file_location(f"chapter_{name}", FOLDER / f"{name}.py")
    module = importlib.util.module_from_spec(spec)
    spec.loader.exec_module(module)
    return module


def test_all_scripts_are_here_and_short():
    assert [int(name[:2]) for name in SCRIPTS] == list(range(1, len(SCRIPTS) + 1))
    assert len(SCRIPTS) == 8
    index = (FOLDER / "README.md").read_text(encoding="utf-8")
    for name in SCRIPTS:
        source = (FOLDER / f"{name}.py").read_text(encoding="utf-8")
        assert source.count("\n") < 120
        assert f"{name}.py" in source.split('"""')[1]  # the docstring says how to run it
        assert name in index


@pytest.mark.parametrize("name", SCRIPTS)
def test_fits_a_terminal(name):
    assert max(map(len, output(name).splitlines())) <= 100


@pytest.mark.parametrize("name", SCRIPTS)
def test_plots(name, tmp_path):
    pytest.importorskip("matplotlib")
    picture = tmp_path / "out.png"
    assert str(picture) in output(name, "--plot", str(picture))
    data = picture.read_bytes()
    assert data[:8] == b"\x89PNG\r\n\x1a\n"
    width, height = (int.from_bytes(data[i : i + 4], "big") for i in (16, 20))
    assert width >= 600
    assert height >= 200
    assert len(data) > 10_000  # not an empty frame


def test_neuron():
    text = output("01_neuron")
    assert numbers(line(text, "z, their sum")) == [4.0]
    assert numbers(line(text, "sigmoid(z)")) == [0.982]
    assert "98.2 % sure" in text
    for message, p in (("[0, 0, 0]", 0.047), ("[2, 1, 0]", 0.5), ("[0, 1, 2]", 0.881)):
        assert numbers(line(text, message)) == [p]
    assert "same bits as among four: True" in text


def test_activations():
    text = output("02_activations")
    x = numbers(re.search(r"^  x .*$", text, re.M)[0])
    want = {
        "ReLU": lambda v: max(v, 0),
        "LeakyReLU": lambda v: max(v, 0.1 * v),
        "GELU": lambda v: v * 0.5 * math.erfc(-v / math.sqrt(2)),
        "SiLU": lambda v: v / (1 + math.exp(-v)),
        "Sigmoid": lambda v: 1 / (1 + math.exp(-v)),
        "Tanh": math.tanh,
    }
    assert len(x) == 9
    for name, function in want.items():
        row = re.search(rf"^  {name} +(-?\d.*)$", text, re.M)[1]
        assert numbers(row) == pytest.approx([function(v) for v in x], abs=5.1e-4)
    assert numbers(line(text, "GELU dips")) == [-0.170, -0.75]
    assert numbers(line(text, "SiLU dips")) == [-0.278, -1.28]
    assert numbers(line(text, "shares")) == [0.659, 0.242, 0.099]
    rounding = numbers(line(text, "without an activation between"))[0]
    assert rounding < 1e-5 < numbers(line(text, "with ReLU between"))[0]


def test_forward_pass():
    text = output("03_forward_pass")
    sums = [numbers(row)[-1] for row in text.splitlines() if row.startswith("  neuron")]
    assert sums == [2, -0.75, 0.5, 0.5, 2.5, 0]
    assert "shares 0.924 and 0.076" in text
    for shape in ("(1, 3)", "(1, 4)", "(1, 2)"):
        assert shape in text
    assert numbers(line(text, "By hand and by network differ by at most"))[0] < 10
    assert re.search(r"differ by at most (\d)e-0[789]\.|differ by at most 0", text)
    assert "the bits are the same: True" in text


def test_parameters():
    text = output("04_parameters")
    counts = {
        "Linear(10, 5)": 55,
        "Linear(256, 512)": 131_584,
        "100 -> 50 -> 25 -> 10": 6_585,
        "Embedding(5000, 256)": 1_280_000,
    }
    for title, count in counts.items():
        assert numbers(line(text, title))[-2:] == [count, pytest.approx(count / 256, abs=0.06)]
    names = numbers(
        "\n".join(line(text, f"{i}.{w}") for i in (0, 2, 4) for w in ("weight", "bias"))
    )
    assert sum(names[i] for i in (2, 4, 7, 9, 12, 14)) == 6_585


def test_normalisation():
    text = output("05_normalisation")
    rms, layer = [-0.8720, 0.4360, 1.7441, 0.0872], [-1.3027, 0.0930, 1.4888, -0.2791]
    assert "rms 114.6734" in text
    assert numbers(line(text, "row / rms")) == rms
    for what in ("(4)", "(row * 1000)"):
        assert numbers(line(text, f"RMSNorm{what}").split("[")[1]) == rms
        assert numbers(line(text, f"LayerNorm{what}").split("[")[1]) == layer
    assert numbers(line(text, "RMSNorm(row + 1000)").split("[")[1]) != rms
    assert numbers(line(text, "LayerNorm(row + 1000)").split("[")[1]) == layer
    grown, calm = (numbers(line(text, s)) for s in ("without a norm", "RMSNorm first"))
    assert grown[-1] > 1e5
    assert max(calm) < 10


def test_depth_and_width():
    text = output("06_depth_width")
    rows = [numbers(row) for row in text.splitlines() if re.match(r" +\d+ +[\d,]+ +[\d,]+ ", row)]
    assert [row[:2] for row in rows] == [[1, 1333], [2, 280], [4, 170], [8, 114], [16, 79]]
    for depth, width, parameters, multiply_adds, alone, many in rows:
        weights = 64 * width + (depth - 1) * width**2 + width * 10
        assert (parameters, multiply_adds) == (weights + depth * width + 10, weights)
        assert abs(parameters - 100_000) <= 1000
        assert min(alone, many) > 0


def test_edges(monkeypatch):
    """The two layers are the Sobel filters, and what the text shows is what they say."""
    module = script("07_edges", monkeypatch)
    picture = load_file(module.PICTURE)["picture"].astype(np.float32) / np.float32(255)
    assert picture.shape == (242, 202)
    maps = module.Sobel()(picture)
    exact = picture.astype(np.float64)
    smooth, difference = np.array(module.SMOOTH), np.array(module.DIFFERENCE)
    for got, kernel in zip(
        maps, (np.outer(smooth, difference), np.outer(difference, smooth)), strict=True
    ):
        want = sum(
            kernel[i, j] * exact[i : i + 240, j : j + 200] for i in range(3) for j in range(3)
        )
        assert np.abs(got - want).max() < 1e-6
    text = output("07_edges")
    said = re.findall(r"add up to (-?[\d.]+); the layers say (-?[\d.]+)", text)
    assert said == [("-0.860", "-0.860"), ("0.854", "0.854")]
    assert numbers(line(text, "largest of 4 x 4"))[:2] == [60, 50]
    drawing = text.split("for the terminal\n")[1].splitlines()
    assert len(drawing) == 30
    assert sum(row.count("#") for row in drawing) > 100


def test_edges_of_a_picture_of_a_square(monkeypatch):
    """A bright square: its sides answer to one filter each, its middle to none."""
    module = script("07_edges", monkeypatch)
    picture = np.zeros((20, 20), np.float32)
    picture[6:14, 6:14] = 1
    vertical, horizontal = module.Sobel()(picture)
    assert (vertical[8, 4:6] == 1).all()  # left: darker to brighter
    assert (vertical[8, 12:14] == -1).all()
    assert (horizontal[4:6, 8] == 1).all()
    assert (horizontal[12:14, 8] == -1).all()
    assert not vertical[7:11, 7:11].any()
    assert not horizontal[7:11, 7:11].any()
    assert not vertical[4:6, 8].any()


def test_the_picture_is_small_and_attributed():
    path = FOLDER / "pagoda.safetensors"
    assert path.stat().st_size < 60_000
    notice = (FOLDER / "README.md").read_text(encoding="utf-8")
    for text in (notice, " ".join(load_metadata(path).values())):
        for needed in ("danielbuechele", "6061409035", "CC BY 2.0", "crop"):
            assert needed in text


def test_folding(monkeypatch):
    text = output("08_folding")
    rows = re.findall(r"^ +(\d+) +(\d+) +(\d+)   (\d+) neurons: up to (\d+) pieces$", text, re.M)
    assert [tuple(map(int, row)) for row in rows] == [
        (depth, 7 * depth, 2**depth, (7 * depth - 1) // 3, (7 * depth - 1) // 3 + 1)
        for depth in (1, 2, 3, 5, 8)
    ]
    assert "2 - 2 * x = 0.4" in text
    module = script("08_folding", monkeypatch)
    assert module.pieces(module.zigzag(8)) == 8
