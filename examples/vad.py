"""Where somebody speaks in a wav file, with Silero VAD.

    pip install --no-deps silero-vad==6.2.3
    python examples/vad.py speech.wav --plot speech.png      # the plot needs forwardpass[plot]

The weights come from the package silero-vad, of which nothing is imported: it would bring torch.
The file must have 16 bits a sample and 16 kHz; of several channels the first is taken.
"""

from __future__ import annotations

import argparse
import sys
import time
import wave
from importlib.util import find_spec
from pathlib import Path

import numpy as np

from forwardpass import models
from forwardpass.models.vad import speech_segments


def weights() -> str:
    """Where the package has them."""
    spec = find_spec("silero_vad")
    if spec is None or not spec.submodule_search_locations:
        sys.exit("the weights: pip install --no-deps silero-vad==6.2.3, or --model FILE")
    return str(Path(spec.submodule_search_locations[0]) / "data" / "silero_vad_16k_op15.onnx")


def samples(path: str) -> np.ndarray:
    """A wav file as float32 in [-1, 1)."""
    with wave.open(path) as file:
        if file.getsampwidth() != 2 or file.getframerate() != 16000:
            sys.exit(f"{path}: needs 16 bits and 16 kHz; try: ffmpeg -i {path} -ar 16000 out.wav")
        raw = np.frombuffer(file.readframes(file.getnframes()), "<i2")
        return raw[:: file.getnchannels()].astype(np.float32) / np.float32(32768)


def plot(wav: np.ndarray, probabilities: np.ndarray, segments: list, path: str) -> None:
    import matplotlib.pyplot as plt

    figure, (above, below) = plt.subplots(2, sharex=True, figsize=(10, 4), layout="constrained")
    above.plot(np.arange(len(wav)) / 16000, wav, linewidth=0.3)
    below.step(np.arange(len(probabilities)) * 512 / 16000, probabilities, where="post")
    for start, stop in segments:
        for axis in (above, below):
            axis.axvspan(start / 16000, stop / 16000, alpha=0.2)
    above.set_ylabel("signal")
    below.set(ylabel="probability of speech", xlabel="seconds", ylim=(0, 1))
    figure.savefig(path)


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("wav")
    parser.add_argument("--model", metavar="FILE", help="an .onnx of the silero-vad package")
    parser.add_argument("--plot", metavar="FILE", help="a picture of signal and probabilities")
    options = parser.parse_args()
    vad, wav = models.load(options.model or weights()), samples(options.wav)
    start = time.perf_counter()
    state, found = None, []
    for at in range(0, len(wav), vad.chunk):  # as it would come from a microphone
        chunk = np.pad(wav[at : at + vad.chunk], (0, max(0, at + vad.chunk - len(wav))))
        probability, state = vad(chunk, state)
        found.append(probability)
    seconds = time.perf_counter() - start
    segments = speech_segments(found)
    for first, last in segments:
        print(f"{first / 16000:8.2f} s to {last / 16000:8.2f} s")
    print(f"{len(wav) / 16000:.1f} s of sound in {seconds * 1000:.1f} ms, {len(found)} chunks")
    if options.plot:
        plot(wav, np.array(found), segments, options.plot)


if __name__ == "__main__":
    main()
