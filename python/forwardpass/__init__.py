"""forwardpass: the forward pass of neural networks on NumPy arrays, with torch.nn's names.

>>> import forwardpass as fp, numpy as np
>>> fp.manual_seed(0)
>>> net = fp.nn.Sequential(fp.nn.Linear(4, 8), fp.nn.GELU(), fp.nn.Linear(8, 2))
>>> net(np.ones((3, 4), np.float32)).shape
(3, 2)
"""

from __future__ import annotations

import sys
from contextlib import suppress
from typing import TYPE_CHECKING, Any

from forwardpass import nn
from forwardpass._core import (
    __version__,
    available_isas,
    empty_cache,
    get_num_threads,
    isa,
    numerics_version,
    set_num_threads,
)
from forwardpass._threadpoolctl import threadpoolctl_register
from forwardpass._threads import threads
from forwardpass.nn.init import manual_seed

if TYPE_CHECKING:
    from forwardpass import models
    from forwardpass._config import show_config
    from forwardpass.io.folders import load_folder
    from forwardpass.io.safetensors import load_file, save_file
    from forwardpass.program import Program, from_torch, load
    from forwardpass.view.summary import summary
    from forwardpass.view.trace import trace

__all__ = [
    "Program",
    "__version__",
    "available_isas",
    "empty_cache",
    "from_torch",
    "get_num_threads",
    "isa",
    "load",
    "load_file",
    "load_folder",
    "manual_seed",
    "models",
    "nn",
    "numerics_version",
    "save_file",
    "set_num_threads",
    "show_config",
    "summary",
    "threadpoolctl_register",
    "threads",
    "trace",
]


# Imported when first asked for, to keep the import of the package quick.
_LAZY = {
    "Program": "forwardpass.program",
    "from_torch": "forwardpass.program",
    "load": "forwardpass.program",
    "load_file": "forwardpass.io.safetensors",
    "load_folder": "forwardpass.io.folders",
    "save_file": "forwardpass.io.safetensors",
    "show_config": "forwardpass._config",
    "summary": "forwardpass.view.summary",
    "trace": "forwardpass.view.trace",
}


def __getattr__(name: str) -> Any:
    from importlib import import_module

    if name == "models":
        return import_module("forwardpass.models")
    if name in _LAZY:
        globals()[name] = getattr(import_module(_LAZY[name]), name)
        return globals()[name]
    raise AttributeError(f"module 'forwardpass' has no attribute '{name}'")


def __dir__() -> list[str]:
    return sorted({*globals(), *__all__})


if "threadpoolctl" in sys.modules:
    with suppress(ImportError):  # older than 3.3
        threadpoolctl_register()
