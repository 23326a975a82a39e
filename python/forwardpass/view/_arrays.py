"""The arrays in whatever a layer takes or returns, copied, measured and put into words.

Numbers here are for reading only: no result of a layer passes through them.
"""

from __future__ import annotations

import dataclasses
import math
from collections.abc import Mapping, Sequence
from typing import Any, NamedTuple

import numpy as np
from numpy.typing import NDArray


class Statistics(NamedTuple):
    """Of the finite values; `low`, `mean` and `high` are NaN where there are none."""

    low: float
    mean: float
    high: float
    nan: int
    infinite: int


def arrays_in(value: Any) -> list[NDArray[Any]]:
    """Every array in nested tuples, lists, mappings and dataclasses, in order."""
    if isinstance(value, (np.ndarray, np.generic)):
        return [np.asarray(value)]
    return [array for item in _items(value) for array in arrays_in(item)]


def _items(value: Any) -> list[Any]:
    if isinstance(value, Mapping):
        return list(value.values())
    if isinstance(value, (tuple, list)):
        return list(value)
    if dataclasses.is_dataclass(value) and not isinstance(value, type):
        return [getattr(value, field.name) for field in dataclasses.fields(value)]
    return []


def copied(value: Any) -> Any:
    """The same structure with read-only copies of its arrays.

    Copies, because a forward may add in place to what a layer returned. Objects that are not
    tuples, lists, dicts or dataclasses are kept as they are.
    """
    if isinstance(value, np.ndarray):
        array = np.array(value, order="C", subok=False)
        array.flags.writeable = False
        return array
    if isinstance(value, tuple):
        items = [copied(item) for item in value]
        return type(value)(*items) if hasattr(value, "_fields") else tuple(items)
    if isinstance(value, list):
        return [copied(item) for item in value]
    if isinstance(value, dict):
        return {key: copied(item) for key, item in value.items()}
    if dataclasses.is_dataclass(value) and not isinstance(value, type):
        return dataclasses.replace(
            value,
            **{f.name: copied(getattr(value, f.name)) for f in dataclasses.fields(value) if f.init},
        )
    return value


def same_memory(arrays: Sequence[NDArray[Any]], others: Sequence[NDArray[Any]]) -> bool:
    """Whether every array lies in the memory of one of the others (within bounds: quick)."""
    return all(any(np.may_share_memory(a, other) for other in others) for a in arrays)


def same_bits(arrays: Sequence[NDArray[Any]], others: Sequence[NDArray[Any]]) -> bool:
    """Whether both hold the same arrays: shapes, dtypes and every bit."""
    return len(arrays) == len(others) and all(
        a.shape == b.shape and a.dtype == b.dtype and a.tobytes() == b.tobytes()
        for a, b in zip(arrays, others, strict=True)
    )


def shape_text(arrays: Sequence[NDArray[Any]]) -> str:
    """ "(1, 8)", or "(1, 8), (2,)" for two; with the dtype where it is not float32."""
    texts = []
    for array in arrays:
        text = str(tuple(array.shape))
        texts.append(text if array.dtype == np.float32 else f"{text} {array.dtype}")
    return ", ".join(texts)


def statistics(array: NDArray[Any]) -> Statistics:
    """For real numbers; a bool counts as 0 or 1."""
    values = np.asarray(array, np.float64)
    finite = np.isfinite(values)
    nan = int(np.isnan(values).sum())
    infinite = int(values.size - finite.sum()) - nan
    values = values[finite]
    if values.size == 0:
        return Statistics(np.nan, np.nan, np.nan, nan, infinite)
    with np.errstate(over="ignore"):
        return Statistics(values.min(), values.mean(), values.max(), nan, infinite)


def is_real(array: NDArray[Any]) -> bool:
    return array.dtype.kind in "fiub"


def number(value: float) -> str:
    """Whole numbers up to a million as they are, others to three digits."""
    if not math.isfinite(value):
        return str(value)
    if abs(value) < 1e6 and value == int(value):
        return str(int(value))  # int: there is no -0
    return f"{value:.1f}" if 100 <= abs(value) < 1e6 else f"{value:.3g}"


def in_words(array: NDArray[Any]) -> str:
    """ "-1.2 to 3.1, mean 0.4", and how many values are not finite."""
    if array.size == 0:
        return "empty"
    if not is_real(array):
        return f"{array.dtype} values"
    low, mean, high, nan, infinite = statistics(array)
    text = "no finite value"
    if nan + infinite < array.size:
        tiny = 0 < abs(mean) < 1e-5 * max(abs(low), abs(high))
        text = f"{number(low)} to {number(high)}, mean {'about 0' if tiny else number(mean)}"
    counts = ((nan, "NaN"), (infinite, "infinite"))
    return text + "".join(f", {count:,} {name}" for count, name in counts if count)


def first_values(array: NDArray[Any], count: int = 5) -> str:
    """The first values in memory order, and dots if there are more."""
    values = array.reshape(-1)[:count]
    if not is_real(array):
        texts = [str(value) for value in values]
    else:
        texts = [number(float(value)) for value in values]
    return " ".join(texts) + (" …" if array.size > count else "")
