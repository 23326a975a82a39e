"""The peers by name. One that is not installed is said to be missing, and the rest goes on."""

from __future__ import annotations

import time
from collections.abc import Callable, Sequence
from importlib import import_module

from contenders import Contender, Peer, UnsupportedError
from forwardpass._timing import trial

_WHERE = {
    "numpy": ("peers_numpy", "NumPy"),
    "torch": ("peers_torch", "Torch"),
    "onnxruntime": ("peers_onnxruntime", "OnnxRuntime"),
    "openvino": ("peers_openvino", "OpenVino"),
}
NAMES = tuple(_WHERE)


def load(names: Sequence[str]) -> tuple[list[Peer], dict[str, str]]:
    """The peers asked for, and for each that is missing the reason."""
    unknown = set(names) - set(NAMES)
    if unknown:
        raise ValueError(f"no peer {', '.join(sorted(unknown))}; there are {', '.join(NAMES)}")
    found: list[Peer] = []
    missing: dict[str, str] = {}
    for name in names:
        module, kind = _WHERE[name]
        try:
            found.append(getattr(import_module(module), kind)())
        except (ImportError, OSError) as error:  # OSError: a shared library that does not load
            missing[name] = str(error)
    return found, missing


def quickest(
    ways: Sequence[Contender], wrong: Callable[[Contender], str], settle: float
) -> Contender:
    """The best of a peer's ways that give the right result; UnsupportedError where none does."""
    reasons = []
    right = []
    for way in ways:
        problem = wrong(way)
        if problem:
            reasons.append(f"{way.way}: {problem}")
        else:
            right.append(way)
    if not right:
        raise UnsupportedError("; ".join(reasons) or "no way")
    if len(right) == 1:
        return right[0]
    best: dict[int, float] = {}
    for index, way in enumerate(right):
        time.sleep(settle)  # until the pool of the one before sleeps
        best[index] = trial(way.timer())
    return right[min(best, key=best.__getitem__)]
