"""forwardpass: the forward pass of neural networks on NumPy arrays, with torch.nn's names.

>>> import forwardpass as fp, numpy as np
>>> fp.manual_seed(0)
>>> net = fp.nn.Sequential(fp.nn.Linear(4, 8), fp.nn.GELU(), fp.nn.Linear(8, 2))
>>> net(np.ones((3, 4), np.float32)).shape
(3, 2)
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

from forwardpass import nn
from forwardpass._core import (
    __version__,
    available_isas,
    get_num_threads,
    isa,
    numerics_version,
    set_num_threads,
)
from forwardpass._threads import threads
from forwardpass.nn.init import manual_seed

if TYPE_CHECKING:
    from forwardpass.io.safetensors import load_file, save_file

__all__ = [
    "__version__",
    "available_isas",
    "get_num_threads",
    "isa",
    "load_file",
    "manual_seed",
    "nn",
    "numerics_version",
    "save_file",
    "set_num_threads",
    "threads",
]


def __getattr__(name: str) -> Any:
    """Import the file readers when one is first asked for: most of their cost is json."""
    if name in ("load_file", "save_file"):
        from forwardpass.io import safetensors

        globals()["load_file"] = safetensors.load_file
        globals()["save_file"] = safetensors.save_file
        return globals()[name]
    raise AttributeError(f"module 'forwardpass' has no attribute '{name}'")


def __dir__() -> list[str]:
    return sorted({*globals(), *__all__})
