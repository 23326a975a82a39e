"""What each ATen op becomes: the table ATEN, which the other files here fill."""

from . import (  # noqa: F401  (they fill the table)
    activations,
    angles,
    arithmetic,
    arrays,
    convolutions,
    counting,
    indexing,
    layers,
    norms,
    orders,
    planes,
    products,
    reductions,
    views,
    volumes,
)
from .table import ATEN

__all__ = ["ATEN"]
