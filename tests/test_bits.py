"""The same bits: instruction sets, threads, splits of a batch, fused or not, raw or packed; and the
committed table. test_contract.py says which bits.
"""

from __future__ import annotations

import re
from pathlib import Path

import numpy as np
import pytest

import forwardpass
from _arrays import assert_same_bytes, assert_same_results, describe, sample
from forwardpass import _core, bits
from forwardpass.reference import OPS, calls
from forwardpass.reference.arrays import SPECIAL, make, recording, salted, seed_of, uniform
from forwardpass.reference.cases_products import ACTIVATIONS

# Dimensions that an input with a batch has.
CONVOLUTIONS = {"conv1d": 3, "conv2d": 4, "conv_transpose1d": 3, "conv_transpose2d": 4}
PRODUCTS = ("linear", *CONVOLUTIONS)
ROW_OPS = (
    *PRODUCTS,
    "rms_norm",
    "add_rms_norm",
    "add_layer_norm",
    "layer_norm",
    "softmax",
    "log_softmax",
    "group_norm",
    "batch_norm",
)


# --- the committed table ---


@pytest.mark.parametrize("name", OPS)
def test_committed_hashes(isa, name):
    """A mismatch is a changed result: needs a higher numerics_version and a CHANGELOG entry."""
    table, now = bits.committed()["cases"], bits.digests(isa, name)
    differing = [case for case, value in now.items() if table.get(case) != value]
    assert not differing, f"{isa}: other bits in {differing}"


def test_table_is_complete():
    table = bits.committed()
    assert table["numerics_version"] == forwardpass.numerics_version == _core.numerics_version
    assert list(table["cases"]) == [case.name for op in OPS.values() for case in op.cases()]


CPP = Path(__file__).resolve().parents[1] / "cpp"


def test_every_operation_has_cases():
    """The lists in C++: each element-wise function and each entry of ops.h is an operator here,
    and is run by cpp/tools/bits_ops.cpp as well."""
    block = re.search(
        r"#define FP_FOR_EACH_UNARY\(X\)((?:.*\\\n)*.*\n)", (CPP / "kernels.h").read_text()
    )
    functions = set(re.findall(r"X\((\w+)\)", block[1]))
    assert {"relu", "erf"} <= functions
    text = re.sub(r"//.*", "", (CPP / "ops.h").read_text())
    entries = set(re.findall(r"^(?:void|int64_t) (\w+)\(", text, re.MULTILINE)) - {"unary"}
    assert {"linear", "softmax", "embedding"} <= entries
    # Other names of what an operator runs: the runners compare both.
    aliases = {"gelu_tanh": "gelu", "max_pool": "max_pool2d", "avg_pool": "avg_pool2d"}
    aliases |= {"max_pool_indices": "max_pool2d", "swiglu_halves": "swiglu"}
    aliases |= {
        "self_attention": "attention",
        "linear_rows": "matmul",
        "reduce": "sum",
        "sine": "sin",
        "cosine": "cos",
    }
    assert set(aliases.values()) <= set(OPS)
    covered = {*OPS, *aliases}
    assert functions | entries <= covered, sorted((functions | entries) - covered)
    runners = set(re.findall(r'\{"(\w+)", run_', (CPP / "tools" / "bits_ops.cpp").read_text()))
    assert set(OPS) <= runners | functions, "an operator without a runner in bits_ops.cpp"


def test_cases_as_text():
    """What bits_calls.cpp reads: every case with its digest, every call, small literals only."""
    lines = list(calls.text())
    assert lines[0] == f"# numerics_version {forwardpass.numerics_version}"
    heads = [line.split() for line in lines if line.startswith("case ")]
    assert {name: digest for _, name, digest in heads} == bits.committed()["cases"]
    count = sum(1 for op in OPS.values() for case in op.cases() for _ in case.calls())
    assert len(lines) == 1 + len(heads) + count
    op = OPS["leaky_relu"]
    with recording() as made:
        x = make("text/x", (2, 3), "span")
        line = calls.line(op, {"input": x, "negative_slope": 0.1}, made)
    slope = float(np.float32(0.1)).hex()
    assert line == f"leaky_relu input=f4:2x3:span:text/x negative_slope={slope}"
    x[0, 0] = 1  # no longer what the generator makes
    assert calls.line(op, {"input": x[:1]}, made).startswith("leaky_relu input=f4:1x3:=:3f800000,")
    assert "f4:2x3:=:" in calls.line(op, {"input": x}, made)
    with pytest.raises(ValueError, match="did not make"):
        calls.line(op, {"input": np.ones(5000, np.float32)}, made)
    with pytest.raises(ValueError, match="without"):
        calls.line(op, {}, made)


@pytest.mark.parametrize("name", OPS)
def test_a_million_outputs_per_op(name):
    op = OPS[name]
    count = sum(r.size for case in op.cases() for r in bits.results(op, case))
    assert count >= 1_000_000, f"{name}: {count} outputs"


def test_generator_is_the_documented_one():
    """splitmix64's published sequence for seed 0, and FNV-1a's for "a"."""
    assert [int(z) for z in uniform(0, 3)] == [
        0xE220A8397B1DCDAF,
        0x6E789E6AA1B965F4,
        0x06C45D188009454F,
    ]
    assert seed_of("a") == 0xAF63DC4C8601EC8C
    assert len(SPECIAL) == 32
    x = make("unit", (1000,))
    assert ((x >= -1) & (x < 1)).all()
    assert (x * 2**23 == np.round(x * 2**23)).all()
    assert make("sweep", (3,), "sweep").view(np.uint32).tolist() == [
        seed_of("sweep") % 4099 + 4099 * i for i in range(3)
    ]


def test_digest_ignores_sign_and_payload_of_nan():
    a = np.array([1, np.nan, -0.0], np.float32)
    b = a.copy()
    b.view(np.uint32)[1] = 0xFFC12345
    assert bits.digest([a]) == bits.digest([b])
    assert bits.digest([a]) != bits.digest([np.abs(a)])  # -0 is not 0
    assert bits.digest([a]) != bits.digest([a[None]])  # the shape counts


def test_forced_wrong_bit_is_seen():
    """The comparison can fail: one bit of one result changes the digest."""
    results = [make("wrong", (100,)), make("wrong2", (5, 5))]
    before = bits.digest(results)
    results[1].view(np.uint32)[4, 4] ^= 1
    assert bits.digest(results) != before


# --- instruction sets and threads ---


@pytest.mark.parametrize("name", OPS)
def test_instruction_sets_agree(name):
    """Call by call, so that a difference names its call and element."""
    op = OPS[name]
    for arguments in sample(name, 60):
        results = {}
        for isa in _core.available_isas():
            with bits.using(isa):
                results[isa] = op.run(arguments)
        for isa, got in results.items():
            best = _core.available_isas()[0]
            assert_same_results(got, results[best], f"{name}({describe(arguments)}): {isa} {best}")


@pytest.mark.parametrize("threads", range(2, 9))
def test_threads_agree(threads, restore_threads):
    """All cases; the large ones are split over threads. One thread is test_committed_hashes."""
    _core.set_num_threads(threads)
    assert bits.differing() == []


def test_threads_agree_on_every_instruction_set(isa, restore_threads):
    _core.set_num_threads(5)
    assert bits.differing(isa) == []


def test_other_seeds_make_other_arrays_and_the_same_comparison():
    """python -m forwardpass.bits --seeds N, on one operator."""
    x = make("seed/x", (5,))
    with salted("#1"):
        assert not np.array_equal(make("seed/x", (5,)), x)
        assert np.array_equal(make("seed/x", (5,)), make("seed/x", (5,)))
    assert np.array_equal(make("seed/x", (5,)), x)
    isas = _core.available_isas()
    assert bits.compare(OPS["exp"], {"input": x}) == (5 * (len(isas) - 1), 0)


# --- splits of a batch ---


def split_at(arguments, start, stop):
    """The call for rows [start, stop) of everything that has the batch's first dimension."""
    part = {
        k: arguments[k][start:stop] for k in ("input", "residual") if arguments.get(k) is not None
    }
    return {**arguments, **part}


@pytest.mark.parametrize("name", ROW_OPS)
def test_batch_equals_its_rows(isa, name):
    op = OPS[name]
    for arguments in sample(name, 40):
        x = arguments["input"]
        least = CONVOLUTIONS.get(name, 2)
        if x.ndim < least or len(x) < 2 or arguments.get("dim") == 0:
            continue
        if len(arguments.get("normalized_shape", ())) == x.ndim:
            continue
        whole = op.run(arguments)
        for cut in {1, len(x) // 2, len(x) - 1}:
            parts = [op.run(split_at(arguments, *r)) for r in ((0, cut), (cut, len(x)))]
            joined = [np.concatenate(pair) for pair in zip(*parts, strict=True)]
            assert_same_results(joined, whole, f"{name}({describe(arguments)}) cut at {cut}")


@pytest.mark.parametrize("name", ROW_OPS)
def test_rows_do_not_see_their_neighbours(isa, name):
    """NaN in every other row changes no bit of a row."""
    op = OPS[name]
    for arguments in sample(name, 20, finite=True):
        x = arguments["input"]
        if x.ndim < CONVOLUTIONS.get(name, 2) or len(x) < 2 or arguments.get("dim") == 0:
            continue
        if len(arguments.get("normalized_shape", ())) == x.ndim:
            continue
        whole, row = op.run(arguments), len(x) // 2
        poisoned = np.full_like(x, np.nan)
        poisoned[row] = x[row]
        got = op.run({**arguments, "input": poisoned})
        for g, w in zip(got, whole, strict=True):
            assert_same_bytes(g[row], w[row], f"{name}({describe(arguments)}) row {row}")


@pytest.mark.parametrize("name", [n for n, op in OPS.items() if set(op.parameters) == {"input"}])
def test_elements_do_not_see_their_neighbours(isa, name):
    op = OPS[name]
    x = make("split/x", (400,), "span")
    (whole,) = op.run({"input": x})
    for start, stop in ((0, 1), (3, 20), (15, 17), (64, 193), (399, 400)):
        (part,) = op.run({"input": x[start:stop]})
        assert_same_bytes(part, whole[start:stop], f"{name}[{start}:{stop}]")


def test_convolution_in_chunks_of_time(isa):
    """Chunk by chunk = whole signal: an output depends on its window alone."""
    x, w, b = make("time/x", (1, 5, 400)), make("time/w", (11, 5, 7)), make("time/b", (11,))

    def run(signal):
        return _core.conv1d(signal, w, b, 1, 0, 3, 1, "gelu", 0.01, None, None)

    whole, reach = run(x), 3 * 6
    for size in (1, 16, 47, 100):
        starts = range(0, whole.shape[2], size)
        chunks = [run(x[..., i : min(i + size, whole.shape[2]) + reach]) for i in starts]
        assert_same_bytes(np.concatenate(chunks, axis=2), whole, f"chunks of {size}")


# --- fused and unfused, raw and packed ---


def activate(name, x, slope):
    if name in (None, "leaky_relu"):
        return x if name is None else _core.leaky_relu(x, slope, None)
    if name.startswith("gelu"):
        return _core.gelu(x, "tanh" if name == "gelu_tanh" else "none", None)
    return getattr(_core, name)(x, None)


@pytest.mark.parametrize("name", PRODUCTS)
@pytest.mark.parametrize(
    "activation",
    ACTIVATIONS,
)
def test_fused_equals_unfused(isa, name, activation):
    op = OPS[name]
    for arguments in sample(name, 40):
        plain = {k: v for k, v in arguments.items() if k not in ("activation", "residual")}
        (y,) = op.run(plain)
        slope = plain.get("negative_slope", 0.01)
        (fused,) = op.run({**plain, "activation": activation})
        unfused = activate(activation, y, slope)
        assert_same_bytes(fused, unfused, describe(arguments))
        residual = make("residual", y.shape, "span")
        (both,) = op.run({**plain, "activation": activation, "residual": residual})
        with np.errstate(all="ignore"):
            assert_same_bytes(both, unfused + residual, describe(arguments))


def bias_added(name, y, bias):
    with np.errstate(all="ignore"):
        return y + bias.reshape(-1, *(1,) * (CONVOLUTIONS.get(name, 2) - 2))


@pytest.mark.parametrize("name", PRODUCTS)
def test_bias_is_one_addition(isa, name):
    op = OPS[name]
    for arguments in sample(name, 40):
        if arguments.get("bias") is None or arguments.get("activation"):
            continue
        plain = {**arguments, "residual": None}
        (want,) = op.run(plain)
        (bare,) = op.run({**plain, "bias": None})
        assert_same_bytes(bias_added(name, bare, plain["bias"]), want, describe(arguments))


def packed_run(name, a):
    """The call through PackedLinear, PackedConv1d or PackedConv."""
    epilogue = (a.get("activation"), a.get("negative_slope", 0.01), a.get("residual"))
    if name == "linear":
        return _core.PackedLinear(a["weight"], a.get("bias"))(a["input"], *epilogue)
    geometry = (a.get("stride", 1), a.get("padding", 0), a.get("dilation", 1), a.get("groups", 1))
    if name == "conv1d":
        return _core.PackedConv1d(a["weight"], a.get("bias"), *geometry)(a["input"], *epilogue)
    if "transpose" in name:
        geometry += (a.get("output_padding", 0),)
    return _core.PackedConv(name, a["weight"], a.get("bias"), *geometry)(a["input"], *epilogue)


@pytest.mark.parametrize("name", PRODUCTS)
def test_raw_equals_packed(isa, name):
    for arguments in sample(name, 300):
        if arguments["weight"].ndim == 1:
            continue
        (raw,) = OPS[name].run(arguments)
        assert_same_bytes(packed_run(name, arguments), raw, f"{name}({describe(arguments)})")
