"""What bench/accuracy.py measures: each function in float64, its bound, and who computes it.

The references use NumPy's and SciPy's float64 functions, whose own errors (a few 2^-53 relative)
are below 2^-26 of a float32 ULP times the condition of the formula; none cancels.
"""

from __future__ import annotations

import math
from collections.abc import Callable, Mapping
from dataclasses import dataclass, field

import numpy as np
from scipy import special

Function = Callable[[np.ndarray], np.ndarray]
ROOT_HALF = math.sqrt(0.5)


def _sigmoid(x: np.ndarray) -> np.ndarray:
    return 1.0 / (1.0 + np.exp(-x))


def _two_u(x: np.ndarray) -> np.ndarray:
    """Twice the argument of tanh in gelu's tanh form."""
    return 2.0 * math.sqrt(2.0 / math.pi) * (x + 0.044715 * x * x * x)


@dataclass(frozen=True)
class Region:
    """Where a bound holds: x in [low, high). In ULP, or relative to the result (a function of x).

    A relative bound counts only where the result is normal; its products may also underflow, by
    2^-148 in a factor of |x|, and the last step by 2^-150 (reference/elementwise.py).
    """

    low: float = -math.inf
    high: float = math.inf
    ulps: float | None = None
    relative: Callable[[np.ndarray], np.ndarray] | None = None


@dataclass(frozen=True)
class Measured:
    """One function of one argument."""

    exact: Function  # float64 to float64
    regions: tuple[Region, ...]
    numpy: Function  # float32 to float32, NumPy's and SciPy's
    onnx: tuple[str, Mapping[str, str]] | None = None  # operator and attributes; silu: see below
    arguments: Mapping[str, str] = field(default_factory=dict)  # of our compiled function


def _everywhere(ulps: float) -> tuple[Region, ...]:
    return (Region(ulps=ulps),)


def _gelu_float32(x: np.ndarray) -> np.ndarray:
    return np.float32(0.5) * x * (np.float32(1) + special.erf(x * np.float32(ROOT_HALF)))


def _gelu_tanh_float32(x: np.ndarray) -> np.ndarray:
    u = np.float32(math.sqrt(2 / math.pi)) * (x + np.float32(0.044715) * x * x * x)
    return np.float32(0.5) * x * (np.float32(1) + np.tanh(u))


FUNCTIONS: dict[str, Measured] = {
    "exp": Measured(np.exp, _everywhere(1.5), np.exp, ("Exp", {})),
    "expm1": Measured(np.expm1, _everywhere(2), np.expm1),
    "log": Measured(np.log, _everywhere(2), np.log, ("Log", {})),
    "log1p": Measured(np.log1p, _everywhere(2), np.log1p),
    "tanh": Measured(np.tanh, _everywhere(2.5), np.tanh, ("Tanh", {})),
    "erf": Measured(special.erf, _everywhere(2.5), special.erf, ("Erf", {})),
    "sigmoid": Measured(_sigmoid, _everywhere(2.5), special.expit, ("Sigmoid", {})),
    "silu": Measured(
        lambda x: x * _sigmoid(x),
        _everywhere(4),
        lambda x: x * special.expit(x),
        ("Sigmoid", {}),  # times x
    ),
    "gelu": Measured(
        lambda x: 0.5 * x * special.erfc(-x * ROOT_HALF),
        (Region(low=-5, ulps=4), Region(high=-5, relative=lambda x: np.full_like(x, 1e-5))),
        _gelu_float32,
        ("Gelu", {}),
        {"approximate": "none"},
    ),
    "gelu_tanh": Measured(
        lambda x: x * _sigmoid(_two_u(x)),
        (
            Region(low=-1, ulps=4),
            Region(high=-1, relative=lambda x: 2.0**-22 * (1.0 + np.abs(_two_u(x)))),
        ),
        _gelu_tanh_float32,
        ("Gelu", {"approximate": "tanh"}),
        {"approximate": "tanh"},
    ),
}


def ours(name: str) -> Function:
    from forwardpass import _core

    f = getattr(_core, name.removesuffix("_tanh") if name.startswith("gelu") else name)
    more = list(FUNCTIONS[name].arguments.values())
    return lambda x: f(x, *more, None)


def torch_function(name: str) -> Function:
    import torch
    from torch.nn import functional

    torch.set_num_threads(1)
    f = {
        "silu": functional.silu,
        "gelu": functional.gelu,
        "gelu_tanh": lambda t: functional.gelu(t, approximate="tanh"),
    }.get(name) or getattr(torch, name)

    def run(x: np.ndarray) -> np.ndarray:
        with torch.inference_mode():
            result: np.ndarray = f(torch.from_numpy(x)).numpy()
        return result

    return run


def onnxruntime_function(name: str) -> Function | None:
    import onnxruntime
    from onnx import TensorProto, helper

    operator = FUNCTIONS[name].onnx
    if operator is None:
        return None
    kind, attributes = operator
    nodes = [helper.make_node(kind, ["x"], ["s" if name == "silu" else "y"], **attributes)]
    if name == "silu":
        nodes.append(helper.make_node("Mul", ["x", "s"], ["y"]))
    x, y = (helper.make_tensor_value_info(n, TensorProto.FLOAT, ["n"]) for n in "xy")
    graph = helper.make_graph(nodes, "g", [x], [y])
    model = helper.make_model(graph, opset_imports=[helper.make_opsetid("", 20)])
    model.ir_version = 10
    options = onnxruntime.SessionOptions()
    options.intra_op_num_threads = 1
    session = onnxruntime.InferenceSession(
        model.SerializeToString(), options, providers=["CPUExecutionProvider"]
    )
    return lambda x: session.run(["y"], {"x": x})[0]


def contender(who: str, name: str) -> Function | None:
    """Who: ours, numpy, torch, onnxruntime. None where they have no such function."""
    if who == "ours":
        return ours(name)
    if who == "numpy":
        return FUNCTIONS[name].numpy
    return torch_function(name) if who == "torch" else onnxruntime_function(name)
