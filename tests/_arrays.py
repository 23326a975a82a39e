"""What the tests share: comparisons with a helpful message, awkward arrays, guarded memory."""

from __future__ import annotations

import functools
import os
import subprocess
import sys
from collections.abc import Iterator, Mapping
from typing import Any

import numpy as np

from forwardpass.bits import canonical
from forwardpass.reference import OPS, Op, problem
from forwardpass.reference.cases import Case

Arguments = dict[str, Any]
GUARD = np.float32(-12345.678)


def describe(arguments: Mapping[str, Any]) -> str:
    """The call in a line: shapes of arrays, values of the rest."""

    def one(value: Any) -> str:
        return f"{value.dtype}{value.shape}" if isinstance(value, np.ndarray) else repr(value)

    return ", ".join(f"{name}={one(value)}" for name, value in arguments.items())


def assert_bounded(op: Op, arguments: Mapping[str, Any], results: list[np.ndarray] | None = None):
    """The results (of a run now, if none are given) are within the op's bound of float64."""
    results = op.run(arguments) if results is None else results
    for index, (got, (value, tolerance)) in enumerate(
        zip(results, op.expected(arguments), strict=True)
    ):
        wrong = problem(got, value, tolerance)
        assert not wrong, f"{op.name}({describe(arguments)}) result {index}: {wrong}"


def assert_case_bounded(op: Op, case: Case) -> None:
    for arguments in case.calls():
        assert_bounded(op, arguments)


def finite_cases(*names: str) -> list[tuple[Op, Case]]:
    """(op, case) for parametrize; ids from ``case_id``."""
    return [(OPS[n], case) for n in names for case in OPS[n].cases() if case.finite]


def case_id(value: Any) -> str:
    return value[1].name if isinstance(value, tuple) else str(value)


def assert_same_bytes(got: np.ndarray, want: np.ndarray, what: str = "") -> None:
    """Equal shape and bits, any NaN equal to any other."""
    assert got.dtype == want.dtype == np.float32, f"{what}: {got.dtype} and {want.dtype}"
    assert got.shape == want.shape, f"{what}: shapes {got.shape} and {want.shape}"
    if canonical(got) == canonical(want):
        return
    a, b = (np.ascontiguousarray(v).view(np.uint32) for v in (got, want))
    differ = (a != b) & ~(np.isnan(got) & np.isnan(want))
    at = tuple(int(i) for i in np.argwhere(differ)[0])
    raise AssertionError(
        f"{what}: {int(differ.sum())} of {got.size} differ, first at {at}: "
        f"{got[at]!r} ({int(a[at]):#010x}) and {want[at]!r} ({int(b[at]):#010x})"
    )


def assert_same_results(got: list[np.ndarray], want: list[np.ndarray], what: str = "") -> None:
    assert len(got) == len(want)
    for g, w in zip(got, want, strict=True):
        assert_same_bytes(g, w, what)


# --- awkward views of an array: the same values, other memory ---


def surrounded(array: np.ndarray, margin: int = 80) -> np.ndarray:
    """The array between NaNs: reading past it and using what was read shows."""
    fill: Any = np.nan if array.dtype.kind == "f" else np.iinfo(array.dtype).min
    buffer = np.full(array.size + 2 * margin, fill, dtype=array.dtype)
    buffer[margin : margin + array.size] = array.reshape(-1)
    return buffer[margin : margin + array.size].reshape(array.shape)


def strided(array: np.ndarray) -> np.ndarray:
    """Every second element of every dimension of a NaN-filled array."""
    fill: Any = np.nan if array.dtype.kind == "f" else np.iinfo(array.dtype).min
    buffer = np.full([2 * n + 1 for n in array.shape], fill, dtype=array.dtype)
    view = buffer[(..., *(slice(1, 2 * n + 1, 2) for n in array.shape))]
    view[...] = array
    return view


def backward(array: np.ndarray) -> np.ndarray:
    """Negative strides."""
    turn = tuple(slice(None, None, -1) for _ in array.shape)
    return np.ascontiguousarray(array[turn])[turn] if array.ndim else array.copy()


def misaligned(array: np.ndarray) -> np.ndarray:
    """One byte off the alignment of its element."""
    raw = np.empty(array.nbytes + 1, dtype=np.uint8)
    view = raw[1:].view(array.dtype).reshape(array.shape)
    view[...] = array
    return view


def read_only(array: np.ndarray) -> np.ndarray:
    copy = surrounded(array)
    copy.flags.writeable = False
    return copy


def fortran(array: np.ndarray) -> np.ndarray:
    return array.copy(order="F")


VIEWS = {
    view.__name__: view for view in (surrounded, strided, backward, misaligned, read_only, fortran)
}


def map_arrays(arguments: Arguments, view: Any) -> Arguments:
    return {k: view(v) if isinstance(v, np.ndarray) else v for k, v in arguments.items()}


def copies(arguments: Arguments) -> Arguments:
    return map_arrays(arguments, np.copy)


class Canary:
    """An output array with guard floats on both sides."""

    def __init__(self, shape: tuple[int, ...], offset: int = 0) -> None:
        size = int(np.prod(shape, dtype=np.int64))
        self.margin = 64 + offset  # the offset moves it off the alignment of a vector
        self.buffer = np.full(size + 2 * self.margin, GUARD, dtype=np.float32)
        self.array = self.buffer[self.margin : self.margin + size].reshape(shape)

    def assert_untouched(self, what: str) -> None:
        for side, guard in (
            ("before", self.buffer[: self.margin]),
            ("behind", self.buffer[-self.margin :]),
        ):
            assert (guard == GUARD).all(), f"{what}: wrote {side} its output: {guard}"


def neighbours(center: float, count: int = 20_000) -> np.ndarray:
    """The float32 numbers around center, and their negatives."""
    middle = np.float32(center).view(np.int32).item()
    bits = np.arange(max(0, middle - count), middle + count, dtype=np.int32)
    x = bits.view(np.float32)
    return np.concatenate([x, -x])


# --- samples and processes ---


def _small(arguments: Arguments) -> bool:
    return all(v.size <= 40_000 for v in arguments.values() if isinstance(v, np.ndarray))


@functools.cache
def sample(name: str, count: int = 24, finite: bool = False) -> tuple[Arguments, ...]:
    """Some of an operator's calls, spread over its cases, small ones."""
    cases = [c for c in OPS[name].cases() if c.finite or not finite]
    calls = [arguments for c in cases for arguments in c.calls() if _small(arguments)]
    step = max(1, len(calls) // count)
    if step % 2 == 0:
        step += 1  # cases have even periods; do not fall into step with them
    return tuple(calls[::step])


def named_samples(finite: bool = False) -> Iterator[tuple[Op, Arguments]]:
    for name, op in OPS.items():
        for arguments in sample(name, finite=finite):
            yield op, arguments


def run_python(
    code: str, timeout: float = 60, fails: bool = False, **environment: str | None
) -> str:
    """stdout of a new interpreter (stderr where it is to fail); warnings are errors there."""
    env = {**os.environ, **{k: v for k, v in environment.items() if v is not None}}
    for name in ("FORWARDPASS_ISA", "FORWARDPASS_NUM_THREADS", "OMP_NUM_THREADS"):
        if environment.get(name) is None:
            env.pop(name, None)
    done = subprocess.run(
        [sys.executable, "-W", "error", "-c", code],
        capture_output=True,
        text=True,
        timeout=timeout,
        env=env,
    )
    assert (done.returncode != 0) == fails, f"exit {done.returncode}: {done.stderr}"
    return done.stderr if fails else done.stdout


# For run_python: work() gives the digest of calls that are worth several threads.
WORK = """
import numpy as np, forwardpass
from forwardpass import _core, bits
from forwardpass.reference.arrays import make
x, w = make("fork/x", (96, 256)), make("fork/w", (384, 256))
packed = _core.PackedLinear(w, None)
def work():
    big = make("fork/big", (1 << 18,), "span")
    raw = _core.linear(x, w, None, None, 0.01, None, None)
    return bits.digest([packed(x, "gelu"), _core.tanh(big, None), raw])
"""
