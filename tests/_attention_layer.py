"""What the tests of MultiheadAttention share: a layer with settled weights, and its inputs."""

from __future__ import annotations

from forwardpass import nn
from forwardpass.reference.arrays import make


def layer(width=8, heads=2, **kwargs):
    net = nn.MultiheadAttention(width, heads, **kwargs)
    state = net.state_dict()
    net.load_state_dict({key: make(f"mha/{key}", value.shape) for key, value in state.items()})
    return net


def samples(net, batch=2, length=5, keys=7):
    q = make("mha/query", (batch, length, net.embed_dim))
    k, v = make("mha/key", (batch, keys, net.kdim)), make("mha/value", (batch, keys, net.vdim))
    return q, k, v
