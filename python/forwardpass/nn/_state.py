"""load_state_dict: look at everything, report everything, and only then change anything."""

from __future__ import annotations

from collections.abc import Mapping
from typing import TYPE_CHECKING, Any, NamedTuple

import numpy as np

from forwardpass.io.stored import Stored

from . import _weight_norm, init
from ._keys import expected, hints, own_state
from .parameter import LOCK, Parameter, frozen, own

if TYPE_CHECKING:
    from collections.abc import Collection

    import numpy.typing as npt

    from ._typing import Array
    from .module import Module


class _Keys(NamedTuple):
    missing_keys: list[str]
    unexpected_keys: list[str]


class IncompatibleKeys(_Keys):
    """What load_state_dict returns: keys without a value, and keys the module has no use for."""

    __slots__ = ()

    def __repr__(self) -> str:
        if not self.missing_keys and not self.unexpected_keys:
            return "<All keys matched successfully>"
        return super().__repr__()

    __str__ = __repr__


class Loading:
    """One load: the changes to make and the problems found, in torch's order and wording."""

    def __init__(self) -> None:
        self.missing: list[str] = []
        self.unexpected: list[str] = []
        self.errors: list[str] = []  # sizes and kinds of object: RuntimeError, as in torch
        self.type_errors: list[str] = []  # dtypes that torch would convert and we refuse
        self.parameters: list[tuple[Parameter, npt.NDArray[np.float32] | Stored]] = []
        self.buffers: list[tuple[Module, str, npt.NDArray[Any]]] = []

    def visit(self, module: Module, state: Mapping[str, Any], prefix: str) -> None:
        """Collect changes and problems of `module` and below; `state` has their keys only."""
        mine = own_state(module)
        stale, why = module._stale_state(prefix, state)
        if stale:
            self.errors.append(why)
        for name, current in mine.items():
            key = prefix + name
            if key not in state:
                if name not in module._optional_state:
                    self.missing.append(key)
            elif isinstance(current, Parameter) and stays_stored(state[key], current.shape):
                self.parameters.append((current, state[key]))
            elif (value := self._fitting(key, state[key], current)) is None:
                continue
            elif isinstance(current, Parameter):
                self.parameters.append((current, value))
            else:
                self.buffers.append((module, name, value))
        for key in state:
            head, dot, _ = key[len(prefix) :].partition(".")
            if head not in (module._modules if dot else mine) and key not in stale:
                self.unexpected.append(key)
        for name, child in module._modules.items():
            if child is not None:
                inner = f"{prefix}{name}."
                self.visit(child, {k: v for k, v in state.items() if k.startswith(inner)}, inner)

    def _fitting(
        self, key: str, value: Any, current: Parameter | npt.NDArray[Any]
    ) -> npt.NDArray[Any] | None:
        """`value` in the shape and dtype of `current`, or None after noting what is wrong."""
        if isinstance(value, _weight_norm.Pair):
            return self._fold(value, current.shape)
        array = as_array(value)
        if array is None:
            self.errors.append(
                f'While copying the parameter named "{key}", expected torch.Tensor or Tensor-like '
                f"object from checkpoint but received {type(value)}"
            )
            return None
        if current.shape == () and array.shape == (1,):  # torch files older than 0.4
            array = array[0:1].reshape(())
        if array.shape != current.shape:
            self.errors.append(
                f"size mismatch for {key}: copying a param with shape {size(array.shape)} from "
                f"checkpoint, the shape in current model is {size(current.shape)}."
            )
            return None
        if isinstance(current, Parameter) and array.dtype == np.float32:
            return own(array, "load_state_dict", "value")
        converted = convert(array, current.dtype)
        if converted is None:
            self.type_errors.append(refusal(key, array.dtype, current.dtype))
        elif isinstance(current, Parameter):
            return frozen(converted)
        return converted

    def _fold(self, pair: _weight_norm.Pair, shape: tuple[int, ...]) -> Array | None:
        """The weight of `shape` that weight_norm's g and v stand for, or None."""
        possible = _weight_norm.g_shapes(shape)
        given = tuple(getattr(pair.g, "shape", ()))
        g_shape = given if given in possible else possible[0]
        parts = []
        for key, value, wanted in (
            (pair.g_key, pair.g, g_shape),
            (pair.v_key, pair.v, shape),
        ):
            part = self._fitting(key, value, Parameter.drawn(init.constant, wanted, 0.0))
            if part is not None:
                parts.append(part)
        if len(parts) < 2:
            return None
        return frozen(_weight_norm.fold(*parts))

    def finish(self, module: Module, strict: bool, keys: Collection[str]) -> IncompatibleKeys:
        """Raise what was found, or make the changes; `keys` are the state's, for a hint."""
        errors = self.errors + self.type_errors
        if strict and self.unexpected:
            errors.insert(0, f"Unexpected key(s) in state_dict: {quoted(self.unexpected)}. ")
        if strict and self.missing:
            errors.insert(0, f"Missing key(s) in state_dict: {quoted(self.missing)}. ")
        if errors:
            kind = TypeError if len(errors) == len(self.type_errors) else RuntimeError
            if strict and (self.missing or self.unexpected):
                errors += hints(module, keys)
            lines = "\n\t".join(errors)
            raise kind(f"Error(s) in loading state_dict for {type(module).__name__}:\n\t{lines}")
        with LOCK:
            for child in module.modules():
                child.__dict__.pop("_plan", None)  # which may hold on to weights packed before
            for parameter, array in self.parameters:
                parameter._assign(array)
            for owner, name, array in self.buffers:
                owner._buffers[name] = array
                owner._changed()
        return IncompatibleKeys(self.missing, self.unexpected)


def stays_stored(value: Any, shape: tuple[int, ...]) -> bool:
    """Whether a checkpoint's value can stay in its file until a layer packs it."""
    return isinstance(value, Stored) and value.shape == shape


def as_array(value: Any) -> npt.NDArray[Any] | None:
    """The array in a checkpoint's value (NumPy, torch, DLPack), or None for anything else."""
    if isinstance(value, Parameter):
        return value.data
    if isinstance(value, np.ndarray):
        return value
    if hasattr(value, "detach"):  # a torch tensor; NumPy cannot take its bfloat16
        value = value.detach()
        if str(getattr(value, "dtype", None)) == "torch.bfloat16":
            value = value.float()
    if hasattr(value, "__array__"):
        return np.asarray(value)
    if hasattr(value, "__dlpack__"):
        return np.from_dlpack(value)
    return None


def convert(array: npt.NDArray[Any], dtype: np.dtype[Any]) -> npt.NDArray[Any] | None:
    """A copy of `array` as `dtype`, or None if that would change its kind.

    float16, bfloat16 (ml_dtypes) and float64 become float32; out of range becomes infinity.
    """
    kind = "f" if array.dtype.name == "bfloat16" else array.dtype.kind
    if kind != dtype.kind or array.dtype.itemsize > 8:
        return None
    with np.errstate(over="ignore", under="ignore", invalid="ignore"):
        return np.array(array, dtype=dtype, order="C", subok=False)


def refusal(key: str, got: np.dtype[Any], expected: np.dtype[Any]) -> str:
    text = f'"{key}" must be {expected}, got {got}; use value.astype(np.{expected})'
    if got == np.uint16:
        text += ", or (value.astype(np.uint32) << 16).view(np.float32) for the bits of bfloat16"
    return text


def quoted(keys: list[str]) -> str:
    return ", ".join(f'"{key}"' for key in keys)


def size(shape: tuple[int, ...]) -> str:
    """A shape as torch prints it."""
    return f"torch.Size([{', '.join(map(str, shape))}])"


def load(module: Module, state: Any, strict: bool) -> IncompatibleKeys:
    """See Module.load_state_dict."""
    if not isinstance(state, Mapping):
        raise TypeError(f"Expected state_dict to be dict-like, got {type(state)}.")
    loading = Loading()
    loading.visit(module, _weight_norm.folded(dict(state), expected(module)), "")
    return loading.finish(module, strict, state.keys())
