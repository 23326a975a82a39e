"""One case at one setting: check everyone, then race everyone and the machine's limits."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import asdict, dataclass, field
from typing import Any

import forwardpass as fp
import limits
from cases import Arguments, Case
from check import Expected, expected
from contenders import Contender, Peer, UnsupportedError, empty_call, ours
from forwardpass import _core
from forwardpass._timing import Times, race
from peers import quickest

SMALL = 17 << 16  # bytes: a weight of 1 MiB with what it meets; of one row the call is a good part
SETTLE = 0.03  # OpenBLAS's threads spin for about that long after their last work


@dataclass(frozen=True)
class Setting:
    isa: str
    threads: int
    outputs: str  # "fresh" or "reused"

    @property
    def reuse(self) -> bool:
        return self.outputs == "reused"


@dataclass
class Row:
    """A line of the table. Times in seconds; rates a second."""

    case: Case
    setting: Setting
    times: dict[str, Times] = field(default_factory=dict)  # "ours" and the peers
    ways: dict[str, str] = field(default_factory=dict)
    fresh_only: list[str] = field(default_factory=list)
    notes: dict[str, str] = field(default_factory=dict)  # why a peer is not in `times`
    rates: dict[str, float] = field(default_factory=dict)  # "fma", "read"
    call: float = 0.0  # an empty layer's time, where the call matters
    checked: float = 1.0
    failure: str = ""  # our result was wrong: nothing was timed

    @property
    def best_peer(self) -> str:
        peers = [name for name in self.times if name != "ours"]
        return min(peers, key=lambda name: self.times[name].minimum, default="")

    @property
    def ratio(self) -> float | None:
        """The best peer's minimum over ours."""
        best = self.best_peer
        if not best or "ours" not in self.times:
            return None
        return self.times[best].minimum / self.times["ours"].minimum

    @property
    def limit(self) -> tuple[float, str]:
        """(share of the machine's limit that we reach, what the limit is)."""
        least, kind = limits.limit(self.case.flop, self.case.moved, self.rates)
        return (least / self.times["ours"].minimum, kind) if kind and self.times else (0.0, "")

    def as_json(self) -> dict[str, Any]:
        share, kind = self.limit
        case = {n: getattr(self.case, n) for n in ("group", "shape", "op", "flop", "moved")}
        return {
            **case,
            **asdict(self.setting),
            "times": {name: times._asdict() for name, times in self.times.items()},
            **{n: getattr(self, n) for n in ("ways", "fresh_only", "notes", "rates")},
            "call": self.call,
            "checked": self.checked,
            "limit": {"share": share, "kind": kind},
            "best_peer": self.best_peer,
            "ratio": self.ratio,
            "failure": self.failure,
        }


def apply(setting: Setting, peers: Sequence[Peer]) -> None:
    _core._set_isa(setting.isa)
    fp.set_num_threads(setting.threads)
    for peer in peers:
        peer.use_threads(setting.threads)


def measure(
    case: Case, arguments: Arguments, setting: Setting, peers: Sequence[Peer], seconds: float
) -> Row:
    """The case at that setting. Arguments are shared by the settings of a case, never written."""
    apply(setting, peers)
    row = Row(case, setting)
    mine = ours(case, arguments, setting.reuse)
    result = mine.result()
    reference = expected(case, arguments, result.shape)
    row.checked = reference.share
    row.failure = reference.ours(result)
    del result
    if row.failure:
        return row
    settle = SETTLE if setting.threads > 1 else 0.0
    entries = {"ours": mine}
    for peer in peers:
        try:
            entries[peer.name] = _peer(peer, case, arguments, setting, reference, settle)
        except UnsupportedError as reason:
            row.notes[peer.name] = str(reason)
        except Exception as error:  # a peer's own failure is a fact about the peer, not an end
            row.notes[peer.name] = f"{type(error).__name__}: {str(error).splitlines()[0][:200]}"
    _race(row, entries, seconds, settle)
    return row


def _peer(
    peer: Peer,
    case: Case,
    arguments: Arguments,
    setting: Setting,
    reference: Expected,
    settle: float,
) -> Contender:
    ways = peer.contenders(case, arguments, setting.reuse)
    return quickest(ways, lambda way: reference.peer(way.result()), settle)


def _race(row: Row, entries: dict[str, Contender], seconds: float, settle: float) -> None:
    case = row.case
    probes = limits.probes(case.flop, case.moved, row.setting.threads)
    timers = {name: entry.timer() for name, entry in entries.items()}
    timers |= {f"limit {name}": probe.timer for name, probe in probes.items()}
    if case.group == "linear" and case.shape.startswith("1x") and case.moved <= SMALL:
        timers["call"] = empty_call(row.setting.reuse).timer()
    times = race(timers, seconds=seconds, settle=settle)
    row.times = {name: times[name] for name in entries}
    row.ways = {name: entry.way for name, entry in entries.items()}
    row.fresh_only = [name for name, entry in entries.items() if entry.fresh_only]
    row.rates = {name: probe.rate(times[f"limit {name}"]) for name, probe in probes.items()}
    row.call = times["call"].minimum if "call" in times else 0.0
