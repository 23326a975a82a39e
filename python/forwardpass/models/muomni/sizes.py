"""How many parameters the components have, beside the numbers of the book's chapter."""

from __future__ import annotations

import sys
from typing import TYPE_CHECKING, TextIO

from .whole import COMPONENTS, MuOmni

if TYPE_CHECKING:
    from collections.abc import Mapping

# What the chapter's table says; it leaves the vocoder out.
CHAPTER = {
    "thinker": ("Thinker", "60–80M"),
    "audio_encoder": ("Audio encoder", "10–15M"),
    "vision_encoder": ("Vision encoder", "15–20M"),
    "talker": ("Talker", "10–15M"),
    "rvq": ("RVQ codec", "100K"),
    "vocoder": ("Vocoder", "–"),
}
TOTAL = "120–140M"


def count(model: MuOmni | None = None) -> Mapping[str, int]:
    """Parameters of each component by name, of the default sizes or a model; draws none."""
    parts = {
        name: part() if model is None else getattr(model, name) for name, part in COMPONENTS.items()
    }
    return {name: sum(p.numel() for p in part.parameters()) for name, part in parts.items()}


def breakdown(model: MuOmni | None = None, file: TextIO | None = None) -> None:
    """Print the chapter's table beside the parameters counted, of the default sizes or a model.

    >>> from forwardpass.models import muomni
    >>> muomni.breakdown()
    component          chapter        counted   share
    Thinker             60–80M     99,893,760   77.5 %
    Audio encoder       10–15M      2,209,088    1.7 %
    Vision encoder      15–20M      5,524,224    4.3 %
    Talker              10–15M     19,028,992   14.8 %
    RVQ codec             100K         32,960    0.0 %
    Vocoder                  –      2,204,065    1.7 %
    total             120–140M    128,893,089  100.0 %
    """
    counted = count(model)
    total = sum(counted.values())
    lines = [f"{'component':<15}{'chapter':>11}{'counted':>15}{'share':>8}"]
    rows = [(*CHAPTER[name], number) for name, number in counted.items()]
    for title, said, number in (*rows, ("total", TOTAL, total)):
        lines.append(f"{title:<15}{said:>11}{number:>15,}{100 * number / total:>7.1f} %")
    print("\n".join(lines), file=sys.stdout if file is None else file)
