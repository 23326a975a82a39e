"""forwardpass.load: programs built by hand; files from strangers are refused before they run."""

from __future__ import annotations

import copy
import json
import threading

import numpy as np
import pytest

import forwardpass
from _programs import BATCH, B, W, graph
from forwardpass import _core
from forwardpass.io import safetensors
from forwardpass.program import file, ops
from forwardpass.program.ir import Graph, Input, Node, Ref, Size
from forwardpass.program.program import Program
from forwardpass.reference.arrays import make


@pytest.fixture
def path(tmp_path):
    Program(graph()).save(tmp_path / "p.safetensors")
    return tmp_path / "p.safetensors"


def expected(x):
    return _core.linear(x, W, B, "relu")


@pytest.mark.parametrize("rows", [0, 1, 3, 9])
def test_runs_from_its_file(path, rows):
    program, x = forwardpass.load(path), make("program/x", (rows, 4))
    for given in (program(x), program(x=x), program(x)):
        one, two = given["y"]
        np.testing.assert_array_equal(one, expected(x))
        assert two.shape == (rows, 1, 5)


def test_any_view_of_an_input(path):
    program, x = forwardpass.load(path), make("program/x", (6, 8))
    np.testing.assert_array_equal(program(x[::2, ::2])["y"][0], expected(x[::2, ::2].copy()))


def test_several_threads(path):
    program, failed = forwardpass.load(path), []

    def work(rows):
        x = make(f"program/{rows}", (rows, 4))
        for _ in range(200):
            if program(x)["y"][0].tobytes() != expected(x).tobytes():
                failed.append(rows)

    threads = [threading.Thread(target=work, args=(rows,)) for rows in (1, 2, 3, 4)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert not failed


def test_summary_and_trace(path):
    program = forwardpass.load(path)
    text = program.summary()
    for words in (
        "input x: float32 (batch, 4)",
        "linear",
        "layers.0",
        "(batch, 1, 5)",
        "2 constants",
    ):
        assert words in text
    steps = program.trace(make("program/x", (2, 4)))
    assert [(op, place) for op, place, _ in steps][:2] == [("linear", "layers.0"), ("relu", "act")]
    assert steps[2][2].shape == (2, 1, 5)


@pytest.mark.parametrize(
    ("args", "kwargs", "error", "words"),
    [
        ((), {}, TypeError, "missing inputs ['x']"),
        ((W, W), {}, TypeError, "takes 1 inputs"),
        ((W,), {"x": W}, TypeError, "twice"),
        ((), {"z": W}, TypeError, "no input 'z'"),
        (("text",), {}, TypeError, "must be an array, got str"),
        ((W.astype(np.float64),), {}, TypeError, "astype(np.float32)"),
        ((W[0],), {}, ValueError, "(batch, 4)"),
        ((W[:, :3],), {}, ValueError, "(batch, 4)"),
        ((np.zeros((10, 4), np.float32),), {}, ValueError, "0 <= batch <= 9"),
    ],
)
def test_bad_inputs(path, args, kwargs, error, words):
    with pytest.raises(error) as caught:
        forwardpass.load(path)(*args, **kwargs)
    assert words in str(caught.value)


def one_op(op, *arrays, **args):
    """The result of a program of one node on arrays x0, x1, ..."""
    inputs = [Input(f"x{i}", a.shape, str(a.dtype)) for i, a in enumerate(arrays)]
    node = Node(op, args)
    return Program(Graph(inputs, {}, [node], Ref(len(arrays)), positional=len(arrays)))(*arrays)


def test_floats_become_integers_the_same_way_everywhere():
    x = np.array([1.9, -1.9, np.nan, np.inf, -np.inf, 3e9, -3e9, 2.0**63, 200.0], np.float32)
    low = {"int32": -(2**31), "int64": -(2**63), "int8": -128, "uint8": 0}
    for dtype, lowest in low.items():
        got = one_op("cast", x, x=Ref(0), dtype=dtype)
        info = np.iinfo(dtype)
        want = [int(v) if np.isfinite(v) else None for v in x]
        want = [v if v is not None and info.min <= v <= info.max else lowest for v in want]
        np.testing.assert_array_equal(got, np.array(want, dtype))


def test_zeros_and_nan_of_the_larger_and_smaller():
    x = np.array([0.0, -0.0, np.nan, 1.0, -0.0], np.float32)
    y = np.array([-0.0, 0.0, 1.0, np.nan, -0.0], np.float32)
    for op in ("maximum", "minimum"):
        got = one_op(op, x, y, a=Ref(0), b=Ref(1))
        assert got.tobytes() == np.where(np.isnan(x), x, y).tobytes()
    zeros = np.array([[-0.0, 0.0], [0.0, -0.0]], np.float32)
    for largest in (True, False):
        got = one_op("extreme", zeros, x=Ref(0), dims=[1], largest=largest, keep=False)
        assert not np.signbit(got).any()


def test_running_sums_are_rounded_from_double():
    x = make("program/cumsum", (3, 300), "wide")
    want = np.empty((3, 300), np.float32)
    total = np.zeros(3)
    for i in range(300):
        total = total + x[:, i]
        want[:, i] = total
    got = one_op("cumsum", x, x=Ref(0), dim=1, float=True)
    assert got.tobytes() == want.tobytes()


# --- files from strangers ---


def rewritten(path, change):
    """The file with its graph changed: change(content) edits it or gives another text."""
    content = json.loads(safetensors.load_metadata(path)[file.KEY])
    text = change(content)
    text = text if isinstance(text, str) else json.dumps(content)
    tensors = {name: array.copy() for name, array in safetensors.load_file(path).items()}
    safetensors.save_file(tensors, path, {file.KEY: text})
    return path


def node(number, **changes):
    def change(content):
        content["nodes"][number][1].update(changes)

    return change


def put(*keys, value):
    def change(content):
        part = content
        for key in keys[:-1]:
            part = part[key]
        part[keys[-1]] = value

    return change


DEEP = 1
for _ in range(40):
    DEEP = {"s": ["+", DEEP, 1]}
HOSTILE = {
    "not JSON": (lambda c: "{", "not valid JSON"),
    "a list": (lambda c: "[]", "must be an object"),
    "deep": (lambda c: "[" * 100_000, "nested too deeply"),
    "no version": (lambda c: c.pop("version") and None, "version None"),
    "later version": (put("version", value=2), "version 2"),
    "version true": (put("version", value=True), "version True"),
    "a key more": (put("more", value=1), "must have"),
    "unknown op": (put("nodes", 0, 0, value="system"), "unknown op 'system'"),
    "dunder op": (put("nodes", 0, 0, value="__class__"), "unknown op"),
    "argument missing": (lambda c: c["nodes"][0][1].pop("bias") and None, "linear takes"),
    "argument more": (node(1, out={"v": 0}), "relu takes"),
    "itself": (node(0, x={"v": 1}), "no value 1 in front"),
    "later": (node(0, x={"v": 3}), "no value 3 in front"),
    "negative": (node(0, x={"v": -1}), "no value -1"),
    "a float": (node(0, x={"v": 0.0}), "no value 0.0"),
    "no constant": (node(0, weight={"c": "nothing"}), "no constant 'nothing'"),
    "text": (node(0, x="text"), "argument 'x' must be array"),
    "unknown kind": (node(0, x={"exec": "1"}), "unknown kind of value 'exec'"),
    "two kinds": (node(0, x={"v": 0, "c": "w"}), "one key"),
    "no size": (node(2, shape=[{"s": ["sym", "time"]}, 5]), "no size"),
    "size operation": (node(2, shape=[{"s": ["import", 1]}, 5]), "no operation 'import'"),
    "deep size": (node(2, shape=[DEEP]), "nested too deeply"),
    "huge size": (node(2, shape=[2**60]), "huge"),
    "huge number": (node(2, shape=[10**400]), "too large"),
    "size not whole": (node(2, shape=[1.5]), "must be ints"),
    "NaN": (lambda c: json.dumps(c).replace("0.01", "NaN"), "NaN"),
    "input": (put("inputs", 0, value=["x", "float32"]), "an input must be"),
    "dtype": (put("inputs", 0, 1, value="object"), "no dtype"),
    "limits": (put("limits", "batch", value=[0, -1]), "bad limits"),
    "positional": (put("positional", value=7), "positional"),
    "arguments": (put("arguments", value=[["x", 3]]), "every input once"),
    "an argument twice": (put("arguments", value=[["x", {"v": 0}], ["y", {"v": 0}]]), "once"),
    "arguments alike": (put("arguments", value=[["x", {"v": 0}], ["x", None]]), "one name"),
    "an argument's name": (put("arguments", value=[[1, {"v": 0}]]), "must be [name, value]"),
    "output": (put("output", value={"v": 9}), "no value 9"),
    "nodes": (put("nodes", value={}), "must be a list"),
    "place": (put("nodes", 0, 2, value=None), "bad names"),
}


@pytest.mark.parametrize("name", [n for n in HOSTILE if n != "huge size"])
def test_hostile_graphs_are_refused(path, name, monkeypatch):
    change, words = HOSTILE[name]
    for op in list(ops.OPS):  # nothing of it is built or run
        broken = ops.OPS[op]._replace(build=lambda *args, **kwargs: pytest.fail("ran"))
        monkeypatch.setitem(ops.OPS, op, broken)
    with pytest.raises(ValueError, match=r"p\.safetensors") as caught:
        forwardpass.load(rewritten(path, change))
    assert words in str(caught.value)


@pytest.mark.parametrize(
    ("op", "args"),
    [
        ("full", {"shape": [2**40], "value": 0, "dtype": "float32"}),
        ("full", {"shape": [-1], "value": 0, "dtype": "float32"}),
        ("full", {"shape": [2**20, 2**20, BATCH], "value": 0, "dtype": "float32"}),
        ("full", {"shape": [3], "value": 0, "dtype": "object"}),
        ("arange", {"start": 0, "stop": 2**47, "step": 1, "dtype": "int64"}),
        ("arange", {"start": 0, "stop": float("inf"), "step": 1.0, "dtype": "float32"}),
        ("arange", {"start": 0, "stop": 1, "step": 0, "dtype": "int64"}),
        ("expand", {"x": Ref(0), "shape": [2**40, 4]}),
        ("pad", {"x": Ref(0), "pad": [2**40, 0], "mode": "constant", "value": 0}),
        ("repeat", {"x": Ref(0), "times": [2**40, 1]}),
        ("reshape", {"x": Ref(0), "shape": [Size("//", (4, 0))]}),
        ("reshape", {"x": Ref(0), "shape": [Size("**", (10, 60))]}),
    ],
)
def test_sizes_beyond_reason_are_refused_before_anything_runs(op, args, monkeypatch):
    ran = []
    relu = ops.OPS["relu"]._replace(build=lambda packs, x: (ran.append, 1))
    monkeypatch.setitem(ops.OPS, "relu", relu)
    nodes = [Node("relu", {"x": Ref(0)}), Node(op, args)]
    program = Program(Graph([Input("x", (BATCH, 4), "float32")], {}, nodes, Ref(2)))
    with pytest.raises(ValueError, match=f"node 1 \\({op}"):
        program(make("program/x", (3, 4)))
    assert not ran


def test_a_file_without_a_graph(tmp_path):
    safetensors.save_file({"w": W}, tmp_path / "w.safetensors")
    with pytest.raises(ValueError, match="not a Program"):
        forwardpass.load(tmp_path / "w.safetensors")
    with pytest.raises(OSError, match="nothing"):
        forwardpass.load(tmp_path / "nothing.safetensors")


def test_a_mutated_graph_is_refused_or_sound(path):
    """Every part of the JSON replaced by odd values: ValueError at once, or a program."""
    content = json.loads(safetensors.load_metadata(path)[file.KEY])

    def spots(part, where=()):
        items = part.items() if isinstance(part, dict) else enumerate(part)
        for key, value in items:
            yield (*where, key)
            if isinstance(value, (dict, list)):
                yield from spots(value, (*where, key))

    refused = 0
    for keys in spots(content):
        for value in (None, -1, 2**70, "x", [], {}, [[1]], {"v": 0}, 1.5, True):
            changed = copy.deepcopy(content)
            put(*keys, value=value)(changed)
            try:
                file._Reader({"w": W, "b": B}, json.dumps(changed)).graph()
            except ValueError:
                refused += 1
    assert refused > 400


def test_the_table_is_whole():
    """Every op has kinds that exist, and words."""
    for name, op in ops.OPS.items():
        assert op.text, name
        assert {kind.rstrip("?") for kind in op.kinds.values()} <= set(ops._KINDS)
