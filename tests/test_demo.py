"""The digits demo: the shipped network reads the shipped pictures, and NumPy agrees."""

from __future__ import annotations

import hashlib
import math
import re
import subprocess
import sys
from pathlib import Path

import numpy as np
import pytest

import forwardpass
from forwardpass import _core, demo, demo_numpy
from forwardpass.io.safetensors import load_file, load_metadata, save_file

FILES = [demo.DATA, demo.DATA.with_name("DIGITS.md")]


def run_demo(*arguments: str) -> subprocess.CompletedProcess[str]:
    command = [sys.executable, "-W", "error", "-X", "utf8", "-m", "forwardpass", "demo", *arguments]
    return subprocess.run(command, capture_output=True, encoding="utf-8", timeout=120)


def test_reads_at_least_97_percent():
    net, digits = demo.load()
    reading = demo.read(net, demo.pixels(digits.images))
    assert len(digits.labels) == 360
    assert (reading.digit == digits.labels).mean() >= 0.97
    claimed = load_metadata(demo.DATA)["held_out_accuracy"]
    assert claimed == f"{(reading.digit == digits.labels).sum()} of 360"


def test_numpy_agrees():
    net, digits = demo.load()
    x = demo.pixels(digits.images)
    ours, theirs = net(x), demo_numpy.NumpyDigits(digits.state)(x)
    assert np.abs(ours - theirs).max() <= 1e-5 * np.abs(ours).max()
    assert (ours.argmax(1) == theirs.argmax(1)).all()


def test_numpy_gelu_is_the_erf_form():
    x = np.linspace(-9, 9, 20001).astype(np.float32)
    exact = np.array([0.5 * v * math.erfc(-v / math.sqrt(2)) for v in x.tolist()])
    assert (np.abs(demo_numpy.gelu(x) - exact) <= 2e-7 * (1 + np.abs(x))).all()


def test_a_real_network_has_the_same_bits_everywhere():
    """Every instruction set, several thread counts, all pictures at once or one by one."""
    digests = set()
    chosen = _core.isa()
    try:
        for isa in _core.available_isas():
            _core._set_isa(isa)
            net, digits = demo.load()  # anew: a layer packs its weights for one instruction set
            x = demo.pixels(digits.images)
            for threads in (1, 2, 3):
                with forwardpass.threads(threads):
                    whole = net(x)
                    rows = np.concatenate([net(x[i : i + 1]) for i in range(0, len(x), 7)])
                digests.add(hashlib.sha256(whole).hexdigest())
                assert whole[::7].tobytes() == rows.tobytes()
    finally:
        _core._set_isa(chosen)
    assert len(digests) == 1


def test_shipped_files_are_small_and_attributed():
    assert sum(path.stat().st_size for path in FILES) < 150_000
    notice = FILES[1].read_text(encoding="utf-8")
    metadata = load_metadata(demo.DATA)
    for text in (notice, metadata["source"] + metadata["licence"], run_demo("--no-timing").stdout):
        for needed in ("Alpaydin", "Kaynak", "10.24432/C50P49", "CC BY 4.0"):
            assert needed in text


def test_pictures_are_what_the_attribution_says():
    _, digits = demo.load()
    assert digits.images.shape == (360, 8, 8)
    assert digits.images.max() == 16
    assert set(np.bincount(digits.labels)) <= {35, 36, 37}
    assert len({image.tobytes() for image in digits.images}) == 360


def test_demo_shows_everything():
    done = run_demo()
    assert (done.returncode, done.stderr) == (0, "")
    assert re.search(r"Accuracy: \d+ of 360 = (9[789]\.\d|100\.0) %", done.stdout)
    for needed in ("Conv1d(8, 32, 3", "GELU()", "RMSNorm(256)", "Linear(64, 10)", "softmax"):
        assert needed in done.stdout
    assert "the same bits." in done.stdout
    assert len(re.findall(r"\d µs +\d+\.\d+ µs +[\d.]+ ×\n", done.stdout)) == 2
    assert forwardpass.isa() in done.stdout
    assert done.stdout.count("% sure") == 5
    assert max(map(len, done.stdout.splitlines())) <= 80


@pytest.mark.parametrize("images", [0, 1, 9, 1000])
def test_any_number_of_pictures(images):
    done = run_demo("--no-timing", "--images", str(images))
    assert (done.returncode, done.stderr) == (0, "")
    assert done.stdout.count("% sure") == min(images, 360)
    assert "µs" not in done.stdout


def test_a_misread_picture_is_shown(tmp_path, capsys):
    tensors = dict(load_file(demo.DATA))
    labels = tensors["labels"].copy()
    labels[7] = (labels[7] + 1) % 10
    save_file({**tensors, "labels": labels}, tmp_path / "wrong.safetensors")
    assert demo.run(tmp_path / "wrong.safetensors", images=2, timing=False) == 0
    text = capsys.readouterr().out
    assert "one of the 1 that it misreads" in text
    assert f"label {labels[7]}" in text
    assert "Accuracy: 359 of 360 = 99.7 %" in text


def damaged(case: str, path: Path) -> Path:
    tensors = dict(load_file(demo.DATA))
    if case == "truncated":
        path.write_bytes(demo.DATA.read_bytes()[:-1000])
    elif case == "text":
        path.write_text("hello")
    elif case == "no pictures":
        del tensors["images"]
    elif case == "no weight":
        del tensors["6.weight"]
    elif case == "wrong shape":
        tensors["6.weight"] = np.zeros((3, 4), np.float32)
    elif case == "pictures of floats":
        tensors["images"] = tensors["images"].astype(np.float32)
    elif case == "fewer labels":
        tensors["labels"] = tensors["labels"][:7]
    elif case == "label 77":
        tensors["labels"] = tensors["labels"] + np.uint8(77)
    if not path.exists() and case != "missing":
        save_file(tensors, path)
    return path


CASES = "missing,truncated,text,no pictures,no weight,wrong shape,pictures of floats,fewer labels"


@pytest.mark.parametrize("case", [*CASES.split(","), "label 77"])
def test_a_bad_data_file_is_explained(case, tmp_path):
    path = damaged(case, tmp_path / "digits.safetensors")
    with pytest.raises(demo.DataError, match=re.escape(str(path))):
        demo.load(path)


def test_a_bad_data_file_is_no_traceback(tmp_path):
    done = run_demo("--data", str(tmp_path / "nothing here"))
    assert (done.returncode, done.stdout) == (1, "")
    assert "nothing here" in done.stderr
    assert "train.py" in done.stderr
    assert "Traceback" not in done.stderr


def test_the_demo_checks_what_it_claims(monkeypatch, capsys):
    """Answers that differ from NumPy's are told, and give exit status 1."""
    honest = demo_numpy.NumpyDigits.__call__
    monkeypatch.setattr(demo_numpy.NumpyDigits, "__call__", lambda self, x: honest(self, x) + 1)
    assert demo.run(timing=False) == 1
    assert "within 1.0e+00" in capsys.readouterr().out


@pytest.mark.parametrize("executable", ["", "/nowhere/python", "/bin/false"])
def test_without_a_second_interpreter_there_is_no_timing(executable, monkeypatch, capsys):
    monkeypatch.setattr(sys, "executable", executable)
    assert demo.run() == 0
    assert "not measured" in capsys.readouterr().out
