"""What each ATen op becomes: the table ATEN, which the other files here fill."""

from . import (  # noqa: F401  (they fill the table)
    activations,
    angles,
    arithmetic,
    arrays,
    complex_numbers,
    convolutions,
    counting,
    fourier,
    indexing,
    layers,
    norms,
    orders,
    planes,
    products,
    reductions,
    spectrograms,
    views,
    volumes,
)
from .table import ATEN, COMPLEX

__all__ = ["ATEN", "COMPLEX"]
