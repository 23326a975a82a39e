"""Every float32 case of torch's generators gives torch's result, every error input raises."""

from __future__ import annotations

from pathlib import Path

import pytest

pytest.importorskip("torch")
pytest.importorskip("expecttest")

from interop import torch_cases, torch_table


@pytest.mark.parametrize("name", [*torch_cases.FUNCTIONS, *torch_cases.MODULES])
def test_all_cases(name):
    result = torch_cases.counts(name)
    assert result.cases, "no case"
    assert result.complete, f"{result.passed}/{result.cases}, {result.raised}/{result.errors}: " + (
        "\n".join(result.problems[:10])
    )


def test_the_table_lists_all():
    """Its numbers are checked by `python tests/interop/torch_table.py --check`."""
    text = Path(torch_table.TABLE).read_text(encoding="utf-8")
    for name in (*torch_cases.FUNCTIONS, *torch_cases.MODULES):
        assert f"| `{torch_table.label(name)}` |" in text


def test_a_wrong_result_is_seen():
    """The comparison can fail: values, indices, shapes, types, missing errors."""
    torch = torch_cases.torch
    right = torch.tensor([1.0, 100.0, float("nan")])
    assert not torch_cases.difference(right.numpy().copy(), right)
    for index, wrong in ((0, 1.01), (1, 100.01), (2, 0.0)):
        mutant = right.numpy().copy()
        mutant[index] = wrong
        assert torch_cases.difference(mutant, right)
    assert torch_cases.difference(right.numpy()[:2], right)
    assert torch_cases.difference(right.numpy().astype("f8"), right)
    assert torch_cases.difference(torch.tensor([1, 2]).numpy(), torch.tensor([1, 3]))
    assert torch_cases._refusal(lambda: 1) == "did not raise"
    assert "NotImplementedError" in torch_cases._refusal(lambda: exec("raise NotImplementedError"))
