"""Recurrent layers and cells as modules: weights, text, summary, what they refuse."""

from __future__ import annotations

import copy
import pickle
import warnings

import numpy as np
import pytest

from _arrays import assert_same_bytes
from _recurrent import layer_of, same
from forwardpass import _core, nn, summary
from forwardpass.reference.arrays import make
from forwardpass.view.words import describe

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
