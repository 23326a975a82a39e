"""Tables and text that every terminal can print."""

from __future__ import annotations

import sys
from collections.abc import Iterable, Sequence

_ASCII = str.maketrans(
    {"├": "|", "└": "`", "│": "|", "─": "-", "→": ">", "…": ".", "×": "x", "–": "-", "·": "."}
)


def printable(text: str) -> str:
    """`text`, in ASCII of equal width if stdout cannot carry what it holds."""
    try:
        text.encode(getattr(sys.stdout, "encoding", None) or "utf-8")
    except (UnicodeEncodeError, LookupError):
        return text.translate(_ASCII).encode("ascii", "replace").decode("ascii")
    return text


def clean(text: str, limit: int = 100) -> str:
    """Names from strangers on one line: no control characters, not longer than `limit`."""
    text = text if len(text) <= limit else text[: limit - 1] + "…"
    if text.isprintable():
        return text
    return "".join(c if c.isprintable() else c.encode("unicode_escape").decode() for c in text)


def size_text(count: int) -> str:
    """Bytes as 512 B, 91.6 kB, 1.2 GB (powers of 1000)."""
    if count < 1000:
        return f"{count} B"
    value = float(count)
    for unit in ("kB", "MB", "GB", "TB", "PB"):
        value /= 1000
        if value < 999.95:
            return f"{value:.1f} {unit}"
    return f"{value / 1000:.1f} EB"


def shape(sizes: Sequence[int]) -> str:
    """(2, 3) as it is; a shape with very many dimensions is cut."""
    if len(sizes) > 12:
        return f"({', '.join(map(str, sizes[:12]))}, …: {len(sizes)} dimensions)"
    return str(tuple(sizes))


def table(
    head: Sequence[str], rows: Iterable[Sequence[str]], right: Sequence[int] = ()
) -> list[str]:
    """Lines of columns two spaces apart, `right` of them flush right, under a ruled head."""
    rows = [head, *rows]
    widths = [max(len(row[i]) for row in rows) for i in range(len(head))]
    lines = []
    for row in rows:
        cells = (
            cell.rjust(width) if i in right else cell.ljust(width)
            for i, (cell, width) in enumerate(zip(row, widths, strict=True))
        )
        lines.append("  ".join(cells).rstrip())
    rule = "─" * (sum(widths) + 2 * (len(widths) - 1))
    return [rule, lines[0], rule, *lines[1:], rule]


def branches(depths: Sequence[int]) -> list[str]:
    """What to draw in front of each line of a tree whose lines have these depths; roots are 0."""
    drawn = []
    more: dict[int, bool] = {}  # whether a later line continues the level, seen from below
    for depth in reversed(depths):
        bars = ["│  " if more.get(level) else "   " for level in range(1, depth)]
        if depth:
            bars.append("├─ " if more.get(depth) else "└─ ")
        more = {level: flag for level, flag in more.items() if level < depth} | {depth: True}
        drawn.append("".join(bars))
    return drawn[::-1]
