"""The bits are those of the contract (docs/numerics.md, step by step in _contract.py), whatever the
caller has set in the processor's floating-point control word.
"""

from __future__ import annotations

import ctypes
import mmap
import platform
import sys
from contextlib import contextmanager
from fractions import Fraction

import numpy as np
import pytest

import _contract
from _arrays import assert_same_bytes, assert_same_results, describe, sample
from forwardpass import _core
from forwardpass.reference import OPS
from forwardpass.reference.arrays import make
from forwardpass.reference.convolutions import pads2, pair
from forwardpass.reference.products import chains, pads


def test_the_contracts_fma_is_exact():
    """Against rational arithmetic: random, ties, cancellation, subnormal results."""
    a, b = make("fma/a", (3000,), "wide"), make("fma/b", (3000,), "wide")
    c = np.where(np.arange(3000) % 3 == 0, -(a * b), make("fma/c", (3000,), "wide"))
    scale = np.where(np.arange(3000) % 5 == 0, np.float32(2.0**-100), np.float32(1))
    a, c = a * scale, c.astype(np.float32) * scale
    for x, y, z, got in zip(a, b, c, _contract.fma(a, b, c), strict=True):
        exact = Fraction(float(x)) * Fraction(float(y)) + Fraction(float(z))
        error = abs(Fraction(float(got)) - exact)
        for other in (
            np.nextafter(got, np.float32(-np.inf)),
            np.nextafter(got, np.float32(np.inf)),
        ):
            away = abs(Fraction(float(other)) - exact)
            assert error < away or (error == away and got.view(np.uint32) % 2 == 0)


@pytest.mark.parametrize("n", [1, 4, 5, 16, 17, 32, 33, 70])
@pytest.mark.parametrize("kind", ["unit", "wide", "subnormal"])
def test_linear_follows_the_contract(isa, n, kind):
    for k in (1, 2, 3, 5, 63, 64, 65, 131, 200):
        x = make(f"lin/{k}", (4, k), kind)
        w, b = make("lin/w", (n, k), "wide" if kind == "subnormal" else kind), make("b", (n,), kind)
        got = _core.linear(x, w, b, None, 0.01, None, None)
        assert_same_bytes(got, _contract.linear(x, w, b), f"N={n} K={k} P={chains(n, k)}")


def test_conv1d_follows_the_contract(isa):
    for arguments in sample("conv1d", 120, finite=True):
        if arguments["input"].ndim != 3 or arguments["weight"].size > 1500:
            continue
        plain = {k: v for k, v in arguments.items() if k not in ("activation", "residual")}
        dilation = plain.get("dilation", 1)
        pad = pads(plain.get("padding", 0), plain["weight"].shape[2], dilation)
        geometry = (plain.get("stride", 1), pad, dilation, plain.get("groups", 1))
        want = _contract.conv1d(plain["input"], plain["weight"], plain.get("bias"), *geometry)
        assert_same_bytes(OPS["conv1d"].run(plain)[0], want, describe(plain))


def plain_of(arguments):
    """Without what follows the bias."""
    return {k: v for k, v in arguments.items() if k not in ("activation", "residual")}


def test_conv2d_follows_the_contract(isa):
    for arguments in sample("conv2d", 150, finite=True):
        x, w = arguments["input"], arguments["weight"]
        if x.ndim != 4 or w.size > 800:
            continue
        plain = plain_of(arguments)
        dilation = pair(plain.get("dilation", 1))
        around = pads2(plain.get("padding", 0), w.shape[2:], dilation)
        geometry = (pair(plain.get("stride", 1)), around, dilation, plain.get("groups", 1))
        want = _contract.conv2d(x, w, plain.get("bias"), *geometry)
        assert_same_bytes(OPS["conv2d"].run(plain)[0], want, describe(plain))


@pytest.mark.parametrize("dims", [1, 2])
def test_transposed_convolutions_follow_the_contract(isa, dims):
    op = OPS[f"conv_transpose{dims}d"]
    seen = 0
    for arguments in sample(op.name, 150, finite=True):
        plain = plain_of(arguments)
        (got,) = op.run(plain)
        x, w = plain["input"], plain["weight"]
        if x.ndim != dims + 2 or got.shape[1:] == () or got.size * w.size // w.shape[1] > 200_000:
            continue
        words = ("stride", 1), ("padding", 0), ("dilation", 1)
        stride, cut, dilation = (pair(plain.get(word, usual)) for word, usual in words)
        if dims == 1:
            x, w, got = x[:, :, None], w[:, :, None], got[:, :, None]
            stride, cut, dilation = (1, stride[1]), (0, cut[1]), (1, dilation[1])
        rest = (stride, cut, dilation, plain.get("groups", 1), got.shape[2:])
        want = _contract.conv_transpose2d(x, w, plain.get("bias"), *rest)
        assert_same_bytes(got, want, describe(plain))
        seen += 1
    assert seen > 20


@pytest.mark.parametrize("kind", ["unit", "wide", "shifted", "subnormal"])
def test_norms_follow_the_contract(isa, kind):
    for n in (1, 15, 16, 17, 63, 64, 65, 100, 129, 515):
        x, w, b = make(f"norm/{n}", (5, n), kind), make("norm/w", (n,)), make("norm/b", (n,))
        for weight in (None, w):
            got = _core.rms_norm(x, n, weight, 1e-6, None)
            assert_same_bytes(got, _contract.rms_norm(x, weight, 1e-6), f"rms_norm {n}")
            for bias in (None, b):
                got = _core.layer_norm(x, n, weight, bias, 1e-5, None)
                want = _contract.layer_norm(x, weight, bias, 1e-5)
                assert_same_bytes(got, want, f"layer_norm {n}")


@pytest.mark.parametrize("kind", ["unit", "span", "wide"])
def test_softmax_follows_the_contract(isa, kind):
    for n in (1, 15, 16, 17, 63, 64, 65, 100, 129, 515):
        x = make(f"soft/{n}", (5, n), kind)
        want = _contract.softmax(x, lambda e: _core.exp(e, None))
        assert_same_bytes(_core.softmax(x, -1, None), want, f"softmax {n}")


@pytest.mark.parametrize("name", ["rnn_tanh", "rnn_relu", "gru", "lstm"])
def test_recurrent_layers_follow_the_contract(isa, name):
    functions = [
        lambda v, f=f: f(np.ascontiguousarray(v), None) for f in (_core.sigmoid, _core.tanh)
    ]
    seen = 0
    for arguments in sample(name, 60, finite=True):
        with np.errstate(over="ignore"):
            want = _contract.recurrent(name, arguments, *functions)
        assert_same_results(OPS[name].run(arguments), want, f"{name}({describe(arguments)})")
        seen += 1
    assert seen > 30


@pytest.mark.parametrize("kind", ["unit", "span", "sprinkled"])
def test_attention_follows_the_contract(isa, kind):
    for queries, keys, width, causal in (
        (9, 70, 20, False),
        (3, 300, 16, True),
        (11, 530, 9, True),
    ):
        q, v = make("at/q", (1, 2, queries, width), kind), make("at/v", (1, 1, keys, 21), kind)
        k, mask = (
            make("at/k", (1, 1, keys, width), kind),
            make("at/m", (queries, keys)) * np.float32(4),
        )
        mask[make("at/s", mask.shape) < -0.4] = -np.inf
        for bias in (None, mask):
            got = _core.attention(q, k, v, bias, causal, keys - queries, 0.3, None)
            seen = np.ones(mask.shape, bool) if bias is None else mask > -np.inf
            if causal:
                seen = seen & (np.arange(keys) <= keys - queries + np.arange(queries)[:, None])
            for head in range(2):
                with np.errstate(all="ignore"):
                    scale = float(np.float32(0.3))
                    want = _contract.attention(q[0, head], k[0, 0], v[0, 0], bias, seen, scale)
                assert_same_bytes(got[0, head], want, f"{queries}, {keys}, {width}, {causal}")


@pytest.mark.parametrize("base", [1.0, 1.5, 100.0, 10000.0, 500000.0, 1e30])
@pytest.mark.parametrize(("first", "count", "dim"), [(0, 300, 64), (131000, 9, 126), (2**31, 0, 2)])
def test_rotary_tables_follow_the_contract(base, first, count, dim):
    cos, sin = _core.rotary_table(first, count, dim, base)
    want = _contract.rotary_table(first, count, dim, base)
    assert_same_bytes(cos, want[0], "cos")
    assert_same_bytes(sin, want[1], "sin")


@pytest.mark.parametrize("interleaved", [False, True])
@pytest.mark.parametrize("kind", ["unit", "wide", "subnormal"])
def test_rotary_embeddings_follow_the_contract(isa, interleaved, kind):
    for pairs in (1, 3, 7, 8, 9, 15, 16, 17, 31, 33, 64):
        x = make(f"rotary/{pairs}", (4, 2 * pairs + pairs % 3), kind)
        cos, sin = make("rotary/c", (4, pairs), kind), make("rotary/s", (4, pairs), kind)
        got = _core.rotary_embedding(x, cos, sin, interleaved, None)
        want = _contract.rotary_embedding(x, cos, sin, interleaved)
        assert_same_bytes(got, want, f"{pairs} pairs")


# --- the caller's floating-point environment ---


@pytest.fixture
def control_word():
    """Reads and writes MXCSR through eight bytes of machine code: stmxcsr [rdi]; ldmxcsr [rdi]."""
    if sys.platform != "linux" or platform.machine() != "x86_64":
        pytest.skip("machine code for x86-64 Linux")
    page = mmap.mmap(-1, mmap.PAGESIZE, prot=mmap.PROT_READ | mmap.PROT_WRITE | mmap.PROT_EXEC)
    page.write(bytes.fromhex("0fae1fc3") + bytes.fromhex("0fae17c3"))
    address = ctypes.addressof(ctypes.c_char.from_buffer(page))
    kind = ctypes.CFUNCTYPE(None, ctypes.POINTER(ctypes.c_uint32))
    store, load = kind(address), kind(address + 4)

    def access(value: int | None = None) -> int:
        cell = ctypes.c_uint32(value or 0)
        (store if value is None else load)(ctypes.byref(cell))
        return cell.value

    before = access()
    yield access
    access(before)


@contextmanager
def host_flags(control_word, flags):
    """The flags are set inside the block, and must still be so at its end."""
    usual = control_word()
    control_word((usual & ~0xE040) | flags)
    try:
        yield
        after = control_word()
    finally:
        control_word(usual)
    assert after & 0xE040 == flags, "the caller's control word was not put back"


# Flush-to-zero with denormals-are-zero, and rounding toward zero, down, up.
FLAGS = [0x8040, 0x6000, 0x2000, 0x4000, 0xE040]


@pytest.mark.parametrize("flags", FLAGS)
@pytest.mark.parametrize("name", OPS)
def test_control_word_of_the_caller_changes_nothing(isa, control_word, flags, name):
    for arguments in sample(name, 12):
        want = OPS[name].run(arguments)
        with host_flags(control_word, flags):
            got = OPS[name].run(arguments)
        assert_same_results(got, want, f"MXCSR flags {flags:#x}: {name}({describe(arguments)})")


@pytest.mark.parametrize("flags", FLAGS)
def test_control_word_changes_between_calls(isa, control_word, flags, restore_threads):
    """Weights packed before and after the host program sets it, threads started before it."""
    x, w = make("csr/x", (150, 70), "subnormal"), make("csr/w", (170, 70))
    signal, kernel = make("csr/c", (4, 9, 700), "subnormal"), make("csr/k", (16, 9, 5))
    big = make("csr/e", (1 << 18,), "span") * np.float32(6.5)

    def pack():
        return _core.PackedLinear(w, None), _core.PackedConv1d(kernel, None)

    def run(linear, conv):
        return [linear(x, "silu"), conv(signal), _core.exp(big, None), _core.softmax(x, 0, None)]

    before = pack()
    want = run(*before)
    for threads in (1, 4):
        _core.set_num_threads(threads)
        with host_flags(control_word, flags):
            assert_same_results(run(*before), want, "packed before")
            after = pack()
        assert_same_results(run(*after), want, "packed while it was set")


def columns(x, dim):
    """(outer, n, inner) as rows of n."""
    return np.ascontiguousarray(np.moveaxis(x, dim, -1)).reshape(-1, x.shape[dim])


@pytest.mark.parametrize("kind", ["unit", "wide", "shifted", "subnormal"])
def test_reductions_follow_the_contract(isa, kind):
    for shape, dim in (((5, 1), 1), ((4, 17), 1), ((3, 64), 1), ((2, 515), -1), ((2, 70, 37), 1)):
        x, n = make(f"reduce/{shape}", shape, kind), np.float32(shape[dim])
        rows = columns(x, dim)
        total = _contract.row_sum(rows)
        shape_out = np.delete(shape, dim)
        assert_same_bytes(_core.sum(x, dim), total.reshape(shape_out), f"sum {shape}")
        assert_same_bytes(_core.mean(x, dim), (total / n).reshape(shape_out), f"mean {shape}")
        squares = _contract.row_sum(rows - (total / n)[:, None], squared=True)
        for correction in (0, 1):
            with np.errstate(all="ignore"):
                want = (squares / np.float32(n - correction)).reshape(shape_out)
            assert_same_bytes(_core.var(x, dim, correction), want, f"var {shape}")


@pytest.mark.parametrize("kind", ["unit", "wide"])
def test_matmul_follows_the_contract(isa, kind):
    for n, k in ((1, 3), (4, 64), (5, 65), (17, 20), (33, 131)):
        a, b = make(f"mm/a{k}", (2, 1, 3, k), kind), make(f"mm/b{n}", (4, k, n), kind)
        got = _core.matmul(a, b)
        assert got.shape == (2, 4, 3, n)
        for i, j in np.ndindex(2, 4):
            want = _contract.linear(a[i, 0], np.ascontiguousarray(b[j].T), None)
            assert_same_bytes(got[i, j], want, f"N={n} K={k}")


def test_sine_cosine_and_power_follow_the_contract(isa):
    x = np.abs(make("functions", (500,), "wide"))
    x = x[x < 2.0**31]
    sin, cos = _contract.sine_and_cosine(x.astype(np.float64))
    assert_same_bytes(_core.sin(x), sin.astype(np.float32))
    assert_same_bytes(_core.sin(-x), -sin.astype(np.float32))
    assert_same_bytes(_core.cos(x), cos.astype(np.float32))
    for y in (0.75, -1.5, 3.0):
        rate = np.array([y * _contract.logarithm(float(v)) for v in x])
        want = np.array([_contract.exponential(t) for t in np.clip(rate, -200, 200)])
        with np.errstate(over="ignore"):
            got = _core.pow(x, np.float32(y))
            assert_same_bytes(got, want.astype(np.float32), f"x ** {y}")
