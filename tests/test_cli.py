"""The command line: `python -m forwardpass`."""

from __future__ import annotations

import importlib.metadata
import json
import os
import re
import subprocess
import sys

import numpy as np
import pytest

import forwardpass
from forwardpass import _core, _terminal, cli


def run(*arguments: str, **environment: str) -> subprocess.CompletedProcess[str]:
    command = [sys.executable, "-W", "error", "-m", "forwardpass", *arguments]
    env = {**os.environ, "PYTHONIOENCODING": "utf-8", **environment}
    return subprocess.run(command, capture_output=True, encoding="utf-8", timeout=120, env=env)


def python(code: str) -> subprocess.CompletedProcess[str]:
    command = [sys.executable, "-W", "error", "-c", code]
    return subprocess.run(command, capture_output=True, encoding="utf-8", timeout=120)


def test_info_is_aligned_text():
    done = run("info")
    assert (done.returncode, done.stderr) == (0, "")
    lines = dict(line.split("  ", 1) for line in done.stdout.splitlines())
    assert lines["forwardpass"].strip() == forwardpass.__version__
    assert lines["numpy"].strip() == np.__version__
    assert lines["instruction set"].split()[0] in forwardpass.available_isas()
    assert any(key.startswith("build: ") for key in lines)


def test_info_json():
    done = run("info", "--json", FORWARDPASS_NUM_THREADS="3")
    assert (done.returncode, done.stderr) == (0, "")
    facts = json.loads(done.stdout)
    assert facts["forwardpass"] == forwardpass.__version__
    assert facts["numerics_version"] == forwardpass.numerics_version
    assert facts["available_isas"] == list(forwardpass.available_isas())
    assert facts["isa"] in facts["available_isas"]
    assert facts["threads"] == 3
    assert "FORWARDPASS_NUM_THREADS" in facts["threads_from"]
    assert facts["build"] == _core.build_info()


@pytest.mark.parametrize("isa", _core.available_isas())
def test_info_names_a_forced_instruction_set(isa):
    facts = json.loads(run("info", "--json", FORWARDPASS_ISA=isa).stdout)
    assert (facts["isa"], facts["isa_from"]) == (isa, f"FORWARDPASS_ISA={isa}")


def test_alone_it_prints_help():
    done = run()
    assert (done.returncode, done.stderr) == (0, "")
    assert "usage: forwardpass" in done.stdout
    assert "demo" in done.stdout
    assert "info" in done.stdout


def test_version():
    assert run("--version").stdout == f"forwardpass {forwardpass.__version__}\n"


@pytest.mark.parametrize(
    "arguments",
    [["dmo"], ["demo", "--images", "-1"], ["demo", "--images", "two"], ["info", "--xml"]],
)
def test_bad_usage(arguments):
    done = run(*arguments)
    assert (done.returncode, done.stdout) == (2, "")
    assert "usage: forwardpass" in done.stderr
    assert "error:" in done.stderr
    assert "Traceback" not in done.stderr


@pytest.fixture(scope="module")
def widths():
    return [len(line) for line in run("demo", "--no-timing").stdout.splitlines()]


@pytest.mark.parametrize("encoding", ["ascii", "latin-1", "cp1252"])
def test_poor_encodings_get_ascii(encoding, widths):
    done = run("demo", "--no-timing", PYTHONIOENCODING=encoding)
    assert (done.returncode, done.stderr) == (0, "")
    assert done.stdout.isascii()
    assert "##" in done.stdout
    assert [len(line) for line in done.stdout.splitlines()] == widths


def test_times_in_ascii():
    assert " us " in run("demo", PYTHONIOENCODING="ascii").stdout


@pytest.mark.skipif(os.name != "posix", reason="POSIX pipes")
@pytest.mark.parametrize("arguments", [["demo", "--no-timing"], ["info"], ["--help"], []])
def test_a_closed_pipe_is_quiet(arguments):
    """What `forwardpass demo | head -1` does, made certain: the reader is gone from the start."""
    reader, writer = os.pipe()
    os.close(reader)
    command = [sys.executable, "-m", "forwardpass", *arguments]
    done = subprocess.run(command, stdout=writer, stderr=subprocess.PIPE, timeout=120)
    os.close(writer)
    assert done.stderr == b""
    # Where stdout is unbuffered argparse itself meets the closed pipe, and keeps that to itself.
    assert done.returncode == 141 or (done.returncode == 0 and arguments in (["--help"], []))


@pytest.mark.skipif(not os.path.exists("/dev/full"), reason="needs /dev/full")
def test_a_full_disk_is_one_line():
    command = [sys.executable, "-m", "forwardpass", "info"]
    with open("/dev/full", "w") as full:
        done = subprocess.run(command, stdout=full, stderr=subprocess.PIPE, text=True, timeout=120)
    assert done.returncode == 1
    assert done.stderr.startswith("forwardpass: error:")
    assert done.stderr.count("\n") == 1


def test_an_interrupt_is_quiet(monkeypatch, capsys):
    def interrupted(as_json: bool) -> int:
        raise KeyboardInterrupt

    monkeypatch.setattr("forwardpass.info.run", interrupted)
    assert cli.main(["info"]) == 130
    assert capsys.readouterr() == ("", "")


def test_no_stdout_at_all(monkeypatch):
    monkeypatch.setattr(sys, "stdout", None)  # pythonw on Windows
    assert cli.main(["info"]) == 0


def test_the_command_is_installed():
    try:
        installed = importlib.metadata.distribution("forwardpass")
    except importlib.metadata.PackageNotFoundError:
        pytest.skip("run from the source tree")
    scripts = installed.entry_points.select(group="console_scripts", name="forwardpass")
    assert [script.load() for script in scripts] == [cli.main]


def test_importing_the_package_imports_no_command():
    done = python(
        "import sys, forwardpass\n"
        "for name in ('argparse', 'json', 'forwardpass.cli', 'forwardpass.demo'):\n"
        "    assert name not in sys.modules, name\n"
    )
    assert (done.returncode, done.stderr) == (0, "")


def test_no_command_needs_more_than_numpy():
    done = python(
        "import sys\n"
        "from forwardpass.cli import main\n"
        "assert main(['demo', '--no-timing']) == main(['info']) == 0\n"
        "for name in ('torch', 'scipy', 'sklearn', 'matplotlib', 'safetensors'):\n"
        "    assert name not in sys.modules, name\n"
    )
    assert (done.returncode, done.stderr) == (0, "")


def test_bars_show_every_value():
    assert _terminal.bars([0, 1, 2, 3.5, 7], 0, 7) == "▁▂▃▅█"
    assert _terminal.bars([3, 3], 3, 3) == "▁▁"
    nan, inf = float("nan"), float("inf")
    assert _terminal.bars([nan, 1], 0, 1) == "?█"
    assert _terminal.bars([nan, 1], nan, nan) == "??"
    assert len(_terminal.bars([inf, -inf, 0], -inf, inf)) == 3


def test_blocks_wrap_to_the_width():
    blocks = [["ab", "c"]] * 3
    assert _terminal.beside(blocks, 80) == "  ab  ab  ab\n  c   c   c"
    assert _terminal.beside(blocks, 9) == "  ab  ab\n  c   c\n\n  ab\n  c"
    assert _terminal.beside([], 80) == ""


def test_bench_checks_and_times_every_case(capsys, monkeypatch):
    from forwardpass import bench

    monkeypatch.setitem(sys.modules, "torch", None)  # as where it is not installed
    assert cli.main(["bench", "--seconds", "0.01"]) == 0
    text = capsys.readouterr().out
    assert "torch is not installed" in text
    for case in bench.cases():
        assert re.search(rf"^{case.op} +{case.shape} +[\d.]+", text, re.MULTILINE)
    assert "WRONG" not in text


def test_bench_says_that_a_result_is_wrong(capsys, monkeypatch):
    from forwardpass import bench

    case = bench._rows("tanh", 4, 16)
    case.arguments["input"][0, 0] = np.nan
    monkeypatch.setattr(bench, "cases", lambda: iter([case]))
    monkeypatch.setattr(bench, "_ours", lambda case: ("input * 0", case.arguments))
    monkeypatch.setitem(sys.modules, "torch", None)
    assert cli.main(["bench", "--seconds", "0.01"]) == 1
    assert "WRONG RESULT" in capsys.readouterr().out


@pytest.mark.parametrize("threads", ["0", "-1", "two"])
def test_bench_refuses_a_bad_number_of_threads(capsys, threads):
    with pytest.raises(SystemExit) as stop:
        cli.main(["bench", "--threads", threads])
    assert stop.value.code == 2
    assert "whole number from 1 up" in capsys.readouterr().err
