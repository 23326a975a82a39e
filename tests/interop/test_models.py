"""Model files written for torch run here with nothing but their import lines changed."""

from __future__ import annotations

import types
from pathlib import Path

import numpy as np
import pytest

from forwardpass import nn

torch = pytest.importorskip("torch")

MODELS = Path(__file__).parent / "models"

# What to write for each import line; docs/migration.md says the same.
OURS = {
    "import torch.nn as nn": "import forwardpass.nn as nn",
    "import torch.nn.functional as F": "import forwardpass.nn.functional as F",
    "from torch import Tensor, nn": (
        "from numpy import ndarray as Tensor; from forwardpass import nn"
    ),
    "from torch.nn import Conv1d": "from forwardpass.nn import Conv1d",
    "from torch.nn.utils.parametrizations import weight_norm": (
        "from forwardpass.nn.utils import weight_norm"
    ),
}
OLD_WEIGHT_NORM = {
    "from torch.nn.utils.parametrizations import weight_norm": (
        "from torch.nn.utils import weight_norm"
    )
}


def module(name, lines):
    """The file models/NAME.py as a module, with `lines` replaced."""
    text = [lines.get(line, line) for line in (MODELS / f"{name}.py").read_text().splitlines()]
    found = types.ModuleType(name)
    exec(compile("\n".join(text), f"{name}.py", "exec"), found.__dict__)
    return found


def tokens(seed=0):
    return np.random.default_rng(seed).integers(1, 40, (3, 12))


def mels(seed=0):
    rng = np.random.default_rng(seed)
    shapes = ((2, 10, 50), (2, 1))
    return tuple(rng.standard_normal(shape, dtype=np.float32) for shape in shapes)


# File, class, constructor's arguments, inputs, lines changed for torch.
CASES = {
    "text classifier": ("text_classifier", "TextClassifier", {}, (tokens(),), {}),
    "vocoder": ("vocoder", "Vocoder", {}, mels(), {}),
    "vocoder, old weight_norm": ("vocoder", "Vocoder", {}, mels(), OLD_WEIGHT_NORM),
    "llama": ("llama_mlp", "LlamaMLP", {}, (tokens(),), {}),
    "llama, untied, narrow": (
        "llama_mlp",
        "LlamaMLP",
        {"tied": False, "hidden": 20},
        (tokens(),),
        {},
    ),
}


@pytest.fixture(params=CASES)
def both(request):
    """(ours with torch's weights, torch's, inputs)."""
    file, name, arguments, inputs, lines = CASES[request.param]
    torch.manual_seed(1)
    theirs = getattr(module(file, lines), name)(**arguments).eval()
    mine = getattr(module(file, OURS), name)(**arguments).eval()
    with torch.no_grad():
        for parameter in theirs.parameters():  # biases and norms are not left at 0 and 1
            parameter += 0.1 * torch.randn(parameter.shape)
    assert str(mine.load_state_dict(theirs.state_dict())) == "<All keys matched successfully>"
    return mine, theirs, inputs


pytestmark = pytest.mark.filterwarnings("ignore:`torch.nn.utils.weight_norm`:FutureWarning")


def outputs(result):
    return result if isinstance(result, tuple) else (result,)


def test_outputs_are_torchs(both):
    mine, theirs, inputs = both
    with torch.no_grad():
        expected = outputs(theirs(*map(torch.from_numpy, inputs)))
    found = outputs(mine(*inputs))
    assert len(found) == len(expected)
    for a, b in zip(found, expected, strict=True):
        assert (a.dtype, a.shape) == (np.float32, tuple(b.shape))
        np.testing.assert_allclose(a, b.numpy(), rtol=2e-5, atol=2e-5)
        assert abs(a).max() > 0.01


def test_only_the_imports_differ(both):
    """No torch in what runs, and each import line of torch is one of those above."""
    mine, _, _ = both
    for path in MODELS.glob("*.py"):
        imports = [line for line in path.read_text().splitlines() if "import" in line.split()]
        assert {line for line in imports if "torch" in line} <= set(OURS)
    assert isinstance(mine, nn.Module)
    for module in mine.modules():
        assert not any("torch" in kind.__module__ for kind in type(module).__mro__)


def test_names_and_text_are_torchs(both):
    mine, theirs, _ = both
    if any(hasattr(module, "parametrizations") for module in theirs.modules()) or any(
        name.endswith("_g") for name in theirs.state_dict()
    ):
        return  # torch's weight_norm changes the tree and the keys; ours does not
    assert repr(mine) == repr(theirs)
    assert list(mine.state_dict()) == list(theirs.state_dict())
    assert [n for n, _ in mine.named_modules()] == [n for n, _ in theirs.named_modules()]
    # a.weight = b.weight copies the values here, where in torch it makes one parameter of two.
    expected = [name for name, _ in theirs.named_parameters(remove_duplicate=False)]
    assert [name for name, _ in mine.named_parameters(remove_duplicate=False)] == expected
    theirs.load_state_dict(
        {key: torch.from_numpy(value.copy()) for key, value in mine.state_dict().items()}
    )


def test_prefixed_checkpoints_are_recognised(both):
    mine, theirs, inputs = both
    before = [array.tobytes() for array in outputs(mine(*inputs))]
    wrapped = {f"_orig_mod.{key}": value for key, value in theirs.state_dict().items()}
    with pytest.raises(RuntimeError) as caught:
        mine.load_state_dict(wrapped)
    assert str(caught.value).split("\n\t")[-1] == (
        "Hint: the keys match without '_orig_mod.': "
        "{k.removeprefix('_orig_mod.'): v for k, v in state_dict.items()}"
    )
    assert [array.tobytes() for array in outputs(mine(*inputs))] == before


def test_swiglu_takes_the_place_of_the_block_written_out():
    file, name, arguments, inputs, _ = CASES["llama"]
    mine = getattr(module(file, OURS), name)(**arguments)
    expected = [array.tobytes() for array in mine(*inputs)]
    state = mine.state_dict()
    for layer in mine.model.layers:
        layer.mlp = nn.SwiGLU(24, 64)
    mine.load_state_dict(state)
    assert [array.tobytes() for array in mine(*inputs)] == expected
