"""What each kind of layer does, in a few words, with the numbers of the layer at hand."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

from forwardpass.nn import Module


def _bias(layer: Any) -> str:
    return ", plus a bias" if layer._given("bias") else ""


def _linear(layer: Any) -> str:
    return f"{layer.out_features} weighted sums of {layer.in_features} values{_bias(layer)}"


def _convolution(layer: Any) -> str:
    size = " x ".join(map(str, layer.kernel_size))
    inputs = layer.in_channels // layer.groups
    channels = f"{inputs} channel" if inputs == 1 else f"{inputs} channels"
    each = " of their group" if layer.groups > 1 else ""
    return f"{layer.out_channels} filters of size {size} slide over {channels}{each}{_bias(layer)}"


def _transposed(layer: Any) -> str:
    size = " x ".join(map(str, layer.kernel_size))
    step = " x ".join(map(str, layer.stride))
    return (
        f"every value of {layer.in_channels} channels adds its filter of size {size} to "
        f"{layer.out_channels // layer.groups} channels, {step} further for the next{_bias(layer)}"
    )


def _embedding(layer: Any) -> str:
    return f"each number picks one of {layer.num_embeddings} rows of {layer.embedding_dim} values"


def _rms_norm(layer: Any) -> str:
    return f"gives each {_row(layer)} a root mean square of 1{_affine(layer)}"


def _layer_norm(layer: Any) -> str:
    return f"gives each {_row(layer)} mean 0 and variance 1{_affine(layer)}"


def _row(layer: Any) -> str:
    return f"row of {' x '.join(map(str, layer.normalized_shape))} values"


def _affine(layer: Any) -> str:
    names = [name for name in ("weight", "bias") if layer._parameters.get(name) is not None]
    return f", then applies {' and '.join(names)}" if names else ""


def _leaky_relu(layer: Any) -> str:
    return f"keeps what is positive, multiplies the rest by {layer.negative_slope:g}"


def _recurrent(layer: Any) -> str:
    state = f"{layer.hidden_size} values that it carries from step to step"
    layers = getattr(layer, "num_layers", 1)
    return state + (f", in {layers} layers" if layers > 1 else "")


_WORDS: dict[str, str | Callable[[Any], str]] = {
    "Conv1d": _convolution,
    "Conv2d": _convolution,
    "ConvTranspose1d": _transposed,
    "ConvTranspose2d": _transposed,
    "Dropout": "passes its input on (it acts in training only)",
    "AlphaDropout": "passes its input on (it acts in training only)",
    "Dropout1d": "passes its input on (it acts in training only)",
    "Dropout2d": "passes its input on (it acts in training only)",
    "Embedding": _embedding,
    "Flatten": "lays the values side by side",
    "GRU": _recurrent,
    "GELU": "keeps large values, damps those around and below 0",
    "Identity": "passes its input on",
    "LSTM": _recurrent,
    "LayerNorm": _layer_norm,
    "LeakyReLU": _leaky_relu,
    "Linear": _linear,
    "RNN": _recurrent,
    "NonDynamicallyQuantizableLinear": _linear,
    "ReflectionPad1d": "mirrors the ends",
    "ReflectionPad2d": "mirrors the borders",
    "RMSNorm": _rms_norm,
    "ReLU": "keeps what is positive, makes the rest 0",
    "SiLU": "keeps large values, damps those around and below 0",
    "Sigmoid": "squeezes every value into 0 to 1",
    "Softmax": "turns scores into shares that sum to 1",
    "Tanh": "squeezes every value into -1 to 1",
}


def describe(module: Module) -> str:
    """In words for exactly our own layers; for all others their extra_repr, which may be ''."""
    kind = type(module)
    words = _WORDS.get(kind.__name__) if kind.__module__.startswith("forwardpass.nn.") else None
    if isinstance(words, str):
        return words
    if words is not None:
        return words(module)
    return " ".join(module.extra_repr().split())
