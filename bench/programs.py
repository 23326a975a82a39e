"""Converted modules against their originals: `python bench/programs.py --help`.

Each module of programs_models.py at batch 1: our Program, torch eager, torch.compile and ONNX
Runtime, in one race. Every result is compared with torch eager's first (1e-4 of the largest
number). The ratio is the least time of the best peer over ours; the last line has the number of
losses (ratio < 0.97) and the geometric mean. torch.compile takes a minute for each module the first
time: `--prepare` fills its cache, so that a later run times at once.
"""

from __future__ import annotations

import argparse
import contextlib
import io
import json
import logging
import math
import os
import sys
import tempfile
import warnings
from collections.abc import Callable
from typing import Any

import numpy as np
import torch

import forwardpass as fp
from forwardpass._timing import race, statement
from programs_models import MODELS

CLOSE = 1e-4


def flat(value: Any) -> list[Any]:
    if hasattr(value, "to_tuple"):
        value = value.to_tuple()
    if isinstance(value, dict):
        value = list(value.values())
    if isinstance(value, (list, tuple)):
        return [leaf for item in value for leaf in flat(item)]
    return [] if value is None else [np.asarray(value)]


class First(torch.nn.Module):
    """A module that gives the first of its results, which is what all contenders give."""

    def __init__(self, module: Any) -> None:
        super().__init__()
        self.module = module

    def forward(self, *args: Any) -> Any:
        result = self.module(**dict(zip(self.names, args, strict=True)))
        if isinstance(result, (tuple, dict)) or hasattr(result, "to_tuple"):
            return result[0]
        return result


def onnx_runtime(module: Any, args: tuple[Any, ...], threads: int) -> Callable[..., Any]:
    """A session of ONNX Runtime for the module, as torch exports it."""
    import onnxruntime

    options = onnxruntime.SessionOptions()
    options.intra_op_num_threads, options.inter_op_num_threads = threads, 1
    options.log_severity_level = 3
    with tempfile.TemporaryDirectory() as folder, contextlib.redirect_stdout(io.StringIO()):
        path = os.path.join(folder, "m.onnx")
        torch.backends.mha.set_fastpath_enabled(False)  # it has no ONNX
        try:
            torch.onnx.export(module, args, path, dynamo=True, verbose=False)
        except Exception:
            torch.onnx.export(module, args, path, dynamo=False)
        torch.backends.mha.set_fastpath_enabled(True)
        session = onnxruntime.InferenceSession(path, options, providers=["CPUExecutionProvider"])
    feed = {i.name: x.numpy() for i, x in zip(session.get_inputs(), args, strict=True)}
    return lambda: session.run(None, feed)


def contenders(name: str, threads: int, peers: list[str]) -> dict[str, Callable[[], Any]]:
    torch.manual_seed(0)
    build, make = MODELS[name]
    inputs = make()
    module = First(build().eval())
    module.names = list(inputs)
    module.eval()
    args = tuple(inputs.values())
    program = fp.from_torch(module, args)
    arrays = [x.numpy() for x in args]
    ways: dict[str, Callable[[], Any]] = {"ours": lambda: program(*arrays)}
    if "torch" in peers:
        ways["torch"] = lambda: module(*args)
    if "compile" in peers:
        compiled = torch.compile(module)
        ways["compile"] = lambda: compiled(*args)
    if "onnxruntime" in peers:
        try:
            ways["onnxruntime"] = onnx_runtime(module, args, threads)
        except Exception as error:
            print(f"{name}: no ONNX, {str(error).splitlines()[-1][:120]}", file=sys.stderr)
    return ways


def checked(name: str, ways: dict[str, Callable[[], Any]]) -> dict[str, Callable[[], Any]]:
    """The contenders whose results agree with torch's; SystemExit where ours does not."""
    want = flat(ways["torch"]())[0]
    good = {}
    for who, way in ways.items():
        try:
            got = flat(way())[0]
        except Exception as error:
            print(f"{name}: {who} fails, {type(error).__name__}", file=sys.stderr)
            continue
        difference = np.abs(got - want).max() / np.abs(want).max()
        if difference <= CLOSE:
            good[who] = way
        elif who == "ours":
            raise SystemExit(f"{name}: ours differs from torch by {difference}")
        else:
            print(f"{name}: {who} differs by {difference:.1e}, left out", file=sys.stderr)
    return good


def measured(name: str, threads: int, peers: list[str], seconds: float) -> dict[str, Any] | None:
    with torch.inference_mode(), torch.no_grad():
        ways = checked(name, contenders(name, threads, peers))
        if seconds == 0:
            return None
        times = race({who: statement("f()", f=way) for who, way in ways.items()}, seconds=seconds)
    ours = times["ours"].minimum
    best = min((t.minimum, who) for who, t in times.items() if who != "ours")
    line = f"{name:16} ours {ours * 1e6:9.1f} us"
    for who, taken in times.items():
        if who != "ours":
            line += f"  {who} {taken.minimum * 1e6:9.1f}"
    print(f"{line}  ratio {best[0] / ours:.2f} ({best[1]})", flush=True)
    return {"case": name, "times": {k: t._asdict() for k, t in times.items()},
            "ratio": best[0] / ours, "threads": threads}  # fmt: skip


def main() -> int:
    warnings.simplefilter("ignore")
    logging.disable()  # of exporters
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--model", default=",".join(MODELS), help="comma-separated")
    parser.add_argument("--peers", default="torch,compile,onnxruntime", help="torch always")
    parser.add_argument("--threads", type=int, default=1)
    parser.add_argument("--seconds", type=float, default=1.0, help="of a race (default 1)")
    parser.add_argument("--prepare", action="store_true", help="check and compile, time nothing")
    parser.add_argument("--json", metavar="FILE")
    options = parser.parse_args()
    fp.set_num_threads(options.threads)
    torch.set_num_threads(options.threads)
    peers = ["torch", *options.peers.split(",")]
    found = []
    for name in options.model.split(","):
        seconds = 0 if options.prepare else options.seconds
        row = measured(name, options.threads, peers, seconds)
        torch._dynamo.reset()
        found += [row] if row else []
    if found:
        ratios = [row["ratio"] for row in found]
        mean = math.exp(sum(map(math.log, ratios)) / len(ratios))
        losses = sum(ratio < 0.97 for ratio in ratios)
        print(f"{len(found)} modules, {losses} losses, geometric mean {mean:.2f}")
    if options.json:
        with open(options.json, "w", encoding="utf-8") as file:
            json.dump(found, file, indent=1)
    return 0


if __name__ == "__main__":
    sys.exit(main())
