"""What the tests of bad input share: a good call of each operator, and how a bad one fails."""

from __future__ import annotations

import numpy as np
import pytest

from forwardpass.reference import OPS
from forwardpass.reference.arrays import make


def good(name):
    """A call that works, every array argument present."""
    x = make("bad/x", (2, 6))
    if name == "linear":
        w, r = make("bad/w", (5, 6)), make("bad/r", (2, 5))
        return {"input": x, "weight": w, "bias": make("bad/b", (5,)), "residual": r}
    if name == "conv1d":
        w, r = make("bad/w", (4, 3, 2)), make("bad/r", (1, 4, 6))
        return {"input": make("bad/c", (1, 3, 7)), "weight": w, "bias": r[0, :, 0], "residual": r}
    if name == "conv2d":
        x, r = make("bad/c", (1, 3, 4, 7)), make("bad/r", (1, 4, 3, 6))
        w = make("bad/w", (4, 3, 2, 2))
        return {"input": x, "weight": w, "bias": r[0, :, 0, 0], "residual": r}
    if name.startswith("conv_transpose"):
        size, kernel = ((7,), (2,)) if name.endswith("1d") else ((4, 7), (1, 2))
        r = make("bad/r", (1, 4, *size[:-1], 8))
        x, w = make("bad/c", (1, 3, *size)), make("bad/w", (3, 4, *kernel))
        return {"input": x, "weight": w, "bias": make("bad/b", (4,)), "residual": r}
    if name in ("rms_norm", "add_rms_norm", "layer_norm", "add_layer_norm"):
        call = {"input": x, "normalized_shape": (6,), "weight": x[0]}
        extra = {"add_rms_norm": {"residual": x[::-1]}, "layer_norm": {"bias": x[1]}}
        extra["add_layer_norm"] = extra["add_rms_norm"] | extra["layer_norm"]
        return {**call, **extra.get(name, {})}
    if name == "embedding":
        return {"indices": np.array([1, 0]), "weight": x}
    if name.endswith("pool2d"):
        size = "output_size" if name.startswith("adaptive") else "kernel_size"
        return {"input": make("bad/p", (2, 3, 4)), size: 2}
    if name == "group_norm":
        return {"input": x, "num_groups": 2, "weight": x[0], "bias": x[1]}
    if name == "batch_norm":
        stats = {"running_mean": x[0], "running_var": x[1]}
        return {"input": x, **stats, "weight": x[0], "bias": x[1]}
    if name == "embedding_bag":
        bags = {"indices": np.array([1, 0]), "offsets": np.array([0, 2])}
        return {**bags, "weight": x, "mode": "sum", "per_sample_weights": x[0, :2]}
    if name == "attention":
        shapes = {"query": (2, 4, 3, 6), "key": (2, 2, 5, 6), "value": (2, 2, 5, 7)}
        return {key: make(f"bad/{key}", shape) for key, shape in shapes.items()}
    if name == "renorm":
        return {"input": x, "max_norm": 0.5}
    if name == "outer_product":
        return {"input1": x, "input2": x[:, :2]}
    if name.startswith("resize"):
        return {"input": x, "height": 3, "width": 4}
    if name == "swiglu":
        return {"gate": x, "up": x[::-1]}
    if name == "matmul":
        return {"input": x, "other": make("bad/o", (6, 3))}
    if name in ("sum", "mean", "var"):
        return {"input": x, "dim": -1}
    if name == "pow":
        return {"input": x, "exponent": x[::-1]}
    if name == "prelu":
        return {"input": x, "weight": x[0]}
    if name in ("rnn_tanh", "rnn_relu", "gru", "lstm"):
        gates = {"gru": 3, "lstm": 4}.get(name, 1)
        call = {"input": make("bad/s", (2, 3, 6)), "weight_ih": make("bad/w", (5 * gates, 6))}
        call |= {"weight_hh": make("bad/v", (5 * gates, 5)), "h0": make("bad/h", (3, 5))}
        call |= {f"bias_{end}": make("bad/b", (5 * gates,)) for end in ("ih", "hh")}
        if name == "lstm":
            call |= {"weight_hh": make("bad/v", (20, 4)), "h0": make("bad/h", (3, 4))}
            call |= {"weight_hr": make("bad/r", (4, 5)), "c0": make("bad/c", (3, 5))}
        return call
    if name == "rotary_table":
        return {"first": 3, "count": 2, "dim": 4}
    if name == "rotary_embedding":
        return {"input": x, "cos": x[:, :2], "sin": x[:, 2:4]}
    return {"input": x, "dim": -1} if name.endswith("softmax") else {"input": x}


def rejected(error, name, *words, **changed):
    """The call with those arguments raises, and the message has the operator and all words."""
    with pytest.raises(error) as caught:
        OPS[name].run({**good(name), **changed})
    message = str(caught.value)
    for word in (name, *words):
        assert word in message, f"{word!r} is not in {message!r}"
    return message
