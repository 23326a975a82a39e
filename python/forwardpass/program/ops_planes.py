"""Pooling and resizing."""

from __future__ import annotations

from typing import Any

from forwardpass import _core

from .ir import Array, Ref
from .ops import Packs, op
from .ops_arrays import checked


def _max_pool(name: str, text: str, one: Any, two: Any) -> None:
    def build(
        packs: Packs, x: Any, kernel: Any, stride: Any, padding: Any, dilation: Any, ceil: bool
    ) -> tuple[Any, ...]:
        fn = one if len(kernel) == 1 else two
        return fn, x, kernel, stride or None, padding, dilation, ceil

    kinds = dict.fromkeys(("kernel", "stride", "padding", "dilation"), "ints")
    op(name, text, x="array", **kinds, ceil="bool")(build)


_max_pool("max_pool", "the largest of each window", _core.max_pool1d, _core.max_pool2d)
_max_pool(
    "max_pool_indices",
    "where in its plane the largest of each window is",
    *(_core._max_pool1d_indices, _core._max_pool2d_indices),
)


@op(
    "avg_pool",
    "the mean of each window",
    x="array",
    kernel="ints",
    stride="ints",
    padding="ints",
    ceil="bool",
    count_padding="bool",
    divisor="int?",
)
def _avg_pool(
    packs: Packs, x: Any, kernel: Any, stride: Any, padding: Any, ceil: bool, count_padding: bool,
    divisor: int | None,
) -> tuple[Any, ...]:  # fmt: skip
    fn = _core.avg_pool1d if len(kernel) == 1 else _core.avg_pool2d
    return fn, x, kernel, stride or None, padding, ceil, count_padding, divisor


@op(
    "adaptive_pool",
    "the mean, or the largest, of windows that cover all",
    x="array",
    size="ints",
    largest="bool",
)
def _adaptive_pool(packs: Packs, x: Any, size: Any, largest: bool) -> tuple[Any, ...]:
    checked(size)
    kind = f"adaptive_{'max' if largest else 'avg'}_pool{len(size)}d"
    return getattr(_core, kind), x, size


@op(
    "adaptive_pool_indices",
    "where in its plane the largest of each of its windows is",
    x="array",
    size="ints",
)
def _adaptive_pool_indices(packs: Packs, x: Any, size: Any) -> tuple[Any, ...]:
    checked(size)
    return getattr(_core, f"_adaptive_max_pool{len(size)}d_indices"), x, size


@op(
    "resize",
    "planes of another size",
    x="array",
    size="ints",
    mode="str",
    align_corners="bool",
    factors="array?",
)
def _resize(
    packs: Packs, x: Any, size: Any, mode: str, align_corners: bool, factors: Any
) -> tuple[Any, ...]:
    from forwardpass.nn import functional as F

    checked(size)
    align = align_corners if "linear" in mode else None
    if factors is None or isinstance(factors, Ref):
        scale: dict[str, Any] = {"size": size}
    else:
        scale = {"scale_factor": [float(f) for f in factors]}

    def resize(array: Array, out: Array | None = None) -> Array:
        return F.interpolate(array, **scale, mode=mode, align_corners=align, out=out)

    return resize, x


@op("pixel_shuffle", "channels to pixels", x="array", factor="int")
def _pixel_shuffle(packs: Packs, x: Any, factor: int) -> tuple[Any, ...]:
    from forwardpass.nn import functional as F

    return (lambda array, out=None: F.pixel_shuffle(array, factor, out=out)), x
