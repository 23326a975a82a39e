"""TokenEmbedding: an Embedding whose table may stay in its file."""

from __future__ import annotations

from typing import Any

import numpy as np

from forwardpass.io.stored import Stored
from forwardpass.nn import Embedding


class TokenEmbedding(Embedding):
    """An Embedding that takes the rows it needs from a file, while the table is not in memory.

    So the table of a decoder whose head is tied to it is held once, packed for the head. Float32
    tables are mapped and need no such care; float16, bfloat16 and quantised rows become float32 in
    a few microseconds.
    """

    def forward(self, input: Any) -> Any:
        parameter = self._parameters["weight"]
        source = None if parameter is None or parameter._array is not None else parameter._source
        if not isinstance(source, Stored):
            return super().forward(input)
        index = np.asarray(input)
        if index.dtype.kind not in "iu":
            raise TypeError(
                f"embedding(): argument 'input' must be an integer array, got {index.dtype}; "
                "cast it with input.astype(np.int64)"
            )
        if index.size and not 0 <= index.min() <= index.max() < self.num_embeddings:
            wrong = index[(index < 0) | (index >= self.num_embeddings)].flat[0]
            raise IndexError(
                f"embedding(): index {wrong} is out of range for {self.num_embeddings} embeddings"
            )
        return source.rows(index)
