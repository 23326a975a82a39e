"""Every op of a Program that is lent memory for its result: the same result there, nothing more
allocated where that is promised.
"""

from __future__ import annotations

import tracemalloc

import numpy as np
import pytest

from forwardpass.program import arena, ops
from forwardpass.program.ir import Const, Graph, Input, Node, Ref
from forwardpass.program.ops import OPS, Packs
from forwardpass.program.program import Program
from forwardpass.program.run import calls_of, stepwise
from forwardpass.reference.arrays import make

X = make("into/x", (6, 32, 400))
Y = make("into/y", (6, 32, 400))
WHOLE, BITS = (X * 40).astype(np.int64), X > 0
WIDTH = make("into/width", (400,))
ROWS = np.array([[0, 5, 2, -1], [3, 3, 0, 1]])
LINEAR = {"activation": None, "slope": 0.01, "residual": None}
PLANES = {"stride": [1, 1], "padding": [0, 0], "dilation": [1, 1], "groups": 1}
HEADS = {"mask": None, "causal": True, "scale": None, "grouped": False}
IMAGE = make("into/image", (2, 4, 90, 80))

# By op: (arrays by argument, other arguments); several cases under names with a space.
CASES = {
    "and": ({"a": BITS, "b": Y > 0}, {}),
    "or": ({"a": BITS, "b": Y > 0}, {}),
    "xor": ({"a": WHOLE, "b": WHOLE[::-1]}, {}),
    "not": ({"x": BITS}, {}),
    "linear": ({"x": X, "weight": make("into/w", (7, 400)), "bias": None}, LINEAR),
    "matmul": ({"a": X, "b": Y.transpose(0, 2, 1)}, {}),
    "dot": ({"a": X, "b": WIDTH}, {}),
    "dot left": ({"a": WIDTH, "b": X.transpose(0, 2, 1)}, {}),
    "dot both": ({"a": WIDTH, "b": WIDTH}, {}),
    "conv": (
        {"x": IMAGE, "weight": make("into/k", (5, 4, 3, 3)), "bias": None}, PLANES | LINEAR
    ),
    "conv_transpose": (
        {"x": IMAGE, "weight": make("into/k", (4, 5, 3, 3)), "bias": None},
        PLANES | LINEAR | {"output_padding": [0, 0]},
    ),
    "conv3d": (
        {"x": IMAGE[None], "weight": make("into/c", (3, 2, 1, 3, 3)), "bias": None},
        {"stride": [1, 1, 1], "padding": [0, 0, 0], "dilation": [1, 1, 1], "groups": 1},
    ),
    "layer_norm": ({"x": X, "weight": WIDTH, "bias": None}, {"shape": [400], "eps": 1e-5}),
    "rms_norm": ({"x": X, "weight": WIDTH}, {"shape": [400], "eps": 1e-5}),
    "add_layer_norm": (
        {"x": X, "residual": Y, "weight": WIDTH, "bias": None}, {"shape": [400], "eps": 1e-5}
    ),
    "add_rms_norm": ({"x": X, "residual": Y, "weight": WIDTH}, {"shape": [400], "eps": 1e-5}),
    "group_norm": ({"x": IMAGE, "weight": None, "bias": None}, {"groups": 2, "eps": 1e-5}),
    "batch_norm": (
        {"x": IMAGE, "mean": WIDTH[:4], "var": WIDTH[:4] ** 2, "weight": None, "bias": None},
        {"eps": 1e-5},
    ),
    "softmax": ({"x": X}, {"dim": -1}),
    "log_softmax": ({"x": X}, {"dim": 1}),
    "attention": ({"q": IMAGE, "k": IMAGE, "v": IMAGE}, HEADS),
    "attention_rows": ({"q": IMAGE, "k": IMAGE, "v": IMAGE}, HEADS),
    "bag": ({"indices": np.arange(6), "offsets": np.array([0, 2]), "weight": X[0]},
            {"mode": "sum"}),
    "recurrent": (
        {"x": X, "h": None, "c": None,
         "weights": (make("into/ih", (12, 400)), make("into/hh", (12, 3)), WIDTH[:12], WIDTH[:12])},
        {"parts": [4], "mode": "lstm", "batch_first": True, "bidirectional": False},
    ),
    "max_pool": ({"x": IMAGE}, {"kernel": [3, 3], "stride": [], "padding": [0, 0],
                                "dilation": [1, 1], "ceil": False}),
    "avg_pool": ({"x": IMAGE}, {"kernel": [3, 3], "stride": [], "padding": [0, 0], "ceil": False,
                                "count_padding": True, "divisor": None}),
    "adaptive_pool": ({"x": IMAGE}, {"size": [2, 3], "largest": False}),
    "resize": ({"x": IMAGE, "factors": None},
               {"size": [180, 160], "mode": "nearest", "align_corners": False}),
    "pixel_shuffle": ({"x": IMAGE}, {"factor": 2}),
    "clamp": ({"x": X}, {"low": -0.5, "high": None, "float": True}),
    "clamp whole": ({"x": WHOLE}, {"low": -5, "high": 5, "float": False}),
    "gelu": ({"x": X}, {"approximate": "tanh"}),
    "leaky_relu": ({"x": X}, {"slope": 0.1}),
    "elu": ({"x": X}, {"alpha": 1.0}),
    "softplus": ({"x": X}, {"beta": 1.0, "threshold": 20.0}),
    "prelu": ({"x": X, "weight": WIDTH[:32]}, {}),
    "glu": ({"x": X}, {"dim": -1}),
    "swiglu": ({"gate": X, "up": Y}, {}),
    "pow": ({"x": abs(X), "exponent": Y}, {}),
    "where": ({"condition": BITS, "a": X, "b": Y[:, :1]}, {}),
    "sum": ({"x": X}, {"dims": [1], "keep": True, "float": True}),
    "sum apart": ({"x": X}, {"dims": [0, 2], "keep": False, "float": True}),
    "sum whole": ({"x": WHOLE}, {"dims": [0], "keep": True, "float": False}),
    "mean": ({"x": X}, {"dims": [2], "keep": True}),
    "var": ({"x": X}, {"dims": [2], "correction": 1, "keep": False}),
    "extreme": ({"x": X}, {"dims": [1], "largest": True, "keep": True}),
    "arg_extreme": ({"x": X}, {"dim": -1, "largest": False, "keep": True}),
    "logical": ({"x": X}, {"dims": [], "every": False, "keep": True}),
    "cumsum": ({"x": X}, {"dim": 1, "float": True}),
    "cumsum whole": ({"x": WHOLE}, {"dim": -1, "float": False}),
    "cumprod": ({"x": X}, {"dim": 1, "float": True}),
    "histogram": ({"x": X}, {"bins": 9, "low": -1, "high": 1.0}),
    "search": ({"table": np.sort(WIDTH), "x": X}, {"right": True, "dtype": "int64"}),
    "put_masked": ({"x": X, "mask": BITS, "values": Y}, {}),
    "scatter_reduce": ({"x": X, "index": abs(ROWS)[None], "values": Y},
                       {"dim": 0, "mode": "mean", "with_own": False}),
    "grouped_matmul": ({"x": X[0], "ends": np.array([3, 3, 30]),
                        "weight": make("into/g", (3, 400, 320))}, {}),
    "grouped_matmul computed": ({"x": X[0], "ends": np.array([3, 3, 30]),
                                 "matrix": make("into/g", (3, 400, 320))}, {}),
    "cat": ({"xs": (X, Y)}, {"dim": 1}),
    "stack": ({"xs": (X, Y)}, {"dim": 1}),
    "complex": ({"re": X, "im": Y}, {}),
    "copy": ({"x": X.transpose(2, 0, 1)}, {}),
    "reshape": ({"x": X.transpose(2, 0, 1)}, {"shape": [400, 192]}),
    "pad": ({"x": X}, {"pad": [1, -2, 0, 3], "mode": "constant", "value": 2.5}),
    "pad mirrored": ({"x": X}, {"pad": [1, 2], "mode": "reflect", "value": 0}),
    "full": ({}, {"shape": [6, 32, 400], "value": 3, "dtype": "float32"}),
    "arange": ({}, {"start": 0, "stop": 80000, "step": 2, "dtype": "int64"}),
    "cast": ({"x": X}, {"dtype": "float64"}),
    "cast whole": ({"x": np.where(BITS, X * 300, np.float32(np.inf))}, {"dtype": "int32"}),
    "cast narrow": ({"x": X * 300}, {"dtype": "int8"}),
    "embedding": ({"indices": abs(ROWS), "weight": X[0]}, {}),
    "take": ({"x": X, "index": ROWS[0]}, {"dim": 1}),
    "pick": ({"x": X, "indices": (ROWS,)}, {"dims": [0]}),
    "pick pairs": ({"x": X, "indices": (ROWS, ROWS[0])}, {"dims": [0, 1]}),
    "put": ({"x": X, "indices": (ROWS[0],), "values": Y[:4]}, {"dims": [0]}),
    "put_add": ({"x": X, "indices": (ROWS[1],), "values": Y[:4]}, {"dims": [0]}),
    "scatter": ({"x": X, "index": abs(ROWS)[None], "values": Y}, {"dim": 0, "add": True}),
    "place": ({"x": X, "values": Y[:, ::2]}, {"key": [[None, None, None], [None, None, 2]]}),
    "roll": ({"x": X}, {"shifts": [-3, 1], "dims": [1, 2]}),
    "triangle": ({"x": X}, {"diagonal": 1, "upper": True}),
    "triangle lower": ({"x": X}, {"diagonal": -1, "upper": False}),
    "repeat": ({"x": X}, {"times": [2, 1, 3]}),
    "repeat longer": ({"x": X[0]}, {"times": [2, 3, 1, 2]}),
    "repeat shorter": ({"x": X}, {"times": [2]}),
    "repeat_each": ({"x": X}, {"times": 3, "dim": 1}),
}  # fmt: skip
for _name, _op in OPS.items():
    if _name in CASES or _name in arena.VIEWS:
        continue
    if _op.kinds == {"x": "array"}:
        CASES[_name] = ({"x": X}, {})
    elif _op.kinds == {"a": "array", "b": "array"}:
        CASES[_name] = ({"a": X, "b": Y}, {})

# Work inside these needs memory of its own.
WITHIN = {"maximum", "minimum", "sign", "cast whole", "cast narrow", "pick pairs", "put_add",
          "cumsum", "cumprod", "atan2", "conv3d", "resize", "pixel_shuffle", "pad mirrored",
          "histogram", "search", "put_masked", "scatter_reduce", "scatter", "sum apart",
          "triangle", "triangle lower"}  # fmt: skip


def graph(name):
    """The op on inputs (on constants where it packs them), and the inputs."""
    arrays, args = CASES[name]
    inputs, constants, given = [], {}, dict(args)
    for key, value in arrays.items():
        parts = value if isinstance(value, tuple) else (value,)
        refs = []
        for number, array in enumerate(parts):
            if key in ("weight", "weights", "bias") and array is not None:
                constants[f"{key}.{number}"] = np.ascontiguousarray(array)
                refs.append(Const(f"{key}.{number}"))
            else:
                refs.append(None if array is None else Ref(len(inputs)))
                inputs += [] if array is None else [array]
        key = {"matrix": "weight"}.get(key, key)  # one that is no constant
        given[key] = tuple(refs) if isinstance(value, tuple) else refs[0]
    specs = [Input(f"x{i}", x.shape, str(x.dtype)) for i, x in enumerate(inputs)]
    node = Node(name.split()[0], given)
    ops.check_args(node.op, node.args)
    return Graph(specs, constants, [node], Ref(len(inputs))), inputs


def parts(value):
    return value if isinstance(value, tuple) else (value,)


def test_every_op_has_a_case():
    lent = OPS.keys() - arena.VIEWS - arena.MADE
    assert lent | {"reshape"} == {name.split()[0] for name in CASES} - arena.VIEWS | {"reshape"}


@pytest.mark.parametrize("name", CASES)
def test_writes_the_same_into_the_array_that_it_is_lent(name):
    """As the second call of a Program does, in which something else reads the result."""
    one, inputs = graph(name)
    with np.errstate(all="ignore"):
        value = stepwise(one, calls_of(one, {}, Packs()), inputs)[-1]
    wanted = [np.asarray(part) for part in parts(value)]
    first = len(inputs)
    if isinstance(value, tuple):
        items = [Node("item", {"x": Ref(first), "number": n}) for n in range(len(value))]
    else:
        items = [Node("reshape", {"x": Ref(first), "shape": list(value.shape)})]
    copies = [Node("copy", {"x": Ref(first + 1 + n)}) for n in range(len(items))]
    one.nodes += items + copies
    one.output = [Ref(first + 1 + len(items) + n) for n in range(len(copies))]
    program = Program(one)
    for _ in range(3):
        got = program(*inputs)
        for mine, theirs in zip(got, wanted, strict=True):
            assert mine.dtype == theirs.dtype
            assert mine.shape == theirs.shape
            assert mine.tobytes() == theirs.tobytes()
        for memory in program._arenas:
            memory.memory.fill(0xA5)


@pytest.mark.parametrize("name", sorted(CASES.keys() - WITHIN - {"dot both"}))  # that: a scalar
def test_allocates_nothing_more(name):
    one, inputs = graph(name)
    with np.errstate(all="ignore"):
        (call,) = calls_of(one, {}, Packs())
        value = stepwise(one, [call], inputs)[-1]
    assert all(map(arena._dense, parts(value)))
    out = tuple(np.empty_like(part) for part in parts(value))
    args = [_given(arg, inputs) for arg in call.args]
    args.append(out if isinstance(value, tuple) else out[0])
    tracemalloc.start()
    try:
        with np.errstate(all="ignore"):
            call.fn(*args)
        peak = tracemalloc.get_traced_memory()[1]
    finally:
        tracemalloc.stop()
    assert peak < 80_000  # what NumPy converts at once; the larger results have 300 KB


def _given(arg, inputs):
    if isinstance(arg, Ref):
        return inputs[arg.index]
    if isinstance(arg, tuple):
        return tuple(_given(item, inputs) for item in arg)
    return arg
