"""Module.load and Module.save: weights straight from and to files."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

from .parameter import Parameter

if TYPE_CHECKING:
    import os

    from ._state import IncompatibleKeys


class Files:
    """The part of Module that reads and writes files; the readers are imported when needed."""

    state_dict: Any
    load_state_dict: Any

    def load(self, path: str | os.PathLike[str], strict: bool = True) -> IncompatibleKeys:
        """Replace parameters and persistent buffers by those in a file or folder.

        `path` is a .safetensors file, or a Hugging Face folder with model.safetensors or its index
        and shards. Files are mapped: loading reads next to nothing, and processes that load the
        same file share its pages. A layer's first call reads its weight and keeps it packed; other
        float32 weights are used where they are. So the file may be replaced later, as `save`
        does, but must not be rewritten in place or truncated.

        Follows load_state_dict in all else (names, dtypes, `strict`, errors, what is returned),
        but that a parameter under several names (tied weights) needs only one of them.

        Raises ValueError for a malformed file or a torch checkpoint, OSError if it cannot be read,
        and what load_state_dict raises. Nothing is changed then.
        """
        from forwardpass.io import folders

        tensors = folders.open_path(path)
        tied: dict[int, Any] = {}
        own = self.state_dict(keep_vars=True)
        for name, value in own.items():
            if isinstance(value, Parameter) and name in tensors:
                tied.setdefault(id(value), tensors[name])
        for name, value in own.items():
            if name not in tensors and id(value) in tied:
                tensors[name] = tied[id(value)]
        result: IncompatibleKeys = self.load_state_dict(tensors, strict)
        return result

    def save(self, path: str | os.PathLike[str], metadata: dict[str, str] | None = None) -> None:
        """Write the state_dict to a .safetensors file, which load and torch's safetensors read.

        Parameters are written as float32, one after the other, so that saving takes little memory.
        The file appears, or replaces the one that was there, when it is complete; modules that
        have loaded the old one keep it. `metadata` maps strings to strings.
        """
        from forwardpass.io import safetensors

        safetensors.write(self.state_dict(keep_vars=True), path, metadata)
