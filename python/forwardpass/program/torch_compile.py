"""torch.compile(model, backend="forwardpass"): torch finds `backend` by its entry point.

Dynamo cuts a model into graphs and AOTAutograd makes each functional, with layers kept whole as
torch.export keeps them. What the table in aten/ knows becomes Programs, as few as can be; other
nodes run in torch between them. Parameters are packed at the first call, and again where one has
been written to since. Tensors are handed over without copies. There are no gradients: a graph that
needs them is refused.
"""

from __future__ import annotations

import threading
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager
from typing import Any

import torch
from torch import fx

from .aten import ATEN
from .torch_split import split

_WHY = 'torch.compile(backend="forwardpass") runs inference alone: '
_DROPOUTS = {"dropout", "alpha_dropout", "feature_dropout", "feature_alpha_dropout", "dropout1d",
             "dropout2d", "dropout3d"}  # fmt: skip


def backend(gm: fx.GraphModule, example_inputs: Sequence[Any], **options: Any) -> Any:
    """The function of a graph that torch.compile gives.

    Raises NotImplementedError (torch shows it within its own BackendCompilerFailed) for graphs that
    need gradients, and for layers in training mode.
    """
    from torch._dynamo.backends.common import aot_autograd

    _refuse_training(gm, example_inputs)
    compiler: Any = aot_autograd(
        fw_compiler=_compiled, inference_compiler=_compiled, bw_compiler=_no_gradients
    )
    with _layers_kept():
        return compiler(gm, example_inputs)


def _refuse_training(gm: fx.GraphModule, inputs: Sequence[Any]) -> None:
    if torch.is_grad_enabled() and any(
        isinstance(x, torch.Tensor) and x.requires_grad for x in inputs
    ):
        raise NotImplementedError(
            f"{_WHY}gradients are asked for; call the model under torch.no_grad() or "
            "torch.inference_mode()"
        )
    for node in gm.graph.nodes:
        name = getattr(node.target, "__name__", "")
        training = name in _DROPOUTS and _argument(node, 2, "training", True)
        training |= name == "batch_norm" and bool(_argument(node, 5, "training", False))
        training |= name == "scaled_dot_product_attention" and bool(
            _argument(node, 4, "dropout_p", 0.0)
        )
        if training:
            raise NotImplementedError(f"{_WHY}{name} is in training mode; call model.eval()")


def _argument(node: fx.Node, position: int, name: str, default: Any) -> Any:
    return node.args[position] if position < len(node.args) else node.kwargs.get(name, default)


def _no_gradients(gm: fx.GraphModule, example_inputs: Sequence[Any]) -> Any:
    raise NotImplementedError(f"{_WHY}it has no backward pass")


@contextmanager
def _layers_kept() -> Iterator[None]:
    """Inside, composite ops that the table knows (linear, layer_norm, ...) are left whole.

    What torch.export does for itself, with functions that are not part of torch's public interface;
    where a version lacks them, the ops are decomposed, which is slower.
    """
    try:
        from torch._export.utils import _is_preservable_cia_op, _special_op_to_preserve_cia
        from torch.export.exported_program import _override_composite_implicit_decomp
    except ImportError:
        yield
        return
    kept = {}
    for name in ATEN:
        space, packet, overload = name.split(".", 2)
        op = getattr(getattr(getattr(torch.ops, space), packet, None), overload, None)
        if op is not None and _is_preservable_cia_op(op):
            kept[op] = _special_op_to_preserve_cia
    with _override_composite_implicit_decomp(kept):
        yield


def _compiled(gm: fx.GraphModule, example_inputs: Sequence[Any]) -> Callable[..., Any]:
    """AOTAutograd's compiler of a functional graph."""
    from functorch.compile import make_boxed_func
    from torch._guards import TracingContext

    context = TracingContext.try_get()
    metadata = context.fw_metadata if context is not None else None
    static = list(metadata.static_input_indices or []) if metadata is not None else []
    compiled: Callable[..., Any] = make_boxed_func(_Compiled(gm, static))
    return compiled


class _Compiled:
    """A functional graph, converted for the parameters of now at its first call."""

    def __init__(self, gm: fx.GraphModule, static: list[int]) -> None:
        self.gm = gm
        self.static = static  # places of parameters and buffers among the inputs
        self.lock = threading.Lock()
        self.made: tuple[Any, Callable[..., Any]] | None = None

    def __call__(self, *args: Any) -> Any:
        key = [_version(args[i]) for i in self.static]
        made = self.made
        if made is None or made[0] != key:
            with self.lock:
                constants = {i: args[i] for i in self.static if _version(args[i])[1] is not None}
                made = self.made = key, split(self.gm, constants)
        with torch.no_grad():
            return made[1](*args)


def _version(tensor: torch.Tensor) -> tuple[int, int | None]:
    """What changes when a parameter is written to; torch does not count it for inference tensors,
    which are therefore no constants.
    """
    return tensor.data_ptr(), None if tensor.is_inference() else tensor._version
