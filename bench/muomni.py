"""μOmni: ours beside a plain torch version of the same components, eager, compiled and in ONNX.

    python bench/muomni.py [--threads 1,2] [--only PATTERN] [--seconds S] [--no-compile]
    python bench/muomni.py --profile

Everyone gets the same weights; every result is compared before anything is timed. Ratio: the best
peer's least time over ours. `thinker` is the small one (4 layers, 256 wide, 4 heads in 2 groups,
32000 words), `thinker 100M` the default; decode is one token behind 128. The last line shows the
100M decode beside the read bandwidth of the same race. `--profile` shows what of decoding is no
kernel.
"""

from __future__ import annotations

import argparse
import fnmatch
import io
import sys
import timeit
from collections.abc import Callable
from typing import Any, NamedTuple

import numpy as np
import onnxruntime
import torch

import forwardpass as fp
import limits
import muomni_profile
import muomni_torch as theirs
from forwardpass._timing import race, statement
from forwardpass.models import muomni as ours
from forwardpass.reference.arrays import make

SMALL = dict(vocab=32000, n_layers=4, d=256, heads=4, ff=1024, use_gqa=True)
PAST = 128
CLOSE = 1e-4  # of the largest output


class Case(NamedTuple):
    name: str
    component: str
    config: dict[str, Any]
    input: Callable[[], np.ndarray]
    decode: bool = False


def tokens(*shape: int) -> np.ndarray:
    return np.random.default_rng(0).integers(0, 128, shape)


CASES = [
    Case("thinker prefill 128", "Thinker", SMALL, lambda: tokens(1, 128)),
    Case("thinker decode", "Thinker", SMALL, lambda: tokens(1, 1), True),
    Case("thinker 100M decode", "Thinker", {}, lambda: tokens(1, 1), True),
    Case("audio encoder 800", "AudioEncoder", {}, lambda: make("bench/mel", (1, 800, 128))),
    Case("vision encoder 224", "VisionEncoder", {}, lambda: make("bench/see", (1, 3, 224, 224))),
    Case("talker prefill 100", "Talker", {}, lambda: tokens(1, 100, 2)),
    Case("vocoder 100", "Vocoder", {}, lambda: make("bench/voice", (1, 128, 100))),
]


class Entry(NamedTuple):
    """A contender: how to call it, and its result as arrays."""

    timer: timeit.Timer
    result: Callable[[], list[np.ndarray]]


def pair(case: Case) -> tuple[Any, Any]:
    fp.manual_seed(0)
    mine = getattr(ours, case.component)(**case.config)
    other = getattr(theirs, case.component)(**case.config).eval()
    state = {name: torch.from_numpy(value.copy()) for name, value in mine.state_dict().items()}
    other.load_state_dict(state)
    return mine, other


def listed(value: Any) -> list[np.ndarray]:
    values = value if isinstance(value, (tuple, list)) else (value,)
    return [v.numpy() if isinstance(v, torch.Tensor) else v for v in values]


def our_entry(model: Any, case: Case, x: np.ndarray) -> Entry:
    if not case.decode:
        return Entry(statement("f(x)", f=model, x=x), lambda: listed(model(x)))
    cache = model.new_cache()
    model(tokens(1, PAST), cache=cache)

    def step() -> Any:
        y = model(x, cache=cache)
        cache.truncate(PAST)
        return y

    return Entry(statement("f()", f=step), lambda: listed(step()))


def torch_entry(model: Any, case: Case, x: np.ndarray) -> Entry:
    given = torch.from_numpy(x)
    if not case.decode:
        return Entry(statement("f(x)", f=model, x=given), lambda: listed(model(given)))
    whole = model._orig_mod if hasattr(model, "_orig_mod") else model
    caches = theirs.new_caches(whole.blocks, 1, 1024)
    whole(torch.from_numpy(tokens(1, PAST)), 0, caches)
    names = {"f": model, "x": given, "n": PAST, "c": caches}
    return Entry(statement("f(x, n, c)", **names), lambda: listed(model(given, PAST, caches)))


class Alone(torch.nn.Module):
    """The model without the arguments of a cache, which the export would make inputs of."""

    def __init__(self, model: Any) -> None:
        super().__init__()
        self.model = model

    def forward(self, x: Any) -> Any:
        return self.model(x)


def onnx_entry(model: Any, x: np.ndarray, threads: int) -> Entry:
    file = io.BytesIO()
    torch.onnx.export(
        Alone(model),
        (torch.from_numpy(x),),
        file,
        dynamo=False,
        opset_version=18,
        input_names=["x"],
    )
    options = onnxruntime.SessionOptions()
    options.intra_op_num_threads = threads
    options.inter_op_num_threads = 1
    options.log_severity_level = 3
    session = onnxruntime.InferenceSession(
        file.getvalue(), options, providers=["CPUExecutionProvider"]
    )
    feed = {"x": x}
    return Entry(statement("f(None, x)", f=session.run, x=feed), lambda: session.run(None, feed))


def agrees(found: list[np.ndarray], expected: list[np.ndarray]) -> bool:
    return len(found) == len(expected) and all(
        f.shape == e.shape and np.abs(f - e).max() <= CLOSE * np.abs(e).max()
        for f, e in zip(found, expected, strict=True)
    )


def entries(case: Case, threads: int, compiled: bool) -> tuple[dict[str, Entry], list[str]]:
    """Everyone who computes the same, and why somebody does not take part."""
    mine, other = pair(case)
    x = case.input()
    found, notes = {"ours": our_entry(mine, case, x)}, []
    expected = found["ours"].result()
    ways = {"torch": lambda: torch_entry(other, case, x)}
    if compiled:
        ways["compile"] = lambda: torch_entry(torch.compile(other), case, x)
    if not case.decode:  # a cache makes another graph, with the past as inputs and outputs
        ways["onnxruntime"] = lambda: onnx_entry(other, x, threads)
    for name, way in ways.items():
        try:
            entry = way()
            if not agrees(entry.result(), expected):
                notes.append(f"{case.name}: {name}: another result")
                continue
            found[name] = entry
        except Exception as error:  # a peer's own failure is a fact about the peer, not an end
            notes.append(f"{case.name}: {name}: {type(error).__name__}: {str(error)[:120]}")
    return found, notes


def measure(case: Case, threads: int, seconds: float, compiled: bool) -> list[str]:
    found, notes = entries(case, threads, compiled)
    timers = {name: entry.timer for name, entry in found.items()}
    moved = 4.0 * sum(p.numel() for p in getattr(ours, case.component)(**case.config).parameters())
    if case.name == "thinker 100M decode":
        moved -= 4.0 * 32000 * 512  # one row of the table of tokens is read
        probe = limits.probes(0.0, moved, threads)["read"]
        timers["limit"] = probe.timer
    times = race(timers, seconds=seconds, settle=0.03 if threads > 1 else 0.0)
    least = {name: times[name].minimum for name in found}
    peers = {name: value for name, value in least.items() if name != "ours"}
    ratio = min(peers.values()) / least["ours"] if peers else float("nan")
    text = "".join(
        f"{least[name] * 1e6:>12.0f}" if name in least else f"{'–':>12}"
        for name in ("ours", "torch", "compile", "onnxruntime")
    )
    print(f"{case.name:<22}{threads:>8}{text}{ratio:>8.2f}", flush=True)
    if "limit" in times:
        share = moved / least["ours"] / probe.rate(times["limit"])
        notes.append(f"{case.name}: {100 * share:.0f} % of the read bandwidth")
    return notes


def profile(options: argparse.Namespace) -> int:
    for threads in map(int, options.threads.split(",")):
        fp.set_num_threads(threads)
        print(f"{fp.isa()}, {threads} thread{'s' * (threads > 1)}")
        for case in CASES:
            if case.decode:
                fp.manual_seed(0)
                model = getattr(ours, case.component)(**case.config)
                print(muomni_profile.report(case.name, model, case.input(), PAST, options.seconds))
    return 0


def main() -> int:
    parser = argparse.ArgumentParser(description=__doc__.split("\n\n")[0])
    parser.add_argument("--threads", default="1")
    parser.add_argument("--only", default="*")
    parser.add_argument("--seconds", type=float, default=2.0)
    parser.add_argument("--no-compile", action="store_true")
    parser.add_argument("--profile", action="store_true")
    options = parser.parse_args()
    if options.profile:
        return profile(options)
    heads = ("ours", "torch", "compile", "onnxruntime")
    print(f"{'microseconds':<22}{'threads':>8}{''.join(f'{h:>12}' for h in heads)}{'ratio':>8}")
    notes: list[str] = []
    with torch.inference_mode():
        for threads in map(int, options.threads.split(",")):
            fp.set_num_threads(threads)
            torch.set_num_threads(threads)
            for case in CASES:
                if fnmatch.fnmatch(case.name, f"*{options.only}*"):
                    compiled = not options.no_compile
                    notes += measure(case, threads, options.seconds, compiled)
    print("\n".join(notes))
    return 0


if __name__ == "__main__":
    sys.exit(main())
