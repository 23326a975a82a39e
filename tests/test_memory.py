"""Memory, for every operator: any layout of the inputs, guards around inputs and outputs, out=."""

from __future__ import annotations

import ctypes
import mmap
import sys

import numpy as np
import pytest

from _arrays import (
    VIEWS,
    Canary,
    assert_same_bytes,
    assert_same_results,
    describe,
    map_arrays,
    run_python,
    sample,
    strided,
)
from forwardpass import _core
from forwardpass.bits import using
from forwardpass.reference import OPS
from forwardpass.reference.arrays import make


@pytest.mark.parametrize("name", OPS)
def test_layouts_of_inputs(isa, name):
    """Strided, reversed, misaligned, read-only, Fortran, NaN-surrounded: the same bytes, and the
    inputs are as before."""
    op = OPS[name]
    for arguments in sample(name, 12):
        want = op.run(arguments)
        for label, view in VIEWS.items():
            awkward = map_arrays(arguments, view)
            got = op.run(awkward)
            assert_same_results(got, want, f"{name}({describe(arguments)}) {label}")
            for key, value in awkward.items():
                if isinstance(value, np.ndarray):
                    same = value.tobytes() == arguments[key].tobytes()
                    assert same, f"{name} changed its {key} ({label})"


@pytest.mark.parametrize("name", OPS)
@pytest.mark.parametrize("offset", [0, 1, 7])
def test_outputs_stay_inside(isa, name, offset):
    op = OPS[name]
    for arguments in sample(name):
        want = op.run(arguments)
        guards = [Canary(w.shape, offset) for w in want]
        outs = tuple(g.array for g in guards)
        got = op.run(arguments, outs[0] if op.outputs == 1 else outs)
        for g, guard, w in zip(got, guards, want, strict=True):
            assert g.base is guard.buffer or g is guard.array, "out= is not what came back"
            guard.assert_untouched(f"{name}({describe(arguments)})")
            assert_same_bytes(guard.array, w, f"{name}({describe(arguments)}) out=")


@pytest.mark.parametrize("name", OPS)
def test_out_with_strides(isa, name):
    """out may have any strides; the elements between stay."""
    op = OPS[name]
    for arguments in sample(name, 12):
        want = op.run(arguments)
        for view in (strided, VIEWS["misaligned"], VIEWS["fortran"], VIEWS["backward"]):
            outs = tuple(view(np.zeros(w.shape, np.float32)) for w in want)
            op.run(arguments, outs[0] if op.outputs == 1 else outs)
            assert_same_results(list(outs), want, f"{name}({describe(arguments)}) {view.__name__}")
            for o in outs:
                if view is strided and o.base is not None and o.size:
                    others = np.isnan(o.base).sum()
                    assert others == o.base.size - o.size + np.isnan(o).sum()


def test_broadcast_inputs(isa):
    """Zero strides."""
    row = make("broad/x", (1, 40))
    x, full = np.broadcast_to(row, (9, 40)), np.repeat(row, 9, axis=0)
    w, b = (
        np.broadcast_to(make("broad/w", (1, 40)), (20, 40)),
        np.broadcast_to(np.float32(3), (20,)),
    )
    got = _core.linear(x, w, b, None, 0.01, None, None)
    assert_same_bytes(got, _core.linear(full, w.copy(), b.copy(), None, 0.01, None, None))
    assert_same_bytes(_core.gelu(x, "none", None), _core.gelu(full, "none", None))
    assert_same_bytes(_core.softmax(x, 0, None), _core.softmax(full, 0, None))
    assert_same_bytes(
        _core.rms_norm(x, 40, None, None, None), _core.rms_norm(full, 40, None, None, None)
    )


def test_large_strided_input(isa):
    """A transposed view big enough for every path of the copy."""
    x = make("big/x", (130, 257), "span")
    assert_same_bytes(_core.tanh(x.T, None), _core.tanh(x.T.copy(), None))
    assert_same_bytes(
        _core.softmax(x.T[::-3, 5:], -1, None), _core.softmax(x.T[::-3, 5:].copy(), -1, None)
    )


class HasArray:
    def __init__(self, array):
        self.array = array

    def __array__(self, dtype=None, copy=None):
        return self.array


class HasDlpack:
    """__dlpack__ alone, as a tensor of another library."""

    def __init__(self, array):
        self.array = array

    def __dlpack__(self, **options):
        return self.array.__dlpack__(**options)

    def __dlpack_device__(self):
        return self.array.__dlpack_device__()


@pytest.mark.parametrize("wrap", [HasArray, HasDlpack])
def test_foreign_arrays(wrap):
    x, w, b = make("foreign/x", (3, 9)), make("foreign/w", (5, 9)), make("foreign/b", (5,))
    want = _core.linear(x, w, b, None, 0.01, None, None)
    got = _core.linear(wrap(x), wrap(w), wrap(b), None, 0.01, None, None)
    assert type(got) is np.ndarray
    assert_same_bytes(got, want)
    assert_same_bytes(_core.relu(wrap(x), None), np.maximum(x, 0))


def test_scalars_and_zero_dimensions():
    for x in (np.float32(0.5), np.array(0.5, np.float32)):
        for name in ("relu", "silu", "sigmoid", "tanh", "exp"):
            y = getattr(_core, name)(x, None)
            assert np.shape(y) == ()
            assert y.dtype == np.float32
        assert _core.gelu(x, "tanh", None).shape == ()
        assert _core.leaky_relu(x, 0.1, None) == np.float32(0.5)
    out = np.zeros((), np.float32)
    assert _core.relu(np.float32(2), out) is out
    assert out == 2


def test_subclasses_give_plain_arrays():
    masked = np.ma.masked_array(np.ones(3, np.float32), [True, False, False])
    matrix = make("sub/x", (2, 3)).view(np.recarray)
    assert type(_core.relu(matrix, None)) is np.ndarray
    assert type(_core.relu(masked, None)) is np.ndarray


def test_result_is_new_and_contiguous():
    x = make("new/x", (4, 5))
    for name in ("relu", "tanh"):
        y = getattr(_core, name)(np.asfortranarray(x), None)
        assert y.flags.c_contiguous
        assert y.flags.writeable
        assert y.flags.owndata
        assert not np.shares_memory(x, y)


# --- guard pages ---


def guarded(array: np.ndarray, at_end: bool) -> np.ndarray:
    """A copy that ends (or starts) where a page without access begins (or ends)."""
    page = mmap.PAGESIZE
    room = -(-max(array.nbytes, 1) // page) * page
    memory = mmap.mmap(-1, room + 2 * page)
    start = ctypes.addressof(ctypes.c_char.from_buffer(memory))
    protect = ctypes.CDLL(None, use_errno=True).mprotect
    for address in (start, start + page + room):
        assert protect(ctypes.c_void_p(address), ctypes.c_size_t(page), 0) == 0
    offset = page + (room - array.nbytes if at_end else 0)
    view = np.frombuffer(memory, array.dtype, array.size, offset).reshape(array.shape)
    view[...] = array
    return view


def run_between_guard_pages(isa: str) -> None:
    """In a process of its own: an access outside ends it."""
    with using(isa):
        for name, op in OPS.items():
            for index, arguments in enumerate(sample(name, 40)):
                at_end = index % 4 != 0
                inputs = map_arrays(arguments, lambda a, end=at_end: guarded(a, end))
                want = op.run(arguments)
                outs = tuple(guarded(w, at_end) for w in want)
                print(f"{isa} {name}({describe(arguments)})", flush=True)
                op.run(inputs, outs[0] if op.outputs == 1 else outs)
                assert_same_results(list(outs), want, name)


@pytest.mark.skipif(sys.platform == "win32", reason="mprotect")
def test_no_access_outside_guard_pages(isa):
    code = f"""
import sys; sys.path.insert(0, {__file__.rsplit("test_memory", 1)[0]!r})
import faulthandler; faulthandler.enable()
import test_memory
test_memory.run_between_guard_pages({isa!r})
print("done")
"""
    assert run_python(code, timeout=120).endswith("done\n")


# --- the memory of large results ---


@pytest.mark.parametrize("size", [9 << 20, 1 << 20])
def test_large_results_keep_their_memory_for_the_next(size):
    """Of 256 KiB and more; a result that is in use never shares it."""
    _core.empty_cache()
    x = np.full(size, -1, np.float32)
    y = _core.relu(x, None)
    z = _core.relu(x, None)
    assert not np.shares_memory(y, z)
    first = y.ctypes.data
    view = y[5:]
    del y
    assert _core._kept_bytes() == 0  # the view holds it
    del view
    assert _core._kept_bytes() == x.nbytes
    again = _core.tanh(np.full((1 << 16) - 1, 1, np.float32), None)  # not large
    assert _core._kept_bytes() == x.nbytes
    del again
    again = _core.relu(-x[: size - 5], None)
    assert again.ctypes.data == first
    assert (again == 1).all()
    assert (z == 0).all()
    del again
    _core.empty_cache()
    assert _core._kept_bytes() == 0


def test_the_memory_kept_is_bounded():
    _core.empty_cache()
    x = np.zeros(30 << 20, np.float32)  # 120 MiB
    results = [_core.relu(x, None) for _ in range(3)]
    del results
    assert 0 < _core._kept_bytes() <= 256 << 20
    huge = np.broadcast_to(np.float32(0), (65 << 20,))  # more than is ever kept
    kept = _core._kept_bytes()
    _core.relu(huge, None)
    assert _core._kept_bytes() == kept
    _core.empty_cache()
    results = [_core.relu(x[: 2 << 20], None) for _ in range(7)]  # 8 MiB each
    del results
    assert 0 < _core._kept_bytes() <= 32 << 20
    _core.empty_cache()


# --- memory that does not exist ---


def test_impossible_sizes_are_memory_errors():
    one = np.float32(1)
    huge = np.broadcast_to(one, (1 << 46,))
    with pytest.raises(MemoryError):
        _core.relu(huge, None)
    with pytest.raises(MemoryError):
        _core.softmax(np.broadcast_to(one, (1 << 23, 1 << 23)), -1, None)
    with pytest.raises(MemoryError):
        _core.linear(
            np.ones((1, 1), np.float32),
            np.broadcast_to(one, (1 << 46, 1)),
            None,
            None,
            0.01,
            None,
            None,
        )
    with pytest.raises(MemoryError):
        _core.linear(
            np.broadcast_to(one, (1 << 30, 0)),
            np.empty((1 << 30, 0), np.float32),
            None,
            None,
            0.01,
            None,
            None,
        )
    with pytest.raises(MemoryError):
        _core.PackedLinear(np.broadcast_to(one, (1 << 23, 1 << 23)), None)
    with pytest.raises(MemoryError):
        _core.conv1d(
            np.broadcast_to(one, (1, 1, 1 << 46)),
            np.ones((1, 1, 1), np.float32),
            None,
            1,
            0,
            1,
            1,
            None,
            0.01,
            None,
            None,
        )
    with pytest.raises(MemoryError):
        _core.embedding(np.broadcast_to(np.int64(0), (1 << 46,)), np.ones((1, 1), np.float32), None)
    with pytest.raises(MemoryError):
        _core.rms_norm(np.broadcast_to(one, (1 << 23, 1 << 23)), (1 << 23,), None, None, None)


def test_sizes_that_overflow_are_refused():
    """Products of dimensions near 2**63: an error, not a small allocation."""
    x, w = np.empty((1 << 30, 0), np.float32), np.empty((1 << 40, 0), np.float32)
    with pytest.raises((MemoryError, ValueError)):
        _core.linear(x, w, None, None, 0.01, None, None)
    indices = np.broadcast_to(np.int64(0), (1 << 40,))
    table = np.broadcast_to(np.float32(1), (1, 1 << 30))
    with pytest.raises((MemoryError, ValueError)):
        _core.embedding(indices, table, None)
