"""softmax, rms_norm, layer_norm in ULP, on a fixed sample of rows; see bench/accuracy.py.

The sample: for each length 2^20 elements from the generator of forwardpass.reference.arrays,
"span" (in [-16, 16)) for softmax, "unit" (in [-1, 1)) for the norms, without weight and bias. The
element of a layer_norm that lies at the row's mean is a difference of near numbers, whose ULP is
tiny: there the error is also given against the largest element of its row.
"""

from __future__ import annotations

from collections.abc import Callable

import numpy as np

from accuracy import ulp
from forwardpass.reference.arrays import make

LENGTHS = (16, 64, 768, 4096)
EPS = 1e-5
Rows = Callable[[np.ndarray], np.ndarray]


def _softmax(x: np.ndarray) -> np.ndarray:
    e = np.exp(x - x.max(axis=-1, keepdims=True))
    return e / e.sum(axis=-1, keepdims=True)


def _rms_norm(x: np.ndarray) -> np.ndarray:
    return x / np.sqrt(np.mean(x * x, axis=-1, keepdims=True) + x.dtype.type(EPS))


def _layer_norm(x: np.ndarray) -> np.ndarray:
    d = x - x.mean(axis=-1, keepdims=True)
    return d / np.sqrt(np.mean(d * d, axis=-1, keepdims=True) + x.dtype.type(EPS))


# In float64 the exact value, in float32 what one writes with NumPy.
FORMULAS: dict[str, Rows] = {"softmax": _softmax, "rms_norm": _rms_norm, "layer_norm": _layer_norm}


def _ours(name: str, n: int) -> Rows:
    from forwardpass.nn import functional

    return {
        "softmax": lambda x: functional.softmax(x, -1),
        "rms_norm": lambda x: functional.rms_norm(x, (n,), eps=EPS),
        "layer_norm": lambda x: functional.layer_norm(x, (n,), eps=EPS),
    }[name]


def _torch(name: str, n: int) -> Rows:
    import torch
    from torch.nn import functional

    f = {
        "softmax": lambda t: functional.softmax(t, -1),
        "rms_norm": lambda t: functional.rms_norm(t, (n,), eps=EPS),
        "layer_norm": lambda t: functional.layer_norm(t, (n,), eps=EPS),
    }[name]
    return lambda x: f(torch.from_numpy(x)).numpy()


def _onnxruntime(name: str, n: int) -> Rows:
    import onnxruntime
    from onnx import TensorProto, helper, numpy_helper

    ones, zeros = np.ones(n, np.float32), np.zeros(n, np.float32)
    kind, constants, attributes = {
        "softmax": ("Softmax", {}, {"axis": -1}),
        "rms_norm": ("SimplifiedLayerNormalization", {"w": ones}, {"axis": -1, "epsilon": EPS}),
        "layer_norm": (
            "LayerNormalization",
            {"w": ones, "b": zeros},
            {"axis": -1, "epsilon": EPS},
        ),
    }[name]
    node = helper.make_node(kind, ["x", *constants], ["y"], **attributes)
    x, y = (helper.make_tensor_value_info(s, TensorProto.FLOAT, ["m", n]) for s in "xy")
    weights = [numpy_helper.from_array(w, key) for key, w in constants.items()]
    graph = helper.make_graph([node], "g", [x], [y], weights)
    model = helper.make_model(graph, opset_imports=[helper.make_opsetid("", 20)])
    model.ir_version = 10
    session = onnxruntime.InferenceSession(
        model.SerializeToString(), providers=["CPUExecutionProvider"]
    )
    return lambda x: session.run(["y"], {"x": x})[0]


def _contender(who: str, name: str, n: int) -> Rows:
    if who == "numpy":
        return FORMULAS[name]
    return {"ours": _ours, "torch": _torch, "onnxruntime": _onnxruntime}[who](name, n)


def main(whos: list[str]) -> int:
    print("| function | rows x length | who | max ULP | mean ULP | max error / row's largest |")
    print("|---|---|---|---:|---:|---:|")
    for name, formula in FORMULAS.items():
        for n in LENGTHS:
            kind = "span" if name == "softmax" else "unit"
            x = make(f"accuracy/{name}/{n}", ((1 << 20) // n, n), kind)
            exact = formula(x.astype(np.float64))
            for who in whos:
                error = np.abs(_contender(who, name, n)(x).astype(np.float64) - exact)
                in_ulp = error / ulp(exact)
                scaled = error.max(axis=-1) / np.abs(exact).max(axis=-1)
                cells = [name, f"{len(x)} x {n}", who, f"{in_ulp.max():.3g}"]
                cells += [f"{in_ulp.mean():.3g}", f"{scaled.max() * 2**24:.2f} u"]
                print("| " + " | ".join(cells) + " |", flush=True)
    return 0
