"""trace(): every layer, in order, with the bits of an ordinary call; its text."""

from __future__ import annotations

import gc
import sys
import threading
import weakref
from collections import OrderedDict
from typing import NamedTuple

import numpy as np
import pytest

import forwardpass as fp
from forwardpass import demo, nn

ACTIVATIONS = [nn.ReLU, nn.GELU, nn.SiLU, nn.Sigmoid, nn.Tanh, nn.LeakyReLU]


def array(*shape, seed=0):
    return np.random.default_rng(seed).standard_normal(shape).astype(np.float32)


def hooks(model):
    return sum(len(m._forward_hooks) + len(m._forward_pre_hooks) for m in model.modules())


def watched(model):
    return [path for path, module in model.named_modules() if module._hooked]


class Block(nn.Module):
    """A residual block that adds in place to what a layer returned."""

    def __init__(self, width):
        super().__init__()
        self.norm = nn.LayerNorm(width)
        self.up = nn.Linear(width, 2 * width)
        self.act = nn.GELU()
        self.down = nn.Linear(2 * width, width)

    def forward(self, x):
        h = self.down(self.act(self.up(self.norm(x))))
        h += x
        return h


class Call(nn.Module):
    """Runs a function."""

    def __init__(self, function):
        super().__init__()
        self.function = function

    def forward(self, *args, **kwargs):
        return self.function(*args, **kwargs)


# ---- what is kept -------------------------------------------------------------------------------


@pytest.mark.parametrize("layer", [lambda: nn.Linear(6, 5), lambda: nn.Conv1d(6, 5, 3)])
@pytest.mark.parametrize("activation", ACTIVATIONS)
def test_fused_pairs_show_both_layers(layer, activation, isa):
    net = nn.Sequential(layer(), activation(), nn.Identity())
    x = array(2, 6, 6)
    plain = net(x)
    trace = fp.trace(net, x)
    assert [step.path for step in trace] == ["", "0", "1", "2"]
    assert [step.type for step in trace.leaves] == [
        type(net[0]).__name__,
        activation.__name__,
        "Identity",
    ]
    first = net[0](x)
    assert trace["0"].value.tobytes() == first.tobytes()
    assert trace["1"].value.tobytes() == net[1](first).tobytes() == plain.tobytes()
    assert trace.output.tobytes() == plain.tobytes()
    assert net(x).tobytes() == plain.tobytes()


def test_every_layer_of_the_digits_network():
    net, digits = demo.load()
    x = demo.pixels(digits.images[:7])
    plain = net(x)
    trace = fp.trace(net, x)
    assert [step.path for step in trace] == ["", *map(str, range(9))]
    value = x
    for i, layer in enumerate(net):
        value = layer(value)
        assert trace[str(i)].value.tobytes() == value.tobytes()
    assert trace.output.tobytes() == trace[""].value.tobytes() == plain.tobytes()
    assert trace.input.tobytes() == x.tobytes()


def test_swiglu_shows_its_three_products():
    block = nn.SwiGLU(8, 64)
    x = array(3, 8)
    plain = block(x)
    trace = fp.trace(block, x)
    assert [step.path for step in trace.leaves] == ["gate_proj", "up_proj", "down_proj"]
    assert trace.output.tobytes() == plain.tobytes() == block(x).tobytes()


def test_values_are_those_of_the_moment():
    """The residual sum is added in place to what `down` returned."""
    block, x = Block(4), array(2, 4)
    trace = fp.trace(block, x)
    assert [step.path for step in trace] == ["", "norm", "up", "act", "down"]
    down = trace["down"].value
    assert (down + x).tobytes() == trace.output.tobytes() == block(x).tobytes()
    assert not trace[""].unchanged
    assert not down.flags.writeable
    x[:] = 0
    assert trace.input.any()


def test_depth_and_leaves():
    net = nn.Sequential(Block(4), nn.Sequential(nn.Linear(4, 3)))
    trace = fp.trace(net, array(1, 4))
    assert [(step.path, step.depth) for step in trace][:3] == [("", 0), ("0", 1), ("0.norm", 2)]
    leaves = ["0.norm", "0.up", "0.act", "0.down", "1.0"]
    assert [step.path for step in trace.leaves] == leaves
    assert trace["1"].unchanged
    assert not trace["0"].unchanged
    assert trace["0.up"].input_shapes == [(1, 4)]


def test_a_layer_called_again_appears_again():
    relu = nn.ReLU()
    net = nn.Sequential(OrderedDict(a=relu, b=nn.Linear(3, 3), c=relu))
    assert [step.path for step in fp.trace(net, array(1, 3)).leaves] == ["a", "b", "c"]

    net = nn.Linear(3, 3)
    twice = Call(lambda x: net(net(x)))
    twice.inner = net
    trace = fp.trace(twice, array(1, 3))
    first, second = trace.at("inner")
    assert second.value.tobytes() == net(first.value).tobytes() == trace.output.tobytes()


def test_a_block_shared_by_two_places():
    block = Block(4)
    trace = fp.trace(nn.Sequential(block, nn.Identity(), block), array(1, 4))
    assert [s.path for s in trace if s.type == "Block"] == ["0", "2"]
    assert len(trace.at("0.up")) == len(trace.at("2.up")) == 1


class Pair(NamedTuple):
    left: np.ndarray
    right: np.ndarray


@pytest.mark.parametrize(
    "value",
    [
        (array(2), array(3)),
        [array(2), (array(3),)],
        {"a": array(2), "b": None},
        Pair(array(2), array(3)),
        np.float32(2),
        None,
        "text",
    ],
    ids=lambda value: type(value).__name__,
)
def test_any_value(value):
    trace = fp.trace(Call(lambda: value))
    assert type(trace.output) is type(value)
    assert str(trace)
    if isinstance(value, Pair):
        assert trace.output.right.tobytes() == value.right.tobytes()


def test_several_and_named_inputs():
    trace = fp.trace(Call(lambda a, model: a + model), array(2), model=array(2, seed=1))
    assert len(trace.input) == 2
    assert trace[""].input_shapes == [(2,), (2,)]


def test_users_hooks_are_seen_and_kept():
    net = nn.Sequential(nn.Linear(3, 3), nn.ReLU())
    handle = net[0].register_forward_hook(lambda module, args, output: output + 1)
    x = array(2, 3)
    trace = fp.trace(net, x)
    assert trace["0"].value.tobytes() == net[0](x).tobytes()
    assert hooks(net) == 1
    assert watched(net) == ["0"]
    handle.remove()


def test_only_modules():
    with pytest.raises(TypeError, match=r"model must be an nn\.Module, got function"):
        fp.trace(lambda x: x, 1)
    with pytest.raises(TypeError, match=r"got numpy\.ndarray"):
        fp.summary(np.zeros(3))


def test_lookup():
    trace = fp.trace(nn.Sequential(nn.ReLU()), array(2))
    assert len(trace) == 2
    assert trace[1] is trace["0"]
    assert trace[:1] == [trace[""]]
    with pytest.raises(KeyError, match="no layer was called at '1'; there are '', '0'"):
        trace["1"]


# ---- hooks come off -----------------------------------------------------------------------------


def test_nothing_stays_behind():
    net = nn.Sequential(nn.Linear(3, 3), nn.ReLU())
    trace = fp.trace(net, array(1, 3))
    assert hooks(net) == 0
    assert watched(net) == []
    gone = weakref.ref(net)
    del net
    gc.collect()
    assert gone() is None
    assert str(trace)


@pytest.mark.parametrize("watch", [fp.trace, fp.summary])
@pytest.mark.parametrize("error", [ValueError, KeyboardInterrupt])
def test_hooks_come_off_after_an_error(watch, error):
    def fail(x):
        raise error("stop")

    net = nn.Sequential(nn.Linear(3, 3), Call(fail))
    with pytest.raises(error, match="stop") as caught:
        watch(net, array(1, 3))
    assert hooks(net) == 0
    assert watched(net) == []
    if error is ValueError and sys.version_info >= (3, 11):
        assert caught.value.__notes__ == ["raised in '1', of type Call, after '0' was done"]


def test_an_error_that_the_model_catches():
    def fail(x):
        raise ValueError

    class Tries(nn.Module):
        def __init__(self):
            super().__init__()
            self.bad = nn.Sequential(Call(fail))
            self.good = nn.ReLU()

        def forward(self, x):
            try:
                return self.bad(x)
            except ValueError:
                return self.good(x)

    trace = fp.trace(Tries(), array(2))
    assert [(step.path, step.depth) for step in trace] == [("", 0), ("good", 1)]
    assert [row.path for row in fp.summary(Tries(), array(2)).rows][:2] == ["", "good"]


def test_trace_inside_a_trace():
    inner = nn.Sequential(nn.Linear(3, 3), nn.GELU())
    seen = []

    def run(x):
        seen.append(fp.trace(inner, x))
        return seen[-1].output

    outer = Call(run)
    outer.inner = inner
    x = array(1, 3)
    trace = fp.trace(outer, x)
    assert [step.path for step in trace] == ["", "inner", "inner.0", "inner.1"]
    assert [step.path for step in seen[0]] == ["", "0", "1"]
    assert hooks(outer) == 0
    assert trace.output.tobytes() == inner(x).tobytes()


def test_threads_trace_and_call_one_model():
    net = nn.Sequential(nn.Linear(16, 32), nn.GELU(), nn.Linear(32, 8), nn.ReLU())
    inputs = [array(3, 16, seed=i) for i in range(8)]
    wanted = [net(x).tobytes() for x in inputs]
    problems = []
    start = threading.Barrier(8)

    def work(i):
        start.wait()
        for _ in range(40):
            if i % 2:
                if net(inputs[i]).tobytes() != wanted[i]:
                    problems.append("call")
                continue
            trace = fp.trace(net, inputs[i])
            if [step.path for step in trace] != ["", "0", "1", "2", "3"]:
                problems.append([step.path for step in trace])
            if trace.output.tobytes() != wanted[i]:
                problems.append("trace")

    threads = [threading.Thread(target=work, args=(i,)) for i in range(8)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert problems == []
    assert hooks(net) == 0
    assert watched(net) == []
