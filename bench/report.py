"""The tables: a line for each case, and at the end what the lines amount to."""

from __future__ import annotations

import math
import sys
import time
from collections.abc import Iterable, Sequence

from measure import Row

TIE = 0.97  # a ratio below is a loss
SHORT = {"onnxruntime": "onnxrt"}
WIDTH = 22


class Progress:
    """A bar on stderr while it is a terminal; `line` prints above it."""

    def __init__(self, total: int) -> None:
        self._total, self._done = total, 0
        self._start = time.monotonic()
        self._shown = sys.stderr.isatty()

    def show(self, what: str) -> None:
        if not self._shown:
            return
        filled = 24 * self._done // max(self._total, 1)
        left = ""
        if self._done:
            rest = (time.monotonic() - self._start) / self._done * (self._total - self._done)
            left = f" {rest / 60:.0f}:{rest % 60:02.0f} left"[:12]
        bar = "#" * filled + "-" * (24 - filled)
        text = f"[{bar}] {self._done}/{self._total}{left}  {what}"
        print(f"\r\x1b[K{text[:100]}", end="", file=sys.stderr, flush=True)

    def line(self, text: str) -> None:
        self.clear()
        print(text, flush=True)

    def step(self) -> None:
        self._done += 1

    def clear(self) -> None:
        if self._shown:
            print("\r\x1b[K", end="", file=sys.stderr, flush=True)


def micro(seconds: float) -> str:
    """Microseconds, three significant digits, at most 7 characters wide."""
    value = seconds * 1e6
    if value >= 999.5:
        return f"{float(f'{value:.3g}'):.0f}"
    return f"{value:.{2 if value < 9.995 else 1 if value < 99.95 else 0}f}"


def rate(row: Row) -> str:
    """GFLOP/s where a case is products, else GB/s."""
    best = row.times["ours"].minimum
    if row.case.flop:
        return f"{row.case.flop / best / 1e9:.1f}"
    return f"{row.case.moved / best / 1e9:.1f}" if row.case.moved else ""


def heading(row: Row, peers: Sequence[str]) -> str:
    unit = "GFLOP/s" if row.case.flop else "GB/s" if row.case.moved else ""
    columns = "".join(f"{SHORT.get(name, name):>10}" for name in peers)
    return (
        f"\n{row.case.group}, {row.setting.outputs} outputs, times in microseconds\n"
        f"{'shape':<{WIDTH}}{'isa':>7}{'thr':>4}{'ours':>9}{'median':>9}{'spread':>7}"
        f"{unit:>9}{'limit':>10}{columns}{'ratio':>8}  best peer"
    )


def line(row: Row, peers: Sequence[str]) -> str:
    start = f"{row.case.shape:<{WIDTH}}{row.setting.isa:>7}{row.setting.threads:>4}"
    if row.failure:
        return f"{start}  WRONG RESULT: {row.failure}"
    mine = row.times["ours"]
    share, kind = row.limit
    limit = f"{100 * share:.0f}% {kind}" if kind else ""
    text = f"{start}{micro(mine.minimum):>9}{micro(mine.median):>9}{100 * mine.spread:>6.0f}%"
    text += f"{rate(row):>9}{limit:>10}"
    for name in peers:
        if name in row.times:
            star = "*" if name in row.fresh_only else ""
            text += f"{micro(row.times[name].minimum) + star:>10}"
        else:
            text += f"{'-':>10}"
    ratio = row.ratio
    if ratio is not None:
        text += f"{ratio:>8.2f}  {row.best_peer}" + ("  LOSS" if ratio < TIE else "")
    return text


def _keys(rows: Iterable[Row]) -> dict[tuple[str, str, int], list[Row]]:
    found: dict[tuple[str, str, int], list[Row]] = {}
    for row in rows:
        if row.ratio is not None:
            key = (row.case.group, row.setting.isa, row.setting.threads)
            found.setdefault(key, []).append(row)
    return found


def summary(rows: Sequence[Row]) -> str:
    """Losses, and the least and the geometric mean of the ratios of each op."""
    text = ["\nratio = the best peer's minimum / ours; a loss is a ratio below 0.97"]
    head = f"{'op':<{WIDTH}}{'isa':>7}{'thr':>4}{'cases':>7}{'losses':>8}{'least':>8}"
    text += [head + f"{'geo mean':>10}  least at"]
    for (group, isa, threads), members in _keys(rows).items():
        ratios = {row.case.shape: row.ratio or 0.0 for row in members}
        worst = min(ratios, key=ratios.__getitem__)
        mean = math.exp(math.fsum(map(math.log, ratios.values())) / len(ratios))
        lost = sum(ratio < TIE for ratio in ratios.values())
        text += [
            f"{group:<{WIDTH}}{isa:>7}{threads:>4}{len(ratios):>7}{lost:>8}"
            f"{ratios[worst]:>8.2f}{mean:>10.2f}  {worst}"
        ]
    losses = [row for row in rows if row.ratio is not None and row.ratio < TIE]
    text += [f"\nlosses: {len(losses)}"]
    for row in sorted(losses, key=lambda row: row.ratio or 0.0):
        best = row.times[row.best_peer].minimum
        text += [
            f"  {row.ratio:.2f}  {row.case.name}, {row.setting.isa}, {row.setting.threads} thr: "
            f"{micro(row.times['ours'].minimum)} against {micro(best)} us of {row.best_peer} "
            f"({row.ways[row.best_peer]})"
        ]
    wrong = [row for row in rows if row.failure]
    text += [f"WRONG RESULT  {row.case.name}, {row.setting}: {row.failure}" for row in wrong]
    return "\n".join(text)


def notes(rows: Sequence[Row]) -> str:
    """What peers could not do, each reason once with how many cases it met."""
    counts: dict[tuple[str, str, str], int] = {}
    for row in rows:
        for peer, reason in row.notes.items():
            key = (peer, row.case.group, reason)
            counts[key] = counts.get(key, 0) + 1
        for peer in row.fresh_only:
            key = (peer, row.case.group, "* fresh output: it takes none to reuse")
            counts[key] = counts.get(key, 0) + 1
    text = [f"  {peer}, {group}: {why} ({n})" for (peer, group, why), n in counts.items()]
    return "\n".join(["\nnot done by peers (cases):", *text]) if text else ""


def _pairs(rows: Sequence[Row]) -> list[tuple[Row, Row]]:
    """(one thread, several) of the same case and instruction set."""
    one = {(r.case.name, r.setting.isa): r for r in rows if r.setting.threads == 1 and r.times}
    several = [r for r in rows if r.setting.threads > 1 and r.times]
    found = ((one.get((r.case.name, r.setting.isa)), r) for r in several)
    return [(a, b) for a, b in found if a is not None]


def scaling(rows: Sequence[Row]) -> str:
    """Speed-up against one thread over the FMA peak's own, where one thread takes 1 ms or more."""
    text = []
    for one, several in _pairs(rows):
        if one.times["ours"].minimum < 1e-3 or "fma" not in one.rates:
            continue
        gained = one.times["ours"].minimum / several.times["ours"].minimum
        machine = several.rates["fma"] / one.rates["fma"]
        text += [
            f"{one.case.name:<34}{several.setting.isa:>7}{several.setting.threads:>4}"
            f"{gained:>9.2f}{machine:>9.2f}{gained / machine:>9.2f}"
        ]
    head = f"{'case':<34}{'isa':>7}{'thr':>4}{'ours':>9}{'fma':>9}{'share':>9}"
    return "\n".join(["\nspeed-up over one thread", head, *text]) if text else ""


def kernels(rows: Sequence[Row]) -> str:
    """One row times up to 1 MiB of weights: what is left without the call."""
    text = []
    for row in (row for row in rows if row.call):
        whole, rates = row.times["ours"].minimum, row.rates
        rest = whole - row.call
        least = max(row.case.flop / rates["fma"], row.case.moved / rates["read"])
        kernel = f"{micro(rest):>9}{100 * least / rest:>7.0f}%" if rest > 0 else f"{'none':>9}"
        text += [
            f"{row.case.shape:<{WIDTH}}{row.setting.isa:>7}{row.setting.threads:>4}"
            f"{micro(whole):>9}{micro(row.call):>9}{kernel}"
        ]
    head = f"{'shape':<{WIDTH}}{'isa':>7}{'thr':>4}{'ours':>9}{'call':>9}{'kernel':>9}{'limit':>8}"
    return "\n".join(["\nlinear, one row, without the call", head, *text]) if text else ""


def contention(rows: Sequence[Row], busy: int) -> str:
    """Mean time with several threads over the mean with one, beside busy processes."""
    text = []
    for one, several in _pairs(rows) if busy else []:
        shared = [name for name in several.times if name in one.times]
        ratios = (f"{n} {several.times[n].mean / one.times[n].mean:.2f}" for n in shared)
        start = f"{one.case.name:<34}{several.setting.isa:>7}{several.setting.threads:>4}  "
        text += [start + ", ".join(ratios)]
    title = f"\nbeside {busy} busy process(es): mean time with several threads / with one"
    return "\n".join([title, *text]) if text else ""
