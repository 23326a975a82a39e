"""The table of a Program's ops: what each takes, and how it becomes a call.

An op has parameters, each of a kind, and a builder. The builder gets numbers for sizes, arrays for
constants and a Ref for each value, and returns (function, argument, ...): the call that a plan
makes, in which each Ref stands for its array. Kinds, which files are checked against:

    array     a value or a constant        array?    or None        arrays   several
    int       a whole number or a size     ints      several        number   int or float
    int?, ints?, number?  or None          bool      bool?          str      str?
    index     a tuple of ints, None and slices (start, stop, step) as for NumPy
    scalar    a bool, int or float
"""

from __future__ import annotations

from collections.abc import Callable, Mapping
from typing import Any, NamedTuple, TypeVar

from .ir import Const, Ref, Size

T = TypeVar("T")


class Packs:
    """What ops make of constants (packed weights): once a node, for the plans of all sizes."""

    def __init__(self) -> None:
        self.node = 0
        self._made: dict[int, Any] = {}

    def once(self, make: Callable[[], T]) -> T:
        if self.node not in self._made:
            self._made[self.node] = make()
        made: T = self._made[self.node]
        return made


class Op(NamedTuple):
    kinds: Mapping[str, str]
    build: Callable[..., tuple[Any, ...]]
    text: str  # what it is, for the table in docs/drop-in.md


OPS: dict[str, Op] = {}


def op(name: str, text: str, /, **kinds: str) -> Callable[[Callable[..., T]], Callable[..., T]]:
    """Puts a builder into the table: builder(packs, **arguments)."""

    def put(build: Callable[..., T]) -> Callable[..., T]:
        OPS[name] = Op(kinds, build, text)  # type: ignore[arg-type]
        return build

    return put


def plain(name: str, text: str, fn: Callable[..., Any], /, **kinds: str) -> None:
    """An op whose call is fn(its arguments in order)."""
    OPS[name] = Op(kinds, lambda packs, **args: (fn, *(args[k] for k in kinds)), text)


def _is_int(value: Any) -> bool:
    return isinstance(value, Size) or (isinstance(value, int) and not isinstance(value, bool))


def _is_slice(value: Any) -> bool:
    return (
        isinstance(value, (list, tuple))
        and not isinstance(value, (Ref, Const, Size))
        and len(value) == 3
        and all(v is None or _is_int(v) for v in value)
    )


def _is_sequence(value: Any, of: Callable[[Any], bool]) -> bool:
    if isinstance(value, (Ref, Const, Size)) or not isinstance(value, (list, tuple)):
        return False
    return all(of(item) for item in value)


_KINDS: dict[str, Callable[[Any], bool]] = {
    "array": lambda v: isinstance(v, (Ref, Const)),
    "arrays": lambda v: _is_sequence(v, lambda item: isinstance(item, (Ref, Const))),
    "int": _is_int,
    "ints": lambda v: _is_sequence(v, _is_int),
    "number": lambda v: isinstance(v, float) or _is_int(v),
    "scalar": lambda v: isinstance(v, (bool, int, float)) or _is_int(v),
    "bool": lambda v: isinstance(v, bool),
    "str": lambda v: isinstance(v, str),
    "index": lambda v: _is_sequence(v, lambda i: i is None or _is_int(i) or _is_slice(i)),
}


def check_args(name: str, args: Mapping[str, Any]) -> None:
    """ValueError unless the op exists and these are its parameters, each of its kind."""
    if name not in OPS:
        raise ValueError(f"unknown op {name[:80]!r}")
    kinds = OPS[name].kinds
    if args.keys() != kinds.keys():
        raise ValueError(f"{name} takes {sorted(kinds)}, got {sorted(args)[:20]}")
    for key, kind in kinds.items():
        value = args[key]
        if kind.endswith("?"):
            if value is None:
                continue
            kind = kind[:-1]
        if not _KINDS[kind](value):
            raise ValueError(f"{name}: argument {key!r} must be {kind}, got {str(value)[:80]}")


from . import (  # noqa: E402, F401  (they fill the table)
    ops_arrays,
    ops_attention,
    ops_counting,
    ops_indexing,
    ops_layers,
    ops_numbers,
    ops_orders,
    ops_planes,
    ops_products,
    ops_reductions,
    ops_views,
    ops_volumes,
)
