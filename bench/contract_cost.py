"""What the promise of equal bits costs: builds without one of its rules, against the real one.

    python bench/contract_cost.py [--rounds N] [RULE ...]

Each rule is lifted by replacing a few words of the C++ in a copy of the source; the two builds are
timed in turn, in processes of their own (one thread), and the least time of each counts. Needs a
C++ compiler, CMake and pybind11; nothing is installed. The rules:

    chains       the number of chains of a linear depends on the weight's shape, not on the rows
    division     divisions are correctly rounded, not a reciprocal's estimate improved (AVX-512)
    subnormals   subnormal numbers are kept, not flushed to zero
    environment  every call looks at the floating-point control word
"""

from __future__ import annotations

import argparse
import json
import os
import shutil
import subprocess
import sys
import tempfile
from pathlib import Path

ROOT = Path(__file__).resolve().parents[1]

# rule: (file under cpp/, words, their replacement) ...
RULES: dict[str, list[tuple[str, str, str]]] = {
    "chains": [
        (
            "kernels/linear_tile.h",
            "return n <= 4 && k >= 64 ? 64 : n <= 16 ? 4 : n <= 32 ? 2 : 1;",
            "return n <= 4 && k >= 64 ? 64 : 1;",
        )
    ],
    "division": [
        (
            "simd/avx512.h",
            "return {_mm512_div_ps(a.v, b.v)};",
            "const __m512 e = _mm512_rcp14_ps(b.v);"
            "const __m512 r = _mm512_mul_ps(e, _mm512_fnmadd_ps(b.v, e, _mm512_set1_ps(2.0f)));"
            "return {_mm512_mul_ps(a.v, r)};",
        )
    ],
    "subnormals": [
        (
            "fpenv.h",
            "if (before_ & kControlBits) set_control_word(before_ & ~kControlBits);",
            "set_control_word(before_ | 0x8040);",
        ),
        (
            "fpenv.h",
            "if (before_ & kControlBits) set_control_word(before_);",
            "set_control_word(before_);",
        ),
    ],
    "environment": [
        ("fpenv.h", "FloatEnvironment() : before_(control_word()) {", "FloatEnvironment() {"),
        ("fpenv.h", "ControlWord before_;", "ControlWord before_ = 0;"),
    ],
}

# In the child: name -> call. Times are the least of many, in microseconds.
CHILD = """
import json, sys, time
import numpy as np
from forwardpass import _core
from forwardpass.reference.arrays import make
rule, isa = sys.argv[1:]
_core._set_isa(isa); _core.set_num_threads(1)
calls = {}
def linear(m, k, n, kind="unit"):
    layer, x = _core.PackedLinear(make("w", (n, k)), None), make("x", (m, k), kind)
    y = np.empty((m, n), np.float32)
    calls[f"linear {m}x{k}-{n}" + ("" if kind == "unit" else ", " + kind)] = (
        lambda: layer(x, None, 0.01, None, y))
def unary(name, x, what, *more):
    y = np.empty_like(x)
    f = getattr(_core, name)
    calls[f"{name} {what}"] = lambda: f(x, *more, y)
span = make("s", (1 << 16,), "span")
if rule == "chains":
    for n in (8, 16, 24, 32):
        for m in (1, 6, 64):
            linear(m, 384, n)
elif rule == "division":
    unary("gelu", span, "64Ki", "none")
    for name in ("silu", "sigmoid", "tanh"):
        unary(name, span, "64Ki")
    unary("gelu", span, "64Ki, tanh form", "tanh")
elif rule == "subnormals":
    unary("exp", np.linspace(-103, -88, 1 << 16, dtype=np.float32), "64Ki, subnormal results")
    unary("relu", make("r", (1 << 16,), "subnormal"), "64Ki, subnormal inputs")
    unary("relu", span, "64Ki")
    unary("silu", make("r", (1 << 16,), "subnormal"), "64Ki, subnormal inputs")
    linear(64, 384, 384, "subnormal")
    linear(64, 384, 384)
else:
    unary("relu", span[:16].copy(), "16")
    unary("gelu", span[:16].copy(), "16", "none")
    linear(1, 16, 16)
times = {}
for name, call in calls.items():
    start = time.perf_counter(); call(); once = max(time.perf_counter() - start, 1e-7)
    count = max(1, int(2e-4 / once)); least = 1e9
    for _ in range(150):
        start = time.perf_counter()
        for _ in range(count): call()
        least = min(least, (time.perf_counter() - start) / count)
    times[name] = least * 1e6
print(json.dumps(times))
"""


def build(source: Path, tree: Path, package: Path) -> None:
    """Compiles the extension of that source and puts it beside a copy of the Python files."""
    cmakedir = subprocess.run(
        [sys.executable, "-m", "pybind11", "--cmakedir"], check=True, capture_output=True, text=True
    ).stdout.strip()
    configure = ["cmake", "-S", source, "-B", tree, f"-Dpybind11_DIR={cmakedir}"]
    configure += [f"-DPython_EXECUTABLE={sys.executable}", "-DFORWARDPASS_OPENMP=OFF"]
    subprocess.run(configure, check=True, capture_output=True)
    compile_ = ["cmake", "--build", tree, "--target", "_core", "-j", "2"]
    subprocess.run(compile_, check=True, capture_output=True)
    shutil.copytree(ROOT / "python/forwardpass", package / "forwardpass")
    for extension in tree.glob("_core*.so"):
        shutil.copy(extension, package / "forwardpass")


def lift(source: Path, rule: str) -> None:
    for name, words, other in RULES[rule]:
        path = source / "cpp" / name
        text = path.read_text()
        if text.count(words) != 1:
            raise SystemExit(f"{rule}: {name} no longer says: {words}")
        path.write_text(text.replace(words, other))


def timed(package: Path, rule: str, isa: str) -> dict[str, float]:
    environment = {**os.environ, "PYTHONPATH": str(package)}
    command = [sys.executable, "-c", CHILD, rule, isa]
    done = subprocess.run(command, check=True, capture_output=True, text=True, env=environment)
    found: dict[str, float] = json.loads(done.stdout)
    return found


def compare(kept: Path, lifted: Path, rule: str, isa: str, rounds: int) -> None:
    times: list[dict[str, float]] = [{}, {}]
    for _ in range(rounds):
        for package, best in zip((kept, lifted), times, strict=True):
            for name, value in timed(package, rule, isa).items():
                best[name] = min(value, best.get(name, value))
    for name, with_rule in times[0].items():
        without = times[1][name]
        cost = (with_rule / without - 1) * 100
        print(f"| {rule} | {isa} | {name} | {with_rule:.3g} | {without:.3g} | {cost:+.1f} % |")


def main() -> None:
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument("rules", nargs="*", default=list(RULES), metavar="RULE")
    parser.add_argument("--rounds", type=int, default=5)
    parser.add_argument("--folder", type=Path, help="keep the builds there, and use those it has")
    o = parser.parse_args()
    folder = o.folder or Path(tempfile.mkdtemp())
    source, tree = folder / "source", folder / "tree"
    packages = {rule: folder / rule for rule in ("kept", *o.rules)}
    for rule, package in packages.items():
        if package.exists():
            continue
        shutil.rmtree(source, ignore_errors=True)
        shutil.copytree(ROOT / "cpp", source / "cpp")
        shutil.copy(ROOT / "CMakeLists.txt", source)
        if rule != "kept":
            lift(source, rule)
        build(source, tree, package)
    print("| rule | instruction set | case | with, µs | without, µs | cost |")
    print("|---|---|---|---:|---:|---:|")
    for rule in o.rules if o.rounds else ():
        for isa in ("avx512",) if rule != "chains" else ("avx512", "avx2"):
            compare(packages["kept"], packages[rule], rule, isa, o.rounds)
    if not o.folder:
        shutil.rmtree(folder)


if __name__ == "__main__":
    main()
