"""out= may be an input, or share any part of its memory: the result is that of separate memory."""

from __future__ import annotations

import numpy as np
import pytest

from _arrays import assert_same_bytes, copies, describe, run_python, sample
from forwardpass import _core
from forwardpass.reference import OPS
from forwardpass.reference.arrays import make


@pytest.mark.parametrize(
    "name", [n for n, op in OPS.items() if op.outputs == 1 and n != "embedding"]
)
def test_out_is_the_input(isa, name):
    op = OPS[name]
    for arguments in sample(name):
        (want,) = op.run(arguments)
        first = next(iter(arguments))
        if not isinstance(arguments[first], np.ndarray):
            continue
        if want.shape != arguments[first].shape:
            continue
        own = copies(arguments)
        (got,) = op.run(own, own[first])
        assert_same_bytes(got, want, f"{name}({describe(arguments)}) in place")


def test_add_rms_norm_in_place(isa):
    x, r = make("place/x", (5, 70)), make("place/r", (5, 70))
    y, s = _core.add_rms_norm(x, r, 70, None, None, None, None)
    for first, second in ((0, 1), (1, 0)):
        a, b = x.copy(), r.copy()
        outs = ((a, b)[first], (a, b)[second])
        _core.add_rms_norm(a, b, 70, None, None, *outs)
        assert_same_bytes(outs[0], y)
        assert_same_bytes(outs[1], s)


SHIFTS = (-65, -64, -17, -16, -3, -1, 1, 2, 16, 33, 64, 70)


@pytest.mark.parametrize("shift", SHIFTS)
def test_out_overlaps_the_input(isa, shift):
    """Partly overlapping memory gives what separate memory gives."""
    n, rows = 70, 6
    for name in ("relu", "tanh", "gelu", "rms_norm", "layer_norm", "softmax", "linear", "conv1d"):
        op = OPS[name]
        buffer = make("overlap", (2 * 70 + rows * n,), "span")
        x = buffer[70 : 70 + rows * n].reshape(rows, n)
        out = buffer[70 + shift : 70 + shift + rows * n].reshape(rows, n)
        arguments = {"input": x}
        if "normalized_shape" in op.parameters:
            arguments["normalized_shape"] = (n,)
        if name == "linear":
            arguments["weight"] = make("overlap/w", (n, n))
        if name == "conv1d":
            arguments = {**arguments, "weight": make("overlap/c", (rows, rows, 3)), "padding": 1}
        (want,) = op.run(copies(arguments))
        (got,) = op.run(arguments, out)
        assert_same_bytes(got, want, f"{name} out shifted by {shift}")


def test_out_overlaps_weight_bias_and_residual(isa):
    for name, shape, weight in (("linear", (7, 7), (7, 7)), ("conv1d", (1, 7, 9), (7, 7, 1))):
        for target in ("weight", "bias", "residual"):
            arguments = {"input": make("w/x", shape), "weight": make("w/w", weight)}
            arguments["bias"], arguments["residual"] = make("w/b", (7,)), make("w/r", shape)
            (want,) = OPS[name].run(copies(arguments))
            buffer = np.zeros(400, np.float32)
            size = arguments[target].size
            inside = buffer[30 : 30 + size].reshape(arguments[target].shape)
            inside[...] = arguments[target]
            out = buffer[25 : 25 + want.size].reshape(want.shape)
            (got,) = OPS[name].run({**arguments, target: inside}, out)
            assert_same_bytes(got, want, f"{name}: out over {target}")


def test_embedding_out_overlaps_the_table(isa):
    table = make("emb/t", (10, 8), "bits")
    order = np.array([9, 8, 7, 0, 1, 2, 3, 3, 3, 9])
    want = table[order]
    _core.embedding(order, table, table)
    assert_same_bytes(table, want)


def test_embedding_out_overlaps_the_indices():
    """In a process of its own: reading an index again after it was overwritten would crash."""
    code = """
import numpy as np
from forwardpass import _core
table = np.arange(40, dtype=np.float32).reshape(10, 4)
for start in (0, 4, 8):
    buffer = np.arange(64, dtype=np.int64) % 10
    indices = buffer[start : start + 16]
    want = table[indices]
    _core.embedding(indices, table, buffer.view(np.float32)[:64].reshape(16, 4))
    assert (buffer.view(np.float32)[:64].reshape(16, 4) == want).all()
print("ok")
"""
    assert run_python(code) == "ok\n"
