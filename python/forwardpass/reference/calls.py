"""The cases as text, for programs in other languages (``cpp/tools/bits.cpp``).

A line ``case NAME DIGEST`` begins a case (DIGEST is the committed one); the lines after it are its
calls, ``OP ARGUMENT=VALUE ...``, with every argument of the operator. Values:

    f4:SHAPE:KIND:NAME   make(NAME, SHAPE, KIND) of ``arrays``; SHAPE is 3x4, empty for a scalar
    i8:SHAPE:BELOW:NAME  make_indices(NAME, SHAPE, BELOW)
    f4:SHAPE:=:WORDS     the elements as words of eight hexadecimal digits; i8: as integers
    None, 3, 1,2         integers, and tuples of them
    0x1.47ae140000000p-7 a number, rounded to float32 (as every operator takes them), so that
                         reading it is exact in any rounding mode
    same                 text
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from typing import Any

import numpy as np

from .arrays import Made, recording
from .ops import OPS, REQUIRED, Op

MOST_WORDS = 4096  # larger arrays must come from the generator


def text() -> Iterator[str]:
    """The lines, for all operators; digests from the committed table, "-" where it has none."""
    from forwardpass import bits, numerics_version

    yield f"# numerics_version {numerics_version}"
    table = bits.committed()["cases"]
    with recording() as made:
        for op in OPS.values():
            for case in op.cases():
                yield f"case {case.name} {table.get(case.name, '-')}"
                made.clear()
                for arguments in case.calls():
                    yield line(op, arguments, made)


def line(op: Op, arguments: Mapping[str, Any], made: Sequence[Made]) -> str:
    """One call. `made`: the arrays from the generator that may be among the arguments."""
    values = {name: arguments.get(name, default) for name, default in op.parameters.items()}
    missing = [name for name, value in values.items() if value is REQUIRED]
    if missing:
        raise ValueError(f"{op.name}: a case without {missing}")
    return " ".join([op.name, *(f"{name}={_value(v, made)}" for name, v in values.items())])


def _value(value: Any, made: Sequence[Made]) -> str:
    if isinstance(value, np.ndarray):
        return _array(value, made)
    if isinstance(value, float):
        return float(np.float32(value)).hex()
    if isinstance(value, (tuple, list)):
        return ",".join(_value(v, made) for v in value)
    text = str(int(value) if isinstance(value, bool) else value)
    if not text or set(text) & set(" :=,\n"):
        raise ValueError(f"not to be written as a word: {text!r}")
    return text


def _array(array: np.ndarray[Any, Any], made: Sequence[Made]) -> str:
    shape = "x".join(map(str, array.shape))
    if array.dtype == np.float32:
        prefix = f"f4:{shape}"
    elif array.dtype == np.int64:
        prefix = f"i8:{shape}"
    else:
        raise ValueError(f"cases hold float32 and int64 arrays, not {array.dtype}")
    for source in made:
        if source.matches(array):
            return f"{prefix}:{source.kind}:{source.name}"
    if array.size > MOST_WORDS:
        raise ValueError(f"an array of shape {array.shape} that arrays.make did not make")
    flat = np.ascontiguousarray(array).reshape(-1)
    if array.dtype == np.int64:
        return f"{prefix}:=:{','.join(map(str, flat.tolist()))}"
    return f"{prefix}:=:{','.join(f'{word:08x}' for word in flat.view(np.uint32).tolist())}"
