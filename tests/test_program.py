"""forwardpass.load: programs built by hand; files from strangers are refused before they run."""

from __future__ import annotations

import copy
import json
import threading

import numpy as np
import pytest

import forwardpass
from forwardpass import _core
from forwardpass.io import safetensors
from forwardpass.program import file, ops
from forwardpass.program.ir import Const, Graph, Input, Node, Ref, Size
from forwardpass.program.program import Program
from forwardpass.reference.arrays import make

BATCH = Size("sym", ("batch",))
W, B = make("program/w", (5, 4)), make("program/b", (5,))


def linear(x, **more):
    args = {"x": x, "weight": Const("w"), "bias": Const("b")}
    args |= {"activation": None, "slope": 0.01, "residual": None, **more}
    return Node("linear", args, "layers.0", (BATCH, 5), "float32")


def graph():
    """{"y": (relu(linear(x)), that with a row of its own)}"""
    nodes = [
        linear(Ref(0)),
        Node("relu", {"x": Ref(1)}, "act", (BATCH, 5), "float32"),
        Node("reshape", {"x": Ref(2), "shape": [BATCH, 1, 5]}, "", (BATCH, 1, 5), "float32"),
    ]
    inputs = [Input("x", (BATCH, 4), "float32")]
    return Graph(inputs, {"w": W, "b": B}, nodes, {"y": (Ref(2), Ref(3))}, {"batch": (0, 9)}, 1)


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


def fixed(**change):
    """A graph without sizes that change, with one node made otherwise."""
    shapes = {"linear": (3, 5), "relu": (3, 5), "reshape": (1, 15), "cat": (2, 15), **change}
    nodes = [
        Node("linear", linear(Ref(0)).args, "l", shapes["linear"], "float32"),
        Node("relu", {"x": Ref(1)}, "", shapes["relu"], "float32"),
        Node("reshape", {"x": Ref(2), "shape": [1, 15]}, "", shapes["reshape"], "float32"),
        Node("cat", {"xs": [Ref(3), Ref(3)], "dim": 0}, "", shapes["cat"], "float32"),
    ]
    width = change.get("input", 4)
    return Graph([Input("x", (3, width), "float32")], {"w": W, "b": B}, nodes, Ref(4), {}, 1)


@pytest.mark.parametrize(
    ("change", "words"),
    [
        ({"input": 5}, "node 0 (linear, l): input (3, 5) and weight (5, 4)"),
        ({"linear": (3, 6)}, "node 0 (linear, l): gives (3, 5), declared as (3, 6)"),
        ({"relu": (5, 3)}, "node 1 (relu, no place): gives (3, 5), declared as (5, 3)"),
        ({"relu": (3, 4), "linear": (3, 4)}, "gives (3, 5), declared as (3, 4)"),
        ({"reshape": (15, 1)}, "gives (1, 15), declared as (15, 1)"),
        ({"cat": (3, 15)}, "gives (2, 15), declared as (3, 15)"),
    ],
)
def test_shapes_that_do_not_fit_one_another_are_refused(tmp_path, change, words, monkeypatch):
    Program(fixed()).save(tmp_path / "p.safetensors")
    forwardpass.load(tmp_path / "p.safetensors")
    for op in list(ops.OPS):
        broken = ops.OPS[op]._replace(build=lambda *args, **kwargs: pytest.fail("ran"))
        monkeypatch.setitem(ops.OPS, op, broken)
    Program(fixed(**change)).save(tmp_path / "p.safetensors")
    with pytest.raises(ValueError, match=r"p\.safetensors") as caught:
        forwardpass.load(tmp_path / "p.safetensors")
    assert words in str(caught.value)


def test_shapes_that_depend_on_sizes_are_checked_before_anything_runs(monkeypatch):
    changed = graph()
    changed.nodes[1].shape = (BATCH, 6)
    for op in list(ops.OPS):
        broken = ops.OPS[op]._replace(build=lambda *args, **kwargs: pytest.fail("ran"))
        monkeypatch.setitem(ops.OPS, op, broken)
    with pytest.raises(ValueError, match=r"node 1 \(relu, act\): gives \(3, 5\), declared"):
        Program(changed)(make("program/x", (3, 4)))


def test_a_node_that_fails_is_named():
    nodes = [
        Node("embedding", {"indices": Ref(0), "weight": Const("w")}, "table", (3, 4), "float32")
    ]
    program = Program(Graph([Input("i", (3,), "int64")], {"w": W}, nodes, Ref(1)))
    with pytest.raises(IndexError, match=r"node 0 \(embedding, table\)"):
        program(np.array([0, 1, 5]))


# --- memory ---


def chain(count):
    """x + tanh(linear(x)), again and again, and a view of the last in the result."""
    nodes, at = [], 0
    for _ in range(count):
        nodes += [
            Node("linear", linear(Ref(at)).args | {"weight": Const("s"), "bias": None}),
            Node("tanh", {"x": Ref(len(nodes) + 1)}),
            Node("add", {"a": Ref(at), "b": Ref(len(nodes) + 2)}),
        ]
        at = len(nodes)
    nodes.append(Node("transpose", {"x": Ref(at), "axes": [1, 0]}))
    weight = make("program/s", (64, 64))
    inputs = [Input("x", (BATCH, 64), "float32")]
    return Graph(inputs, {"s": weight}, nodes, [Ref(at + 1), Ref(1)])


def test_calls_share_memory_and_results_do_not():
    program, xs = Program(chain(8)), [make(f"program/{n}", (5, 64)) for n in range(3)]
    first = [program(x) for x in xs]
    kept = [[y.copy() for y in ys] for ys in first]
    again = [program(x) for x in xs]
    for ys, zs, ws in zip(first, again, kept, strict=True):
        for y, z, w in zip(ys, zs, ws, strict=True):
            np.testing.assert_array_equal(y, w)
            np.testing.assert_array_equal(z, w)
            assert not np.shares_memory(y, z)
    (plan,) = program._plans.values()
    assert plan.layout.size <= 4 * 5 * 64 * 4  # of 24 arrays a few places
    assert len(plan.layout.spots) == 22  # all but the two that are shown


def test_a_value_keeps_its_place_while_a_view_of_it_is_read():
    nodes = [
        Node("tanh", {"x": Ref(0)}),
        Node("transpose", {"x": Ref(1), "axes": [1, 0]}),
        Node("exp", {"x": Ref(0)}),
        Node("exp", {"x": Ref(3)}),
        Node("add", {"a": Ref(2), "b": Ref(4)}),
        Node("copy", {"x": Ref(5)}),
    ]
    program = Program(Graph([Input("x", (4, 4), "float32")], {}, nodes, Ref(6)))
    x = make("program/x", (4, 4))
    expected = _core.tanh(x).T + _core.exp(_core.exp(x))
    for _ in range(3):
        np.testing.assert_array_equal(program(x), expected)


def test_memory_of_calls_does_not_grow_with_sizes_seen():
    program = Program(chain(4))
    for rows in range(1, 60):
        for _ in range(2):
            program(make("program/x", (rows, 64)))
    assert len(program._arenas) == 1
    assert program._arenas[0].memory.nbytes <= 4 * 59 * 64 * 4
    assert len(program._plans) <= 32


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
