"""Whole networks from their own files: `load` takes a folder or a file and gives the model.

>>> from forwardpass import models
>>> model = models.load("all-MiniLM-L6-v2")  # doctest: +SKIP
>>> model.encode(["A quick brown fox."]).shape  # doctest: +SKIP
(1, 384)
"""

from ._load import load
from ._registry import known

__all__ = ["known", "load"]
