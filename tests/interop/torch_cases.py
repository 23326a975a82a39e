"""torch's own test cases, run here: op_db's sample and error inputs, module_db in evaluation mode.

FUNCTIONS and MODULES are the lists of what takes part; a new function or layer is a line in one of
them. `counts()` runs a line and says how many cases passed; test_torch_cases.py fails where one did
not, and torch_table.py writes the table in docs/torch-cases.md. Needs torch 2.13 and expecttest.
"""

from __future__ import annotations

import warnings
from collections import Counter
from collections.abc import Callable, Iterator
from dataclasses import dataclass, field
from typing import Any

import numpy as np
import torch
from torch.testing._internal.common_methods_invocations import op_db
from torch.testing._internal.common_modules import ModuleErrorEnum, module_db

import forwardpass.nn as ours
import forwardpass.nn.functional as F

# Results agree to this share of the largest of an output (sums of up to some thousand terms, whose
# order differs), and of each element.
TOLERANCE = 1e-5
REFUSED = (TypeError, ValueError, IndexError)

# op_db gives the table first.
ADAPTERS = {
    "nn.functional.embedding": lambda weight, *args, **kw: F.embedding(args[0], weight, **kw),
    "nn.functional.embedding_bag": lambda weight, *args, **kw: F.embedding_bag(
        args[0], weight, *args[1:], **kw
    ),
}

_TWO = ("conv1d", "conv2d", "conv_transpose1d", "conv_transpose2d")
FUNCTIONS = (
    *(f"nn.functional.{name}" for name in ("linear", "bilinear", *_TWO)),
    *("sigmoid", "tanh", "softmax", "log_softmax"),
    *(
        f"nn.functional.{name}"
        for name in ("gelu", "silu", "relu", "leaky_relu", "elu", "softplus")
    ),
    *(f"nn.functional.{name}" for name in ("mish", "hardswish", "hardsigmoid", "hardtanh")),
    *(f"nn.functional.{name}" for name in ("relu6", "glu", "prelu")),
    *(f"nn.functional.{name}" for name in ("selu", "celu", "logsigmoid", "softsign", "softmin")),
    *(f"nn.functional.{name}" for name in ("tanhshrink", "hardshrink", "softshrink", "threshold")),
    *(f"nn.functional.{name}" for name in ("rms_norm", "layer_norm", "group_norm", "batch_norm")),
    *(f"nn.functional.{name}" for name in ("instance_norm", "normalize")),
    *(f"nn.functional.{name}" for name in ("max_pool1d", "max_pool2d", "avg_pool1d", "avg_pool2d")),
    *(f"nn.functional.adaptive_{name}" for name in ("avg_pool1d", "avg_pool2d", "max_pool1d")),
    "nn.functional.adaptive_max_pool2d",
    *(f"nn.functional.{name}" for name in ("embedding", "embedding_bag", "pixel_shuffle", "pad")),
    *(f"nn.functional.{name}" for name in ("pixel_unshuffle", "channel_shuffle")),
    "nn.functional.interpolate",
    "nn.functional.scaled_dot_product_attention",
)
MODULES = (
    *("Linear", "Bilinear", "Conv1d", "Conv2d", "ConvTranspose1d", "ConvTranspose2d"),
    *("ReLU", "LeakyReLU", "GELU", "SiLU", "Sigmoid", "Tanh", "ReLU6", "Hardswish", "Hardtanh"),
    *("ELU", "Softplus", "Mish", "GLU", "PReLU", "Softmax", "LogSoftmax"),
    *("SELU", "CELU", "LogSigmoid", "Softsign", "Tanhshrink", "Hardshrink", "Softshrink"),
    *("Threshold", "Softmin", "Softmax2d"),
    *("RMSNorm", "LayerNorm", "GroupNorm", "BatchNorm1d", "BatchNorm2d", "InstanceNorm1d"),
    *(
        "InstanceNorm2d",
        "ConstantPad1d",
        "ConstantPad2d",
        "ZeroPad1d",
        "ZeroPad2d",
        "ReflectionPad1d",
    ),
    *("ReflectionPad2d", "ReplicationPad1d", "ReplicationPad2d", "CircularPad1d", "CircularPad2d"),
    *("MaxPool1d", "MaxPool2d", "AvgPool1d", "AvgPool2d"),
    *("AdaptiveAvgPool1d", "AdaptiveAvgPool2d", "AdaptiveMaxPool1d", "AdaptiveMaxPool2d"),
    "Embedding",
    *("RNN", "LSTM", "GRU", "RNNCell", "LSTMCell", "GRUCell"),
    *("MultiheadAttention", "TransformerEncoderLayer", "TransformerEncoder"),
    *("TransformerDecoderLayer", "Transformer"),
)


def skipped(name: str, variant: str, dims: int, kwargs: dict[str, Any]) -> str:
    """Why a case cannot run here, or ''."""
    if variant == "complex":
        return "complex numbers"
    dtype = kwargs.get("dtype")
    if dtype not in (None, torch.float32):
        return f"dtype={str(dtype).removeprefix('torch.')}"
    if kwargs.get("dropout_p"):
        return "dropout"
    if name == "nn.functional.interpolate" and variant == "area" and dims == 5:
        return "mode area of 5-D input"
    if name == "nn.functional.interpolate" and variant in ("bicubic", "trilinear"):
        return f"mode {variant}"
    return ""


@dataclass
class Result:
    """What came of one function's or module's cases."""

    cases: int = 0
    passed: int = 0
    errors: int = 0
    raised: int = 0
    skips: Counter[str] = field(default_factory=Counter)
    problems: list[str] = field(default_factory=list)

    @property
    def complete(self) -> bool:
        return not self.problems and self.passed == self.cases and self.raised == self.errors


def to_numpy(value: Any) -> Any:
    """Tensors as arrays and torch's layers and functions as ours, wherever they stand."""
    if value in (torch.nn.functional.relu, torch.nn.functional.gelu):
        return getattr(F, value.__name__)
    if isinstance(value, torch.nn.TransformerEncoderLayer):
        return _encoder_layer(value)
    if isinstance(value, torch.Tensor):
        return value.detach().numpy().copy()
    if isinstance(value, (tuple, list)):
        return type(value)(map(to_numpy, value))
    if isinstance(value, dict):
        return {key: to_numpy(item) for key, item in value.items()}
    return value


def _encoder_layer(layer: Any) -> Any:
    """Ours with the arguments of torch's; TransformerEncoder takes one."""
    attention, first = layer.self_attn, layer.linear1
    sizes = attention.embed_dim, attention.num_heads, first.out_features, layer.dropout.p
    return ours.TransformerEncoderLayer(
        *sizes,
        to_numpy(layer.activation),
        layer.norm1.eps,
        attention.batch_first,
        layer.norm_first,
        first.bias is not None,
    )


def difference(got: Any, expected: Any) -> str:
    """'' where a result of ours is torch's: values within TOLERANCE, indices equal."""
    if isinstance(expected, (tuple, list)):
        if not isinstance(got, tuple) or len(got) != len(expected):
            return f"{type(got).__name__}, not a tuple of {len(expected)}"
        return "".join(difference(g, e) for g, e in zip(got, expected, strict=True))
    want = expected.detach().numpy()
    if got.dtype != want.dtype or got.shape != want.shape:
        return f"{got.dtype}{got.shape}, not {want.dtype}{want.shape}"
    if want.dtype != np.float32:
        return "" if np.array_equal(got, want) else "other indices"
    finite = np.abs(want[np.isfinite(want)])
    most = TOLERANCE * float(finite.max(initial=0))
    near = np.isclose(got, want, rtol=TOLERANCE, atol=most, equal_nan=True)
    return "" if near.all() else f"{(~near).sum()} of {want.size} differ"


def _described(arguments: Any) -> str:
    def one(value: Any) -> str:
        if isinstance(value, torch.Tensor):
            return f"{str(value.dtype).removeprefix('torch.')}{tuple(value.shape)}"
        return repr(value)

    if isinstance(arguments, dict):
        return ", ".join(f"{name}={one(value)}" for name, value in arguments.items())
    return ", ".join(map(one, arguments))


def _refusal(call: Callable[[], Any]) -> str:
    """'' where the call raises what a caller can catch, else what happened."""
    try:
        call()
    except REFUSED:
        return ""
    except Exception as error:  # an assertion, a NotImplementedError in front of a bad value
        return f"raised {type(error).__name__}: {error}"
    return "did not raise"


def _run(result: Result, label: str, mine: Callable[[], Any], theirs: Callable[[], Any]) -> None:
    result.cases += 1
    try:
        wrong = difference(mine(), theirs())
    except Exception as error:
        wrong = f"raised {type(error).__name__}: {error}"
    if wrong:
        result.problems.append(f"{label}: {wrong}")
    else:
        result.passed += 1


def function_cases(name: str) -> Iterator[tuple[Any, Any]]:
    """(op, sample) of every variant that op_db has of a function."""
    for op in op_db:
        if op.name == name:
            torch.manual_seed(0)
            for sample in op.sample_inputs("cpu", torch.float32):
                yield op, sample


def _missing(*args: Any, **kwargs: Any) -> None:
    raise AttributeError("there is no such function")


def function_counts(name: str) -> Result:
    result = Result()
    function = ADAPTERS.get(name) or getattr(F, name.removeprefix("nn.functional."), _missing)
    for op, sample in function_cases(name):
        reason = skipped(name, op.variant_test_name, sample.input.ndim, sample.kwargs)
        if reason:
            result.skips[reason] += 1
            continue
        arguments = (sample.input, *sample.args)
        _run(
            result,
            f"{name}({_described(arguments)}, {_described(sample.kwargs)})",
            lambda a=arguments, k=sample.kwargs: function(*to_numpy(a), **to_numpy(k)),
            lambda a=arguments, k=sample.kwargs, op=op: op.op(*a, **k),
        )
    for op in op_db:
        if op.name != name or op.error_inputs_func is None:
            continue
        torch.manual_seed(0)
        for error in op.error_inputs("cpu"):
            sample = error.sample_input
            arguments = (sample.input, *sample.args)
            result.errors += 1
            wrong = _refusal(
                lambda a=arguments, k=sample.kwargs: function(*to_numpy(a), **to_numpy(k))
            )
            result.raised += not wrong
            if wrong:
                call = f"{_described(arguments)}, {_described(sample.kwargs)}"
                result.problems.append(f"{name}({call}): {wrong}; torch: {error.error_regex}")
    return result


def _constructed(module: Any, inputs: Any) -> tuple[Any, Any]:
    """Ours and torch's, with the same weights."""
    args, kwargs = inputs.constructor_input.args, inputs.constructor_input.kwargs
    theirs = module.module_cls(*args, **kwargs).eval()
    with torch.no_grad():
        for index, value in enumerate(theirs.state_dict().values()):
            if value.dtype == torch.float32 and value.numel():  # no norm is left at 1, 0
                value.uniform_(0.5, 1.5).mul_(-1 if index == 1 else 1)
    mine = getattr(ours, module.module_cls.__name__)(*to_numpy(args), **to_numpy(kwargs)).eval()
    mine.load_state_dict(theirs.state_dict())
    return mine, theirs


def _module_case(result: Result, name: str, module: Any, inputs: Any) -> None:
    constructor, forward = inputs.constructor_input, inputs.forward_input
    label = f"{name}({_described(constructor.args)}, {_described(constructor.kwargs)})"
    pair: list[Any] = []

    def mine() -> Any:
        pair.extend(_constructed(module, inputs))
        assert repr(pair[0]) == repr(pair[1]), f"repr {pair[0]!r}, not {pair[1]!r}"
        assert list(pair[0].state_dict()) == list(pair[1].state_dict())
        return pair[0](*to_numpy(forward.args), **to_numpy(forward.kwargs))

    def theirs() -> Any:
        with torch.no_grad():
            return pair[1](*forward.args, **forward.kwargs)

    call = f"({_described(forward.args)}, {_described(forward.kwargs)})"
    _run(result, label + call, mine, theirs)


def module_counts(name: str) -> Result:
    result = Result()
    (module,) = (m for m in module_db if m.module_cls is getattr(torch.nn, name))
    more = {"device": "cpu", "dtype": torch.float32, "requires_grad": False, "training": False}
    torch.manual_seed(0)
    for inputs in module.module_inputs_func(module, **more):
        _module_case(result, name, module, inputs)
    if module.module_error_inputs_func is None:
        return result
    for error in module.module_error_inputs_func(module, **more):
        inputs = error.module_error_input
        constructor, forward = inputs.constructor_input, inputs.forward_input
        result.errors += 1

        def call(c: Any = constructor, f: Any = forward, whole: Any = error) -> None:
            made = getattr(ours, name)(*to_numpy(c.args), **to_numpy(c.kwargs))
            if whole.error_on == ModuleErrorEnum.FORWARD_ERROR:
                made(*to_numpy(f.args), **to_numpy(f.kwargs))

        wrong = _refusal(call)
        result.raised += not wrong
        if wrong:
            label = f"{name}({_described(constructor.args)}, {_described(constructor.kwargs)})"
            result.problems.append(f"{label}: {wrong}; torch: {error.error_regex}")
    return result


def counts(name: str) -> Result:
    """The result of a function of FUNCTIONS or a module of MODULES."""
    with warnings.catch_warnings(), np.errstate(all="ignore"):
        warnings.simplefilter("ignore")
        return module_counts(name) if name in MODULES else function_counts(name)
