"""Every tolerance can fail, as in test_mutation.py: element-wise functions and the comparison."""

from __future__ import annotations

import math

import numpy as np
import pytest

from _mutants import F, assert_rejected
from forwardpass.reference import OPS, problem
from forwardpass.reference.arrays import make
from forwardpass.reference.elementwise import EXACT

# --- element-wise ---

UNARY = (
    *("exp", "expm1", "log", "log1p", "erf", "relu", "silu", "sigmoid", "tanh"),
    *("relu6", "hardsigmoid", "hardswish"),
)
V = make("mutant/v", (4000,), "span")


def arguments_of(name):
    x = np.abs(V) if name.startswith("log") else V * F(0.3) if name == "erf" else V
    return {"input": x, "approximate": "tanh"} if name == "gelu_tanh" else {"input": x}


@pytest.mark.parametrize("name", [*UNARY, "gelu", "gelu_tanh"])
@pytest.mark.parametrize("sign", [-8, 8])
def test_eight_ulp_are_too_many(name, sign):
    """Anywhere, not only at the worst place; gelu's tails have a relative bound instead."""
    op, arguments = name.removesuffix("_tanh"), arguments_of(name)
    value, tolerance = OPS[op].expected(arguments)[0]
    right = value.astype(F)
    mutant = (right.view(np.int32) + np.int32(sign)).view(F)
    outside = np.abs(mutant.astype(float) - value) > tolerance
    strict = arguments["input"] >= (-5 if name == "gelu" else -1 if name == "gelu_tanh" else -99)
    assert outside[strict & (right != 0)].all()


@pytest.mark.parametrize("scale", [2, 4])
def test_tails_of_gelu(scale):
    """The relative bounds of the tails reject twice as much."""
    x = -np.linspace(5.01, 13, 500).astype(F)
    value, _ = OPS["gelu"].expected({"input": x})[0]
    assert_rejected("gelu", value * (1 + 1.001e-5 * scale), input=x)
    u = math.sqrt(2 / math.pi) * (x + 0.044715 * x.astype(float) ** 3)
    x, u = x[u > -40], u[u > -40]
    value, _ = OPS["gelu"].expected({"input": x, "approximate": "tanh"})[0]
    mutant = value * (1 + scale * 2.0**-22 * (1 + np.abs(2 * u)))
    assert_rejected("gelu", mutant, input=x, approximate="tanh")


def float32_of(function, x):
    with np.errstate(all="ignore"):
        return function(x.astype(F))


NEAR, NEGATIVE = make("mutant/near", (2000,)) * F(1e-3), -np.abs(V)
ELEMENT_MUTANTS = {
    "expm1 as exp - 1": ("expm1", NEAR, lambda x: np.exp(x) - F(1)),
    "log1p as log(1 + x)": ("log1p", NEAR, lambda x: np.log(F(1) + x)),
    "tanh by exp": ("tanh", NEAR, lambda x: (np.exp(2 * x) - F(1)) / (np.exp(2 * x) + F(1))),
    "tanh by 1 - 2/(1+e)": ("tanh", NEAR, lambda x: F(1) - F(2) / (F(1) + np.exp(2 * x))),
    "sigmoid in float16": ("sigmoid", V, lambda x: EXACT["sigmoid"](x).astype(np.float16)),
    "sigmoid overflows": ("sigmoid", NEGATIVE * F(6.4), lambda x: F(1) / (F(1) + np.exp(-x))),
    "silu overflows": ("silu", NEGATIVE * F(6.4), lambda x: x / (F(1) + np.exp(-x))),
    "exp flushes subnormals": ("exp", F([-90, -100]), lambda x: np.where(x < -87.4, 0, np.exp(x))),
    "exp clamps": ("exp", F([-104, -110]), lambda x: np.exp(np.maximum(x, F(-87)))),
    "exp stays finite": ("exp", F([88, 89]), lambda x: np.exp(np.minimum(x, F(88)))),
    "exp of a rounded product": ("exp", V, lambda x: np.exp2(x * F(1.442695))),
    "erf by the tanh form": ("erf", V, lambda x: np.tanh(F(1.12838) * x * (1 + F(0.0894) * x * x))),
    "erf stops at 3": ("erf", V, lambda x: np.where(np.abs(x) > 3, np.sign(x), EXACT["erf"](x))),
    "gelu as its tanh form": ("gelu", V, EXACT["gelu_tanh"]),
    "gelu by 1 + erf in float32": (
        "gelu",
        NEGATIVE,
        lambda x: x * F(0.5) * (F(1) + EXACT["erf"](x * F(math.sqrt(0.5))).astype(F)),
    ),
    "gelu by sigmoid": ("gelu", V, lambda x: x * EXACT["sigmoid"](1.702 * x)),
    "gelu of a wrong root": ("gelu", V, lambda x: EXACT["gelu"](x * (1 + 2.0**-20))),
    "relu loses NaN": ("relu", F([np.nan, 1, -1]), lambda x: np.where(x > 0, x, 0)),
    "relu leaks": ("relu", V, lambda x: np.where(x > 0, x, F(1e-6) * x)),
    "log of |x|": ("log", F([-2, 3]), lambda x: np.log(np.abs(x))),
    "log loses subnormals": ("log", F([1e-40, 1]), lambda x: np.log(np.maximum(x, F(1.2e-38)))),
    "sqrt(1/2) pieces misplaced": ("log", np.abs(V), lambda x: np.log(x) + F(1e-6)),
}


@pytest.mark.parametrize("mutant", ELEMENT_MUTANTS)
def test_element_wise(mutant):
    name, x, wrong = ELEMENT_MUTANTS[mutant]
    assert_rejected(name, float32_of(wrong, x), input=x)


def abramowitz_stegun_erf(x):
    """7.1.26: 1.5e-7 absolute; what many a vectorised gelu uses."""
    t = 1 / (1 + 0.3275911 * np.abs(x))
    coefficients = (1.061405429, -1.453152027, 1.421413741, -0.284496736, 0.254829592)
    p = np.polyval(coefficients, t) * t
    return np.sign(x) * (1 - p * np.exp(-x * x))


def test_gelu_by_abramowitz_and_stegun():
    for x in (NEAR, V):
        assert_rejected("erf", abramowitz_stegun_erf(x.astype(float)), input=x)
    x = V.astype(np.float64)
    mutant = 0.5 * x * (1 + abramowitz_stegun_erf(x * math.sqrt(0.5)))
    assert_rejected("gelu", mutant, input=V)


def test_leaky_relu():
    for wrong in (0.1, 0.0, -0.01, 0.01 * (1 + 2.0**-20)):
        mutant = np.where(V > 0, V, V.astype(float) * wrong)
        assert_rejected("leaky_relu", mutant, input=V, negative_slope=0.01)


def test_embedding():
    table = make("mutant/table", (10, 5))
    for wrong in ([1, 2, 4], [1, 2, 2], [0, 1, 2]):
        assert_rejected("embedding", table[wrong], indices=np.array([1, 2, 3]), weight=table)


# --- the comparison itself ---


def test_comparison_sees_places_shapes_and_types():
    value, tolerance = np.array([1.0, np.nan, np.inf]), np.array([0.1, 0.1, 0.1])
    right = F([1.05, np.nan, np.inf])
    assert problem(right, value, tolerance) == ""
    assert "float64" in problem(right.astype(np.float64), value, tolerance)
    assert "shape" in problem(right[:2], value, tolerance)
    for index, wrong in ((0, 1.2), (0, np.nan), (0, np.inf), (1, 1.0), (2, -np.inf), (2, np.nan)):
        mutant = right.copy()
        mutant[index] = wrong
        assert f"({index},)" in problem(mutant, value, tolerance)


def test_no_tolerance_is_infinite_or_nan():
    for op in OPS.values():
        for case in op.cases():
            if not case.finite:
                continue
            arguments = next(case.calls())
            for value, tolerance in op.expected(arguments):
                assert not (np.isfinite(value) & ~np.isfinite(tolerance)).any(), case.name
