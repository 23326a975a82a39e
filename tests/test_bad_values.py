"""Bad values: shapes, numbers and names that an operator refuses, and odd ones that it takes."""

from __future__ import annotations

import numpy as np
import pytest

from _arrays import assert_same_bytes
from _bad import good, rejected
from forwardpass import _core
from forwardpass.reference import OPS
from forwardpass.reference.arrays import make

HUGE = 2**62

# --- linear ---


@pytest.mark.parametrize(
    ("changed", "words"),
    [
        ({"input": make("b", (2, 7))}, ("input", "6", "(2, 7)")),
        ({"input": make("b", ())}, ("input", "6", "()")),
        ({"weight": make("b", (5, 6, 1))}, ("weight", "(5, 6, 1)")),
        ({"weight": make("b", ())}, ("weight", "()")),
        ({"bias": make("b", (4,))}, ("bias", "(5,)", "(4,)")),
        ({"bias": make("b", (5, 1))}, ("bias", "(5,)", "(5, 1)")),
        ({"bias": make("b", ())}, ("bias", "(5,)", "()")),
        ({"residual": make("b", (2, 6))}, ("residual", "(2, 5)", "(2, 6)")),
        ({"residual": make("b", (5,))}, ("residual", "(2, 5)", "(5,)")),
        ({"activation": "swish"}, ("activation", "swish", "silu", "gelu_tanh")),
        ({"activation": ""}, ("activation", "gelu")),
        ({"activation": "leaky_relu", "negative_slope": np.nan}, ("negative_slope", "nan")),
    ],
)
def test_linear_values(changed, words):
    rejected(ValueError, "linear", *words, **changed)


def test_linear_types():
    rejected(TypeError, "linear", "activation", activation=3)
    rejected(TypeError, "linear", "negative_slope", activation="leaky_relu", negative_slope="x")


def test_packed_linear_values():
    w, b = make("bad/w", (5, 6)), make("bad/b", (5,))
    for error, arguments in (
        (ValueError, (make("b", (6,)), None)),
        (ValueError, (w, b[:4])),
        (TypeError, (w.astype(np.float64), b)),
        (TypeError, (w, b.astype(np.float64))),
        (TypeError, (None, None)),
        (TypeError, ([[1.0]], None)),
    ):
        with pytest.raises(error, match="linear"):
            _core.PackedLinear(*arguments)
    packed = _core.PackedLinear(w, b)
    with pytest.raises(ValueError, match=r"linear.*input.*6.*\(2, 5\)"):
        packed(make("b", (2, 5)))
    with pytest.raises(TypeError, match=r"linear.*input.*float64"):
        packed(np.ones((2, 6)))


# --- conv1d ---


@pytest.mark.parametrize(
    ("changed", "words"),
    [
        ({"stride": 0}, ("stride", "0")),
        ({"stride": -1}, ("stride", "-1")),
        ({"stride": (0,)}, ("stride", "0")),
        ({"stride": (1, 1)}, ("stride", "(1, 1)")),
        ({"stride": ()}, ("stride", "()")),
        ({"dilation": 0}, ("dilation", "0")),
        ({"dilation": -2}, ("dilation", "-2")),
        ({"dilation": (1, 2)}, ("dilation", "(1, 2)")),
        ({"padding": -1}, ("padding", "-1")),
        ({"padding": "full"}, ("padding", "full", "same", "valid")),
        ({"padding": (1, 2)}, ("padding", "(1, 2)")),
        ({"padding": "same", "stride": 2}, ("padding", "same", "stride")),
        ({"groups": 0}, ("groups", "0")),
        ({"groups": -3}, ("groups", "-3")),
        ({"groups": 2}, ("groups",)),
        ({"input": make("b", (1, 4, 7))}, ("input", "(1, 4, 7)")),
        ({"input": make("b", (7,))}, ("input", "(7,)")),
        ({"input": make("b", (1, 1, 3, 7))}, ("input", "(1, 1, 3, 7)")),
        ({"weight": make("b", (4, 3))}, ("weight", "(4, 3)")),
        ({"bias": make("b", (3,))}, ("bias", "(4,)", "(3,)")),
        ({"residual": make("b", (1, 4, 7))}, ("residual", "(1, 4, 6)", "(1, 4, 7)")),
        ({"input": make("b", (1, 3, 1))}, ("input",)),  # kernel larger than the input
        ({"dilation": 7}, ("input",)),
        ({"weight": make("b", (4, 3, 0))}, ("weight", "(4, 3, 0)")),
    ],
)
def test_conv1d_values(changed, words):
    rejected(ValueError, "conv1d", *words, **changed)


@pytest.mark.parametrize("value", [HUGE - 1, HUGE, HUGE + 1, 2**63 - 1, 2**63, 2**64, 2**80])
@pytest.mark.parametrize("key", ["padding", "dilation", "stride", "groups"])
@pytest.mark.parametrize("sign", [1, -1])
def test_conv1d_huge_numbers(key, value, sign):
    """Near 2**62 and past 64 bits: refused, before a product can overflow."""
    rejected(ValueError, "conv1d", key, **{key: sign * value}, residual=None)


@pytest.mark.parametrize("stride", [7, 1000, 2**31, 2**32 + 1, 2**40])
def test_conv1d_large_strides(stride):
    """A stride past the end leaves the first output alone."""
    arguments = {**good("conv1d"), "residual": None, "padding": 2}
    (y,) = OPS["conv1d"].run({**arguments, "stride": 1})
    (strided,) = OPS["conv1d"].run({**arguments, "stride": stride})
    assert_same_bytes(strided, np.ascontiguousarray(y[..., ::stride]))


@pytest.mark.parametrize("value", [2**31, 2**40, 2**50])
def test_conv1d_large_padding_is_out_of_memory(value):
    with pytest.raises((MemoryError, ValueError)):
        OPS["conv1d"].run({**good("conv1d"), "residual": None, "padding": 2**12 * value})


def test_conv1d_huge_dilation_of_one_tap():
    """A kernel of one tap has no distance: any dilation is the same."""
    x, w = make("tap/x", (1, 3, 7)), make("tap/w", (4, 3, 1))
    (want,) = OPS["conv1d"].run({"input": x, "weight": w})
    for dilation in (2, 2**31, 2**40):
        for padding in (0, "same"):
            arguments = {"input": x, "weight": w, "dilation": dilation, "padding": padding}
            assert_same_bytes(OPS["conv1d"].run(arguments)[0], want)


@pytest.mark.parametrize("key", ["stride", "padding", "dilation", "groups"])
@pytest.mark.parametrize("wrong", [1.0, None, 1j, [1.5]], ids=repr)
def test_conv1d_types(key, wrong):
    rejected(TypeError, "conv1d", key, **{key: wrong})


def test_conv1d_integer_types_work():
    arguments = {**good("conv1d"), "stride": np.int64(1), "padding": np.uint8(0), "dilation": [1]}
    assert_same_bytes(OPS["conv1d"].run(arguments)[0], OPS["conv1d"].run(good("conv1d"))[0])


def test_packed_conv1d_values():
    w, b = good("conv1d")["weight"], good("conv1d")["bias"]
    for error, arguments in (
        (ValueError, (w, b[:2], 1, 0, 1, 1)),
        (ValueError, (w[0], b, 1, 0, 1, 1)),
        (ValueError, (w, b, 0, 0, 1, 1)),
        (ValueError, (w, b, 1, -1, 1, 1)),
        (ValueError, (w, b, 1, HUGE, 1, 1)),
        (ValueError, (w, b, 1, 0, HUGE, 1)),
        (ValueError, (w, b, 1, 0, 1, 3)),
        (ValueError, (w, b, 2, "same", 1, 1)),
        (TypeError, (w.astype(np.float64), b, 1, 0, 1, 1)),
    ):
        with pytest.raises(error, match="conv1d"):
            _core.PackedConv1d(*arguments)
    packed = _core.PackedConv1d(w, b, 1, 0, 1, 1)
    with pytest.raises(ValueError, match=r"conv1d.*input"):
        packed(make("b", (1, 4, 7)))
    with pytest.raises(ValueError, match=r"conv1d.*input"):
        packed(make("b", (1, 3, 1)))


# --- norms, softmax, element-wise ---

NORMS = ("rms_norm", "add_rms_norm", "layer_norm", "add_layer_norm")


@pytest.mark.parametrize("name", NORMS)
def test_norm_values(name):
    for shape in ((5,), (3, 6), (1, 2, 6), (6, 2), 7, (-6,), (HUGE,), (HUGE, HUGE)):
        rejected(ValueError, name, "normalized_shape", normalized_shape=shape)
    for shape in ((), []):
        rejected(ValueError, name, "normalized_shape", normalized_shape=shape)
    for eps in (np.nan, np.inf, -np.inf, 1e39):
        rejected(ValueError, name, "eps", eps=eps)
    rejected(ValueError, name, "weight", "(6,)", "(5,)", weight=make("b", (5,)))
    rejected(ValueError, name, "weight", "(6,)", "(1, 6)", weight=make("b", (1, 6)))
    for shape in (6.0, "6", None, (6.0,), [None]):
        rejected(TypeError, name, "normalized_shape", normalized_shape=shape)
    rejected(TypeError, name, "eps", eps="small")
    rejected(ValueError, name, "normalized_shape", normalized_shape=2**70)


def test_norm_arguments_of_their_own():
    rejected(ValueError, "layer_norm", "bias", "(6,)", "(7,)", bias=make("b", (7,)))
    rejected(ValueError, "add_rms_norm", "residual", "(2, 6)", "(6,)", residual=make("b", (6,)))
    rejected(TypeError, "add_rms_norm", "residual", residual=None)
    rejected(ValueError, "add_layer_norm", "residual", "(2, 6)", "(6,)", residual=make("b", (6,)))
    rejected(TypeError, "add_layer_norm", "residual", residual=None)
    rejected(ValueError, "add_layer_norm", "bias", "(6,)", "(7,)", bias=make("b", (7,)))
    rejected(ValueError, "rms_norm", "input", input=np.float32(1))


@pytest.mark.parametrize("dim", [2, -3, 100, HUGE, -HUGE, 2**63 - 1, -(2**63)])
def test_softmax_dimension(dim):
    """IndexError, as in torch."""
    rejected(IndexError, "softmax", "dim", str(dim), dim=dim)


def test_softmax_types():
    rejected((IndexError, ValueError), "softmax", "dim", dim=2**70)
    rejected((IndexError, ValueError), "softmax", "dim", dim=1, input=np.float32(1))
    for wrong in (1.0, "1", (1,)):
        rejected(TypeError, "softmax", "dim", dim=wrong)


def test_gelu_and_leaky_relu():
    rejected(ValueError, "gelu", "approximate", "erf", "tanh", approximate="erf")
    for wrong in (None, 1, b"tanh"):
        rejected((TypeError, ValueError), "gelu", "approximate", approximate=wrong)
    for slope in (np.nan, np.inf, 1e39):
        rejected(ValueError, "leaky_relu", "negative_slope", negative_slope=slope)
    for slope in ("x", None, [0.1]):
        rejected(TypeError, "leaky_relu", "negative_slope", negative_slope=slope)


# --- embedding ---


@pytest.mark.parametrize("index", [2, -1, -3, 2**31, 2**62, 2**63 - 1, -(2**63)])
def test_index_out_of_range(index):
    rejected(IndexError, "embedding", str(index), indices=np.array([0, index]))
    rejected(IndexError, "embedding", str(index), indices=np.array(index))


def test_index_out_of_range_of_other_types():
    for index, dtype in (
        (2**63, "u8"),
        (2**64 - 1, "u8"),
        (2**32 - 1, "u4"),
        (255, "u1"),
        (-128, "i1"),
    ):
        rejected(IndexError, "embedding", str(index), indices=np.array([0, index], dtype))
    swapped = np.array([0, 7], ">i8")  # byte-swapped integers are unambiguous: they work
    rejected(IndexError, "embedding", "7", indices=swapped)
    (y,) = OPS["embedding"].run({**good("embedding"), "indices": swapped % 2})
    assert_same_bytes(
        y, OPS["embedding"].run({**good("embedding"), "indices": np.array([0, 1])})[0]
    )


def test_index_in_the_empty_table():
    rejected(IndexError, "embedding", "0", weight=np.empty((0, 4), np.float32))


@pytest.mark.parametrize("dtype", ["f4", "f8", "c8", "?", "O", "U1", "M8[s]"])
def test_index_of_wrong_type(dtype):
    rejected(TypeError, "embedding", "input", "int", indices=np.array([0, 1]).astype(dtype))


@pytest.mark.parametrize("wrong", [[0, 1], (0,), 1.0, "1", None], ids=repr)
def test_index_that_is_no_array(wrong):
    rejected(TypeError, "embedding", "input", indices=wrong)


def test_embedding_table():
    rejected(ValueError, "embedding", "weight", "(6,)", weight=make("b", (6,)))
    rejected(ValueError, "embedding", "weight", weight=np.float32(1))
    rejected(TypeError, "embedding", "weight", weight=None)


def test_failed_embedding_reads_nothing_outside():
    """Every index is checked where it is used, however large."""
    rng = np.arange(100_000) % 2
    rng[77_777] = 2**40
    rejected(IndexError, "embedding", str(2**40), indices=rng)
