"""forwardpass.from_torch: the results of torch at several sizes, the same bytes after saving and
loading, in a process without torch, on every instruction set, with any number of threads.
"""

from __future__ import annotations

import importlib.util
import pickle
import warnings

import numpy as np
import pytest

import forwardpass
from _arrays import run_python
from forwardpass import _core
from forwardpass.bits import using

torch = pytest.importorskip("torch")
from interop.programs import MODULES  # noqa: E402

SIZES = ((2, 5), (1, 3), (3, 12))

CASES = list(MODULES)
if importlib.util.find_spec("transformers"):
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")
        from interop.transformers_models import MODELS

    CASES += list(MODELS)


def flat(value):
    if isinstance(value, dict):
        value = list(value.values())
    if isinstance(value, (list, tuple)):
        return [leaf for item in value for leaf in flat(item)]
    return [] if value is None else [value]


def converted(name):
    """The program, the module, and a function of (batch, length) that makes keyword inputs."""
    torch.manual_seed(0)
    if name in MODULES:
        build, make, dynamic = MODULES[name]
        module = build().eval()
        names = list(module.forward.__code__.co_varnames[1 : module.forward.__code__.co_argcount])

        def inputs(batch, length):
            return dict(zip(names, make(batch, length), strict=True))

    else:
        build, inputs, dynamic = MODELS[name]
        module = build().eval()
    example = inputs(2, 7)
    if not isinstance(dynamic, tuple):
        dynamic = (dynamic,) * len(example)
    program = forwardpass.from_torch(module, (), dynamic, example_kwargs=example)
    return program, module, inputs


def near(got, want):
    want = want.numpy()
    assert got.shape == want.shape
    assert got.dtype == want.dtype
    if want.dtype != np.float32:
        np.testing.assert_array_equal(got, want)
        return
    finite = np.isfinite(want)
    np.testing.assert_array_equal(got[~finite], want[~finite])
    scale = np.abs(want[finite]).max(initial=0)
    assert np.abs(got - want)[finite].max(initial=0) <= 1e-5 * scale


def structure(value):
    if isinstance(value, dict):
        return {key: structure(item) for key, item in value.items()}
    if isinstance(value, (list, tuple)):
        return type(value)(structure(item) for item in value)
    return None if value is None else "array"


# Modules that treat the items of a batch one by one, which the first axis of each input is.
ROWS = [name for name in CASES if name != "mixture"]

ELSEWHERE = """
import pickle, sys
sys.modules["torch"] = None  # import torch fails
import forwardpass
program = forwardpass.load(sys.argv[1])
with open(sys.argv[2], "rb") as file:
    calls = pickle.load(file)
def flat(value):
    if isinstance(value, dict): value = list(value.values())
    if isinstance(value, (list, tuple)): return [x for item in value for x in flat(item)]
    return [] if value is None else [value]
for inputs, want in calls:
    assert [x.tobytes() for x in flat(program(**inputs))] == want
"""


@pytest.mark.filterwarnings("ignore")
@pytest.mark.parametrize("name", CASES)
def test_gives_the_modules_result_and_the_same_bytes_anywhere(name, tmp_path):
    program, module, make = converted(name)
    path, calls = tmp_path / "program.safetensors", []
    program.save(path)
    for size in SIZES:
        inputs = make(*size)
        with torch.no_grad():
            want = module(**inputs)
        arrays = {key: value.numpy() for key, value in inputs.items()}
        got = program(**arrays)
        if type(want) in (dict, tuple, list):
            assert structure(got) == structure(want)
        assert len(flat(got)) == len(flat(want))
        for mine, theirs in zip(flat(got), flat(want), strict=True):
            near(mine, theirs)
        calls.append((arrays, [x.tobytes() for x in flat(got)]))
    for isa in _core.available_isas():
        with using(isa):
            again = forwardpass.load(path)
            for arrays, want in calls:
                for threads in (1, 3):
                    with forwardpass.threads(threads):
                        assert [x.tobytes() for x in flat(again(**arrays))] == want, (isa, threads)
    if name in ROWS:
        inputs = {key: value.numpy() for key, value in make(3, 7).items()}
        whole = flat(program(**inputs))
        for row in range(3):
            alone = {key: value[row : row + 1] for key, value in inputs.items()}
            for mine, all_rows in zip(flat(program(**alone)), whole, strict=True):
                assert mine.tobytes() == all_rows[row : row + 1].tobytes()
    with open(tmp_path / "calls", "wb") as file:
        pickle.dump(calls, file)
    (tmp_path / "elsewhere.py").write_text(ELSEWHERE)
    run_python(
        f"import sys; sys.argv[1:] = [{str(path)!r}, {str(tmp_path / 'calls')!r}]\n" + ELSEWHERE
    )
