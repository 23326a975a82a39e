"""Where the numbers come from: processor, versions, load, and what would make them worthless."""

from __future__ import annotations

import os
import platform
import subprocess
import sys
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from typing import Any

import forwardpass as fp
import limits
from contenders import Peer
from forwardpass import _core
from peers_numpy import forced


def processor() -> str:
    """The model's name; virtual machines often hide it, so with family and model numbers."""
    fields: dict[str, str] = {}
    try:
        with open("/proc/cpuinfo", encoding="utf-8") as file:
            for text in file:
                key, _, value = text.partition(":")
                fields.setdefault(key.strip(), value.strip())
    except OSError:
        return platform.processor() or platform.machine()
    numbers = f"family {fields.get('cpu family', '?')}, model {fields.get('model', '?')}"
    return f"{fields.get('model name', platform.machine())} ({numbers})"


def load() -> float:
    """Other runnable processes, a minute's mean; ours counts too once we run."""
    return os.getloadavg()[0] if hasattr(os, "getloadavg") else 0.0


def describe(peers: Sequence[Peer], missing: dict[str, str]) -> dict[str, Any]:
    usable = len(os.sched_getaffinity(0)) if hasattr(os, "sched_getaffinity") else os.cpu_count()
    return {
        "processor": processor(),
        "cores": usable,
        "platform": platform.platform(),
        "python": platform.python_version(),
        "forwardpass": fp.__version__,
        "numerics_version": fp.numerics_version,
        "build": dict(_core.build_info()),
        "peers": {peer.name: peer.version for peer in peers},
        "missing": missing,
        "forced": forced(),
        "load": load(),
    }


def lines(facts: dict[str, Any], command: Sequence[str]) -> list[str]:
    text = [f"$ python {' '.join(command)}"]
    build = facts["build"]
    text += [f"{facts['processor']}, {facts['cores']} cores, load {facts['load']:.2f}"]
    text += [f"forwardpass {facts['forwardpass']} ({build.get('compiler', '?')})"]
    text += [f"{name} {version}" for name, version in facts["peers"].items()]
    text += [f"{name}: not here ({why})" for name, why in facts["missing"].items()]
    for name in facts["forced"]:
        text += [f"WARNING: {name} is set: it may keep a peer from its best kernels"]
    if facts["load"] > 0.5:
        text += ["WARNING: the machine is busy: compare nothing but ratios, and those with care"]
    return text


def limit_lines(isas: Sequence[str], threads: Sequence[int]) -> tuple[list[str], list[Any]]:
    """Peak and bandwidth now; each race measures its own again."""
    text, facts = [], []
    for isa in isas:
        _core._set_isa(isa)
        for n in threads:
            peak, curve = limits.peak(n), limits.curve(n)
            reads = ", ".join(f"{size / 2**20:g} MiB {r / 1e9:.0f}" for size, r in curve)
            text += [f"{isa}, {n} thr: {peak / 1e9:.1f} GFLOP/s of fma; GB/s read: {reads}"]
            facts += [{"isa": isa, "threads": n, "fma": peak, "read": curve}]
    return text, facts


@contextmanager
def busy(count: int) -> Iterator[None]:
    """So many processes that do nothing but use a core, ended on the way out."""
    loop = [sys.executable, "-c", "while True: pass"]
    running = [subprocess.Popen(loop) for _ in range(count)]
    try:
        yield
    finally:
        for process in running:
            process.kill()
            process.wait()
