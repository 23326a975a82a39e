"""Markdown tables of runs: `python bench/tables.py FILE ...`, files from `bench.py --json FILE`.

docs/benchmarks.md is made by it. Times are the least, in microseconds; `limit` is the share of the
FMA peak or of the read bandwidth measured in the same run; `ratio` the best peer's time over ours.
*At the limit* is the geometric mean that the ratios would have if every case of 10 us and more took
just as long as the machine's limit allows.
"""

from __future__ import annotations

import json
import math
import sys
from collections.abc import Iterator, Sequence
from itertools import groupby
from typing import Any

from report import TIE, micro

PEERS = {"numpy": "NumPy", "torch": "torch", "onnxruntime": "ONNX RT", "openvino": "OpenVINO"}
Row = dict[str, Any]


def heading(row: Row) -> tuple[str, str, int]:
    return row["group"], row["isa"], row["threads"]


def least(row: Row, name: str) -> str:
    return micro(row["times"][name]["minimum"]).strip() if name in row["times"] else "–"


def line(row: Row) -> str:
    share, kind = row["limit"]["share"], row["limit"]["kind"]
    limit = f"{100 * share:.0f} % {kind}" if kind else ""
    ratio = f"{row['ratio']:.2f}" if row["ratio"] else "–"
    peers = " | ".join(least(row, name) for name in PEERS)
    return f"| {row['shape']} | {least(row, 'ours')} | {limit} | {peers} | {ratio} |"


def attainable(rows: Sequence[Row]) -> float:
    """The geometric mean of the ratios with every case of 10 us or more at the machine's limit."""
    logs = []
    for row in rows:
        share = row["limit"]["share"]
        long = row["times"]["ours"]["minimum"] >= 1e-5 and share > 0
        logs.append(math.log(row["ratio"] / min(share, 1.0) if long else row["ratio"]))
    return math.exp(sum(logs) / len(logs))


def summary(rows: Sequence[Row]) -> Iterator[str]:
    yield "| op | set | threads | cases | below 0.97 | least | at | geometric mean | at the limit |"
    yield "|---|---|---:|---:|---:|---:|---|---:|---:|"
    for (group, isa, threads), found in groupby(rows, heading):
        raced = [row for row in found if row["ratio"]]
        ratios = {row["shape"]: row["ratio"] for row in raced}
        if not ratios:
            continue
        worst = min(ratios, key=ratios.__getitem__)
        mean = math.exp(sum(map(math.log, ratios.values())) / len(ratios))
        lost = sum(ratio < TIE for ratio in ratios.values())
        yield (
            f"| {group} | {isa} | {threads} | {len(ratios)} | {lost} | {ratios[worst]:.2f} "
            f"| {worst} | {mean:.2f} | {attainable(raced):.2f} |"
        )


def tables(rows: Sequence[Row]) -> Iterator[str]:
    for (group, isa, threads), found in groupby(rows, heading):
        yield f"\n### {group}, {isa}, {threads} thread{'s' if threads > 1 else ''}\n"
        yield f"| shape | µs | limit | {' | '.join(PEERS.values())} | ratio |"
        yield f"|---|---:|---:|{'---:|' * len(PEERS)}---:|"
        yield from (line(row) for row in found)


def without_call(row: Row) -> str:
    whole = row["times"]["ours"]["minimum"]
    kernel = whole - row["call"]
    needed = max(row["flop"] / row["rates"]["fma"], row["moved"] / row["rates"]["read"])
    rest = f"{micro(kernel).strip()} | {100 * needed / kernel:.0f} %" if kernel > 0 else "– | –"
    return f"| {row['shape']} | {micro(whole).strip()} | {micro(row['call']).strip()} | {rest} |"


def kernels(rows: Sequence[Row]) -> Iterator[str]:
    """One row, up to 1 MiB of weights: less the time of a layer of one weight in the same race."""
    short = [row for row in rows if row["call"]]
    if not short:
        return
    yield "\n### linear, one row and up to 1 MiB of weights, without the call\n"
    yield "The call: a layer of one weight in the same race. Differences below 0.2 µs say little."
    yield ""
    yield "| shape | µs | call | kernel | limit |"
    yield "|---|---:|---:|---:|---:|"
    yield from (without_call(row) for row in short)


def main(paths: Sequence[str]) -> int:
    if not paths:
        print(__doc__, file=sys.stderr)
        return 2
    rows: list[Row] = []
    for path in paths:
        with open(path, encoding="utf-8") as file:
            rows += json.load(file)["rows"]
    # sorted() keeps the order of the cases and of the groups' first appearance
    order = {group: i for i, group in reversed(list(enumerate(row["group"] for row in rows)))}
    rows.sort(key=lambda row: (row["isa"], row["threads"], order[row["group"]]))
    print("\n".join(summary(rows)))
    print("\n".join(tables(rows)))
    print("\n".join(kernels(rows)))
    return 0


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
