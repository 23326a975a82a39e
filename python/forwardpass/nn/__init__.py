"""Layers with torch.nn's names, arguments, defaults and state_dict keys, on NumPy arrays."""

from . import functional, utils
from .activation import GELU, LeakyReLU, ReLU, Sigmoid, SiLU, Softmax, Tanh
from .containers import ModuleList, Sequential
from .conv import Conv1d, Conv2d
from .conv_transpose import ConvTranspose1d, ConvTranspose2d
from .embedding import Embedding
from .holders import ModuleDict, ParameterDict, ParameterList
from .linear import Identity, Linear
from .module import Module
from .norm import LayerNorm, RMSNorm
from .parameter import Parameter
from .shape import Dropout, Flatten
from .swiglu import SwiGLU

__all__ = [
    "GELU",
    "Conv1d",
    "Conv2d",
    "ConvTranspose1d",
    "ConvTranspose2d",
    "Dropout",
    "Embedding",
    "Flatten",
    "Identity",
    "LayerNorm",
    "LeakyReLU",
    "Linear",
    "Module",
    "ModuleDict",
    "ModuleList",
    "Parameter",
    "ParameterDict",
    "ParameterList",
    "RMSNorm",
    "ReLU",
    "Sequential",
    "SiLU",
    "Sigmoid",
    "Softmax",
    "SwiGLU",
    "Tanh",
    "functional",
    "utils",
]
