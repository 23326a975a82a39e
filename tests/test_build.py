"""What the compiler made of it: symbols, instructions and inner loops of the object files."""

from __future__ import annotations

import re
from importlib.metadata import version
from pathlib import Path

import pytest

import forwardpass
from _objects import disassembly, in_tree, innermost_loops, objects, symbols
from forwardpass import _core

ISAS = _core.build_info()["instruction_sets"].split()
# FORWARDPASS_BUILD_DIR may name a tree for another machine (.ci/run: AArch64), with other sets.
IN_TREE = [isa for isa in ("avx512", "avx2", "neon", "scalar") if in_tree(isa)] or ISAS
VECTOR_ABOVE_BASELINE = re.compile(r"%[yz]mm\d|%k[1-7]\b|^v(?!er[rw]\b)\w+ .*%xmm")
# What a compiler may call on its own for plain C loops and copies.
COMPILER_CALLS = {"memcpy", "memset", "memmove", "_GLOBAL_OFFSET_TABLE_"}


def test_one_version_in_python_and_cpp() -> None:
    assert forwardpass.__version__ == _core.__version__ == version("forwardpass")


@pytest.mark.parametrize("isa", IN_TREE)
def test_only_the_kernel_tables_leave_an_instruction_set_object(isa: str) -> None:
    # A weak or global function here could be picked by the linker for the baseline code, which
    # then runs instructions that the machine lacks.
    found = objects(f"kernels_{isa}")
    assert len(found) == len(list((Path(__file__).parents[1] / "cpp" / "isa").glob("*.cpp")))
    for path in found:
        family = path.name.split(".")[0].replace("activation", "unary")
        table = rf"forwardpass::{isa}::{family}_kernels"
        exported = [name for kind, name in symbols(path) if kind.isupper() and kind != "U"]
        weak = [name for kind, name in symbols(path) if kind in "WwVvu"]
        called = {name for kind, name in symbols(path) if kind == "U"}
        assert weak == []
        assert len(exported) == 1
        assert re.fullmatch(table, exported[0]), exported
        assert called <= COMPILER_CALLS


@pytest.mark.parametrize("target", ["kernels_scalar", "core", "_core"])
def test_no_vector_instruction_above_the_baseline(target: str) -> None:
    found = objects(target)
    assert found
    for path in found:
        if any(f"kernels_{isa}" in str(path) for isa in ("avx2", "avx512")):
            continue
        for function in disassembly(path):
            for _, text in function.instructions:
                assert not VECTOR_ABOVE_BASELINE.search(text), (path.name, function.name, text)


def test_the_baseline_check_sees_vector_instructions() -> None:
    if "avx2" not in ISAS:
        pytest.skip("an x86-64 build is needed")
    texts = [
        text
        for path in objects("kernels_avx2")
        for function in disassembly(path)
        for _, text in function.instructions
    ]
    assert sum(bool(VECTOR_ABOVE_BASELINE.search(text)) for text in texts) > 1000
    assert not any(re.search(r"%zmm\d|%k[1-7]\b", text) for text in texts)


@pytest.mark.parametrize(
    ("isa", "op", "tile", "fmas"),
    [
        ("avx512", "linear", "linear_tile<6, 4, 1, 0, false>", 48),  # two steps
        ("avx512", "linear", "linear_tile<6, 2, 2, 0, true>", 24),
        ("avx512", "linear", "linear_tile<8, 2, 1, 0, false>", 32),  # half a panel
        ("avx512", "conv.", "conv_tile<8, 3>", 24),
        ("avx512", "conv.", "lanes_tile<4, false>", 24),
        ("avx2", "linear", "linear_tile<6, 1, 1, 0, false>", 12),
        ("avx512", "attention", "scores_tile<10, 2, false>", 20),
        ("avx512", "attention", "scores_tile<10, 2, true>", 45),  # two steps, a vector of weights
        ("avx512", "attention", "values_tile<6, 4, false>", 24),
        ("avx512", "attention", "values_tile<6, 4, true>", 24),
        ("avx512", "attention", "lane_scores_tile<8>", 37),  # two steps, a vector of weights
        ("avx512", "attention", "lane_values_tile<6>", 24),
        ("avx2", "attention", "scores_tile<6, 1, false>", 12),
        ("avx2", "attention", "values_tile<6, 1, false>", 12),
        ("avx2", "conv.", "conv_tile<6, 1>", 12),
        ("avx2", "conv.", "lanes_tile<1, false>", 12),
    ],
)
def test_micro_kernel_loops_stay_in_registers(isa: str, op: str, tile: str, fmas: int) -> None:
    if isa not in ISAS:
        pytest.skip(f"this build has no {isa}")
    (path,) = (p for p in objects(f"kernels_{isa}") if p.name.startswith(op))
    tiles = [f for f in disassembly(path) if "_tile<" in f.name]
    assert len(tiles) > 8
    counts = {}
    for function in tiles:
        loops = [b for b in innermost_loops(function) if any("vfmadd" in t for t in b)]
        assert loops, function.name
        for body in loops:
            on_stack = [t for t in body if re.search(r"\(%r[sb]p", t)]
            assert on_stack == [], function.name
        counts[function.name] = max(sum("vfmadd" in t for t in b) for b in loops)
    (main,) = (count for name, count in counts.items() if tile in name)
    assert main == fmas  # one fma an accumulator, nothing unrolled away or split


@pytest.mark.parametrize("isa", [isa for isa in ("avx512", "avx2") if isa in ISAS])
def test_depthwise_blocks_stay_in_registers(isa: str) -> None:
    """Straight code, taps unrolled. AVX2 is a few registers short for step 2."""
    (path,) = (p for p in objects(f"kernels_{isa}") if p.name.startswith("conv."))
    blocks = [f for f in disassembly(path) if re.search("depthwise_block<.*, false>", f.name)]
    assert len(blocks) == (7 if isa == "avx512" else 6)  # 3, 5, 7 taps; step 1, 2; two vectors
    blocks += [f for f in disassembly(path) if "depthwise_ring_block<" in f.name]
    for function in blocks:
        texts = [text for _, text in function.instructions]
        fmas = sum("vfmadd" in text for text in texts)
        spills = sum(bool(re.search(r"\(%r[sb]p.*mm|mm\d.*\(%r[sb]p", text)) for text in texts)
        assert fmas >= 9
        if isa == "avx512" or not re.search(r"depthwise_block<\d, 2", function.name):
            assert spills == 0, function.name
