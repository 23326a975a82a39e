"""`forwardpass convert`: a torch checkpoint's tensors in safetensors, weights only."""

from __future__ import annotations

import os
import sys

import numpy as np
import pytest

import forwardpass
from forwardpass import cli

torch = pytest.importorskip("torch")
nn = torch.nn

pytestmark = pytest.mark.filterwarnings("ignore")


def state():
    torch.manual_seed(0)
    net = nn.Sequential(nn.Linear(3, 4), nn.BatchNorm1d(4))
    return net.state_dict() | {"half": torch.randn(2, 3).half(), "turned": torch.randn(3, 2).T}


@pytest.fixture
def out(tmp_path):
    return tmp_path / "out.safetensors"


@pytest.mark.parametrize("legacy", [False, True])
@pytest.mark.parametrize("wrap", [None, "state_dict", "weights"])
def test_a_state_dict(tmp_path, out, capsys, legacy, wrap):
    path = tmp_path / "model.pt"
    content = state() if wrap is None else {wrap: state(), "epoch": 3}
    torch.save(content, path, _use_new_zipfile_serialization=not legacy)
    more = ["--key", wrap] if wrap == "weights" else []
    assert cli.main(["convert", str(path), str(out), *more]) == 0
    assert "9 tensors" in capsys.readouterr().out
    tensors = forwardpass.load_file(out)
    assert tensors.keys() == state().keys()
    for name, value in state().items():
        np.testing.assert_array_equal(tensors[name], value.float() if name == "half" else value)


def test_bfloat16_becomes_float32(tmp_path, out):
    value = torch.randn(5).bfloat16()
    torch.save({"w": value}, tmp_path / "m.pt")
    assert cli.main(["convert", str(tmp_path / "m.pt"), str(out)]) == 0
    np.testing.assert_array_equal(forwardpass.load_file(out)["w"], value.float().numpy())


class Runs:
    """What a pickle of this would do."""

    def __reduce__(self):
        return os.system, ("touch ran",)


class Net(nn.Module):
    def forward(self, x):
        return x + 1


def exported(path):
    torch.export.save(torch.export.export(Net(), (torch.ones(2),)), path)


def text(path):
    path.write_text("no checkpoint")


@pytest.mark.parametrize(
    ("write", "words"),
    [
        (lambda path: torch.save(Runs(), path), "pickled code"),
        (lambda path: torch.save(nn.Linear(2, 2), path), "pickled code (torch.nn.modules.linear."),
        (lambda path: torch.save({"w": torch.ones(2), "x": 3}, path), "'x': int"),
        (lambda path: torch.save({"a": {"w": torch.ones(2)}}, path), "--key"),
        (lambda path: torch.save([torch.ones(2)], path), "holds a list"),
        (lambda path: torch.jit.save(torch.jit.script(Net()), str(path)), "TorchScript"),
        (exported, "torch.export archive"),
        (text, "no checkpoint that torch can read"),
        (lambda path: path.mkdir(), "is a folder"),
        (lambda path: None, "No such file"),
    ],
)
def test_what_is_refused(tmp_path, out, capsys, monkeypatch, write, words):
    monkeypatch.chdir(tmp_path)
    path = tmp_path / "model.pt2"
    write(path)
    assert cli.main(["convert", str(path), str(out)]) == 1
    assert words in capsys.readouterr().err
    assert not out.exists()
    assert not (tmp_path / "ran").exists()


def test_an_entry_that_is_not_there(tmp_path, out, capsys):
    torch.save({"a": {"w": torch.ones(2)}, "b": 1}, tmp_path / "m.pt")
    assert cli.main(["convert", str(tmp_path / "m.pt"), str(out), "--key", "c"]) == 1
    assert "no entry 'c'; it has a, b" in capsys.readouterr().err


def test_without_torch(tmp_path, out, capsys, monkeypatch):
    monkeypatch.setitem(sys.modules, "torch", None)
    assert cli.main(["convert", str(tmp_path / "m.pt"), str(out)]) == 1
    assert "forwardpass[torch]" in capsys.readouterr().err


def test_what_export_gave_becomes_a_program(tmp_path):
    class Sums(nn.Module):
        def forward(self, x, state, *, scale=None):
            return x + state[0] * scale

    x = torch.randn(3, 2)
    n = torch.export.Dim("n")
    axes = {0: n}
    made = torch.export.export(
        Sums(), (x, (x,)), {"scale": x}, dynamic_shapes={"x": axes, "state": (axes,), "scale": axes}
    )
    torch.export.save(made, tmp_path / "m.pt2")
    program = forwardpass.from_torch(torch.export.load(tmp_path / "m.pt2"))
    for rows in (1, 5):
        y = np.ones((rows, 2), np.float32)
        np.testing.assert_array_equal(program(y, (y,), scale=y), y * 2)
