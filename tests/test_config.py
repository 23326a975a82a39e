"""show_config(), for bug reports."""

from __future__ import annotations

import pytest

import forwardpass
from _arrays import run_python
from forwardpass import _core


def test_dicts():
    config = forwardpass.show_config(mode="dicts")
    assert config["forwardpass"] == {
        "version": forwardpass.__version__,
        "numerics version": forwardpass.numerics_version,
    }
    assert config["SIMD"]["in use"] == forwardpass.isa()
    assert config["SIMD"]["runs here"] == list(forwardpass.available_isas())
    assert set(config["SIMD"]["runs here"]) <= set(config["SIMD"]["built"])
    assert config["Build"]["compiler"] == _core.build_info()["compiler"]
    with forwardpass.threads(3):
        threads = forwardpass.show_config(mode="dicts")["Threads"]
    assert (threads["number"], threads["chosen by"]) == (3, "threads(n)")


def test_text_holds_every_entry(capsys):
    """Everything that the dicts have, one line each; nothing is returned."""
    assert forwardpass.show_config() is None
    text = capsys.readouterr().out
    config = forwardpass.show_config(mode="dicts")
    lines = text.splitlines()
    assert len(lines) == len(config) + sum(map(len, config.values()))
    for section, entries in config.items():
        assert f"{section}:" in lines
        for name in entries:
            assert any(line.startswith(f"  {name}: ") and len(line) > 6 for line in lines)


def test_it_follows_the_environment():
    code = "import forwardpass; forwardpass.show_config()"
    text = run_python(code, FORWARDPASS_ISA="scalar", FORWARDPASS_NUM_THREADS="7")
    for line in ("in use: scalar", "chosen by: FORWARDPASS_ISA=scalar", "number: 7"):
        assert f"  {line}\n" in text


@pytest.mark.parametrize("mode", ["", "json", None])
def test_another_mode(mode):
    with pytest.raises(ValueError, match="'stdout' or 'dicts'"):
        forwardpass.show_config(mode)


def test_it_costs_nothing_until_asked_for():
    code = "import sys, forwardpass; print('forwardpass._config' in sys.modules)"
    assert run_python(code) == "False\n"
    assert "show_config" in dir(forwardpass)
    with pytest.raises(AttributeError, match="no attribute 'show_confi'"):
        _ = forwardpass.show_confi
