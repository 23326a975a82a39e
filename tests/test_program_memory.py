"""Calls of a Program share memory by liveness, and results are their own."""

from __future__ import annotations

import numpy as np

from _programs import BATCH, linear
from forwardpass import _core
from forwardpass.program.ir import Const, Graph, Input, Node, Ref
from forwardpass.program.program import Program
from forwardpass.reference.arrays import make


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
