"""
The compiled half of forwardpass: checks of arguments, and the operations.
"""

from __future__ import annotations

import typing

import numpy

__all__: list[str] = [
    "PackedConv",
    "PackedConv1d",
    "PackedLinear",
    "add_rms_norm",
    "available_isas",
    "build_info",
    "conv1d",
    "conv2d",
    "conv_transpose1d",
    "conv_transpose2d",
    "embedding",
    "empty_cache",
    "erf",
    "exp",
    "expm1",
    "gelu",
    "get_num_threads",
    "isa",
    "layer_norm",
    "leaky_relu",
    "linear",
    "log",
    "log1p",
    "numerics_version",
    "relu",
    "rms_norm",
    "set_num_threads",
    "sigmoid",
    "silu",
    "softmax",
    "tanh",
    "thread_backend",
    "thread_source",
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

def _kept_bytes() -> int: ...
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
def _set_isa(name: str) -> None: ...
def _set_thread_backend(name: str) -> None: ...
def add_rms_norm(
    input: typing.Any,
    residual: typing.Any,
    normalized_shape: typing.Any,
    weight: typing.Any = None,
    eps: typing.Any = None,
    out: typing.Any = None,
    out_sum: typing.Any = None,
) -> tuple[numpy.ndarray, numpy.ndarray]: ...
def available_isas() -> tuple[str, ...]:
    """
    Instruction sets that run here, best first.
    """

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
def embedding(input: typing.Any, weight: typing.Any, out: typing.Any = None) -> numpy.ndarray: ...
def empty_cache() -> None:
    """
    Gives the memory kept for results of more than 32 MiB back to the system.
    """

def erf(input: typing.Any, out: typing.Any = None) -> numpy.ndarray: ...
def exp(input: typing.Any, out: typing.Any = None) -> numpy.ndarray: ...
def expm1(input: typing.Any, out: typing.Any = None) -> numpy.ndarray: ...
def gelu(
    input: typing.Any, approximate: typing.Any = "none", out: typing.Any = None
) -> numpy.ndarray: ...
def get_num_threads() -> int: ...
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
def relu(input: typing.Any, out: typing.Any = None) -> numpy.ndarray: ...
def rms_norm(
    input: typing.Any,
    normalized_shape: typing.Any,
    weight: typing.Any = None,
    eps: typing.Any = None,
    out: typing.Any = None,
) -> numpy.ndarray: ...
def set_num_threads(n: typing.Any) -> None: ...
def sigmoid(input: typing.Any, out: typing.Any = None) -> numpy.ndarray: ...
def silu(input: typing.Any, out: typing.Any = None) -> numpy.ndarray: ...
def softmax(input: typing.Any, dim: typing.Any, out: typing.Any = None) -> numpy.ndarray: ...
def tanh(input: typing.Any, out: typing.Any = None) -> numpy.ndarray: ...
def thread_backend() -> str:
    """
    What threads come from: 'pool' or 'openmp'.
    """

def thread_source() -> str:
    """
    Where the number of threads comes from.
    """

__version__: str = "0.1.0"
numerics_version: int = 1
