"""KVCache: the keys and values that a decoder has seen."""

from __future__ import annotations

from typing import Any

import numpy as np

from ._checks import integer
from .functional._shape import float32

_OP = "KVCache"
_FIRST = 256  # positions that memory is taken for at first


class KVCache:
    """Keys and values of the positions that the attention layers of a decoder have seen.

    `append(layer, key, value)` adds positions to a layer and gives views of all it holds. Memory is
    taken for `initial` positions (at most 256 unless given) and doubles as they come, up to
    `limit`, past which appending raises ValueError. An append that fails, for whatever reason,
    changes nothing.

        limit           the most positions
        num_layers      layers, counted from 0
        num_kv_heads    heads of keys and values (Hkv)
        head_dim        width of a key (D), and of a value unless `value_dim` is given
        batch_size      items (B), fixed

    Appending copies what it gets and never moves what a view shows, but `truncate` and `reset` make
    room that later appends write to: views from before then show the new values. Not for several
    threads at a time. torch has no such class.
    """

    def __init__(
        self,
        limit: int,
        num_kv_heads: int,
        head_dim: int,
        num_layers: int = 1,
        batch_size: int = 1,
        value_dim: int | None = None,
        initial: int | None = None,
    ) -> None:
        self.limit = integer(_OP, "limit", limit, 0)
        self.num_layers = integer(_OP, "num_layers", num_layers, 1)
        self.num_kv_heads = integer(_OP, "num_kv_heads", num_kv_heads, 1)
        self.head_dim = integer(_OP, "head_dim", head_dim, 1)
        self.value_dim = (
            self.head_dim if value_dim is None else integer(_OP, "value_dim", value_dim, 1)
        )
        self.batch_size = integer(_OP, "batch_size", batch_size, 0)
        first = _FIRST if initial is None else integer(_OP, "initial", initial, 0)
        # Of what can be appended, for those who know the layout.
        self._sizes = (self.batch_size, self.num_kv_heads, self.head_dim, self.value_dim)
        capacity = min(first, self.limit)
        self._lengths = [0] * self.num_layers
        self._keys = [self._room(capacity, self.head_dim) for _ in range(self.num_layers)]
        self._values = [self._room(capacity, self.value_dim) for _ in range(self.num_layers)]

    def _room(self, capacity: int, width: int) -> Any:
        return np.empty((self.batch_size, self.num_kv_heads, capacity, width), np.float32)

    @property
    def length(self) -> int:
        """Positions that every layer holds."""
        return min(self._lengths)

    def __len__(self) -> int:
        return self.length

    def layer_length(self, layer: int) -> int:
        """Positions that a layer holds: the next one it gets."""
        return self._lengths[self._index(layer)]

    def capacity(self, layer: int = 0) -> int:
        """Positions of a layer that there is memory for."""
        return int(self._keys[self._index(layer)].shape[2])

    @property
    def nbytes(self) -> int:
        """Bytes of memory of all layers."""
        return sum(array.nbytes for array in (*self._keys, *self._values))

    def layer(self, layer: int) -> tuple[Any, Any]:
        """Views of what a layer holds: keys (B, Hkv, S, D) and values (B, Hkv, S, value_dim)."""
        layer = self._index(layer)
        end = self._lengths[layer]
        return self._keys[layer][:, :, :end], self._values[layer][:, :, :end]

    def append(self, layer: int, key: Any, value: Any) -> tuple[Any, Any]:
        """Add key (B, Hkv, T, D) and value (B, Hkv, T, value_dim), float32 of any strides.

        Gives views of all that the layer then holds, as `layer` does. Raises IndexError for a layer
        that there is not, TypeError for other types, ValueError for shapes that do not fit and past
        the limit, MemoryError.
        """
        layer = self._index(layer)
        key, value = (
            self._checked(key, "key", self.head_dim),
            self._checked(value, "value", self.value_dim),
        )
        count = key.shape[2]
        if value.shape[2] != count:
            raise ValueError(
                f"{_OP}: key and value must have as many positions, got {key.shape} and "
                f"{value.shape}"
            )
        keys, values, start = self._with_room(layer, count)
        end = start + count
        keys[:, :, start:end] = key
        values[:, :, start:end] = value
        self._lengths[layer] = end
        return keys[:, :, :end], values[:, :, :end]

    def _with_room(self, layer: int, count: int) -> tuple[Any, Any, int]:
        """A layer's memory with room for `count` positions more, and how many it holds."""
        start = self._lengths[layer]
        end = start + count
        if end > self.limit:
            raise ValueError(
                f"{_OP}: {start} positions and {count} more are past the limit of {self.limit}; "
                "reset() or truncate() makes room"
            )
        keys, values = self._keys[layer], self._values[layer]
        if end > keys.shape[2]:
            capacity = min(self.limit, max(end, 2 * keys.shape[2]))
            keys, values = self._grown(keys, start, capacity), self._grown(values, start, capacity)
            self._keys[layer], self._values[layer] = keys, values
        return keys, values, start

    def _grown(self, held: Any, length: int, capacity: int) -> Any:
        room = self._room(capacity, held.shape[3])
        room[:, :, :length] = held[:, :, :length]
        return room

    def _checked(self, array: Any, name: str, width: int) -> Any:
        if type(array) is not np.ndarray or array.dtype != np.float32:
            array = float32(array, _OP, name)
        shape = array.shape
        if (
            len(shape) != 4
            or shape[0] != self.batch_size
            or shape[1] != self.num_kv_heads
            or shape[3] != width
        ):
            raise ValueError(
                f"{_OP}: {name} must have shape ({self.batch_size}, {self.num_kv_heads}, T, "
                f"{width}), got {shape}"
            )
        return array

    def _index(self, layer: int) -> int:
        if not isinstance(layer, int):
            layer = integer(_OP, "layer", layer, 0)
        if not 0 <= layer < self.num_layers:
            raise IndexError(f"{_OP}: layer {layer} is out of range for {self.num_layers}")
        return layer

    def truncate(self, length: int) -> None:
        """Forget all positions from `length` on, in every layer that holds more."""
        length = integer(_OP, "length", length, 0)
        if length > max(self._lengths):
            raise ValueError(
                f"{_OP}: cannot truncate to {length} positions, there are {max(self._lengths)}"
            )
        self._lengths = [min(n, length) for n in self._lengths]

    def truncate_layer(self, layer: int, length: int) -> None:
        """Forget the positions of one layer from `length` on, if it holds more."""
        layer = self._index(layer)
        self._lengths[layer] = min(self._lengths[layer], integer(_OP, "length", length, 0))

    def reset(self) -> None:
        """Forget all positions; the memory stays."""
        self._lengths = [0] * self.num_layers

    def __repr__(self) -> str:
        return (
            f"KVCache(length={self.length}, limit={self.limit}, num_layers={self.num_layers}, "
            f"num_kv_heads={self.num_kv_heads}, head_dim={self.head_dim}, "
            f"batch_size={self.batch_size})"
        )
