"""One run: every row, every contender, in turn."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass
from pathlib import Path

from benchmarks import curves, growth
from benchmarks.peers import PEERS, running
from benchmarks.peers.base import Contender
from benchmarks.peers.bus import Bus
from benchmarks.results import Cost, Measured, Point
from benchmarks.rows import Row
from benchmarks.servers import PeerError
from benchmarks.wires import LoadError

Say = Callable[[str], None]


@dataclass(frozen=True, slots=True)
class Plan:
    """How much is measured: *directory* is on the disk that is measured."""

    rounds: int
    seconds: float
    quick: bool
    directory: Path | None

    @property
    def longest_log(self) -> int:
        return 1_000_000 if self.quick else 10_000_000

    @property
    def largest_crowd(self) -> int:
        return 1_000 if self.quick else 10_000


def versions(plan: Plan) -> dict[str, str]:
    """What each running server says it is, or why it can't run."""
    return {peer.program: _version(Contender(peer, False), plan) for peer in PEERS}


def _version(contender: Contender, plan: Plan) -> str:
    try:
        with running(contender, plan.directory) as server:
            return contender.peer.version(server.port)
    except PeerError as error:
        return str(error)


def measure_rows(rows: Sequence[Row], plan: Plan, say: Say) -> dict[str, dict[str, Measured]]:
    """Every row in every round, the contenders in turn: a machine that is slow for a minute spoils no median."""
    found = {row.key: {str(each): Measured() for each in _contenders(row)} for row in rows}
    for number in range(plan.rounds):
        say(f"round {number + 1} of {plan.rounds}, medians so far")
        for row in rows:
            for each in _contenders(row):
                measured = found[row.key][str(each)]
                _measure(row, each, measured, plan)
                say(f"{row.key:18} {each!s:15} {measured.failed or _brief(row, measured)}")
    return found


def _contenders(row: Row) -> list[Contender]:
    peers = [row.bus if isinstance(peer, Bus) else peer for peer in PEERS]
    return [
        Contender(peer, synced)
        for synced in (True, False)
        for peer in peers
        if synced in row.syncs and peer.name in row.counted
    ]


def _measure(row: Row, contender: Contender, measured: Measured, plan: Plan) -> None:
    if measured.failed:
        return
    try:
        with running(contender, plan.directory) as server:
            measured.rounds.append(row.measure(server, plan.seconds))
    except (PeerError, LoadError, OSError) as error:
        measured.failed = str(error) or type(error).__name__


def _brief(row: Row, measured: Measured) -> str:
    figures = measured.figures
    return "  ".join(f"{name} {figures[name]:,.5g}" for name in (*row.figures, "server_cpu", "load_cpu"))


def measure_curves(plan: Plan, say: Say) -> dict[str, dict[str, list[Point]]]:
    """All curves."""
    say("curves")
    seconds = plan.seconds / 2
    return {
        "publishers": curves.publishers(plan.directory, seconds, say),
        "subscribers": curves.subscribers(plan.directory, seconds, say, most=plan.largest_crowd),
        "size": curves.sizes(plan.directory, seconds, say),
        "length": curves.lengths(plan.directory, say, most=plan.longest_log),
    }


def measure_costs(plan: Plan, lengths: curves.Curve, say: Say) -> list[Cost]:
    """What must stay small as work grows."""
    say("costs")
    return growth.costs(
        plan.directory,
        lengths,
        events=plan.longest_log // 10,
        subscribers=plan.largest_crowd,
        seconds=plan.seconds,
    )
