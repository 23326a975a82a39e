"""Shapes of a graph that do not fit one another are refused before anything runs."""

from __future__ import annotations

import numpy as np
import pytest

import forwardpass
from _programs import BATCH, B, W, graph, linear
from forwardpass.program import ops
from forwardpass.program.ir import Const, Graph, Input, Node, Ref
from forwardpass.program.program import Program
from forwardpass.reference.arrays import make


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
