"""The table of ATen ops, and what its functions share.

A function takes (converter, result, arguments by torch's names) and gives the value: `out` is the
result's T without a value (shape and dtype), or a tuple of torch's fakes.
"""

from __future__ import annotations

from collections.abc import Callable
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from ..torch_converter import Converter

Convert = Callable[["Converter", Any, "dict[str, Any]"], Any]
ATEN: dict[str, Convert] = {}
COMPLEX: dict[str, Convert] = {}  # where an argument or the result is complex


def aten(*names: str) -> Callable[[Convert], Convert]:
    """Puts a function into the table under these names, "add.Tensor" and its like."""

    def put(convert: Convert) -> Convert:
        for name in names:
            ATEN[f"aten.{name}" if "." in name else f"aten.{name}.default"] = convert
        return convert

    return put


def on_complex(*names: str) -> Callable[[Convert], Convert]:
    """Puts a function into the table for complex numbers, and into ATEN where that has none."""

    def put(convert: Convert) -> Convert:
        for name in names:
            key = f"aten.{name}" if "." in name else f"aten.{name}.default"
            COMPLEX[key] = convert
            ATEN.setdefault(key, convert)
        return convert

    return put


def unsupported(text: str) -> Exception:
    from ..torch_converter import UnsupportedError

    return UnsupportedError(text)


def is_float(x: Any) -> bool:
    return bool(x.dtype.startswith("float"))


def need_float32(x: Any, what: str) -> None:
    if x.dtype == "float64":
        raise unsupported(f"{what} in float64")


def dim_of(dim: int, x: Any) -> int:
    return dim % len(x.shape) if x.shape else 0


def dims_of(dims: Any, x: Any) -> list[int]:
    """dim as torch's reductions take it; [] is all."""
    if dims is None or not x.shape:
        return []
    return [dim_of(d, x) for d in (dims if isinstance(dims, list) else [dims])]
