"""Text for every terminal: Unicode where stdout can carry it, else ASCII of equal width."""

from __future__ import annotations

import sys
from collections.abc import Sequence

SHADES = " ░▒▓█"  # from no ink to full ink
BARS = "▁▂▃▄▅▆▇█"
# One character for one: columns stay aligned.
_ASCII = str.maketrans(
    dict(zip(SHADES + BARS, " .:*#_.-:=+*#", strict=True))
    | {"µ": "u", "×": "x", "→": ">", "✓": "v", "✗": "X"}
)


def can_encode(encoding: str | None) -> bool:
    """Whether all our drawing characters survive in this encoding; all or none are used."""
    try:
        "".join(map(chr, _ASCII)).encode(encoding or "ascii")
    except (UnicodeEncodeError, LookupError):
        return False
    return True


def say(text: str = "") -> None:
    """print(), in ASCII if stdout cannot do better; what is foreign even then becomes a '?'."""
    encoding = getattr(sys.stdout, "encoding", None)
    if not can_encode(encoding):
        text = text.translate(_ASCII).encode("ascii", "replace").decode("ascii")
    print(text)


def bars(values: Sequence[float], low: float, high: float) -> str:
    """One block a value, its height between low and high; NaN is shown as '?'."""
    scale = (len(BARS) - 1) / (high - low) if high > low else 0.0
    heights = [(v - low) * scale + 0.5 for v in values]
    return "".join(BARS[min(max(int(h), 0), 7)] if h == h else "?" for h in heights)


def beside(blocks: Sequence[Sequence[str]], width: int, indent: str = "  ", gap: int = 2) -> str:
    """Blocks of lines side by side, as many in a row as `width` columns hold."""
    wide = max((len(line) for block in blocks for line in block), default=1)
    per_row = max(1, (width - len(indent) + gap) // (wide + gap))
    rows = []
    for start in range(0, len(blocks), per_row):
        lines = zip(*blocks[start : start + per_row], strict=True)
        joined = ((" " * gap).join(part.ljust(wide) for part in line) for line in lines)
        rows.append("\n".join((indent + line).rstrip() for line in joined))
    return "\n\n".join(rows)
