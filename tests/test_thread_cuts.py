"""How work is cut for any number of threads, many more than there are CPUs too, changes no byte.

Cuts depend on how sizes, items and threads divide one another, so shapes are drawn: the same ones
each time.
"""

from __future__ import annotations

import numpy as np
import pytest

import forwardpass as fp
from forwardpass import _core, nn
from forwardpass.reference.arrays import make

THREADS = (2, 3, 4, 5, 7, 12, 16, 24, 33, 64)
ITEMS = (1, 1, 2, 3, 5, 7, 13, 20, 33)
MOST = 1 << 21  # elements of an input


def _conv1d(draw):
    channels, out, taps = draw(1, 3, 16, 64, 200), draw(1, 5, 16, 64, 130), draw(1, 3, 8)
    stride = draw(1, 1, 2, 4)
    length = draw(3 * taps, 100, 1500, 6000)
    net = nn.Conv1d(channels, out, taps, stride, padding=draw(0, 1), dilation=draw(1, 2))
    return net, (draw(*ITEMS), channels, length)


def _conv2d(draw):
    channels, out, taps = draw(1, 3, 16, 64), draw(1, 5, 16, 64, 130), draw(1, 3, 4, 7)
    groups = draw(1, 1, channels) if out % channels == 0 else 1
    net = nn.Conv2d(channels, out, taps, draw(1, 2, 4), draw(0, 1), groups=groups)
    return net, (draw(*ITEMS), channels, draw(7, 30, 57, 112), draw(7, 33, 56, 130))


def _conv_transpose1d(draw):
    channels = draw(3, 16, 64)
    net = nn.ConvTranspose1d(channels, draw(1, 16, 40), draw(2, 7, 16), draw(1, 2, 8))
    return net, (draw(*ITEMS), channels, draw(9, 100, 700))


def _linear(draw):
    k = draw(7, 64, 256)
    return nn.Linear(k, draw(1, 17, 64, 1000, 3000)), (draw(1, 2, 7, 8, 9, 50, 128, 300), k)


def _rows(draw):
    n = draw(1, 3, 64, 250, 2000, 70000)
    net = (nn.Softmax(-1), nn.Softmax(0), nn.LayerNorm(n), nn.GELU(), nn.ReLU())[draw(*range(5))]
    return net, (draw(1, 2, 7, 100, 1000), n)


def _recurrent(draw):
    size, width = draw(10, 64), draw(16, 64, 200, 256)
    kind, layers = (nn.LSTM, nn.GRU, nn.RNN)[draw(0, 1, 2)], draw(1, 2)
    net = kind(size, width, layers, batch_first=True, bidirectional=bool(draw(0, 0, 1)))
    return net, (draw(1, 1, 2, 5, 30), draw(1, 2, 9, 40), size)


KINDS = {
    "conv1d": (_conv1d, 1500),
    "conv2d": (_conv2d, 1000),
    "conv_transpose1d": (_conv_transpose1d, 500),
    "linear": (_linear, 1000),
    "rows": (_rows, 1000),
    "recurrent": (_recurrent, 500),
}


@pytest.mark.parametrize("name", KINDS)
def test_any_number_of_threads(name, restore_threads):
    make_layer, count = KINDS[name]
    rng = np.random.default_rng(sum(map(ord, name)))
    fp.manual_seed(0)

    def draw(*choices):
        return int(choices[rng.integers(len(choices))])

    done = 0
    while done < count:
        layer, shape = make_layer(draw)
        if np.prod(shape) > MOST:
            continue
        x = make("cuts", shape)
        _core.set_num_threads(1)
        want = _array(layer(x))  # kept, so that its memory is not given out again
        for threads in rng.choice(THREADS, 3, replace=False):
            _core.set_num_threads(int(threads))
            found = _array(layer(x))
            assert found.tobytes() == want.tobytes(), f"{threads} threads: {layer} on {shape}"
            found.fill(np.nan)  # for the next result, which may lie there
        done += 1


def _array(result):
    return result[0] if isinstance(result, tuple) else result
