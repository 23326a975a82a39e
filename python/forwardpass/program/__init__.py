"""A torch module converted once, run without torch: see docs/drop-in.md."""

from .program import Program, from_torch, load

__all__ = ["Program", "from_torch", "load"]
