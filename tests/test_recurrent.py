"""RNN, LSTM, GRU and the cells: the bound, layers made of directions, streaming, errors."""

from __future__ import annotations

import copy
import pickle
import sys
import warnings

import numpy as np
import pytest

from _arrays import (
    assert_case_bounded,
    assert_same_bytes,
    case_id,
    finite_cases,
)
from forwardpass import _core, nn, summary, threads
from forwardpass.reference import OPS
from forwardpass.reference.arrays import make
from forwardpass.view.words import describe

NAMES = ("rnn_tanh", "rnn_relu", "gru", "lstm")
KINDS = {
    "RNN": (nn.RNN, nn.RNNCell, {}),
    "ReLU": (nn.RNN, nn.RNNCell, {"nonlinearity": "relu"}),
    "GRU": (nn.GRU, nn.GRUCell, {}),
    "LSTM": (nn.LSTM, nn.LSTMCell, {}),
}


@pytest.mark.parametrize("item", finite_cases(*NAMES), ids=case_id)
def test_reference(item):
    assert_case_bounded(*item)


def flat(result):
    """[y, h] or [y, h, c] of a layer's result; [h] or [h, c] of a cell's."""
    if not isinstance(result, tuple):
        return [result]
    return [array for part in result for array in flat(part)]


def same(got, want, what=""):
    for g, w in zip(flat(got), flat(want), strict=True):
        assert_same_bytes(g, w, what)


def state_of(layer, batch, name="state"):
    """A state for the layer, h or (h, c)."""
    rows = layer.num_layers * (2 if layer.bidirectional else 1)
    out = layer.proj_size or layer.hidden_size
    h = make(f"{name}/h", (rows, batch, out))
    return (h, make(f"{name}/c", (rows, batch, layer.hidden_size))) if layer.mode == "LSTM" else h


def rows_of(state, part):
    """The state of some rows of a batch."""
    return tuple(s[:, part] for s in state) if isinstance(state, tuple) else state[:, part]


def layer_of(kind, inputs, hidden, **more):
    make_layer, _, words = KINDS[kind]
    nn.init.manual_seed(7)
    return make_layer(inputs, hidden, **words, **more)


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


# --- weights ---


def test_weights_are_packed_once_and_given_back():
    layer = nn.LSTM(5, 12, 2, proj_size=4, bidirectional=True)
    before = {key: np.array(value) for key, value in layer.state_dict().items()}
    x = make("pack/x", (3, 2, 5))
    want = layer(x)
    pack = layer._pack
    weights = [p for n, p in layer._parameters.items() if n.startswith("weight")]
    assert len(weights) == 12
    assert all(p._array is None for p in weights), "the layer keeps its weights twice"
    for key, value in layer.state_dict().items():
        assert_same_bytes(value, before[key], key)
    same(layer(x), want)
    assert layer._pack is pack
    layer.weight_hr_l1 = before["weight_hr_l1"] * 2
    assert layer._pack is None
    assert not np.array_equal(layer(x)[0], want[0])
    layer.load_state_dict(before)
    same(layer(x), want)
    for other in (copy.deepcopy(layer), pickle.loads(pickle.dumps(layer))):
        same(other(x), want)
    layer.batch_first = True
    assert layer(x)[0].shape == (3, 2, 8)
    assert layer(x)[1][0].shape == (4, 3, 4)


def test_initial_values():
    nn.init.manual_seed(3)
    layer = nn.GRU(300, 25)
    values = np.concatenate([np.ravel(p.data) for p in layer.parameters()])
    assert np.abs(values).max() <= 0.2
    assert abs(values.mean()) < 0.01
    assert abs(values.std() - 0.2 / 3**0.5) < 0.01
    shapes = [[w.shape for w in one] for one in nn.GRU(3, 5, 2, bias=False).all_weights]
    assert shapes == [[(15, 3), (15, 5)], [(15, 5), (15, 5)]]
    layer.flatten_parameters()


def test_repr_and_keys():
    assert repr(nn.LSTM(3, 8, 2, bidirectional=True, proj_size=2, dropout=0.5)) == (
        "LSTM(3, 8, proj_size=2, num_layers=2, dropout=0.5, bidirectional=True)"
    )
    assert repr(nn.RNN(3, 8, bias=False)) == "RNN(3, 8, bias=False)"
    assert repr(nn.RNNCell(3, 8, nonlinearity="relu")) == "RNNCell(3, 8, nonlinearity=relu)"
    assert list(nn.LSTM(3, 8, bidirectional=True, proj_size=2).state_dict()) == [
        f"{name}_l0{way}"
        for way in ("", "_reverse")
        for name in ("weight_ih", "weight_hh", "bias_ih", "bias_hh", "weight_hr")
    ]
    assert list(nn.GRUCell(3, 8, bias=False).state_dict()) == ["weight_ih", "weight_hh"]


def test_in_words_and_in_the_summary():
    layer = nn.LSTM(6, 4, 2)
    found = summary(layer, np.zeros((3, 2, 6), np.float32))
    assert found.total_mult_adds == 6 * (16 * (6 + 4) + 16 * (4 + 4))
    assert describe(layer) == "4 values that it carries from step to step, in 2 layers"
    assert summary(nn.GRUCell(6, 4), (2, 6)).total_mult_adds == 2 * 12 * (6 + 4)


def test_dropout_is_accepted():
    assert nn.GRU(3, 4, 2, dropout=0.5).dropout == 0.5
    with pytest.warns(UserWarning, match="num_layers=1"):
        nn.GRU(3, 4, dropout=0.5)
    with warnings.catch_warnings():
        warnings.simplefilter("error")
        nn.GRU(3, 4, 2, dropout=1)


# --- errors ---


class PackedSequence(tuple):
    batch_sizes = (1,)


ZERO = np.zeros((3, 2, 6), np.float32)
BAD_CALLS = [
    (TypeError, (PackedSequence(),), "PackedSequence"),
    (TypeError, (ZERO.astype(float),), "float64"),
    (TypeError, ([[1.0]],), "list"),
    (ValueError, (ZERO[0, 0],), "2 or 3 dimensions"),
    (ValueError, (ZERO[None],), "2 or 3 dimensions"),
    (ValueError, (ZERO[..., :5],), "6"),
    (ValueError, (ZERO[:0],), "at least one step"),
]


@pytest.mark.parametrize(("error", "arguments", "word"), BAD_CALLS)
@pytest.mark.parametrize("kind", ["RNN", "GRU", "LSTM"])
def test_bad_inputs(kind, error, arguments, word):
    layer = layer_of(kind, 6, 4)
    with pytest.raises(error, match=word) as caught:
        layer(*arguments)
    assert f"{kind}(): argument 'input'" in str(caught.value)


def test_bad_states():
    gru, lstm = nn.GRU(6, 4, 2), nn.LSTM(6, 4, 2, proj_size=3)
    h, c = np.zeros((2, 2, 3), np.float32), np.zeros((2, 2, 4), np.float32)
    for layer, hx, error, words in (
        (gru, h, ValueError, ("hx", "(2, 2, 4)", "(2, 2, 3)")),
        (gru, c[:, 0], ValueError, ("hx", "(2, 2, 4)")),
        (gru, c.astype(float), TypeError, ("hx", "float64")),
        (gru, (c, c), TypeError, ("hx", "tuple")),
        (lstm, h, TypeError, ("hx", "tuple (h, c)")),
        (lstm, (h,), ValueError, ("hx", "two arrays")),
        (lstm, (h, None), TypeError, ("hx", "None")),
        (lstm, (c, c), ValueError, ("hx[0]", "(2, 2, 3)")),
        (lstm, (h, h), ValueError, ("hx[1]", "(2, 2, 4)")),
    ):
        with pytest.raises(error) as caught:
            layer(ZERO, hx)
        for word in words:
            assert word in str(caught.value)
    with pytest.raises(ValueError, match="hx"):
        gru(ZERO[:, 0], c)
    assert lstm(ZERO, [h, c])[0].shape == (3, 2, 3)


def test_bad_cells():
    cell = nn.LSTMCell(6, 4)
    with pytest.raises(ValueError, match=r"LSTMCell.*input.*\(batch, 6\)"):
        cell(ZERO)
    with pytest.raises(ValueError, match=r"LSTMCell.*hx\[1\]"):
        cell(ZERO[0], (np.zeros((2, 4), np.float32), np.zeros((3, 4), np.float32)))
    with pytest.raises(ValueError, match="nonlinearity"):
        nn.RNNCell(6, 4, nonlinearity="elu")


@pytest.mark.parametrize(
    ("error", "arguments", "words"),
    [
        (ValueError, (0, 4), {}),
        (ValueError, (3, 0), {}),
        (ValueError, (3, 4, 0), {}),
        (TypeError, (3.0, 4), {}),
        (TypeError, (3, 4), {"bias": 1}),
        (TypeError, (3, 4), {"batch_first": 0}),
        (ValueError, (3, 4), {"dropout": 1.5}),
        (ValueError, (3, 4), {"dropout": True}),
        (ValueError, (3, 4), {"proj_size": 4}),
        (ValueError, (3, 4), {"proj_size": -1}),
        (NotImplementedError, (3, 4), {"device": "cuda"}),
    ],
)
def test_bad_constructors(error, arguments, words):
    with pytest.raises(error):
        nn.LSTM(*arguments, **words)


def test_only_lstm_projects():
    with pytest.raises(TypeError, match="proj_size"):
        nn.GRU(3, 4, proj_size=2)
    with pytest.raises(ValueError, match="tanh"):
        nn.RNN(3, 4, nonlinearity="elu")


def test_replaced_weights_of_another_size():
    layer = nn.GRU(6, 4)
    layer.weight_hh_l0 = nn.Parameter(np.zeros((12, 5), np.float32))
    with pytest.raises(ValueError, match=r"GRU.*weight_hh.*\(12, 4\)"):
        layer(ZERO)
    layer = nn.GRU(6, 4, 2)
    layer.weight_ih_l1 = nn.Parameter(np.zeros((12, 5), np.float32))
    with pytest.raises(ValueError, match="layer 1"):
        layer(ZERO)


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


def test_pack_names():
    with pytest.raises(ValueError, match="no cell"):
        _core.PackedRecurrent("elman", [], False, False, "X")
    with pytest.raises(ValueError, match="direction"):
        _core.PackedRecurrent("gru", [], False, False, "X")
    with pytest.raises(ValueError, match="five"):
        _core.PackedRecurrent("gru", [[ZERO[0]]], False, False, "X")
    pack = nn.GRU(6, 4)
    pack(ZERO)
    assert pack._pack.isa == _core.isa()
    with pytest.raises(KeyError):
        pack._pack.weight(0, "weight_hr")
    with pytest.raises(IndexError):
        pack._pack.weight(1, "weight_ih")
