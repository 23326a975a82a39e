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
from ._attention import scaled_dot_product_attention
from ._channels import (
    batch_norm,
    group_norm,
    instance_norm,
    normalize,
)
from ._composed import (
    celu,
    hardshrink,
    logsigmoid,
    rrelu,
    selu,
    softmin,
    softshrink,
    softsign,
    tanhshrink,
    threshold,
)
from ._convolutions import conv2d, conv_transpose1d, conv_transpose2d
from ._lookup import embedding, embedding_bag
from ._norms import add_layer_norm, add_rms_norm, layer_norm, rms_norm
from ._pad import pad
from ._pools import (
    adaptive_avg_pool1d,
    adaptive_avg_pool2d,
    adaptive_max_pool1d,
    adaptive_max_pool2d,
    avg_pool1d,
    avg_pool2d,
    max_pool1d,
    max_pool2d,
)
from ._products import bilinear, conv1d, linear
from ._resize import (
    channel_shuffle,
    interpolate,
    pixel_shuffle,
    pixel_unshuffle,
)
from ._rotary import rotary_embedding
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
    "adaptive_max_pool2d",
    "add_layer_norm",
    "add_rms_norm",
    "avg_pool1d",
    "avg_pool2d",
    "batch_norm",
    "bilinear",
    "celu",
    "channel_shuffle",
    "conv1d",
    "conv2d",
    "conv_transpose1d",
    "conv_transpose2d",
    "dropout",
    "elu",
    "embedding",
    "embedding_bag",
    "gelu",
    "glu",
    "group_norm",
    "hardshrink",
    "hardsigmoid",
    "hardswish",
    "hardtanh",
    "instance_norm",
    "interpolate",
    "layer_norm",
    "leaky_relu",
    "linear",
    "log_softmax",
    "logsigmoid",
    "max_pool1d",
    "max_pool2d",
    "mish",
    "normalize",
    "pad",
    "pixel_shuffle",
    "pixel_unshuffle",
    "prelu",
    "relu",
    "relu6",
    "rms_norm",
    "rotary_embedding",
    "rrelu",
    "scaled_dot_product_attention",
    "selu",
    "sigmoid",
    "silu",
    "softmax",
    "softmin",
    "softplus",
    "softshrink",
    "softsign",
    "swiglu",
    "tanh",
    "tanhshrink",
    "threshold",
]
