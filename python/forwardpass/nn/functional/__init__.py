"""torch.nn.functional's names on NumPy arrays.

Every function takes float32 arrays of any strides (also float32 scalars and objects with __array__
or __dlpack__) and returns a new C-contiguous array, or writes to `out`: an array of exactly the
result's shape, float32, writeable, of any strides, which may overlap the inputs. `inplace` is
accepted and changes nothing: inputs are never written to.

Raised by all, from C++: TypeError for every other dtype, naming the cast to use; ValueError for
shapes and values that do not fit. The arithmetic of each, step by step, is in docs/numerics.md.
"""

from ._activations import (
    dropout,
    gelu,
    leaky_relu,
    log_softmax,
    relu,
    sigmoid,
    silu,
    softmax,
    tanh,
)
from ._lookup import embedding
from ._norms import add_rms_norm, layer_norm, rms_norm
from ._pools import (
    adaptive_avg_pool1d,
    adaptive_avg_pool2d,
    adaptive_max_pool1d,
    avg_pool1d,
    avg_pool2d,
    max_pool1d,
    max_pool2d,
)
from ._products import conv1d, linear
from ._shaped import (
    elu,
    glu,
    hardsigmoid,
    hardswish,
    hardtanh,
    mish,
    prelu,
    relu6,
    softplus,
    swiglu,
)

__all__ = [
    "adaptive_avg_pool1d",
    "adaptive_avg_pool2d",
    "adaptive_max_pool1d",
    "add_rms_norm",
    "avg_pool1d",
    "avg_pool2d",
    "conv1d",
    "dropout",
    "elu",
    "embedding",
    "gelu",
    "glu",
    "hardsigmoid",
    "hardswish",
    "hardtanh",
    "layer_norm",
    "leaky_relu",
    "linear",
    "log_softmax",
    "max_pool1d",
    "max_pool2d",
    "mish",
    "prelu",
    "relu",
    "relu6",
    "rms_norm",
    "sigmoid",
    "silu",
    "softmax",
    "softplus",
    "swiglu",
    "tanh",
]
