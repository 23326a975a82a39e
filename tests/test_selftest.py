"""`forwardpass selftest`: right on this machine, and it can fail."""

from __future__ import annotations

import pytest

from forwardpass import _core, bits, cli, selftest
from forwardpass.reference import OPS


def test_every_instruction_set_and_several_numbers_of_threads(capsys):
    assert cli.main(["selftest"]) == 0
    head, *lines = capsys.readouterr().out.splitlines()
    assert head.startswith(f"numerics version {_core.numerics_version}: {len(OPS)} operators")
    assert len(lines) == len(_core.available_isas()) + len(selftest.THREADS) - 1
    for isa, line in zip(_core.available_isas(), lines, strict=False):
        assert line.startswith(f"  {isa}, 1 thread ")
        assert "the committed bits" in line
    assert lines[-1].startswith(f"  {_core.available_isas()[0]}, 8 threads ")


def quick(monkeypatch, wrong):
    """Digests of three cases, those in `wrong` (instruction set, case) being other ones."""
    table = {"linear/odd": "a", "gelu/none": "b", "tanh": "c"}
    monkeypatch.setattr(bits, "committed", lambda: {"numerics_version": 1, "cases": table})

    def digests(isa=None, op=None):
        return {case: "x" if (isa, case) in wrong else value for case, value in table.items()}

    monkeypatch.setattr(bits, "digests", digests)


def test_a_wrong_bit_names_the_first_operator(monkeypatch, capsys):
    isa = _core.available_isas()[-1]
    quick(monkeypatch, {(isa, "gelu/none"), (isa, "tanh")})
    assert selftest.run() == 1
    out = capsys.readouterr().out
    line = next(text for text in out.splitlines() if text.startswith(f"  {isa}, 1 thread "))
    assert "OTHER BITS, first in gelu " in line
    assert "2 cases differ: gelu/none, tanh" in out
    assert out.count("OTHER BITS") == (1 if len(_core.available_isas()) > 1 else 3)
    assert "Please report this" in out


def test_all_right_is_status_0(monkeypatch, capsys):
    quick(monkeypatch, set())
    assert selftest.run() == 0
    assert "OTHER" not in capsys.readouterr().out


def test_a_table_of_another_version(monkeypatch, capsys):
    monkeypatch.setattr(bits, "committed", lambda: {"numerics_version": 0, "cases": {}})
    assert selftest.run() == 1
    assert "broken installation" in capsys.readouterr().out


def test_the_thread_count_is_put_back():
    before = _core.get_num_threads()
    selftest.wrong_cases(_core.available_isas()[0], before + 1)
    assert _core.get_num_threads() == before


@pytest.mark.parametrize(("case", "op"), [("tanh", "tanh"), ("linear/fused/gelu", "linear")])
def test_operator_of(case, op):
    assert selftest.operator_of(case) == op
