"""NumPy by hand: what one writes without a library, with as few passes as NumPy allows."""

from __future__ import annotations

import os
from collections.abc import Callable
from typing import Any

import numpy as np

from cases import Arguments, Case
from contenders import Contender, UnsupportedError, output

try:
    import threadpoolctl
except ImportError:
    threadpoolctl = None

# Each of these, where it is set, overrides what the library would choose for this processor.
FORCING = (
    "OPENBLAS_CORETYPE",
    "MKL_DEBUG_CPU_TYPE",
    "MKL_ENABLE_INSTRUCTIONS",
    "BLIS_ARCH_TYPE",
    "NPY_DISABLE_CPU_FEATURES",
    "ATEN_CPU_CAPABILITY",
    "ONEDNN_MAX_CPU_ISA",
    "DNNL_MAX_CPU_ISA",
)


def forced() -> list[str]:
    """The settings of this environment that may keep a peer from its best."""
    return [f"{name}={os.environ[name]}" for name in FORCING if os.environ.get(name)]


class NumPy:
    name = "numpy"

    def __init__(self) -> None:
        self._limits: Any = None
        self._threads = 0
        blas = []
        if threadpoolctl is not None:
            pools = threadpoolctl.threadpool_info()
            blas = [p for p in pools if p["user_api"] == "blas"]
        self.version = np.__version__ + "".join(
            f" ({p['internal_api']} {p['version']}, {p['architecture']} kernels)" for p in blas[:1]
        )

    def use_threads(self, n: int) -> None:
        """BLAS only: NumPy's own loops have one thread."""
        if threadpoolctl is not None:
            self._limits = threadpoolctl.threadpool_limits(n, user_api="blas")
        self._threads = n

    def contenders(self, case: Case, arguments: Arguments, reuse: bool) -> list[Contender]:
        make = _BY_OP.get(case.op)
        if case.group == "gelu" or (case.op == "gelu" and case.group == "overhead"):
            raise UnsupportedError("no erf in NumPy")
        if make is None:
            raise UnsupportedError(f"no {case.op} in NumPy")
        if case.op in ("linear", "sequential"):
            self._require_threads()
        out = output(case, arguments) if reuse else None
        return make(case, arguments, out)

    def _require_threads(self) -> None:
        if threadpoolctl is None:
            names = ("OPENBLAS_NUM_THREADS", "OMP_NUM_THREADS")
            if str(self._threads) not in (os.environ.get(name) for name in names):
                raise UnsupportedError("BLAS threads cannot be set: threadpoolctl is missing")


def _silu(y: np.ndarray, out: Any = None) -> Any:
    t = np.negative(y, out=out)
    np.exp(t, out=t)
    t += np.float32(1)
    return np.divide(y, t, out=t)


def _sigmoid(x: np.ndarray, out: Any = None) -> Any:
    t = np.negative(x, out=out)
    np.exp(t, out=t)
    t += np.float32(1)
    return np.reciprocal(t, out=t)


def _gelu_tanh(x: np.ndarray, out: Any = None) -> Any:
    t = np.multiply(x, x, out=out)
    t *= np.float32(0.044715 * 0.7978845608028654)
    t += np.float32(0.7978845608028654)
    t *= x
    np.tanh(t, out=t)
    t += np.float32(1)
    t *= x
    t *= np.float32(0.5)
    return t


def _softmax(x: np.ndarray, out: Any = None) -> Any:
    t = np.subtract(x, x.max(axis=-1, keepdims=True), out=out)
    np.exp(t, out=t)
    t /= t.sum(axis=-1, keepdims=True)
    return t


def _rms_norm(x: np.ndarray, w: np.ndarray, eps: float, out: Any = None) -> Any:
    r = np.einsum("ij,ij->i", x, x)
    r /= np.float32(x.shape[-1])
    r += np.float32(eps)
    np.sqrt(r, out=r)
    t = np.divide(x, r[:, None], out=out)
    t *= w
    return t


def _layer_norm(x: Any, w: Any, b: Any, eps: float, out: Any = None) -> Any:
    t = np.subtract(x, x.mean(axis=-1, keepdims=True), out=out)
    r = np.einsum("ij,ij->i", t, t)
    r /= np.float32(x.shape[-1])
    r += np.float32(eps)
    np.sqrt(r, out=r)
    t /= r[:, None]
    t *= w
    t += b
    return t


_AFTER: dict[str, Callable[[np.ndarray], Any]] = {
    "relu": lambda y: np.maximum(y, 0, out=y),
    "gelu_tanh": _gelu_tanh,
    "silu": _silu,
}


def _linear(case: Case, a: Arguments, out: np.ndarray | None) -> list[Contender]:
    """x @ w with the weight stored both ways round; raw weights only as they are."""
    activation, residual = a.get("activation"), a.get("residual")
    if activation not in (None, *_AFTER):
        raise UnsupportedError(f"no {activation} in NumPy")
    after = _AFTER.get(activation or "")

    def linear(x: np.ndarray, w: np.ndarray, b: np.ndarray, out: Any = None) -> Any:
        y = np.matmul(x, w, out=out)
        y += b
        if residual is not None:
            y += residual
        return y if after is None else after(y)

    names = {"f": linear, "x": a["input"], "b": a["bias"], "out": out}
    code = "f(x, w, b)" if out is None else "f(x, w, b, out)"
    stored = {"x @ w.T": a["weight"].T}
    if not case.group.startswith("F."):
        stored["x @ w"] = np.ascontiguousarray(a["weight"].T)
    found = [Contender(code, {**names, "w": w}, way=way) for way, w in stored.items()]
    if case.group == "overhead" and out is None:  # the yardstick, without the bias
        found = [Contender("x @ w + b", {**c.names}, way=c.way) for c in found] + found
    return found


def _sequential(case: Case, a: Arguments, out: np.ndarray | None) -> list[Contender]:
    def net(x: Any, w1: Any, b1: Any, w2: Any, b2: Any) -> Any:
        h = x @ w1
        h += b1
        np.maximum(h, 0, out=h)
        y = h @ w2
        y += b2
        return _sigmoid(y, y)

    names = {"f": net, "x": a["input"], "b1": a["bias1"], "b2": a["bias2"]}
    names |= {f"w{i}": np.ascontiguousarray(a[f"weight{i}"].T) for i in (1, 2)}
    code = "f(x, w1, b1, w2, b2)"
    return [Contender(code, names, way="NumPy", fresh_only=out is not None)]


def _simple(function: Callable[..., Any], *order: str) -> Callable[..., list[Contender]]:
    def make(case: Case, a: Arguments, out: np.ndarray | None) -> list[Contender]:
        names = {"f": function, "out": out, **{name: a[name] for name in order}}
        code = f"f({', '.join(order)})" if out is None else f"f({', '.join(order)}, out=out)"
        return [Contender(code, names, way=getattr(function, "__name__", "").strip("_"))]

    return make


def _embedding(case: Case, a: Arguments, out: np.ndarray | None) -> list[Contender]:
    names = {"w": a["weight"], "i": a["indices"], "take": np.take, "out": out}
    if out is not None:
        return [Contender("take(w, i, 0, out, 'clip')", names, way="take, mode clip")]
    return [Contender("w[i]", names, way="w[i]"), Contender("take(w, i, 0)", names, way="take")]


_BY_OP: dict[str, Callable[..., list[Contender]]] = {
    "linear": _linear,
    "sequential": _sequential,
    "rms_norm": _simple(_rms_norm, "input", "weight", "eps"),
    "layer_norm": _simple(_layer_norm, "input", "weight", "bias", "eps"),
    "softmax": _simple(_softmax, "input"),
    "gelu": _simple(_gelu_tanh, "input"),
    "silu": _simple(_silu, "input"),
    "sigmoid": _simple(_sigmoid, "input"),
    "tanh": _simple(np.tanh, "input"),
    "embedding": _embedding,
}
