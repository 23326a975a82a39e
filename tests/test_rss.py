"""Memory of a model that is loaded and run, as the kernel counts it: RssAnon, in a process of its
own, in units of S, the size of all parameters as float32. Bounds: loading peaks at 2.2 S and
settles at 1.3 S.

docs/weights.md explains where the memory goes.
"""

from __future__ import annotations

import subprocess
import sys
from pathlib import Path

import numpy as np
import pytest

from forwardpass.io import safetensors

pytestmark = pytest.mark.skipif(not Path("/proc/self/smaps").exists(), reason="reads Linux's /proc")
HERE = str(Path(__file__).parent)
BYTES = {"float32": 4, "float16": 2, "bfloat16": 2}


def model():
    """About 200 MB in 300 layers, of sizes from both sides of malloc's threshold for maps."""
    from forwardpass import nn

    def block():
        return [
            nn.Linear(512, 700),
            nn.Linear(700, 512),
            nn.LayerNorm(512),
            nn.Conv1d(64, 64, 3, padding=1),
            nn.Conv1d(256, 200, 3, padding=1),
        ]

    layers = [layer for _ in range(57) for layer in block()]
    return nn.ModuleList(
        [*layers, nn.Linear(1100, 1000), nn.Linear(1000, 1100), nn.Embedding(1000, 512)]
    )


def run(net) -> None:
    """Every layer once, so that all are packed."""
    for layer in net:
        shape = {
            "Linear": (1, getattr(layer, "in_features", 0)),
            "LayerNorm": (1, 512),
            "Conv1d": (getattr(layer, "in_channels", 0), 4),
        }.get(type(layer).__name__)
        layer(np.zeros(1, np.int64) if shape is None else np.zeros(shape, np.float32))


def memory(field: str, pid: int | str = "self") -> int:
    """Bytes, from /proc."""
    with open(f"/proc/{pid}/status") as status:
        return next(int(line.split()[1]) * 1024 for line in status if line.startswith(field))


def write(path: Path, dtype: str) -> None:
    """A file for model(): small values with all bits of the mantissa in use."""
    import json

    entries, at = {}, 0
    for name, parameter in model().named_parameters():
        size = parameter.size * BYTES[dtype]
        kind = {"float32": "F32", "float16": "F16", "bfloat16": "BF16"}[dtype]
        entries[name] = {"dtype": kind, "shape": parameter.shape, "data_offsets": (at, at + size)}
        at += size
    header = json.dumps(entries).encode()
    header += b" " * (-len(header) % 8)
    bits = np.random.default_rng(0).integers(0, 1 << 16, 1 << 20, np.uint16) & 0x3BFF
    with open(path, "wb") as file:
        file.write(len(header).to_bytes(8, "little") + header)
        for _ in range(at // bits.nbytes):
            file.write(bits)
        file.write(bits.tobytes()[: at % bits.nbytes])


@pytest.fixture(scope="module")
def folder(tmp_path_factory):
    """The files, removed early: they are large."""
    folder = tmp_path_factory.mktemp("rss")
    yield folder
    for path in folder.iterdir():
        path.unlink()


@pytest.fixture(params=BYTES)
def weights(request, folder):
    path = folder / f"{request.param}.safetensors"
    if not path.exists():
        write(path, request.param)
    return path


def measure(path: Path, *steps: str) -> tuple[list[float], list[float]]:
    """RssAnon after each of the steps, and its peak in each, both in S above the start's."""
    code = f"""
import sys, time; sys.path.insert(0, {HERE!r})
import forwardpass as fp, numpy as np
import test_rss
net = test_rss.model()
path = {str(path)!r}
print(sum(p.nbytes for p in net.parameters()), flush=True)
for step in {steps!r}:
    input()  # the parent has taken note
    exec(step)
    print("done", flush=True)
input()
"""
    process = subprocess.Popen(
        [sys.executable, "-W", "error", "-c", code],
        stdin=subprocess.PIPE,
        stdout=subprocess.PIPE,
        text=True,
    )
    assert process.stdin is not None
    assert process.stdout is not None
    with process:
        size = int(process.stdout.readline())
        start = memory("RssAnon", process.pid)
        settled, peaks = [], []
        for _ in steps:
            print(file=process.stdin, flush=True)
            peak = watch(process)
            assert process.stdout.readline() == "done\n"
            settled.append((memory("RssAnon", process.pid) - start) / size)
            peaks.append(max((peak - start) / size, settled[-1]))
        print(file=process.stdin, flush=True)
    assert process.returncode == 0
    return settled, peaks


def watch(process: subprocess.Popen[str]) -> int:
    """The largest RssAnon until the process writes a line."""
    import select

    peak = 0
    while not select.select([process.stdout], [], [], 0.0005)[0]:
        peak = max(peak, memory("RssAnon", process.pid))
    return peak


RUN = "test_rss.run(net)"


def test_module_load(weights):
    """Next to nothing until the layers pack, then the packs; a second load changes nothing."""
    settled, peaks = measure(weights, "net.load(path)", RUN, "net.load(path)", RUN)
    print(weights.name, settled, peaks)
    assert peaks[0] < 0.1
    assert max(peaks) <= 1.3
    assert 0.9 < settled[1] <= 1.2
    assert settled[3] <= 1.3


@pytest.mark.parametrize("mmap", [True, False])
def test_load_file_and_load_state_dict(weights, mmap):
    """As torch users write it: the file's arrays as float32, then copies of them in the model."""
    if not mmap and weights.stem == "bfloat16":
        pytest.skip("float16 shows it")
    load = f"state = fp.load_file(path, mmap={mmap}); net.load_state_dict(state); del state"
    settled, peaks = measure(weights, load, RUN, RUN)
    print(weights.name, settled, peaks)
    assert max(peaks) <= 2.2
    assert max(settled) <= 1.3


def test_saving_and_copying_a_packed_model(weights):
    """save asks for one weight at a time, a copy shares them."""
    if weights.stem != "float16":
        pytest.skip("one dtype shows it")
    out = weights.parent / "saved.safetensors"
    settled, peaks = measure(
        weights,
        f"net.load(path); {RUN}",
        f"net.save({str(out)!r})",
        "import copy; twin = copy.deepcopy(net)",
        "state = net.state_dict()",
        "del state",
    )
    print(settled, peaks)
    assert max(peaks[:3]) <= 1.3
    assert settled[3] <= 2.2
    assert settled[4] <= 1.3
    want = safetensors.load_file(weights)
    got = safetensors.load_file(out)
    assert got.keys() == want.keys()
    assert all(got[name].tobytes() == want[name].tobytes() for name in want)


def test_processes_share_the_pages_of_a_file_until_they_pack(folder):
    """Two processes map one file and read every value: each page is there once."""
    path = folder / "float32.safetensors"
    if not path.exists():
        write(path, "float32")
    code = f"""
import sys; sys.path.insert(0, {HERE!r})
import test_rss
net = test_rss.model()
start = test_rss.memory("RssAnon")
net.load({str(path)!r})
total = sum(float(p.data.max()) for p in net.parameters())
print(total, test_rss.memory("RssAnon") - start, flush=True)
input()
"""
    command = [sys.executable, "-W", "error", "-c", code]
    both = [
        subprocess.Popen(command, stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True)
        for _ in range(2)
    ]
    try:
        for process in both:
            assert process.stdout is not None
            assert int(process.stdout.readline().split()[1]) < 10e6
        for process in both:
            resident, share = mapping(process.pid, path)
            assert resident > 0.95 * path.stat().st_size
            assert 0.45 * resident < share < 0.55 * resident
    finally:
        for process in both:
            process.communicate("\n")


def mapping(pid: int, path: Path) -> tuple[int, int]:
    """Rss and Pss (Rss, shared pages divided by the number of processes) of a mapped file."""
    found = {"Rss": 0, "Pss": 0}
    inside = False
    with open(f"/proc/{pid}/smaps") as smaps:
        for line in smaps:
            name, _, rest = line.partition(":")
            if name in found and inside:
                found[name] += int(rest.split()[0]) * 1024
            elif "-" in line.split(" ", 1)[0]:
                inside = line.rstrip().endswith(str(path))
    return found["Rss"], found["Pss"]
