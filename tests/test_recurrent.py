"""RNN, LSTM, GRU and the cells: the bound, layers made of directions, the same bytes in any cut."""

from __future__ import annotations

import sys

import numpy as np
import pytest

from _arrays import assert_case_bounded, assert_same_bytes, case_id, finite_cases
from _recurrent import KINDS, flat, layer_of, rows_of, same, state_of
from forwardpass import _core, nn, threads
from forwardpass.reference import OPS
from forwardpass.reference.arrays import make

NAMES = ("rnn_tanh", "rnn_relu", "gru", "lstm")


@pytest.mark.parametrize("item", finite_cases(*NAMES), ids=case_id)
def test_reference(item):
    assert_case_bounded(*item)


# --- what a layer is made of ---


@pytest.mark.parametrize("kind", KINDS)
@pytest.mark.parametrize("bidirectional", [False, True])
def test_layers_are_the_operators_one_after_the_other(isa, kind, bidirectional):
    layer = layer_of(kind, 5, 18, num_layers=3, bidirectional=bidirectional)
    x, state = make("stack/x", (7, 4, 5)), state_of(layer, 4)
    op, states = OPS[layer.mode.lower()], state if isinstance(state, tuple) else (state,)
    inputs, finals = x, []
    for index in range(3):
        outputs = []
        for way in range(1 + bidirectional):
            suffix = f"_l{index}" + ("_reverse" if way else "")
            at = index * (1 + bidirectional) + way
            names = ("weight_ih", "weight_hh", "bias_ih", "bias_hh")
            call = {name: getattr(layer, name + suffix) for name in names}
            call |= {name: s[at] for name, s in zip(("h0", "c0"), states, strict=False)}
            y, *final = op.run({"input": inputs, **call, "reverse": bool(way)})
            outputs.append(y)
            finals.append(final)
        inputs = np.concatenate(outputs, axis=2)
    joined = [np.stack(part) for part in zip(*finals, strict=True)]
    same(layer(x, state), (inputs, tuple(joined) if len(joined) > 1 else joined[0]))


@pytest.mark.parametrize("kind", KINDS)
@pytest.mark.parametrize("bidirectional", [False, True])
def test_batch_first_and_unbatched(isa, kind, bidirectional):
    more = {"num_layers": 2, "bidirectional": bidirectional}
    layer, turned = (layer_of(kind, 6, 20, batch_first=b, **more) for b in (False, True))
    turned.load_state_dict(layer.state_dict())
    x, state = make("turn/x", (9, 5, 6)), state_of(layer, 5)
    y, final = layer(x, state)
    got, last = turned(x.swapaxes(0, 1), state)
    same((got.swapaxes(0, 1), last), (y, final))
    for row in range(5):
        part = rows_of(state, slice(row, row + 1))
        alone = rows_of(state, row)
        for one in (layer, turned):
            got, last = one(x[:, row], alone)
            want = layer(x[:, row : row + 1], part)
            assert_same_bytes(got, want[0][:, 0])
            for g, w in zip(flat(last), flat(want[1]), strict=True):
                assert_same_bytes(g, w[:, 0])
    same(layer(x), layer(x, tuple(map(np.zeros_like, state)) if kind == "LSTM" else state * 0))


# --- the same bytes ---


@pytest.mark.parametrize("kind", KINDS)
@pytest.mark.parametrize("cut", [1, 2, 7, 16])
def test_any_cut_of_the_sequence(isa, kind, cut):
    more = {"proj_size": 7} if kind == "LSTM" and cut == 2 else {}
    layer = layer_of(kind, 4, 19, num_layers=2, **more)
    x, state = make("cut/x", (33, 3, 4)), state_of(layer, 3)
    want = layer(x, state)
    chunks = []
    for start in range(0, 33, cut):
        y, state = layer(x[start : start + cut], state)
        chunks.append(y)
    same((np.concatenate(chunks), state), want, f"chunks of {cut}")


@pytest.mark.parametrize("kind", KINDS)
def test_a_cell_steps_as_the_layer(isa, kind):
    layer = layer_of(kind, 6, 21)
    _, make_cell, words = KINDS[kind]
    cell = make_cell(6, 21, **words)
    cell.load_state_dict({k.removesuffix("_l0"): v for k, v in layer.state_dict().items()})
    x, state = make("cell/x", (6, 3, 6)), state_of(layer, 3)
    y, final = layer(x, state)
    state = rows_of(state, slice(None))
    state = tuple(s[0] for s in state) if isinstance(state, tuple) else state[0]
    alone = tuple(s[1] for s in state) if isinstance(state, tuple) else state[1]
    for t in range(6):
        state, alone = cell(x[t], state), cell(x[t, 1], alone)
        assert_same_bytes(flat(state)[0], y[t])
        assert_same_bytes(flat(alone)[0], y[t, 1])
    for got, want in zip(flat(state), flat(final), strict=True):
        assert_same_bytes(got, want[0])
    zeros = [np.zeros((3, 21), np.float32)] * 2
    same(cell(x[0]), cell(x[0], tuple(zeros) if kind == "LSTM" else zeros[0]))


@pytest.mark.parametrize("kind", KINDS)
@pytest.mark.parametrize("batch_first", [False, True])
def test_rows_alone_or_among_others(isa, kind, batch_first):
    """More rows than a piece has, and NaN in all the others."""
    layer = layer_of(kind, 5, 33, batch_first=batch_first, bidirectional=True)
    x, state = make("rows/x", (6, 61, 5)), state_of(layer, 61)
    turn = (lambda a: a.swapaxes(0, 1)) if batch_first else (lambda a: a)
    y, final = layer(turn(x), state)
    for part in (slice(0, 1), slice(17, 18), slice(30, 61)):
        got, last = layer(turn(x[:, part]), rows_of(state, part))
        same((turn(got), last), (turn(y)[:, part], rows_of(final, part)))
    poisoned = np.full_like(x, np.nan)
    poisoned[:, 40] = x[:, 40]
    got, last = layer(turn(poisoned), state)
    same((turn(got)[:, 40], rows_of(last, 40)), (turn(y)[:, 40], rows_of(final, 40)))


@pytest.mark.parametrize("kind", KINDS)
@pytest.mark.parametrize("batch", [1, 2, 3, 50])
def test_threads(kind, batch, restore_threads):
    layer = layer_of(kind, 40, 96, num_layers=2, bidirectional=True, batch_first=batch == 3)
    x = make("threads/x", (3, 60, 40) if batch == 3 else (60, batch, 40))
    with threads(1):
        want = layer(x)
    for count in (2, 3, 5, 8):
        with threads(count):
            same(layer(x), want, f"{count} threads")


@pytest.mark.parametrize("kind", KINDS)
def test_threads_share_the_steps_of_one_row(isa, kind, restore_threads):
    """From 2**17 weights W_hh on; columns that are no multiple of what a thread takes at a time."""
    layer = layer_of(kind, 24, 380)
    for steps in (1, 19):
        x = make("shared/x", (steps, 1, 24))
        with threads(1):
            want = layer(x)
        for count in (2, 3, 8):
            with threads(count):
                same(layer(x), want, f"{count} threads, {steps} steps")


def test_long_sequences_are_projected_in_parts(isa):
    """More input products than are held at a time, time first and batch first, both directions."""
    layer = layer_of("GRU", 3, 40, bidirectional=True)
    turned = layer_of("GRU", 3, 40, bidirectional=True, batch_first=True)
    turned.load_state_dict(layer.state_dict())
    x = make("long/x", (1500, 4, 3))
    y, final = layer(x)
    same(turned(np.ascontiguousarray(x.swapaxes(0, 1)))[0].swapaxes(0, 1), y)
    backward, _ = OPS["gru"].run(
        {
            "input": x[::-1],
            **{n: getattr(layer, f"{n}_l0_reverse") for n in ("weight_ih", "weight_hh")},
            **{n: getattr(layer, f"{n}_l0_reverse") for n in ("bias_ih", "bias_hh")},
        }
    )
    assert_same_bytes(backward[::-1], y[:, :, 40:])
    assert_same_bytes(final[1], y[0, :, 40:])


@pytest.mark.parametrize("kind", KINDS)
@pytest.mark.parametrize("inputs", [1, 64, 250])
def test_one_row_has_the_bytes_of_two(isa, kind, inputs):
    """A single row's steps make later input products beside their own; those of two rows do not."""
    layer = layer_of(kind, inputs, 64, num_layers=2, bidirectional=True)
    for steps in (15, 16, 23, 50):
        x, state = make(f"one/{steps}", (steps, 2, inputs)), state_of(layer, 2)
        y, final = layer(x, state)
        for row in (0, 1):
            part = slice(row, row + 1)
            got, last = layer(np.ascontiguousarray(x[:, part]), rows_of(state, part))
            same((got, last), (y[:, part], rows_of(final, part)), f"{steps} steps")


# --- the operators' own ---


@pytest.mark.parametrize("name", NAMES)
def test_operator_shapes(name):
    x = make("shape/x", (2, 3, 6))
    gates = {"gru": 3, "lstm": 4}.get(name, 1)
    w = {"weight_ih": make("w", (5 * gates, 6)), "weight_hh": make("v", (5 * gates, 5))}
    for changed, word in (
        ({"input": x[0]}, "input"),
        ({"input": x[:0]}, "input"),
        ({"weight_ih": w["weight_ih"][0]}, "weight_ih"),
        ({"weight_ih": w["weight_ih"][:0]}, "weight_ih"),
        ({"weight_hh": w["weight_hh"][:, :4]}, "weight_hh"),
        ({"bias_hh": x[0, 0]}, "bias_hh"),
        ({"h0": x[0]}, "h0"),
    ):
        with pytest.raises(ValueError, match=rf"{name}\(\): argument '{word}'"):
            OPS[name].run({"input": x, **w, **changed})


def test_operator_outputs_may_be_the_state():
    x, h, c = make("in/x", (3, 2, 5)), make("in/h", (2, 5)), make("in/c", (2, 5))
    call = {"input": x, "weight_ih": make("in/w", (20, 5)), "weight_hh": make("in/v", (20, 5))}
    want = OPS["lstm"].run({**call, "h0": h, "c0": c})
    own = [a.copy() for a in (x, h, c)]
    got = OPS["lstm"].run({**call, "input": own[0], "h0": own[1], "c0": own[2]}, tuple(own))
    same(tuple(got), tuple(want))
    assert got[0] is own[0]
    swapped = [a.copy() for a in (h, c)]
    outs = (None, swapped[1], swapped[0])
    got = OPS["lstm"].run({**call, "h0": swapped[0], "c0": swapped[1]}, outs)
    same(tuple(got), tuple(want))
    with pytest.raises(ValueError, match="same array"):
        OPS["lstm"].run(call, (None, h, h))


def test_memory_of_a_long_sequence_is_its_arrays(restore_threads):
    """Input products of a part at a time: not four times the output for every step."""
    if sys.platform != "linux":
        pytest.skip("peak memory of /proc")
    layer = nn.LSTM(8, 64)
    x = np.zeros((20_000, 1, 8), np.float32)
    layer(x[:2])

    def peak():
        with open("/proc/self/status") as status:
            return next(int(line.split()[1]) for line in status if line.startswith("VmHWM"))

    with open("/proc/self/clear_refs", "w") as clear:
        clear.write("5")
    before = peak()
    layer(x)
    assert peak() - before < 13_000, "kB: 5,000 of output, 4,096 at a time of input products"


def test_a_layer_writes_to_out(isa):
    ih, hh = make("out/ih", (20, 5)), make("out/hh", (20, 5))
    layer = _core.PackedRecurrent("lstm", [[ih, hh, None, None, None]], False, True, "LSTM")
    x = make("out/x", (2, 7, 5))
    y, (h, c) = layer(x)
    out = np.empty_like(y)
    for target in (out, x):  # x: overlaps the input
        got, state = layer(x, None, target)
        assert got is target
        for mine, theirs in zip((got, *state), (y, h, c), strict=True):
            assert_same_bytes(mine, theirs)
    with pytest.raises(ValueError, match="out"):
        layer(x, None, np.empty((2, 7, 6), np.float32))
    with pytest.raises(TypeError, match="out"):
        layer(x, None, np.empty((2, 7, 5)))
