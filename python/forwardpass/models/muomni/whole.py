"""MuOmni: the components together. Text, an image and sound in; text and speech out."""

from __future__ import annotations

import json
import os
from collections.abc import Iterator, Mapping
from typing import TYPE_CHECKING, Any

import numpy as np

from forwardpass import nn
from forwardpass.models.sampling import Sampler
from forwardpass.nn._checks import integer

from ._tokens import integers
from .audio_encoder import AudioEncoder
from .rvq import RVQ
from .talker import Talker
from .thinker import Thinker
from .vision_encoder import VisionEncoder
from .vocoder import Vocoder

if TYPE_CHECKING:
    import numpy.typing as npt
    from typing_extensions import Self

    from forwardpass.nn._typing import Array, ArrayInput

COMPONENTS: dict[str, Any] = {
    "thinker": Thinker,
    "audio_encoder": AudioEncoder,
    "vision_encoder": VisionEncoder,
    "talker": Talker,
    "rvq": RVQ,
    "vocoder": Vocoder,
}
PROJECTIONS = ("proj_a", "proj_v")
_SUFFIX = ".safetensors"
_EOS = 2  # of μOmni's tokenizer


class MuOmni(nn.Module):
    """The Thinker-Talker model: six components, and two projections to the Thinker's width.

    Each argument is a mapping of a component's keywords; without it the component has the default
    size. Keys of the state_dict begin with the component's name, or `proj_a` (Linear, for frames of
    the audio encoder) and `proj_v` (for the vision encoder's cls).
    """

    thinker: Any
    audio_encoder: Any
    vision_encoder: Any
    talker: Any
    rvq: Any
    vocoder: Any
    proj_a: Any
    proj_v: Any

    def __init__(
        self,
        thinker: Mapping[str, Any] | None = None,
        audio_encoder: Mapping[str, Any] | None = None,
        vision_encoder: Mapping[str, Any] | None = None,
        talker: Mapping[str, Any] | None = None,
        rvq: Mapping[str, Any] | None = None,
        vocoder: Mapping[str, Any] | None = None,
    ) -> None:
        super().__init__()
        given = (thinker, audio_encoder, vision_encoder, talker, rvq, vocoder)
        self.config = {
            name: dict(config or {}) for name, config in zip(COMPONENTS, given, strict=True)
        }
        for name, component in COMPONENTS.items():
            setattr(self, name, component(**self.config[name]))
        width = self.thinker.d
        self.proj_a = nn.Linear(self.audio_encoder.proj.out_features, width)
        self.proj_v = nn.Linear(self.vision_encoder.proj.out_channels, width)

    # ---- files -----------------------------------------------------------------------------

    @classmethod
    def from_folder(cls, path: str | os.PathLike[str]) -> Self:
        """The model whose weights a folder holds, mapped.

        The folder has NAME.safetensors for each of the six components (thinker, audio_encoder,
        vision_encoder, talker, rvq, vocoder), and for proj_a and proj_v, without which the model
        takes no sound or no image; or model.safetensors (whole or in shards) with all keys. A
        component's keywords are JSON under the metadata key `config` of its file, or in config.json
        under its name; without either they are the defaults.

        Raises OSError where a file is missing, RuntimeError with the keys and sizes that do not fit
        (torch's wording), ValueError for malformed files.
        """
        folder = os.fspath(path)
        model = cls(**_configs(folder))
        if os.path.exists(os.path.join(folder, "thinker" + _SUFFIX)):
            for name in (*COMPONENTS, *PROJECTIONS):
                file = os.path.join(folder, name + _SUFFIX)
                if name in PROJECTIONS and not os.path.exists(file):
                    setattr(model, name, None)
                else:
                    getattr(model, name).load(file)
        else:
            model.load(folder)
        return model

    def save_folder(self, path: str | os.PathLike[str]) -> None:
        """Write the files that `from_folder` reads; the folder is made if it is not there."""
        folder = os.fspath(path)
        os.makedirs(folder, exist_ok=True)
        for name, module in self.named_children():
            config = self.config.get(name)
            metadata = None if config is None else {"config": json.dumps(config)}
            module.save(os.path.join(folder, name + _SUFFIX), metadata)

    # ---- text ------------------------------------------------------------------------------

    def embed(
        self,
        ids: npt.ArrayLike,
        image: ArrayInput | None = None,
        mel: ArrayInput | None = None,
    ) -> Array:
        """What the Thinker reads, (B, T, d): the image, the sound, the text, one after the other.

        ids (B, T) or (T,); image (B, 3, H, W) or (3, H, W), one position by proj_v(cls); mel
        (B, T, 128) or (T, 128), one position for each frame of the audio encoder by proj_a.
        """
        text = self.thinker.tok_emb(np.atleast_2d(integers(ids, "MuOmni", "ids", (1, 2))))
        parts = [text]
        if mel is not None:
            parts.insert(0, self._projected("proj_a", self.audio_encoder(mel)))
        if image is not None:
            parts.insert(0, self._projected("proj_v", self.vision_encoder(image)[0]))
        if len({len(part) for part in parts}) > 1:
            raise ValueError(
                "MuOmni: ids, image and mel must have one batch, got "
                f"{[len(part) for part in parts]} (image, mel, ids)"
            )
        return np.concatenate(parts, 1)

    def _projected(self, name: str, features: Array) -> Array:
        projection = getattr(self, name)
        if projection is None:
            raise ValueError(f"MuOmni: the folder of this model had no {name}{_SUFFIX}")
        x: Array = projection(features)
        return x[None] if x.ndim == 2 else x

    def generate(
        self,
        ids: npt.ArrayLike,
        image: ArrayInput | None = None,
        mel: ArrayInput | None = None,
        max_new_tokens: int = 64,
        *,
        temperature: float = 0.0,
        top_k: int | None = None,
        top_p: float = 1.0,
        rng: int | np.random.Generator | None = None,
        eos: int | None = _EOS,
    ) -> Iterator[int]:
        """Token ids that go on from the text `ids` (T,) and an image and a sound, one by one.

        Each comes as soon as it is known. temperature, top_k, top_p and rng as in Sampler: greedy
        unless a temperature is given. Ends in front of the token `eos`, after max_new_tokens, or
        when the Thinker's ctx is full.
        """
        sampler = Sampler(temperature, top_k, top_p, rng)
        integer("MuOmni", "max_new_tokens", max_new_tokens, 0)
        prompt = self.embed(ids, image, mel)
        if len(prompt) != 1 or prompt.shape[1] == 0:
            raise ValueError(
                f"MuOmni.generate(): one prompt of at least one token, got a batch of "
                f"{len(prompt)} with {prompt.shape[1]} positions"
            )
        cache = self.thinker.new_cache(1)
        hidden = self.thinker.hidden(embeddings=prompt, cache=cache)[:, -1:]
        return self._tokens(hidden, cache, max_new_tokens, sampler, eos)

    def _tokens(
        self, hidden: Array, cache: nn.KVCache, count: int, sampler: Sampler, eos: int | None
    ) -> Iterator[int]:
        for number in range(count):
            token = sampler(self.thinker.lm_head(hidden)[0, 0])
            if token == eos:
                return
            yield token
            if number + 1 == count or cache.length == self.thinker.ctx:
                return
            hidden = self.thinker.hidden(np.array([[token]]), cache=cache)

    # ---- speech ----------------------------------------------------------------------------

    def talk(
        self,
        frames: int,
        codes: npt.ArrayLike | None = None,
        *,
        temperature: float = 0.0,
        top_k: int | None = None,
        top_p: float = 1.0,
        rng: int | np.random.Generator | None = None,
    ) -> Iterator[npt.NDArray[np.int64]]:
        """`frames` frames of speech codes (base, residual), int64 (2,), one by one.

        They go on from `codes` (T, 2), one frame of zeros unless given. Each frame takes two
        choices, base first; temperature, top_k, top_p and rng as in Sampler.
        """
        sampler = Sampler(temperature, top_k, top_p, rng)
        integer("MuOmni", "frames", frames, 0)
        if self.talker.codebooks != 2:
            raise ValueError(
                f"MuOmni.talk(): the Talker gives two codes a frame, not {self.talker.codebooks}"
            )
        first: Any = np.zeros((1, 2), np.int64) if codes is None else codes
        first = integers(first, "MuOmni.talk", "codes", (2,), 2)
        if len(first) == 0:
            raise ValueError("MuOmni.talk(): argument 'codes' must have at least one frame")
        return self._frames(first, frames, sampler)

    def _frames(self, codes: Any, count: int, sampler: Sampler) -> Iterator[npt.NDArray[np.int64]]:
        cache = self.talker.new_cache(1)
        for _ in range(count):
            base, residual = self.talker(codes[None], cache=cache)
            codes = np.array([[sampler(base[0, -1]), sampler(residual[0, -1])]], np.int64)
            yield codes[0].copy()

    def synthesize(self, codes: npt.ArrayLike) -> Array:
        """Codes (T, codebooks) or (B, T, codebooks) to audio (samples,) or (B, samples).

        The mel that the codes stand for goes through the vocoder; samples are at its sample_rate.
        """
        mel = self.rvq.decode(codes)
        if mel.ndim not in (2, 3):
            raise ValueError(
                f"MuOmni.synthesize(): argument 'codes' must have 2 or 3 dimensions, "
                f"got {np.shape(codes)}"
            )
        audio: Array = self.vocoder(np.ascontiguousarray(np.swapaxes(mel, -1, -2)))
        return audio

    def speak(
        self,
        frames: int,
        codes: npt.ArrayLike | None = None,
        *,
        temperature: float = 0.0,
        top_k: int | None = None,
        top_p: float = 1.0,
        rng: int | np.random.Generator | None = None,
    ) -> Array:
        """`frames` frames of speech as audio (samples,): talk, then synthesize."""
        spoken = self.talk(
            frames, codes, temperature=temperature, top_k=top_k, top_p=top_p, rng=rng
        )
        return self.synthesize(np.array(list(spoken)).reshape(-1, 2))


def _configs(folder: str) -> dict[str, dict[str, Any]]:
    """The components' keywords, by name."""
    from forwardpass.io.folders import load_config
    from forwardpass.io.safetensors import load_metadata

    has_json = os.path.exists(os.path.join(folder, "config.json"))
    listed = load_config(folder) if has_json else {}
    found = {}
    for name in COMPONENTS:
        file = os.path.join(folder, name + _SUFFIX)
        text = load_metadata(file).get("config") if os.path.exists(file) else None
        config = listed.get(name, {}) if text is None else json.loads(text)
        config = config.get("config", config) if isinstance(config, dict) else config
        if not isinstance(config, dict):
            raise ValueError(f"{folder}: the config of {name} must be an object, got {config!r}")
        found[name] = config
    return found
