"""forwardpass against its peers, shape by shape: `python bench/bench.py --help`."""

from __future__ import annotations

import argparse
import json
import os
import sys
from collections.abc import Sequence
from pathlib import Path

import cases
import forwardpass as fp
import machine
import peers as peer_list
import report
from cases import Case
from contenders import Peer
from measure import Row, Setting, measure


def words(text: str) -> list[str]:
    return [word for word in text.split(",") if word]


def counts(text: str) -> list[int]:
    found = [int(word) for word in words(text)]
    if not found or min(found) < 1:
        raise argparse.ArgumentTypeError("thread counts are 1 or more")
    return found


def parser() -> argparse.ArgumentParser:
    p = argparse.ArgumentParser(description=__doc__)
    p.add_argument("--op", type=words, default=[], metavar="OPS", help=", ".join(cases.GROUPS))
    p.add_argument(
        "--shapes", type=words, default=[], metavar="PATTERNS", help="such as 64x384-1536,256x*"
    )
    p.add_argument("--threads", type=counts, default=[1], metavar="COUNTS", help="such as 1,2")
    p.add_argument("--isa", type=words, default=[], metavar="NAMES", help="default: the best here")
    p.add_argument("--peers", type=words, default=list(peer_list.NAMES), metavar="NAMES")
    p.add_argument("--outputs", choices=("fresh", "reused"), default="fresh")
    p.add_argument("--seconds", type=float, help="timing of a case, all contenders (default 1)")
    p.add_argument("--busy", type=int, default=0, metavar="N", help="beside N busy processes")
    p.add_argument("--quick", action="store_true", help="a few cases, a tenth of the time")
    p.add_argument("--json", type=Path, metavar="FILE", help="every number, for programs")
    p.add_argument("--plot", type=Path, metavar="FILE", help="roofline and bandwidth")
    p.add_argument("--list", action="store_true", help="name the cases and stop")
    return p


def run(
    chosen: Sequence[Case],
    settings: Sequence[Setting],
    peers: Sequence[Peer],
    seconds: float,
) -> list[Row]:
    """All cases at all settings, those of a case in a row. Ctrl-C ends with what there is."""
    rows: list[Row] = []
    names = [peer.name for peer in peers]
    progress = report.Progress(len(chosen) * len(settings))
    group = ""
    try:
        for case in chosen:
            arguments = case.build()
            for setting in settings:
                progress.show(f"{case.name}, {setting.isa}, {setting.threads} thr")
                row = measure(case, arguments, setting, peers, seconds)
                rows.append(row)
                if case.group != group:
                    progress.line(report.heading(row, names))
                    group = case.group
                progress.line(report.line(row, names))
                progress.step()
    except KeyboardInterrupt:
        progress.line("\ninterrupted")
    progress.clear()
    return rows


def main(argv: Sequence[str] | None = None) -> int:
    """0 done, 1 a result of ours was wrong, 2 bad usage."""
    p = parser()
    options = p.parse_args(argv)
    isas = options.isa or [fp.isa()]
    try:
        chosen = cases.select(options.op, options.shapes, options.quick)
        if set(isas) - set(fp.available_isas()):
            raise ValueError(f"--isa: this machine runs {', '.join(fp.available_isas())}")
        if options.list:
            print("\n".join(case.name for case in chosen))
            return 0
        peers, missing = peer_list.load(options.peers)
    except ValueError as error:
        p.error(str(error))
    seconds = options.seconds or (0.1 if options.quick else 1.0)
    settings = [Setting(isa, n, options.outputs) for isa in isas for n in options.threads]

    facts = machine.describe(peers, missing)
    print("\n".join(machine.lines(facts, sys.argv)), flush=True)
    text, facts["limits"] = machine.limit_lines(isas, options.threads)
    print("\n".join(text), flush=True)
    with machine.busy(options.busy):
        rows = run(chosen, settings, peers, seconds)
    for part in (
        report.notes(rows),
        report.kernels(rows),
        report.scaling(rows) if not options.busy else "",
        report.contention(rows, options.busy),
        report.summary(rows),
    ):
        if part:
            print(part)
    save(options, facts, rows)
    return 1 if any(row.failure for row in rows) else 0


def save(options: argparse.Namespace, facts: dict[str, object], rows: Sequence[Row]) -> None:
    if options.json:
        everything = {"machine": facts, "rows": [row.as_json() for row in rows]}
        options.json.write_text(json.dumps(everything, indent=1) + "\n", encoding="utf-8")
    if options.plot:
        try:
            import plot
        except ImportError as error:
            print(f"--plot: not drawn ({error})", file=sys.stderr)
        else:
            plot.draw(rows, facts, options.plot)


if __name__ == "__main__":
    try:
        sys.exit(main())
    except BrokenPipeError:  # `bench.py | head`
        os.dup2(os.open(os.devnull, os.O_WRONLY), sys.stdout.fileno())
        sys.exit(141)
