"""What the functions share and C++ does not check."""

from __future__ import annotations

from typing import Any

import numpy as np


def shape(value: Any) -> tuple[int, ...]:
    """The shape of what an op takes."""
    found = getattr(value, "shape", None)
    return np.shape(value) if found is None else tuple(found)
