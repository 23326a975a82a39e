"""
The compiled half of forwardpass: checks of arguments, and the operations.
"""

from __future__ import annotations

import collections.abc
import typing

import numpy
import numpy.typing

__all__: list[str] = [
    "PackedConv",
    "PackedConv1d",
    "PackedLinear",
    "PackedRecurrent",
    "adaptive_avg_pool1d",
    "adaptive_avg_pool2d",
    "adaptive_max_pool1d",
    "adaptive_max_pool2d",
    "add_layer_norm",
    "add_rms_norm",
    "attention",
    "available_isas",
    "avg_pool1d",
    "avg_pool2d",
    "batch_norm",
    "build_info",
    "conv1d",
    "conv2d",
    "conv_transpose1d",
    "conv_transpose2d",
    "cos",
    "elu",
    "embedding",
    "embedding_bag",
    "empty_cache",
    "erf",
    "exp",
    "expm1",
    "gelu",
    "get_num_threads",
    "glu",
    "group_norm",
    "gru",
    "hardsigmoid",
    "hardswish",
    "hardtanh",
    "isa",
    "layer_norm",
    "leaky_relu",
    "linear",
    "log",
    "log1p",
    "log_softmax",
    "lstm",
    "matmul",
    "max_pool1d",
    "max_pool2d",
    "mean",
    "mish",
    "normalize",
    "numerics_version",
    "outer_product",
    "pow",
    "prelu",
    "relu",
    "relu6",
    "renorm",
    "resize_linear",
    "resize_nearest",
    "rms_norm",
    "rnn_relu",
    "rnn_tanh",
    "rotary_embedding",
    "rotary_table",
    "set_num_threads",
    "sigmoid",
    "silu",
    "sin",
    "softmax",
    "softplus",
    "sum",
    "swiglu",
    "tanh",
    "thread_backend",
    "thread_source",
    "var",
]

class PackedLinear:
    """
    A linear's weight in the layout of one instruction set.
    """
    def __call__(
        self,
        input: typing.Any,
        activation: typing.Any = None,
        negative_slope: typing.Any = 0.01,
        residual: typing.Any = None,
        out: typing.Any = None,
    ) -> numpy.ndarray: ...
    def __init__(self, weight: typing.Any, bias: typing.Any = None) -> None: ...
    def bias(self) -> numpy.ndarray | None:
        """
        A new array (out_features,), or None.
        """
    def weight(self) -> numpy.ndarray:
        """
        A new array (out_features, in_features): the weight unpacked.
        """
    @property
    def isa(self) -> str: ...

class PackedConv1d:
    """
    A convolution's weight in the layout of one instruction set.
    """
    def __call__(
        self,
        input: typing.Any,
        activation: typing.Any = None,
        negative_slope: typing.Any = 0.01,
        residual: typing.Any = None,
        out: typing.Any = None,
    ) -> numpy.ndarray: ...
    def __init__(
        self,
        weight: typing.Any,
        bias: typing.Any = None,
        stride: typing.Any = 1,
        padding: typing.Any = 0,
        dilation: typing.Any = 1,
        groups: typing.Any = 1,
    ) -> None: ...
    def bias(self) -> numpy.ndarray | None:
        """
        A new array (out,), or None.
        """
    def weight(self) -> numpy.ndarray:
        """
        A new array (out, in / groups, kernel): the weight unpacked.
        """
    @property
    def isa(self) -> str: ...

class PackedConv:
    """
    The weight of conv2d, conv_transpose1d or conv_transpose2d in the layout of one instruction set.
    """
    def __call__(
        self,
        input: typing.Any,
        activation: typing.Any = None,
        negative_slope: typing.Any = 0.01,
        residual: typing.Any = None,
        out: typing.Any = None,
        output_padding: typing.Any = None,
    ) -> numpy.ndarray: ...
    def __init__(
        self,
        op: str,
        weight: typing.Any,
        bias: typing.Any = None,
        stride: typing.Any = 1,
        padding: typing.Any = 0,
        dilation: typing.Any = 1,
        groups: typing.Any = 1,
        output_padding: typing.Any = 0,
    ) -> None: ...
    def bias(self) -> numpy.ndarray | None:
        """
        A new array (out,), or None.
        """
    def weight(self) -> numpy.ndarray:
        """
        A new array: the weight unpacked, as torch lays it out.
        """
    @property
    def isa(self) -> str: ...

class PackedRecurrent:
    """
    A recurrent layer's weights in the layout of one instruction set.
    """
    def __call__(
        self, input: typing.Any, hx: typing.Any = None, out: typing.Any = None
    ) -> tuple[numpy.ndarray, typing.Any]: ...
    def __init__(
        self,
        cell: str,
        weights: collections.abc.Sequence[collections.abc.Sequence[typing.Any]],
        bidirectional: bool,
        batch_first: bool,
        name: str,
    ) -> None: ...
    def step(self, input: typing.Any, hx: typing.Any = None) -> typing.Any:
        """
        The next state: one step of a cell.
        """
    def weight(self, index: typing.SupportsInt | typing.SupportsIndex, name: str) -> numpy.ndarray:
        """
        A new array: weight_ih, weight_hh or weight_hr of one direction, unpacked.
        """
    @property
    def isa(self) -> str: ...

def _adaptive_max_pool1d_indices(
    input: typing.Any, output_size: typing.Any
) -> numpy.typing.NDArray[numpy.int64]: ...
def _adaptive_max_pool2d_indices(
    input: typing.Any, output_size: typing.Any
) -> numpy.typing.NDArray[numpy.int64]: ...
def _kept_bytes() -> int: ...
def _max_pool1d_indices(
    input: typing.Any,
    kernel_size: typing.Any,
    stride: typing.Any = None,
    padding: typing.Any = 0,
    dilation: typing.Any = 1,
    ceil_mode: bool = False,
) -> numpy.typing.NDArray[numpy.int64]: ...
def _max_pool2d_indices(
    input: typing.Any,
    kernel_size: typing.Any,
    stride: typing.Any = None,
    padding: typing.Any = 0,
    dilation: typing.Any = 1,
    ceil_mode: bool = False,
) -> numpy.typing.NDArray[numpy.int64]: ...
def _pop_threads(previous: typing.SupportsInt | typing.SupportsIndex) -> None: ...
def _probe_fma(rounds: typing.SupportsInt | typing.SupportsIndex) -> float:
    """
    Runs independent fma and returns the floating-point operations done; for benchmarks.
    """

def _probe_read(array: typing.Any) -> float:
    """
    Reads a float32 array through once; for benchmarks.
    """

def _push_threads(n: typing.Any) -> int: ...
def _rotary_frequencies(
    dim: typing.Any, base: typing.SupportsFloat | typing.SupportsIndex
) -> numpy.typing.NDArray[numpy.float64]: ...
def _self_attention(
    rows: typing.Any,
    heads: typing.SupportsInt | typing.SupportsIndex,
    groups: typing.SupportsInt | typing.SupportsIndex,
    causal: bool = False,
    cos: typing.Any = None,
    sin: typing.Any = None,
    interleaved: bool = False,
    table_at: typing.SupportsInt | typing.SupportsIndex = 0,
    keys: typing.Any = None,
    values: typing.Any = None,
    offset: typing.SupportsInt | typing.SupportsIndex = 0,
    out: typing.Any = None,
) -> numpy.ndarray: ...
def _set_isa(name: str) -> None: ...
def _set_thread_backend(name: str) -> None: ...
def _swiglu_halves(input: typing.Any) -> numpy.ndarray: ...
def adaptive_avg_pool1d(
    input: typing.Any, output_size: typing.Any, out: typing.Any = None
) -> numpy.ndarray: ...
def adaptive_avg_pool2d(
    input: typing.Any, output_size: typing.Any, out: typing.Any = None
) -> numpy.ndarray: ...
def adaptive_max_pool1d(
    input: typing.Any, output_size: typing.Any, out: typing.Any = None
) -> numpy.ndarray: ...
def adaptive_max_pool2d(
    input: typing.Any, output_size: typing.Any, out: typing.Any = None
) -> numpy.ndarray: ...
def add_layer_norm(
    input: typing.Any,
    residual: typing.Any,
    normalized_shape: typing.Any,
    weight: typing.Any = None,
    bias: typing.Any = None,
    eps: typing.Any = 1e-05,
    out: typing.Any = None,
    out_sum: typing.Any = None,
) -> tuple[numpy.ndarray, numpy.ndarray]: ...
def add_rms_norm(
    input: typing.Any,
    residual: typing.Any,
    normalized_shape: typing.Any,
    weight: typing.Any = None,
    eps: typing.Any = None,
    out: typing.Any = None,
    out_sum: typing.Any = None,
) -> tuple[numpy.ndarray, numpy.ndarray]: ...
def attention(
    query: typing.Any,
    key: typing.Any,
    value: typing.Any,
    mask: typing.Any = None,
    causal: bool = False,
    offset: typing.Any = 0,
    scale: typing.Any = None,
    out: typing.Any = None,
) -> numpy.ndarray: ...
def available_isas() -> tuple[str, ...]:
    """
    Instruction sets that run here, best first.
    """

def avg_pool1d(
    input: typing.Any,
    kernel_size: typing.Any,
    stride: typing.Any = None,
    padding: typing.Any = 0,
    ceil_mode: bool = False,
    count_include_pad: bool = True,
    divisor_override: typing.Any = None,
    out: typing.Any = None,
) -> numpy.ndarray: ...
def avg_pool2d(
    input: typing.Any,
    kernel_size: typing.Any,
    stride: typing.Any = None,
    padding: typing.Any = 0,
    ceil_mode: bool = False,
    count_include_pad: bool = True,
    divisor_override: typing.Any = None,
    out: typing.Any = None,
) -> numpy.ndarray: ...
def batch_norm(
    input: typing.Any,
    running_mean: typing.Any,
    running_var: typing.Any,
    weight: typing.Any = None,
    bias: typing.Any = None,
    eps: typing.Any = 1e-05,
    out: typing.Any = None,
) -> numpy.ndarray: ...
def build_info() -> dict[str, str]: ...
def conv1d(
    input: typing.Any,
    weight: typing.Any,
    bias: typing.Any = None,
    stride: typing.Any = 1,
    padding: typing.Any = 0,
    dilation: typing.Any = 1,
    groups: typing.Any = 1,
    activation: typing.Any = None,
    negative_slope: typing.Any = 0.01,
    residual: typing.Any = None,
    out: typing.Any = None,
) -> numpy.ndarray: ...
def conv2d(
    input: typing.Any,
    weight: typing.Any,
    bias: typing.Any = None,
    stride: typing.Any = 1,
    padding: typing.Any = 0,
    dilation: typing.Any = 1,
    groups: typing.Any = 1,
    activation: typing.Any = None,
    negative_slope: typing.Any = 0.01,
    residual: typing.Any = None,
    out: typing.Any = None,
) -> numpy.ndarray: ...
def conv_transpose1d(
    input: typing.Any,
    weight: typing.Any,
    bias: typing.Any = None,
    stride: typing.Any = 1,
    padding: typing.Any = 0,
    output_padding: typing.Any = 0,
    groups: typing.Any = 1,
    dilation: typing.Any = 1,
    activation: typing.Any = None,
    negative_slope: typing.Any = 0.01,
    residual: typing.Any = None,
    out: typing.Any = None,
) -> numpy.ndarray: ...
def conv_transpose2d(
    input: typing.Any,
    weight: typing.Any,
    bias: typing.Any = None,
    stride: typing.Any = 1,
    padding: typing.Any = 0,
    output_padding: typing.Any = 0,
    groups: typing.Any = 1,
    dilation: typing.Any = 1,
    activation: typing.Any = None,
    negative_slope: typing.Any = 0.01,
    residual: typing.Any = None,
    out: typing.Any = None,
) -> numpy.ndarray: ...
def cos(input: typing.Any, out: typing.Any = None) -> numpy.ndarray: ...
def elu(input: typing.Any, alpha: typing.Any = 1.0, out: typing.Any = None) -> numpy.ndarray: ...
def embedding(input: typing.Any, weight: typing.Any, out: typing.Any = None) -> numpy.ndarray: ...
def embedding_bag(
    indices: typing.Annotated[numpy.typing.ArrayLike, numpy.int64],
    offsets: typing.Annotated[numpy.typing.ArrayLike, numpy.int64],
    weight: typing.Any,
    mode: str = "mean",
    per_sample_weights: typing.Any = None,
    out: typing.Any = None,
) -> numpy.ndarray: ...
def empty_cache() -> None:
    """
    Gives the memory kept for results of 256 KiB and more back to the system.
    """

def erf(input: typing.Any, out: typing.Any = None) -> numpy.ndarray: ...
def exp(input: typing.Any, out: typing.Any = None) -> numpy.ndarray: ...
def expm1(input: typing.Any, out: typing.Any = None) -> numpy.ndarray: ...
def gelu(
    input: typing.Any, approximate: typing.Any = "none", out: typing.Any = None
) -> numpy.ndarray: ...
def get_num_threads() -> int: ...
def glu(input: typing.Any, dim: typing.Any = -1, out: typing.Any = None) -> numpy.ndarray: ...
def group_norm(
    input: typing.Any,
    num_groups: typing.Any,
    weight: typing.Any = None,
    bias: typing.Any = None,
    eps: typing.Any = 1e-05,
    out: typing.Any = None,
) -> numpy.ndarray: ...
def gru(
    input: typing.Any,
    weight_ih: typing.Any,
    weight_hh: typing.Any,
    bias_ih: typing.Any = None,
    bias_hh: typing.Any = None,
    h0: typing.Any = None,
    reverse: bool = False,
    out: typing.Any = None,
    out_h: typing.Any = None,
) -> tuple[numpy.ndarray, numpy.ndarray]: ...
def hardsigmoid(input: typing.Any, out: typing.Any = None) -> numpy.ndarray: ...
def hardswish(input: typing.Any, out: typing.Any = None) -> numpy.ndarray: ...
def hardtanh(
    input: typing.Any, min_val: typing.Any = -1.0, max_val: typing.Any = 1.0, out: typing.Any = None
) -> numpy.ndarray: ...
def isa() -> str:
    """
    The instruction set in use.
    """

def layer_norm(
    input: typing.Any,
    normalized_shape: typing.Any,
    weight: typing.Any = None,
    bias: typing.Any = None,
    eps: typing.Any = 1e-05,
    out: typing.Any = None,
) -> numpy.ndarray: ...
def leaky_relu(
    input: typing.Any, negative_slope: typing.Any = 0.01, out: typing.Any = None
) -> numpy.ndarray: ...
def linear(
    input: typing.Any,
    weight: typing.Any,
    bias: typing.Any = None,
    activation: typing.Any = None,
    negative_slope: typing.Any = 0.01,
    residual: typing.Any = None,
    out: typing.Any = None,
) -> numpy.ndarray: ...
def log(input: typing.Any, out: typing.Any = None) -> numpy.ndarray: ...
def log1p(input: typing.Any, out: typing.Any = None) -> numpy.ndarray: ...
def log_softmax(input: typing.Any, dim: typing.Any, out: typing.Any = None) -> numpy.ndarray: ...
def lstm(
    input: typing.Any,
    weight_ih: typing.Any,
    weight_hh: typing.Any,
    bias_ih: typing.Any = None,
    bias_hh: typing.Any = None,
    weight_hr: typing.Any = None,
    h0: typing.Any = None,
    c0: typing.Any = None,
    reverse: bool = False,
    out: typing.Any = None,
    out_h: typing.Any = None,
    out_c: typing.Any = None,
) -> tuple[numpy.ndarray, numpy.ndarray, numpy.ndarray]: ...
def matmul(input: typing.Any, other: typing.Any, out: typing.Any = None) -> numpy.ndarray: ...
def max_pool1d(
    input: typing.Any,
    kernel_size: typing.Any,
    stride: typing.Any = None,
    padding: typing.Any = 0,
    dilation: typing.Any = 1,
    ceil_mode: bool = False,
    out: typing.Any = None,
) -> numpy.ndarray: ...
def max_pool2d(
    input: typing.Any,
    kernel_size: typing.Any,
    stride: typing.Any = None,
    padding: typing.Any = 0,
    dilation: typing.Any = 1,
    ceil_mode: bool = False,
    out: typing.Any = None,
) -> numpy.ndarray: ...
def mean(input: typing.Any, dim: typing.Any, out: typing.Any = None) -> numpy.ndarray: ...
def mish(input: typing.Any, out: typing.Any = None) -> numpy.ndarray: ...
def normalize(
    input: typing.Any,
    p: typing.Any = 2.0,
    dim: typing.Any = 1,
    eps: typing.Any = 1e-12,
    out: typing.Any = None,
) -> numpy.ndarray: ...
def outer_product(
    input1: typing.Any, input2: typing.Any, out: typing.Any = None
) -> numpy.ndarray: ...
def pow(input: typing.Any, exponent: typing.Any, out: typing.Any = None) -> numpy.ndarray: ...
def prelu(input: typing.Any, weight: typing.Any, out: typing.Any = None) -> numpy.ndarray: ...
def relu(input: typing.Any, out: typing.Any = None) -> numpy.ndarray: ...
def relu6(input: typing.Any, out: typing.Any = None) -> numpy.ndarray: ...
def renorm(
    input: typing.Any, max_norm: typing.Any, norm_type: typing.Any = 2.0, out: typing.Any = None
) -> numpy.ndarray: ...
def resize_linear(
    input: typing.Any,
    height: typing.Any,
    width: typing.Any,
    down: typing.SupportsFloat | typing.SupportsIndex = 0.0,
    along: typing.SupportsFloat | typing.SupportsIndex = 0.0,
    align_corners: bool = False,
    out: typing.Any = None,
) -> numpy.ndarray: ...
def resize_nearest(
    input: typing.Any,
    height: typing.Any,
    width: typing.Any,
    down: typing.SupportsFloat | typing.SupportsIndex = 0.0,
    along: typing.SupportsFloat | typing.SupportsIndex = 0.0,
    exact: bool = False,
    out: typing.Any = None,
) -> numpy.ndarray: ...
def rms_norm(
    input: typing.Any,
    normalized_shape: typing.Any,
    weight: typing.Any = None,
    eps: typing.Any = None,
    out: typing.Any = None,
) -> numpy.ndarray: ...
def rnn_relu(
    input: typing.Any,
    weight_ih: typing.Any,
    weight_hh: typing.Any,
    bias_ih: typing.Any = None,
    bias_hh: typing.Any = None,
    h0: typing.Any = None,
    reverse: bool = False,
    out: typing.Any = None,
    out_h: typing.Any = None,
) -> tuple[numpy.ndarray, numpy.ndarray]: ...
def rnn_tanh(
    input: typing.Any,
    weight_ih: typing.Any,
    weight_hh: typing.Any,
    bias_ih: typing.Any = None,
    bias_hh: typing.Any = None,
    h0: typing.Any = None,
    reverse: bool = False,
    out: typing.Any = None,
    out_h: typing.Any = None,
) -> tuple[numpy.ndarray, numpy.ndarray]: ...
def rotary_embedding(
    input: typing.Any,
    cos: typing.Any,
    sin: typing.Any,
    interleaved: bool = False,
    out: typing.Any = None,
) -> numpy.ndarray: ...
def rotary_table(
    first: typing.Any,
    count: typing.Any,
    dim: typing.Any,
    base: typing.SupportsFloat | typing.SupportsIndex = 10000.0,
    cos_out: typing.Any = None,
    sin_out: typing.Any = None,
    frequencies: typing.Annotated[numpy.typing.ArrayLike, numpy.float64] | None = None,
) -> tuple[numpy.ndarray, numpy.ndarray]: ...
def set_num_threads(n: typing.Any) -> None: ...
def sigmoid(input: typing.Any, out: typing.Any = None) -> numpy.ndarray: ...
def silu(input: typing.Any, out: typing.Any = None) -> numpy.ndarray: ...
def sin(input: typing.Any, out: typing.Any = None) -> numpy.ndarray: ...
def softmax(input: typing.Any, dim: typing.Any, out: typing.Any = None) -> numpy.ndarray: ...
def softplus(
    input: typing.Any, beta: typing.Any = 1.0, threshold: typing.Any = 20.0, out: typing.Any = None
) -> numpy.ndarray: ...
def sum(input: typing.Any, dim: typing.Any, out: typing.Any = None) -> numpy.ndarray: ...
def swiglu(gate: typing.Any, up: typing.Any, out: typing.Any = None) -> numpy.ndarray: ...
def tanh(input: typing.Any, out: typing.Any = None) -> numpy.ndarray: ...
def thread_backend() -> str:
    """
    What threads come from: 'pool' or 'openmp'.
    """

def thread_source() -> str:
    """
    Where the number of threads comes from.
    """

def var(
    input: typing.Any, dim: typing.Any, correction: typing.Any = 1, out: typing.Any = None
) -> numpy.ndarray: ...

__version__: str = "0.1.0"
numerics_version: int = 1
