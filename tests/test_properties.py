"""hypothesis: shapes, layouts, options and values of its choosing, against the same properties."""

from __future__ import annotations

import itertools

import numpy as np
from hypothesis import given, settings
from hypothesis import strategies as st

from _arrays import VIEWS, assert_bounded, assert_same_bytes, map_arrays
from forwardpass import _core
from forwardpass.bits import using
from forwardpass.reference import OPS
from forwardpass.reference.arrays import make

ACTIVATIONS = (None, "relu", "gelu", "gelu_tanh", "silu", "sigmoid", "tanh", "leaky_relu")
KINDS = st.sampled_from(["unit", "span", "wide", "subnormal", "shifted"])
ISAS = st.sampled_from(_core.available_isas())
LAYOUTS = st.sampled_from(list(VIEWS.values()))
SEEDS = st.integers(0, 10**6)
FAST = settings(max_examples=150, deadline=None, derandomize=True, database=None)

# Small sizes, and sizes next to multiples of 16.
SIZES = st.one_of(
    st.integers(1, 20),
    st.builds(lambda k, d: 16 * k + d, st.integers(1, 9), st.integers(-1, 1)),
)


def check(name, isa, view, arguments):
    """Within the bound, and independent of layout and instruction set."""
    op = OPS[name]
    want = op.run(arguments)
    assert_bounded(op, arguments, want)
    with using(isa):
        for got, w in zip(op.run(map_arrays(arguments, view)), want, strict=True):
            assert_same_bytes(got, w, f"{name} on {isa}")


@FAST
@given(st.data(), ISAS, LAYOUTS, KINDS, SEEDS)
def test_linear(data, isa, view, kind, seed):
    m, n, k = data.draw(st.integers(0, 20)), data.draw(SIZES), data.draw(SIZES)
    lead = data.draw(st.sampled_from([(m,), (1, m), (2, m)]))
    weight_kind = "unit" if kind == "subnormal" else kind
    arguments = {
        "input": make(f"{seed}/x", (*lead, k), kind),
        "weight": make(f"{seed}/w", (n, k), weight_kind),
        "bias": make(f"{seed}/b", (n,), kind) if data.draw(st.booleans()) else None,
        "activation": data.draw(st.sampled_from(ACTIVATIONS)),
        "negative_slope": data.draw(st.sampled_from([0.01, 0.5, -1.0])),
        "residual": make(f"{seed}/r", (*lead, n), kind) if data.draw(st.booleans()) else None,
    }
    check("linear", isa, view, arguments)


@FAST
@given(st.data(), ISAS, LAYOUTS, KINDS, SEEDS)
def test_conv1d(data, isa, view, kind, seed):
    groups = data.draw(st.sampled_from([1, 1, 2, 3, 5]))
    channels, outputs = (groups * data.draw(st.integers(1, 6)) for _ in range(2))
    kernel, dilation = data.draw(st.integers(1, 8)), data.draw(st.integers(1, 4))
    padding = data.draw(st.one_of(st.integers(0, 9), st.sampled_from(["same", "valid"])))
    stride = 1 if padding == "same" else data.draw(st.integers(1, 5))
    span = dilation * (kernel - 1) + 1
    length = data.draw(SIZES) + (span if isinstance(padding, str) else max(0, span - 2 * padding))
    batch = data.draw(st.integers(0, 3))
    weight_kind = "unit" if kind == "subnormal" else kind
    arguments = {
        "input": make(f"{seed}/x", (batch, channels, length), kind),
        "weight": make(f"{seed}/w", (outputs, channels // groups, kernel), weight_kind),
        "bias": make(f"{seed}/b", (outputs,), kind) if data.draw(st.booleans()) else None,
        **{"stride": stride, "padding": padding, "dilation": dilation, "groups": groups},
        "activation": data.draw(st.sampled_from(ACTIVATIONS)),
    }
    check("conv1d", isa, view, arguments)


@FAST
@given(st.data(), ISAS, LAYOUTS, KINDS, SEEDS)
def test_norms(data, isa, view, kind, seed):
    shape = (data.draw(st.integers(0, 5)), data.draw(st.integers(1, 3)), data.draw(SIZES))
    normalized = shape[data.draw(st.integers(1, 2)) :]
    eps = data.draw(st.sampled_from([1e-5, 1e-12, 0.5]))
    name = data.draw(st.sampled_from(["rms_norm", "add_rms_norm", "layer_norm", "add_layer_norm"]))
    arguments = {
        "input": make(f"{seed}/x", shape, kind),
        "normalized_shape": normalized,
        "eps": eps,
    }
    if name.startswith("add"):
        arguments["residual"] = make(f"{seed}/r", shape, kind)
    if data.draw(st.booleans()):
        arguments["weight"] = make(f"{seed}/w", normalized)
    if name.endswith("layer_norm") and data.draw(st.booleans()):
        arguments["bias"] = make(f"{seed}/b", normalized)
    check(name, isa, view, arguments)


@FAST
@given(st.data(), ISAS, LAYOUTS, KINDS, SEEDS)
def test_softmax(data, isa, view, kind, seed):
    shape = tuple(data.draw(st.lists(st.integers(1, 40), min_size=1, max_size=3)))
    dim = data.draw(st.integers(-len(shape), len(shape) - 1))
    x = make(f"{seed}/x", shape, kind)
    check("softmax", isa, view, {"input": x, "dim": dim})
    with np.errstate(all="ignore"):
        total = _core.softmax(x, dim, None).astype(np.float64).sum(axis=dim)
    assert np.abs(total - 1).max() <= 20 * 2.0**-24


@FAST
@given(
    st.lists(st.floats(width=32), max_size=80),
    st.sampled_from(["exp", "expm1", "log", "log1p", "erf", "relu", "silu", "sigmoid", "tanh"]),
    ISAS,
    LAYOUTS,
)
def test_unary(values, name, isa, view):
    """Any float32 values: hypothesis likes zeros, infinities, NaN and the ends of ranges."""
    check(name, isa, view, {"input": np.array(values, np.float32)})


@FAST
@given(st.lists(st.floats(width=32), max_size=80), st.sampled_from(["none", "tanh"]), ISAS, LAYOUTS)
def test_gelu(values, form, isa, view):
    check("gelu", isa, view, {"input": np.array(values, np.float32), "approximate": form})


@FAST
@given(st.data(), st.sampled_from(["i1", "u1", "i2", "u4", "i8", "u8"]), LAYOUTS)
def test_embedding(data, dtype, view):
    rows, width = data.draw(st.integers(1, 120)), data.draw(st.integers(0, 40))
    shape = tuple(data.draw(st.lists(st.integers(0, 5), max_size=3)))
    size = int(np.prod(shape))
    chosen = data.draw(st.lists(st.integers(0, rows - 1), min_size=size, max_size=size))
    indices = np.array(chosen, dtype).reshape(shape)
    table = make("table", (rows, width), "bits")
    check("embedding", _core.isa(), view, {"indices": indices, "weight": table})


@FAST
@given(st.data(), SEEDS)
def test_any_split_of_rows(data, seed):
    """Rows in any pieces give the bytes of the whole."""
    m, n, k = data.draw(st.integers(2, 40)), data.draw(SIZES), data.draw(SIZES)
    x, w = make(f"{seed}/x", (m, k)), make(f"{seed}/w", (n, k))
    packed = _core.PackedLinear(w, None)
    cuts = sorted({0, m, *data.draw(st.lists(st.integers(0, m), max_size=6))})
    parts = [packed(x[a:b]) for a, b in itertools.pairwise(cuts)]
    assert_same_bytes(np.concatenate(parts), packed(x))
