"""load: a model from a folder or a file, its weights packed and ready."""

from __future__ import annotations

import os
import re
from collections.abc import Iterable, Mapping
from typing import Any, NamedTuple

from forwardpass.io import folders
from forwardpass.nn._layer import PackedLayer
from forwardpass.nn._stacked import StackingLayer

from . import _registry
from ._progress import Progress

_WRAPPERS = ("module.", "_orig_mod.", "base_model.")  # what training code puts before all names


class Source(NamedTuple):
    """What a model is made from."""

    path: str
    config: Mapping[str, Any]
    tensors: dict[str, Any]
    tokenizer: Any  # a path, a call that makes one, or None


def load(path: str | os.PathLike[str], *, progress: bool | None = None) -> Any:
    """A model from its own files, packed and ready to run.

    path: a Hugging Face folder (config.json, model.safetensors or shards), a .safetensors file of
        one, a .gguf file or a folder that holds just one (needs the `gguf` package: extra [gguf]),
        a folder of μOmni's, or the .onnx file of Silero VAD. Nothing is downloaded, nothing in the
        files is executed.
    progress: a bar on stderr. None shows one where stderr is a terminal and loading takes more
        than half a second.

    config.json's model_type says which class comes: see `known()`. Files are mapped and read layer
    by layer, so that memory never holds more than the packed model and a layer.

    Raises:
        ValueError: a malformed file; a model_type that is not known (the error names those that
            are); settings that make no sense; a torch checkpoint.
        NotImplementedError: a setting that would change the results and is not supported.
        RuntimeError: tensors that are missing, unexpected or of other shapes, all of them.
        ImportError: a .gguf without the `gguf` package.
        OSError: a file is missing or cannot be read.
    """
    name = os.fspath(path)
    if name.lower().endswith(".onnx"):
        from . import vad

        return vad.load(name)
    if (kind := _reads_folders(name)) is not None:
        model = kind.from_folder(name)
    else:
        source = _open(name)
        kind = _registry.find(source.config.get("model_type"), source.path)
        model = kind.from_config(source.config)
        model.load_state_dict(fitted(source.tensors, model))
        model.attach(source)
    prepare(model, progress)
    return model


def _reads_folders(path: str) -> Any:
    """The class of a folder that is laid out in a way of its own, None for Hugging Face's."""
    if os.path.exists(os.path.join(path, "thinker.safetensors")):  # one file for each component
        return _registry.find("muomni", path)
    if not os.path.isfile(os.path.join(path, "config.json")):
        return None
    kind = _registry.find(folders.load_config(path).get("model_type"), path)
    return kind if hasattr(kind, "from_folder") else None


def _open(path: str) -> Source:
    if os.path.isdir(path):
        gguf = sorted(name for name in os.listdir(path) if name.lower().endswith(".gguf"))
        if len(gguf) != 1 or os.path.exists(os.path.join(path, "config.json")):
            return Source(path, folders.load_config(path), folders.open_path(path), path)
        path = os.path.join(path, gguf[0])
    if path.lower().endswith(".gguf"):
        from . import gguf as reader

        return reader.read(path)
    tensors = folders.open_path(path)  # a file; or an error that says what there is not
    if "lstm_cell.weight_hh" in tensors and "stft_conv.weight" in tensors:
        raise ValueError(
            f"{path}: an older Silero VAD than the package's .onnx; load silero_vad_16k_op15.onnx"
        )
    folder = os.path.dirname(path)
    return Source(path, folders.load_config(folder), tensors, folder)


def fitted(tensors: Mapping[str, Any], model: Any) -> dict[str, Any]:
    """The tensors by the model's names: prefixes changed, tied weights doubled, others dropped."""
    wanted = model.state_dict(keep_vars=True)
    old = {name: _modern(name) for name in tensors}
    named = {old[name]: tensor for name, tensor in tensors.items()}
    prefix: str = model.base_prefix
    views = [named]
    for wrapper in (*_WRAPPERS, prefix):
        views += [_stripped(view, wrapper) for view in views]
    views.append({prefix + name: tensor for name, tensor in named.items()})
    best = max(views, key=lambda view: sum(name in view for name in wanted))
    best = {n: t for n, t in best.items() if n in wanted or not _matches(n, model.unused)}
    for name, source in model.tied.items():
        if source in best:
            best[name] = best[source]
    return best


def _stripped(tensors: Mapping[str, Any], prefix: str) -> dict[str, Any]:
    return {name.removeprefix(prefix): tensor for name, tensor in tensors.items()}


def _modern(name: str) -> str:
    """TensorFlow's names for LayerNorm's parameters, which old checkpoints have, as torch's."""
    name = re.sub(r"(LayerNorm\.)gamma$", r"\1weight", name)
    return re.sub(r"(LayerNorm\.)beta$", r"\1bias", name)


def _matches(name: str, patterns: Iterable[str]) -> bool:
    return any(re.search(pattern, name) for pattern in patterns)


def prepare(model: Any, progress: bool | None = None) -> None:
    """Pack every layer now, in order, so that the first call is like any other."""
    layers = [m for m in model.modules() if isinstance(m, (PackedLayer, StackingLayer))]
    # The largest first: what packing needs for a moment is taken while little else is there.
    # Sorting keeps parents before their children, whose weights a stacked product packs as one.
    layers.sort(key=_size, reverse=True)
    with Progress(len(layers), "packing weights", progress) as bar:
        for layer in layers:
            if isinstance(layer, StackingLayer):
                layer._current()
            elif layer._pack is None:
                layer._make_pack()
                for parameter in layer.parameters(recurse=False):
                    parameter._shed()
            bar.step()


def _size(layer: Any) -> int:
    return sum(parameter.size for parameter in layer.parameters())
