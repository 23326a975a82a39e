"""Where somebody speaks, from the probabilities that a VAD gives."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any, NamedTuple

CHUNK, RATE = 512, 16000  # samples of a probability; a second


class Segment(NamedTuple):
    """Speech from sample `start` to before sample `stop`."""

    start: int
    stop: int


def speech_segments(
    probabilities: Sequence[float] | Any,
    threshold: float = 0.5,
    leave: float | None = None,
    min_speech: float = 0.25,
    min_silence: float = 0.1,
    pad: float = 0.03,
) -> list[Segment]:
    """Where there is speech, in samples, from the probabilities of a whole signal.

    Speech begins at a chunk of at least `threshold` and ends where the probability has been below
    `leave` (threshold - 0.15, at least 0.01) for `min_silence` seconds. What is shorter than
    `min_speech` seconds is left out; `pad` seconds are added at both ends, or half the gap to the
    neighbour.
    """
    size, rate = CHUNK, RATE
    leave = max(threshold - 0.15, 0.01) if leave is None else leave
    found: list[list[int]] = []
    start, quiet = -1, -1  # the first sample of speech; of silence within it
    for i, p in enumerate(probabilities):
        at = i * size
        if p >= threshold:
            start, quiet = (at if start < 0 else start), -1
        elif p < leave and start >= 0:
            quiet = at if quiet < 0 else quiet
            if at - quiet >= min_silence * rate:
                found.append([start, quiet])
                start, quiet = -1, -1
    end = len(probabilities) * size
    if start >= 0:
        found.append([start, end])
    found = [s for s in found if s[1] - s[0] > min_speech * rate]
    padded = int(pad * rate)
    edges = [0, *(stop for _, stop in found), end]
    starts = [*(start for start, _ in found), end]
    return [
        Segment(
            max(start - min(padded, (start - edges[i]) // 2 if i else padded), 0),
            min(
                stop + min(padded, (starts[i + 1] - stop) // 2 if i + 1 < len(found) else padded),
                end,
            ),
        )
        for i, (start, stop) in enumerate(found)
    ]
