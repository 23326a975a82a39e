"""Bad input: the right exception, with a message that names the operator, the argument, what came
and the cast to use; and inputs that look odd but work. Warnings are errors in this run.
"""

from __future__ import annotations

import sys

import numpy as np
import pytest

import forwardpass
from _arrays import run_python
from _bad import good, rejected
from forwardpass import _core
from forwardpass.reference import OPS
from forwardpass.reference.arrays import make

FLOAT_ARGUMENTS = [
    (name, key)
    for name in OPS
    for key, value in good(name).items()
    if isinstance(value, np.ndarray) and value.dtype == np.float32
]
# --- dtypes ---

WRONG_ARRAYS = {
    "float64": lambda a: a.astype(np.float64),
    "float16": lambda a: a.astype(np.float16),
    "int64": lambda a: a.astype(np.int64),
    "uint8": lambda a: a.astype(np.uint8),
    "bool": lambda a: a > 0,
    "complex64": lambda a: a.astype(np.complex64),
    "object": lambda a: a.astype(object),
    "<U": lambda a: a.astype(str),
    "|S": lambda a: a.astype("S8"),
    ">f4": lambda a: a.astype(">f4"),
    "datetime64": lambda a: a.astype("i8").astype("M8[s]"),
    "void": lambda a: a.astype([("f", "f4")]),
}


@pytest.mark.parametrize(("name", "key"), FLOAT_ARGUMENTS)
@pytest.mark.parametrize("dtype", WRONG_ARRAYS)
def test_wrong_dtypes(name, key, dtype):
    """What came and the cast to use; nothing is narrowed silently."""
    wrong = WRONG_ARRAYS[dtype](good(name)[key])
    came = {"object": "object", "void": "f", "<U": "<U", "|S": "|S", ">f4": "float32"}.get(
        dtype, dtype
    )
    rejected(TypeError, name, key, came, "astype(np.float32)", **{key: wrong})


@pytest.mark.parametrize(("name", "key"), FLOAT_ARGUMENTS)
@pytest.mark.parametrize(
    "wrong",
    [[[1.0, 2.0]], (1.0,), 3.0, 3, "text", b"bytes", {"a": 1}, object(), 1j, float],
    ids=repr,
)
def test_things_that_are_not_arrays(name, key, wrong):
    rejected(TypeError, name, key, "float32", type(wrong).__name__, **{key: wrong})


@pytest.mark.parametrize("name", [n for n in OPS if n != "embedding"])
def test_none_is_no_input(name):
    rejected(TypeError, name, "input", input=None)


@pytest.mark.parametrize("scalar", [np.float64(1), np.int32(1), np.complex64(1)])
def test_scalars_of_other_types(scalar):
    rejected(TypeError, "relu", "input", scalar.dtype.name, "float32", input=scalar)


def test_zero_dimensional_float64():
    rejected(TypeError, "tanh", "input", "float64", input=np.array(1.0))


def test_foreign_float64():
    class Tensor:
        def __array__(self, dtype=None, copy=None):
            return np.ones(3)

    rejected(TypeError, "relu", "input", "float64", "float32", input=Tensor())


def test_errors_of_foreign_arrays_pass_through():
    class Broken:
        def __array__(self, dtype=None, copy=None):
            raise ZeroDivisionError("on purpose")

    with pytest.raises(ZeroDivisionError, match="on purpose"):
        _core.relu(Broken(), None)


# --- out= ---


@pytest.mark.parametrize("name", OPS)
def test_bad_out(name):
    op, arguments = OPS[name], good(name)
    shape = op.run(arguments)[0].shape

    def fails(error, out, *words):
        outs = out if op.outputs == 1 else (out, *(None,) * (op.outputs - 1))
        with pytest.raises(error) as caught:
            op.run(arguments, outs)
        for word in (name, "out", *words):
            assert word in str(caught.value)

    fails(ValueError, np.empty((*shape, 1), np.float32), str(shape))
    fails(ValueError, np.empty(shape[:-1], np.float32), str(shape))
    fails(ValueError, np.empty((*shape[:-1], shape[-1] + 1), np.float32), str(shape))
    fails(TypeError, np.empty(shape, np.float64), "float64")
    fails(TypeError, np.empty(shape, np.int32), "int32")
    fails(TypeError, np.empty(shape, ">f4"), "float32")
    fails(TypeError, [[0.0]], "list")
    fails(TypeError, np.float32(0), "float32")
    locked = np.zeros(shape, np.float32)
    locked.flags.writeable = False
    fails(ValueError, locked, "read-only")
    assert not locked.any()


def test_bad_second_out():
    x = make("bad/x", (2, 6))
    for out_sum, error in (
        (np.empty((6, 2), np.float32), ValueError),
        (np.empty((2, 6)), TypeError),
    ):
        with pytest.raises(error, match="out_sum"):
            _core.add_rms_norm(x, x, 6, None, None, None, out_sum)
        with pytest.raises(error, match="out_sum"):
            _core.add_layer_norm(x, x, 6, None, None, 1e-5, None, out_sum)
    same = np.empty((2, 6), np.float32)
    with pytest.raises(ValueError, match="out_sum"):
        _core.add_rms_norm(x, x, 6, None, None, same, same)


def test_failed_call_leaves_out_alone():
    out = np.full((2, 5), 7, np.float32)
    with pytest.raises(ValueError, match="bias"):
        _core.linear(make("x", (2, 6)), make("w", (5, 6)), make("b", (4,)), None, 0.01, None, out)
    assert (out == 7).all()


# --- the rest ---


def test_wrong_number_of_arguments():
    with pytest.raises(TypeError):
        _core.relu()
    with pytest.raises(TypeError):
        _core.relu(np.ones(3, np.float32), None, None)
    with pytest.raises(TypeError):
        _core.softmax(np.ones(3, np.float32), nonsense=1)


def test_no_reference_is_leaked():
    """Inputs and outputs are released after success and after failure."""
    x, w, out = make("ref/x", (4, 6)), make("ref/w", (5, 6)), np.empty((4, 5), np.float32)
    strided_x = make("ref/s", (4, 12))[:, ::2]
    wrong = np.ones((4, 6))
    tracked = (x, w, out, strided_x, wrong)
    before = [sys.getrefcount(a) for a in tracked]
    for _ in range(100):
        _core.linear(x, w, None, None, 0.01, None, out)
        _core.linear(strided_x, w, None, "gelu", 0.01, out.copy(), None)
        for bad in (wrong, x[:, :5], [1.0]):
            with pytest.raises((TypeError, ValueError)):
                _core.linear(bad, w, None, None, 0.01, None, out)
        with pytest.raises(IndexError):
            _core.embedding(np.array([9]), x, None)
    assert [sys.getrefcount(a) for a in tracked] == before


def test_memory_stays_flat():
    """No call keeps memory: resident size after many calls and failures is what it was."""
    code = """
import resource, numpy as np
from forwardpass import _core
x, w = np.ones((64, 512), np.float32), np.ones((256, 512), np.float32)
def work():
    for _ in range(15):
        packed = _core.PackedLinear(w, None)
        packed(x, "gelu")
        _core.conv1d(x[None], np.ones((8, 64, 3), np.float32))
        _core.softmax(x[:, ::2], 0, None)
        try:
            _core.linear(x.astype(float), w)
        except TypeError:
            pass
work()
before = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss
for _ in range(5):
    work()
grown = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss - before
assert grown < 8 * 1024, grown
print("ok")
"""
    pytest.importorskip("resource")
    assert run_python(code) == "ok\n"


def test_no_warning_with_special_values():
    """Overflow, invalid operations and division by zero inside the kernels are silent."""
    code = """
import numpy as np
from forwardpass.reference import OPS
np.seterr(all="raise")
special = np.array([np.nan, np.inf, -np.inf, 3e38, -3e38, 1e-45, -0.0], np.float32)
x = np.resize(special, (3, 35))
for name in ("relu", "silu", "sigmoid", "tanh", "exp", "expm1", "log", "log1p", "erf", "gelu"):
    OPS[name].run({"input": x})
OPS["linear"].run({"input": x, "weight": x, "bias": x[0, :3]})
OPS["conv1d"].run({"input": x[None], "weight": x[None, :, :4], "padding": 2, "activation": "gelu"})
for name in ("rms_norm", "layer_norm"):
    OPS[name].run({"input": x, "normalized_shape": (35,), "weight": x[0]})
OPS["softmax"].run({"input": x, "dim": 0})
print("ok")
"""
    assert run_python(code) == "ok\n"


def test_version_is_one():
    assert forwardpass.__version__ == _core.__version__
    assert isinstance(_core.numerics_version, int)
    info = _core.build_info()
    assert all(isinstance(k, str) and isinstance(v, str) for k, v in info.items())
