"""Programs built by hand, for the tests."""

from __future__ import annotations

from forwardpass.program.ir import Const, Graph, Input, Node, Ref, Size
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
