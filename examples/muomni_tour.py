"""A tour of μOmni: each component on a picture, a sound and a text, with shapes, values and times.

    python examples/muomni_tour.py [--folder WEIGHTS] [--plot vision.png] [--small]

Without a folder of weights the model is drawn at random: it then sees and says nothing sensible,
but runs as it would. --small takes sizes for which a second is enough. What each layer of the
vision encoder responds to, from the patches on, is shown as text, and with --plot (needs
matplotlib) as pictures.

The picture is examples/chapter/pagoda.safetensors (by danielbuechele, CC BY 2.0), the sound three
notes made here. How a waveform becomes a mel spectrogram is NumPy's business, not forwardpass's.
"""

from __future__ import annotations

import argparse
import time
from itertools import pairwise
from pathlib import Path
from typing import Any

import numpy as np

import forwardpass as fp
from forwardpass.models import muomni

PICTURE = Path(__file__).parent / "chapter" / "pagoda.safetensors"
RATE, WINDOW, HOP, MELS = 16000, 1024, 256, 128
SMALL = {
    "thinker": dict(vocab=500, n_layers=2, d=64, heads=4, ff=128, use_gqa=True),
    "audio_encoder": dict(d=48, heads=3, ff=96, layers=2),
    "vision_encoder": dict(img_size=64, patch=8, d=48, layers=3, heads=3, ff=96),
    "talker": dict(d=48, n_layers=2, n_heads=2, ff=96),
    "vocoder": dict(upsample_initial_channel=32),
}
SHADES = " .:-=+*#%@"


def picture(size: int) -> np.ndarray:
    """(3, size, size), 0 to 1: the pagoda's grey, cut square and brought to size, as three."""
    grey = fp.load_file(PICTURE)["picture"]
    side = min(grey.shape)
    square = grey[:side, :side].astype(np.float32) / np.float32(255)
    scaled = fp.nn.functional.interpolate(square[None, None], size=(size, size), mode="bilinear")
    return np.repeat(scaled[0], 3, axis=0)


def tune() -> np.ndarray:
    """C, E and G, a third of a second each."""
    t = np.arange(RATE // 3) / RATE
    return np.concatenate([np.sin(2 * np.pi * f * t) * np.exp(-4 * t) for f in (262, 330, 392)])


def mel_spectrogram(wave: np.ndarray) -> np.ndarray:
    """(frames, 128): logarithms of the energy in triangles that are even on the mel scale."""
    starts = range(0, len(wave) - WINDOW + 1, HOP)
    frames = np.stack([wave[s : s + WINDOW] for s in starts]) * np.hanning(WINDOW)
    energy = np.abs(np.fft.rfft(frames)) ** 2
    top = 2595 * np.log10(1 + RATE / 2 / 700)
    corners = 700 * (10 ** (np.linspace(0, top, MELS + 2) / 2595) - 1) * WINDOW / RATE
    bins = np.arange(energy.shape[1])
    rise = (bins - corners[:-2, None]) / (corners[1:-1] - corners[:-2])[:, None]
    fall = (corners[2:, None] - bins) / (corners[2:] - corners[1:-1])[:, None]
    triangles = np.clip(np.minimum(rise, fall), 0, None)
    return np.log10(energy @ triangles.T + 1e-6).astype(np.float32)


class Clock:
    """Says what each stage made of what, and how long it took the second time (packed, warm)."""

    def __call__(self, name: str, work: Any, times: int = 2) -> Any:
        for _ in range(times):
            start = time.perf_counter()
            result = work()
            taken = time.perf_counter() - start
        shapes = [np.shape(r) for r in (result if isinstance(result, tuple) else (result,))]
        print(f"  {name:<34}{' '.join(map(str, shapes)):<30}{1e3 * taken:>9.2f} ms")
        return result


def responses(encoder: Any, trace: Any) -> list[tuple[str, np.ndarray]]:
    """For each layer of the vision encoder, how strongly it responds at each place of the picture.

    The patches: the length of their vectors. A block: how far it moves each token's vector.
    """
    patches = trace["proj"].value[0]  # (d, rows, columns)
    side = patches.shape[-1]
    tokens = [trace[f"blocks.{i}"].value[0, 1:] for i in range(len(encoder.blocks))]  # no cls
    first = patches.reshape(len(patches), -1).T + encoder.pos[0, 1:]
    found = [("patches", np.sqrt((patches**2).sum(0)))]
    for i, (old, new) in enumerate(pairwise([first, *tokens])):
        found.append((f"block {i + 1}", np.sqrt(((new - old) ** 2).sum(-1)).reshape(side, side)))
    return found


def shaded(values: np.ndarray) -> list[str]:
    span = values.max() - values.min() or 1
    levels = ((values - values.min()) / span * (len(SHADES) - 1)).astype(int)
    return ["".join(2 * SHADES[level] for level in row) for row in levels]


def beside(maps: list[tuple[str, np.ndarray]], across: int = 3) -> str:
    """The maps as text, `across` of them side by side, each with its largest value."""
    lines = []
    for first in range(0, len(maps), across):
        group = maps[first : first + across]
        width = 2 * group[0][1].shape[1]
        heads = [f"{name}, up to {values.max():.3g}" for name, values in group]
        lines.append("   ".join(head.ljust(width) for head in heads))
        rows = zip(*(shaded(values) for _, values in group), strict=True)
        lines += ["   ".join(row) for row in rows]
    return "\n".join(f"  {line}".rstrip() for line in lines)


def plot(path: str, image: np.ndarray, maps: list[tuple[str, np.ndarray]]) -> None:
    from matplotlib.figure import Figure

    panels = [("picture", image[0]), *maps]
    across = min(7, len(panels))
    down = -(-len(panels) // across)
    figure = Figure(figsize=(2 * across, 2.3 * down), layout="constrained")
    axes = figure.subplots(down, across, squeeze=False).ravel()
    for axis in axes:
        axis.set_axis_off()
    for axis, (name, values) in zip(axes, panels, strict=False):
        axis.imshow(values, cmap="gray" if name == "picture" else "magma")
        axis.set_title(name)
    figure.savefig(path, dpi=120)
    print(f"\n{path}: what each layer responds to")


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__.split("\n")[0])
    parser.add_argument("--folder")
    parser.add_argument("--plot")
    parser.add_argument("--small", action="store_true")
    options = parser.parse_args()
    fp.manual_seed(0)
    if options.folder:
        model = muomni.MuOmni.from_folder(options.folder)
    else:
        model = muomni.MuOmni(**(SMALL if options.small else {}))
    muomni.breakdown(model)

    image, mel = picture(model.vision_encoder.img_size), mel_spectrogram(tune())
    ids = np.arange(1, 13)
    print(f"\n{fp.get_num_threads()} threads; shapes of what comes out, and times")
    clock = Clock()
    clock("vision encoder, a picture", lambda: model.vision_encoder(image))
    clock("audio encoder, a second of sound", lambda: model.audio_encoder(mel))
    prompt = clock("what the Thinker reads", lambda: model.embed(ids, image, mel))
    clock("Thinker, all of that", lambda: model.thinker(embeddings=prompt))
    cache = model.thinker.new_cache()
    model.thinker.hidden(embeddings=prompt, cache=cache)
    clock("Thinker, one more token", lambda: model.thinker(ids[None, :1], cache=cache), 5)
    codes = clock("RVQ, the sound as codes", lambda: model.rvq.encode(mel))
    clock("RVQ, the codes as sound", lambda: model.rvq.decode(codes))
    clock("Talker, the same codes", lambda: model.talker(codes))
    clock("vocoder, the same codes", lambda: model.synthesize(codes))

    print("\nText, drawn with seed 0:", end=" ", flush=True)
    for token in model.generate(ids, image, mel, 12, temperature=0.9, top_k=50, rng=0):
        print(token, end=" ", flush=True)
    audio = model.speak(8, temperature=1.0, rng=0)
    print(
        f"\nSpeech, 8 frames: {len(audio)} samples between {audio.min():.3f} and {audio.max():.3f}"
    )

    print("\nThe vision encoder, layer by layer")
    print(fp.summary(model.vision_encoder, image, depth=1))
    trace = fp.trace(model.vision_encoder, image[None])
    maps = responses(model.vision_encoder, trace)
    print("\nWhat each layer responds to: the patches' vectors, how far a block moves them")
    print(beside(maps))
    if options.plot:
        plot(options.plot, image, maps)


if __name__ == "__main__":
    main()
