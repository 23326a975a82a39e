"""The recipe in the error about a torch checkpoint converts one, also with tied weights."""

from __future__ import annotations

import re

import numpy as np
import pytest

import forwardpass as fp

torch = pytest.importorskip("torch")
pytest.importorskip("safetensors.torch")


class Tied(torch.nn.Module):
    def __init__(self):
        super().__init__()
        self.table = torch.nn.Embedding(6, 4)
        self.head = torch.nn.Linear(4, 6, bias=False)
        self.head.weight = self.table.weight
        self.register_buffer("turned", torch.arange(6.0).reshape(2, 3).T)


@pytest.mark.parametrize("legacy", [False, True])
def test_the_recipe_works(tmp_path, monkeypatch, legacy):
    import safetensors.torch

    monkeypatch.chdir(tmp_path)
    state = Tied().state_dict()
    torch.save(state, "pytorch_model.bin", _use_new_zipfile_serialization=not legacy)
    with pytest.raises(ValueError, match="torch checkpoint") as error:
        fp.load_folder(tmp_path)
    with pytest.raises(ValueError, match="torch checkpoint"):
        fp.load_file("pytorch_model.bin")
    recipe = re.search(
        r"safetensors\.torch\.save_file\(.*?'model\.safetensors'\)", str(error.value)
    )
    assert recipe
    names = {"torch": torch, "safetensors": safetensors, "path": "pytorch_model.bin"}
    exec(recipe[0], names)
    (tmp_path / "config.json").write_text("{}")
    tensors = fp.load_folder(tmp_path).tensors
    assert tensors.keys() == state.keys()
    for name, value in state.items():
        assert np.array_equal(tensors[name], value.numpy())
