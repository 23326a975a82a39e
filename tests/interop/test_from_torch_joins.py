"""Which nodes forwardpass.from_torch joins, and which layers it finds."""

from __future__ import annotations

import numpy as np
import pytest

import forwardpass

torch = pytest.importorskip("torch")
nn, F = torch.nn, torch.nn.functional

pytestmark = pytest.mark.filterwarnings("ignore")


class Of(nn.Module):
    """A module of a function, with a linear layer and a convolution that it may use."""

    def __init__(self, function):
        super().__init__()
        self.function = function
        self.linear, self.conv = nn.Linear(6, 6), nn.Conv1d(6, 6, 3, padding=1)

    def forward(self, x):
        return self.function(self, x)


def ops(function, x, **more):
    """The ops of the converted function, whose result is checked."""
    torch.manual_seed(0)
    module = Of(function).eval()
    program = forwardpass.from_torch(module, x, **more)
    with torch.no_grad():
        want = module(x).numpy()
    np.testing.assert_allclose(program(x.numpy()), want, rtol=1e-5, atol=1e-5)
    return [node.op for node in program._graph.nodes]


X = torch.randn(2, 5, 6)


@pytest.mark.parametrize(
    "activation",
    [F.relu, F.gelu, F.silu, F.mish, torch.sigmoid, torch.tanh, F.hardswish, F.leaky_relu, F.relu6],
)
def test_activations_join_the_product(activation):
    assert ops(lambda m, x: activation(m.linear(x)), X) == ["linear"]
    image = X.transpose(1, 2).contiguous()
    assert ops(lambda m, x: activation(m.conv(x)) + x, image) == ["conv"]


def test_residuals_join_the_product():
    assert ops(lambda m, x: x + F.gelu(m.linear(x), approximate="tanh"), X) == ["linear"]
    other = ops(lambda m, x: m.linear(x) + x[:1], X)  # of another shape
    assert other == ["linear", "index", "add"]
    assert ops(lambda m, x: F.relu(m.linear(x) + x), X) == ["linear", "relu"]


def test_nodes_with_two_readers_stay():
    assert ops(lambda m, x: F.relu(y := m.linear(x)) * y, X) == ["linear", "relu", "mul"]


def test_gates_join():
    assert ops(lambda m, x: F.silu(x) * m.linear(x), X) == ["linear", "swiglu"]


@pytest.mark.parametrize("norm", ["layer_norm", "rms_norm"])
def test_sums_join_the_norm(norm):
    def of(x):
        return getattr(F, norm)(x, (6,), X[0, 0])

    assert ops(lambda m, x: of(x.tanh() + x), X) == ["tanh", f"add_{norm}", "item"]
    shown = ops(lambda m, x: torch.cat([of(y := x.tanh() + x), y * 2]), X)
    assert shown == ["tanh", f"add_{norm}", "item", "item", "mul", "cat"]
    other = ops(lambda m, x: of(x.tanh() + x[:1]), X)  # of another shape
    assert other == ["tanh", "index", "add", norm]
    assert ops(lambda m, x: of(x + m.linear(x)), X) == ["linear", norm]  # the product's residual
    with_constant = ops(lambda m, x: of(x + X.flip(0)), X)
    assert with_constant == [f"add_{norm}", "item"]


def test_batch_norms_join_the_product():
    image = X.transpose(1, 2).contiguous()
    norm = nn.BatchNorm1d(6, eps=1e-3).eval()
    nn.init.normal_(norm.running_mean)
    nn.init.uniform_(norm.running_var, 0.5, 2.0)
    nn.init.normal_(norm.weight)
    assert ops(lambda m, x: F.relu(norm(m.conv(x))) + x, image) == ["conv"]
    assert ops(lambda m, x: norm(m.linear(x)), X[0]) == ["linear"]
    assert ops(lambda m, x: norm(m.linear(x)), X[:, :1].expand(2, 6, 6)) == [
        "linear",
        "batch_norm",
    ]
    shown = ops(lambda m, x: torch.cat([norm(y := m.conv(x)), y]), image)
    assert shown == ["conv", "batch_norm", "cat"]
    plain = nn.BatchNorm1d(6, affine=False).eval()
    assert ops(lambda m, x: plain(m.conv(x)), image) == ["conv"]


def test_repeated_heads_join_the_attention():
    def function(m, x):
        q, k = x.view(2, 5, 3, 2).transpose(1, 2), x[:, :, 2:4].reshape(2, 1, 5, 2)
        many = k[:, :, None].expand(2, 1, 3, 5, 2).reshape(2, 3, 5, 2)
        again = (k * 2)[:, :, None].expand(2, 1, 3, 5, 2).reshape(2, 3, 5, 2)
        y = F.scaled_dot_product_attention(q, many, again, is_causal=True)
        return y.transpose(1, 2).reshape(2, 5, 6)

    used = ops(function, X)
    assert used[-1] == "attention_rows"
    assert "expand" not in used


def test_dropout_and_constants_leave_nothing():
    def function(m, x):
        bias = (torch.arange(6) * 2 + 1).float().log().softmax(-1)
        return m.linear(F.dropout(x, 0.5, m.training)).clone() + bias

    assert ops(function, X) == ["linear", "add"]


def test_layers_spelled_out_become_layers():
    def rms_norm(m, x):
        return m.linear.bias * (x * torch.rsqrt(x.pow(2).mean(-1, keepdim=True) + 1e-6))

    def gelu(m, x):
        return 0.5 * x * (1.0 + torch.tanh(0.7978845608028654 * (x + 0.044715 * torch.pow(x, 3))))

    assert ops(rms_norm, X) == ["rms_norm"]
    assert ops(gelu, X) == ["gelu"]
    assert ops(lambda m, x: gelu(m, m.linear(x)), X) == ["linear"]
    assert "rms_norm" not in ops(lambda m, x: x * torch.rsqrt((x * x).mean(1, True) + 1), X)
    assert "gelu" not in ops(lambda m, x: 0.4 * x * (1.0 + torch.tanh(x)), X)
