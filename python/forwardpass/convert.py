"""`forwardpass convert model.pt out.safetensors`: a torch checkpoint's tensors in safetensors.

torch reads it, weights only: what a pickle would run is refused. See docs/drop-in.md.
"""

from __future__ import annotations

import os
import zipfile
from collections.abc import Mapping
from typing import Any

import numpy as np

from forwardpass.io import safetensors

_WHOLE = ("state_dict", "model_state_dict", "model")  # where checkpoints of trainings keep one


class ConvertError(Exception):
    """What is wrong with a checkpoint, in words."""


def run(path: str, out: str, key: str | None = None) -> int:
    """Convert, and say what was written. ConvertError where the file is none of what is taken."""
    state = _state(path, key)
    tensors = {name: _array(tensor) for name, tensor in state.items()}
    safetensors.save_file(tensors, out)
    size = sum(array.nbytes for array in tensors.values())
    print(f"{out}: {len(tensors)} tensors, {size / 1e6:.1f} MB")
    return 0


def _state(path: str, key: str | None) -> dict[str, Any]:
    """The tensors by name."""
    try:
        import torch
    except ImportError:
        raise ConvertError("convert needs torch: pip install 'forwardpass[torch]'") from None
    if os.path.isdir(path):
        raise ConvertError(f"{path} is a folder; give the checkpoint in it")
    _refuse_programs(path)
    try:
        content = torch.load(path, map_location="cpu", weights_only=True)
    except OSError:
        raise
    except Exception as error:
        raise ConvertError(_why(path, error)) from None
    return _tensors(path, content, key)


def _refuse_programs(path: str) -> None:
    """Archives that hold code beside weights, which weights-only loading cannot read."""
    try:
        with zipfile.ZipFile(path) as archive:
            names = archive.namelist()
    except (OSError, zipfile.BadZipFile):
        return
    if any("/code/" in name for name in names):
        raise ConvertError(
            f"{path} is a TorchScript archive, which holds code; where you trust it: "
            "forwardpass.save_file({k: v.numpy() for k, v in torch.jit.load(path).state_dict()"
            ".items()}, out)"
        )
    if any(name.endswith(("archive_format", "serialized_exported_program.json")) for name in names):
        raise ConvertError(
            f"{path} is a torch.export archive, which torch reads with pickle; where you trust it: "
            "forwardpass.from_torch(torch.export.load(path)).save(out)"
        )


def _why(path: str, error: Exception) -> str:
    text = str(error)
    if "GLOBAL " in text or "Unsupported class" in text:
        found = text.split("GLOBAL ")[1].split()[0] if "GLOBAL " in text else "objects"
        return (
            f"{path} holds pickled code ({found}), not weights alone, and is not run; where you "
            "trust it: forwardpass.save_file({k: v.numpy() for k, v in "
            "torch.load(path, weights_only=False).state_dict().items()}, out)"
        )
    lines = [line.strip() for line in text.splitlines() if line.strip()] or [type(error).__name__]
    reason = next((line for line in lines if "WeightsUnpickler error" in line), lines[0])
    return f"{path} is no checkpoint that torch can read: {reason[:200]}"


def _tensors(path: str, content: Any, key: str | None) -> dict[str, Any]:
    import torch

    if key is not None:
        if not isinstance(content, Mapping) or key not in content:
            raise ConvertError(f"{path} has no entry {key!r}{_entries(content)}")
        content = content[key]
    elif isinstance(content, Mapping):
        whole = [name for name in _WHOLE if isinstance(content.get(name), Mapping)]
        content = content[whole[0]] if whole else content
    if not isinstance(content, Mapping) or not content:
        raise ConvertError(f"{path} holds a {type(content).__name__}, not tensors by name")
    odd = [f"{k!r}: {type(v).__name__}" for k, v in content.items()
           if not isinstance(k, str) or not isinstance(v, torch.Tensor)]  # fmt: skip
    if odd:
        more = f" and {len(odd) - 5} more" if len(odd) > 5 else ""
        raise ConvertError(
            f"{path} does not hold tensors by name alone: {', '.join(odd[:5])}{more}; where they "
            "are in one of its entries, name it with --key"
        )
    return {name: tensor.detach() for name, tensor in content.items()}


def _entries(content: Any) -> str:
    names = sorted(map(str, content)) if isinstance(content, Mapping) else []
    return f"; it has {', '.join(names[:20])}" if names else ""


def _array(tensor: Any) -> np.ndarray[Any, Any]:
    """bfloat16 and 8-bit floats, which NumPy lacks, as float32, exactly; others as they are."""
    import torch

    if tensor.layout != torch.strided or tensor.is_quantized:
        raise ConvertError(f"a tensor is sparse or quantised ({tensor.dtype}, {tensor.layout})")
    floats = torch.float16, torch.float32, torch.float64
    if tensor.is_floating_point() and tensor.dtype not in floats:
        tensor = tensor.float()
    array: np.ndarray[Any, Any] = tensor.contiguous().resolve_conj().numpy()
    return array
