"""`python -m forwardpass bench`: how fast is it here? A minute's version of bench/bench.py.

Each case is checked against the float64 reference, then timed in turns with NumPy's way to do the
same, torch's where torch is installed, and the machine's own limits: the peak of fused
multiply-adds, and reading an array as large as what the case moves.
"""

from __future__ import annotations

import math
import sys
from contextlib import AbstractContextManager, nullcontext
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

import numpy as np

import forwardpass as fp
from forwardpass import _core, nn
from forwardpass._terminal import say
from forwardpass._timing import race, statement
from forwardpass.nn import functional as F
from forwardpass.reference import OPS, problem
from forwardpass.reference.arrays import make, make_indices

if TYPE_CHECKING:
    import timeit
    from collections.abc import Iterator

    from forwardpass._timing import Times

_SMALLEST, _LARGEST = 256 << 10, 256 << 20  # bytes that the read probe goes through
_NUMPY = {  # of the names of a case's arguments
    "linear": "np.add(input @ w, bias)",
    "rms_norm": "input / np.sqrt(np.mean(input * input, -1, keepdims=True) + eps) * weight",
    "softmax": "(e := np.exp(input - input.max(-1, keepdims=True))) / e.sum(-1, keepdims=True)",
    "silu": "input / (1 + np.exp(-input))",
    "tanh": "np.tanh(input)",
    "embedding": "weight.take(indices, axis=0)",
}
_TORCH = {
    "linear": "F.linear(input, weight, bias)",
    "conv1d": "F.conv1d(input, weight, bias, stride, padding, dilation, groups)",
    "rms_norm": "F.rms_norm(input, normalized_shape, weight, eps)",
    "softmax": "F.softmax(input, -1)",
    "gelu": "F.gelu(input)",
    "silu": "F.silu(input)",
    "tanh": "torch.tanh(input)",
    "embedding": "F.embedding(indices, weight)",
}


@dataclass
class Case:
    """`flop` counts a multiply-add as two; `moved` is every array once, in bytes."""

    op: str
    shape: str
    arguments: dict[str, Any]
    flop: float
    moved: float


def _linear(m: int, k: int, n: int) -> Case:
    arguments = {
        "input": make("bench/x", (m, k)),
        "weight": make("bench/w", (n, k)) * np.float32(1 / math.sqrt(k)),
        "bias": make("bench/b", (n,)),
    }
    return Case("linear", f"{m}x{k}-{n}", arguments, 2.0 * m * k * n, 4.0 * (m * k + n * k + m * n))


def _conv1d(channels: int, k: int, length: int, groups: int = 1) -> Case:
    inner = channels // groups * k
    weight = make("bench/w", (channels, channels // groups, k)) * np.float32(1 / math.sqrt(inner))
    arguments = {
        "input": make("bench/x", (1, channels, length)),
        "weight": weight,
        "bias": make("bench/b", (channels,)),
        "stride": 1,
        "padding": k // 2,
        "dilation": 1,
        "groups": groups,
    }
    size = channels * length
    flop, moved = 2.0 * size * inner, 4.0 * (2 * size + channels * inner)
    return Case("conv1d", f"{channels}k{k}g{groups}L{length}", arguments, flop, moved)


def _rows(op: str, rows: int, n: int) -> Case:
    arguments: dict[str, Any] = {"input": make("bench/x", (rows, n))}
    if op == "rms_norm":
        arguments |= {"normalized_shape": (n,), "weight": make("bench/w", (n,)), "eps": 1e-6}
    if op == "softmax":
        arguments["dim"] = -1
    if op == "gelu":
        arguments["approximate"] = "none"
    return Case(op, f"{rows}x{n}", arguments, 0.0, 8.0 * rows * n)


def _embedding(count: int, table: int, width: int) -> Case:
    indices = make_indices("bench/i", (count,), table)
    arguments = {"indices": indices, "weight": make("bench/w", (table, width))}
    return Case("embedding", f"{count}of{table}x{width}", arguments, 0.0, 8.0 * count * width)


def cases() -> Iterator[Case]:
    """The chosen ones; bench/bench.py has hundreds."""
    for m in (1, 4, 64, 256):
        yield _linear(m, 384, 1536)
    yield _linear(1, 768, 3072)
    yield _linear(1, 16, 16)
    yield _conv1d(128, 7, 800)
    yield _conv1d(16, 3, 25600)
    yield _conv1d(256, 5, 200, groups=256)
    for op, rows, n in (
        ("rms_norm", 1, 768),
        ("rms_norm", 256, 768),
        ("softmax", 256, 768),
        ("gelu", 1, 16),
        ("gelu", 64, 1024),
        ("silu", 64, 1024),
        ("tanh", 64, 1024),
    ):
        yield _rows(op, rows, n)
    yield _embedding(128, 30522, 384)


def _ours(case: Case) -> tuple[str, dict[str, Any]]:
    """The public call as an expression, and its names."""
    a = case.arguments
    if case.op == "linear":
        layer: nn.Module = nn.Linear(a["weight"].shape[1], a["weight"].shape[0])
    elif case.op == "conv1d":
        out, inner, k = a["weight"].shape
        more = {name: a[name] for name in ("stride", "padding", "dilation", "groups")}
        layer = nn.Conv1d(inner * a["groups"], out, k, **more)
    elif case.op == "embedding":
        return "f(indices, weight)", {**a, "f": F.embedding}
    else:
        rest = ", ".join(f"{name}={name}" for name in a if name != "input")
        return f"f(input, {rest})", {**a, "f": getattr(F, case.op)}
    layer.load_state_dict({"weight": a["weight"], "bias": a["bias"]})
    return "f(input)", {"f": layer, "input": a["input"]}


def _numpy(case: Case) -> timeit.Timer | None:
    if case.op not in _NUMPY:
        return None
    names = dict(case.arguments, np=np)
    if case.op == "linear":
        names["w"] = np.ascontiguousarray(case.arguments["weight"].T)
    return statement(_NUMPY[case.op], **names)


def _torch(case: Case, torch: Any) -> timeit.Timer | None:
    if torch is None or case.op not in _TORCH:
        return None
    names = {
        name: torch.from_numpy(value) if isinstance(value, np.ndarray) else value
        for name, value in case.arguments.items()
    }
    return statement(_TORCH[case.op], torch=torch, F=torch.nn.functional, **names)


def _import_torch(threads: int) -> Any:
    try:
        import torch
    except ImportError:
        say("torch is not installed: NumPy alone is beside us")
        return None
    torch.set_num_threads(threads)
    torch.set_grad_enabled(False)
    return torch


def _limits(case: Case) -> dict[str, tuple[timeit.Timer, float]]:
    """Probes with the work of a call: flop or bytes. One thread."""
    found = {}
    if case.flop:
        rounds = 5000
        probe = statement("f(n)", f=_core._probe_fma, n=rounds)
        found["fma"] = (probe, abs(_core._probe_fma(rounds)))
    size = int(min(max(case.moved, _SMALLEST), _LARGEST))
    array = np.full(size // 4, 0.5, np.float32)
    found["read"] = (statement("f(a)", f=_core._probe_read, a=array), float(array.nbytes))
    return found


def _share(case: Case, times: dict[str, Times], work: dict[str, float]) -> str:
    """The least time that the machine allows over ours."""
    bounds = {"read": case.moved * times["read"].minimum / work["read"]}
    if "fma" in work:
        bounds["fma"] = case.flop * times["fma"].minimum / work["fma"]
    kind = max(bounds, key=bounds.__getitem__)
    return f"{100 * bounds[kind] / times['ours'].minimum:.0f} % {kind}"


def _line(case: Case, times: dict[str, Times], share: str) -> tuple[str, float]:
    mine = times["ours"].minimum
    peers = {name: times[name].minimum for name in ("numpy", "torch") if name in times}
    ratio = min(peers.values(), default=math.nan) / mine
    rate = f"{(case.flop or case.moved) / mine / 1e9:.1f} " + ("GFLOP/s" if case.flop else "GB/s")
    columns = [f"{1e6 * peers[n]:9.2f}" if n in peers else f"{'-':>9}" for n in ("numpy", "torch")]
    shown = f"{ratio:6.2f}" if peers else f"{'-':>6}"
    return (
        f"{case.op:<10}{case.shape:<16}{1e6 * mine:9.2f}{1e6 * times['ours'].median:9.2f}"
        f"{rate:>16}{share if mine > 5e-6 else '':>11}{''.join(columns)}{shown}",
        ratio,
    )


def _measure(case: Case, torch: Any, seconds: float) -> tuple[str, float]:
    """The case's line and ratio (NaN where nobody else does it). ValueError for a wrong result."""
    code, names = _ours(case)
    ((value, tolerance),) = OPS[case.op].expected(case.arguments)
    wrong = problem(eval(code, dict(names)), value, tolerance)
    if wrong:
        raise ValueError(wrong)
    probes = _limits(case)
    timers = {"ours": statement(code, **names)}
    peers = {"numpy": _numpy(case), "torch": _torch(case, torch)}
    timers |= {name: timer for name, timer in peers.items() if timer is not None}
    timers |= {name: timer for name, (timer, _) in probes.items()}
    times = race(timers, seconds=seconds)
    work = {name: work for name, (_, work) in probes.items()}
    return _line(case, times, _share(case, times, work))


def _blas_limit(threads: int) -> AbstractContextManager[Any]:
    """NumPy's matrix products with as many threads as everyone, where threadpoolctl is there."""
    try:
        from threadpoolctl import threadpool_limits
    except ImportError:
        say("threadpoolctl is not installed: NumPy's matrix products take all the CPUs they like")
        return nullcontext()
    return threadpool_limits(threads, user_api="blas")  # type: ignore[no-any-return]


def run(threads: int = 1, seconds: float = 45.0) -> int:
    """Print the table. 0 done, 1 where a result of ours is outside its tolerance."""
    torch = _import_torch(threads)
    say(f"forwardpass {fp.__version__}, {fp.isa()}, {threads} thread(s); fresh results; in \u00b5s")
    if threads > 1:
        say("limits are those of one thread")
    head = f"{'least':>9}{'median':>9}{'':>16}{'limit':>11}{'NumPy':>9}{'torch':>9}{'ratio':>6}"
    say(" " * 26 + head)
    chosen = list(cases())
    ratios = []
    failed = 0
    with fp.threads(threads), _blas_limit(threads):
        for i, case in enumerate(chosen):
            if sys.stderr.isatty():
                sys.stderr.write(f"\r{i + 1} of {len(chosen)}\r")
            try:
                text, ratio = _measure(case, torch, seconds / len(chosen))
            except ValueError as wrong:
                say(f"{case.op:<10}{case.shape:<16}WRONG RESULT: {wrong}")
                failed += 1
                continue
            say(text)
            if not math.isnan(ratio):
                ratios.append(ratio)
    mean = math.exp(sum(map(math.log, ratios)) / len(ratios)) if ratios else math.nan
    losses = sum(ratio < 0.97 for ratio in ratios)
    say(f"ratio = the best other's time / ours: geometric mean {mean:.2f}, {losses} below 0.97")
    say("more shapes, ONNX Runtime and OpenVINO: bench/bench.py in the source")
    return 1 if failed else 0
