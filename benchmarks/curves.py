"""How figures change as work grows: curves, not points."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Iterator, Sequence
from pathlib import Path

from benchmarks.loads import deliver, publish
from benchmarks.peers import BUS, PEERS, running
from benchmarks.peers.base import EVERYTHING, Contender, Running
from benchmarks.results import Point
from benchmarks.servers import PeerError, free_port, serving, work_directory
from benchmarks.stats import Figures
from benchmarks.wires import LoadError

Curve = dict[str, list[Point]]
Say = Callable[[str], None]

PUBLISHERS = (1, 3, 10, 32, 100, 300, 1000)
SUBSCRIBERS = (1, 10, 100, 1000, 10_000)
SIZES = (100, 1_000, 10_000, 100_000, 1_000_000)
LENGTHS = (10_000, 100_000, 1_000_000, 10_000_000)
SIZED_CONNECTIONS = 8
DELIVERIES = 2_000_000
"""How many deliveries a point of the subscribers' curve is made of, about."""


def _curve(
    contenders: Iterable[Contender],
    steps: Sequence[int],
    measure: Callable[[Running, int], Figures],
    parent: Path | None,
    say: Say,
) -> Curve:
    """The points of each contender, each measured on an empty server."""
    return {str(each): list(_points(each, steps, measure, parent, say)) for each in contenders}


def _points(
    contender: Contender,
    steps: Sequence[int],
    measure: Callable[[Running, int], Figures],
    parent: Path | None,
    say: Say,
) -> Iterator[Point]:
    for step in steps:
        try:
            with running(contender, parent) as server:
                yield Point(step, measure(server, step))
            say(f"  {contender} at {step:,}")
        except (PeerError, LoadError, OSError) as error:
            say(f"  {contender} at {step:,}: {error}")
            return


def publishers(parent: Path | None, seconds: float, say: Say) -> Curve:
    """Publishers that wait, 1 to 1,000."""
    contenders = [Contender(peer, True) for peer in PEERS] + [Contender(BUS, False)]

    def measure(running: Running, count: int) -> Figures:
        return publish.waiting(running, seconds, connections=count)

    return _curve(contenders, PUBLISHERS, measure, parent, say)


def sizes(parent: Path | None, seconds: float, say: Say) -> Curve:
    """Events of 100 bytes to 1 MB from 8 publishers that wait."""

    def measure(running: Running, size: int) -> Figures:
        figures = publish.raw(running, seconds, connections=SIZED_CONNECTIONS, size=size)
        return figures | {"megabytes": round(figures["rate"] * size / 1e6, 2)}

    return _curve([Contender(peer, True) for peer in PEERS], SIZES, measure, parent, say)


def subscribers(parent: Path | None, seconds: float, say: Say, *, most: int) -> Curve:
    """1 to *most* subscribers: deliveries of a burst, and latencies until the last of them has an event."""

    def measure(running: Running, count: int) -> Figures:
        events = max(DELIVERIES // max(count, 10), 20) // 2 * 2
        last = deliver.to_the_last(running, seconds, subscribers=count)
        burst = deliver.fan_out(running, seconds, subscribers=count, events=events)
        return burst | {name: last[name] for name in ("p50", "p99", "p999")}

    steps = [step for step in SUBSCRIBERS if step <= most]
    return _curve([Contender(BUS, True)], steps, measure, parent, say)


def lengths(parent: Path | None, say: Say, *, most: int) -> Curve:
    """A log of 10,000 to *most* events: publishing to it, starting on it, replaying it."""
    points, contender, stored = list[Point](), Contender(BUS, False), 0
    with work_directory(parent) as directory:
        for length in (step for step in LENGTHS if step <= most):
            figures = _grow(contender, directory, length - stored)
            stored = length
            points.append(Point(length, figures | _restart(contender, directory, length)))
            say(f"  log of {length:,}")
    return {str(contender): points}


def _grow(contender: Contender, directory: Path, events: int) -> Figures:
    port = free_port()
    with serving(contender.peer.command(directory, port, synced=False), port, directory) as server:
        figures = publish.pipelined(Running(contender, server), 1000.0, events=events)
        return {"publish": figures["rate"], "rss": figures["rss"]}


def _restart(contender: Contender, directory: Path, events: int) -> Figures:
    port = free_port()
    with serving(contender.peer.command(directory, port, synced=False), port, directory) as server:
        read = deliver.read(Running(contender, server), EVERYTHING, events, wanted=events)
        costs = {"start": round(server.started, 3), "rss_after_replay": server.megabytes}
        return costs | {name: read[name] for name in ("rate", "server_cpu")}
