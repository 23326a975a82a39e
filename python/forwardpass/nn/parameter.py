"""Parameters: float32 values that need not be in memory as an array.

A Parameter is in one of four states: not drawn yet (shape, distribution and seed are known), stored
in a mapped file in another format, an array, or held only by the packed form of the one layer that
owns it. `data` gives the array in all of them. Arrays are read-only; a new value is a new array,
never a write into the old one.
"""

from __future__ import annotations

import operator
import os
import sys
import weakref
from _thread import RLock
from typing import TYPE_CHECKING, Any, SupportsIndex

import numpy as np

from forwardpass.io.stored import Stored

from . import init
from ._structure import touch

if TYPE_CHECKING:
    from collections.abc import Callable

    import numpy.typing as npt

    from ._attributes import Attributes
    from ._typing import Array

# Taken while a parameter is drawn or replaced and while a layer packs; never on the way of a
# packed layer's call. One lock for all layers: packing happens once, and a fork can wait for it,
# so that no child inherits it locked by a thread it does not have.
LOCK = RLock()
if hasattr(os, "register_at_fork"):
    os.register_at_fork(
        before=LOCK.acquire, after_in_parent=LOCK.release, after_in_child=LOCK.release
    )


class Initial:
    """How to draw a parameter: fill(shape, seed, *args)."""

    __slots__ = ("args", "fill", "seed", "shape")

    def __init__(
        self, fill: Callable[..., Array], shape: tuple[int, ...], *args: Any, seed: init.Seed
    ) -> None:
        self.fill, self.shape, self.args, self.seed = fill, shape, args, seed

    def __call__(self) -> Array:
        return self.fill(self.shape, self.seed, *self.args)


class Parameter:
    """A float32 array that a Module registers when it is assigned to an attribute.

    Reading the attribute gives the array itself, a read-only ndarray; `Module.parameters()` gives
    these objects. `data` is copied unless it is read-only down to a memory-mapped file. Follows
    torch.nn.Parameter; `requires_grad` is accepted and changes nothing.

    Raises TypeError unless `data` is float32.
    """

    __slots__ = ("__weakref__", "_array", "_owners", "_shape", "_source")

    _array: Array | None
    _source: Callable[[], Array] | None
    _shape: tuple[int, ...]
    _owners: list[weakref.ref[Attributes]]

    def __init__(self, data: Any, requires_grad: bool = True) -> None:
        self._array = data.data if isinstance(data, Parameter) else own(data, "Parameter", "data")
        self._source = None
        self._shape = self._array.shape
        self._owners = []

    @classmethod
    def drawn(cls, fill: Callable[..., Array], shape: tuple[int, ...], *args: Any) -> Parameter:
        """A parameter that draws its own seed now and its values when they are first needed."""
        self = cls.__new__(cls)
        seed = init.draw_seed() if fill is not init.constant else (0, 0)
        self._array = None
        self._source = Initial(fill, shape, *args, seed=seed)
        self._shape = shape
        self._owners = []
        return self

    @property
    def data(self) -> Array:
        """The values: a read-only, C-contiguous float32 array."""
        array = self._array
        return array if array is not None else self._materialise()

    def _materialise(self) -> Array:
        with LOCK:
            if self._array is not None:  # another thread was faster
                return self._array
            assert self._source is not None
            array = frozen(self._source())
            if isinstance(self._source, Initial):
                self._array, self._source = array, None
            elif isinstance(self._source, Stored):
                self._array = array  # until it is packed: whoever reads it may do so on every call
            return array

    def _draw_anew(self, fill: Callable[..., Array], *args: Any) -> None:
        """Start from another distribution, with a seed of its own."""
        with LOCK:
            self._array = None
            self._source = Initial(fill, self._shape, *args, seed=init.draw_seed())
            self._tell_owners()

    def _tell_owners(self) -> None:
        for owner in self._owners:
            module = owner()
            if module is not None:
                module._changed()
        touch()

    def _assign(self, value: Array | Stored) -> None:
        """Replace the values and drop what any owner made from the old ones."""
        with LOCK:
            if isinstance(value, Stored):
                self._array, self._source = None, value
            else:
                self._array, self._source = value, None
            self._shape = value.shape
            self._tell_owners()

    def _release(self, source: Callable[[], Array]) -> None:
        """Leave the values to `source`, unless they are mapped or another module has them too."""
        with LOCK:
            self._owners = [owner for owner in self._owners if owner() is not None]
            mapped = self._array is not None and is_mapped(self._array)
            if len(self._owners) == 1 and not mapped:
                self._array, self._source = None, source

    def _shed(self) -> None:
        """Drop the array if the values can be read from their file again."""
        with LOCK:
            if isinstance(self._source, Stored):
                self._array = None

    def _adopt(self, module: Attributes) -> None:
        with LOCK:
            self._owners = [owner for owner in self._owners if owner() is not None]
            self._owners.append(weakref.ref(module))

    def _disown(self, module: Attributes) -> None:
        with LOCK:
            for i, owner in enumerate(self._owners):
                if owner() is module:
                    del self._owners[i]
                    return

    def __deepcopy__(self, memo: dict[int, Any]) -> Parameter:
        """A parameter of its own that shares the array: arrays here are never written to."""
        with LOCK:
            copy = type(self).__new__(type(self))
            copy._array, copy._source, copy._shape = self._array, self._source, self._shape
            copy._owners = []
        memo[id(self)] = copy
        return copy

    def __getstate__(self) -> tuple[Array | None, Initial | None, tuple[int, ...]]:
        with LOCK:
            if isinstance(self._source, Initial):
                return None, self._source, self._shape
            if self._array is None and self._source is not None:
                return frozen(self._source()), None, self._shape  # not kept, as `data` might be
            return self._array, None, self._shape

    def __reduce_ex__(self, protocol: SupportsIndex) -> Any:
        """Before protocol 5 the values as bytes: a pickled array would be in memory as both."""
        array, source, shape = self.__getstate__()
        little = None if array is None else array.astype("<f4", copy=False)
        values = little if little is None or operator.index(protocol) >= 5 else little.tobytes()
        return _blank, (type(self),), (values, source, shape)

    def __setstate__(self, state: tuple[Any, Initial | None, tuple[int, ...]]) -> None:
        values, self._source, self._shape = state
        if isinstance(values, bytes):
            values = np.frombuffer(values, "<f4").reshape(self._shape)
        self._array = None if values is None else frozen(np.asarray(values, np.float32))
        self._owners = []

    @property
    def shape(self) -> tuple[int, ...]:
        return self._shape

    @property
    def ndim(self) -> int:
        return len(self._shape)

    @property
    def size(self) -> int:
        """The number of elements (NumPy's meaning of the name)."""
        count = 1
        for length in self._shape:
            count *= length
        return count

    def numel(self) -> int:
        """The number of elements (torch's name)."""
        return self.size

    @property
    def nbytes(self) -> int:
        return 4 * self.size

    @property
    def dtype(self) -> np.dtype[np.float32]:
        return np.dtype(np.float32)

    @property
    def device(self) -> str:
        return "cpu"

    @property
    def requires_grad(self) -> bool:
        return False

    @requires_grad.setter
    def requires_grad(self, value: bool) -> None:
        """Accepted, as freezing a model is common in inference code; changes nothing."""

    def __len__(self) -> int:
        if not self._shape:
            raise TypeError("len() of a Parameter without dimensions")
        return self._shape[0]

    def __array__(self, dtype: Any = None, copy: bool | None = None) -> npt.NDArray[Any]:
        array = self.data
        if dtype is not None and np.dtype(dtype) != array.dtype:
            if copy is False:
                raise ValueError("a Parameter is float32: another dtype needs a copy")
            return array.astype(dtype)
        return array.copy() if copy else array

    def __repr__(self) -> str:
        return f"Parameter(shape={self._shape}, dtype=float32)"


def _blank(kind: type[Parameter]) -> Parameter:
    """What a pickle begins with."""
    return kind.__new__(kind)


def own(value: Any, op: str, name: str) -> Array:
    """`value` as a read-only C-contiguous float32 array that nobody else can change.

    Copies, unless `value` is read-only down to a memory-mapped file. Raises TypeError naming the
    cast to use for every other type.
    """
    if isinstance(value, np.ndarray):
        array = value
    elif hasattr(value, "__array__"):
        array = np.asarray(value)
    elif hasattr(value, "__dlpack__"):
        array = np.from_dlpack(value)
    else:
        raise TypeError(
            f"{op}: {name} must be a float32 array, got {type(value).__name__}; "
            f"use np.asarray({name}, dtype=np.float32)"
        )
    if array.dtype != np.float32:
        raise TypeError(
            f"{op}: {name} must be float32, got {array.dtype}; use {name}.astype(np.float32)"
        )
    flags = array.flags
    if flags.c_contiguous and flags.aligned and is_mapped(array):
        return frozen(array)
    return frozen(np.array(array, order="C", subok=False))


def frozen(array: Array) -> Array:
    """A read-only view whose base is read-only too, so that the flag cannot be set back."""
    array.flags.writeable = False
    return array.view(np.ndarray)


def is_mapped(array: npt.NDArray[Any]) -> bool:
    """Whether the memory of `array` is a read-only map of a file.

    NumPy makes no writeable view of a read-only buffer, so the map at the bottom decides.
    """
    mmap = sys.modules.get("mmap")
    base: Any = array
    while isinstance(base, (np.ndarray, memoryview)):
        base = base.base if isinstance(base, np.ndarray) else base.obj
    return mmap is not None and isinstance(base, mmap.mmap) and memoryview(base).readonly
