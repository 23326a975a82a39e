"""Ops of a Program that order, scatter and turn, one by one."""

from __future__ import annotations

import numpy as np
import pytest

from forwardpass.program.ir import Graph, Input, Node, Ref
from forwardpass.program.program import Program
from forwardpass.reference.arrays import make

INF, NAN = np.inf, np.nan


def run(op, arrays, take=None, **args):
    """What one node gives for arrays, the arguments of these names."""
    inputs = [Input(name, x.shape, str(x.dtype)) for name, x in arrays.items()]
    refs = {name: Ref(i) for i, name in enumerate(arrays)}
    nodes = [
        Node(op, {**{k: refs.get(v, v) if isinstance(v, str) else v for k, v in args.items()}})
    ]
    if take is not None:
        nodes.append(Node("item", {"x": Ref(len(inputs)), "number": take}))
    graph = Graph(inputs, {}, nodes, Ref(len(inputs) + len(nodes) - 1))
    return Program(graph)(*arrays.values())


@pytest.mark.parametrize("descending", [False, True])
def test_sort_keeps_the_order_of_equal_ones(descending):
    x = np.array([[3, 1, 2, 1, NAN, 3], [0.0, -0.0, INF, -INF, 1, 0]], np.float32)
    values = run("sort", {"x": x}, 0, x="x", dim=1, descending=descending)
    at = run("sort", {"x": x}, 1, x="x", dim=1, descending=descending)
    np.testing.assert_array_equal(values, np.take_along_axis(x, at, 1))
    ordered = [[4, 0, 5, 2, 1, 3], [2, 4, 0, 1, 5, 3]] if descending else [
        [1, 3, 2, 0, 5, 4], [3, 0, 1, 5, 4, 2]]  # fmt: skip
    np.testing.assert_array_equal(at, ordered)


def test_scatter_in_the_order_of_the_indices():
    x, index = make("orders/x", (3, 5)), np.array([[0, 0, 4], [1, 1, 1]])
    values = make("orders/v", (2, 4))
    arrays = {"x": x, "index": index, "values": values}
    names = {"x": "x", "index": "index", "values": "values", "dim": 1}
    for add in (False, True):
        want = x.copy()
        for i in range(2):
            for j in range(3):
                at = i, index[i, j]
                want[at] = want[at] + values[i, j] if add else values[i, j]
        np.testing.assert_array_equal(run("scatter", arrays, add=add, **names), want)


def test_running_products_are_rounded_from_double():
    x = make("orders/p", (4, 40)) + np.float32(1)
    got = run("cumprod", {"x": x}, x="x", dim=1, float=True)
    want = x.astype(np.float64)
    for i in range(1, 40):
        want[:, i] *= want[:, i - 1]
    np.testing.assert_array_equal(got, want.astype(np.float32))


def test_angles():
    around = [0.0, -0.0, 1.0, -1.0, 0.4142, 0.4143, 1e-30, -1e-45, 3e38, INF, -INF, NAN]
    y, x = (a.ravel() for a in np.meshgrid(np.array(around, np.float32), around))
    x = x.astype(np.float32)
    y, x = np.append(y, make("orders/y", (999,))), np.append(x, make("orders/z", (999,)))
    got = run("atan2", {"a": y, "b": x}, a="a", b="b")
    with np.errstate(all="ignore"):
        want = np.arctan2(y.astype(np.float64), x.astype(np.float64))
    np.testing.assert_array_equal(np.isnan(got), np.isnan(want))
    fine = ~np.isnan(want)
    np.testing.assert_array_equal(np.signbit(got[fine]), np.signbit(want[fine]))
    spacing = np.spacing(np.abs(want[fine]).astype(np.float32))
    assert (np.abs(got[fine] - want[fine]) <= 0.51 * spacing).all()
