"""What must not grow with the work: memory, start-up, the latency of others."""

from __future__ import annotations

import multiprocessing
import socket
import time
from collections.abc import Iterator
from contextlib import ExitStack, contextmanager
from pathlib import Path

from benchmarks.curves import Curve
from benchmarks.loads import publish
from benchmarks.loads.deliver import subscribed
from benchmarks.peers import BUS, running
from benchmarks.peers.base import EVERYTHING, Contender, Running, event
from benchmarks.peers.bus import subscribe
from benchmarks.results import Cost
from benchmarks.wires import Wire, closed, drive

REPLAYS = 4


def costs(parent: Path | None, lengths: Curve, *, events: int, subscribers: int, seconds: float) -> list[Cost]:
    """All of them; *lengths* is the curve over the log's length."""
    contender = Contender(BUS, True)
    with running(contender, parent) as server:
        crowd = _idle(server, subscribers)
    with running(contender, parent) as server:
        publish.fill(server, events)
        return [*_of_length(lengths), *crowd, _slow_reader(server), _beside_replays(server, seconds, events)]


def _of_length(lengths: Curve) -> list[Cost]:
    ((*_, before, last),) = lengths.values()
    grown = round(last.figures["rss"] - before.figures["rss"], 1)
    return [
        Cost("memory", f"memory added as the log grows from {before.x:,} to {last.x:,} events", grown, "MB", 10.0),
        Cost("start-up", f"start-up with {last.x:,} events", last.figures["start"], "s", 1.0),
    ]


def _idle(running: Running, count: int) -> list[Cost]:
    """Memory of subscribers that wait, and how many of them get the next event."""
    before = running.server.megabytes
    with ExitStack() as stack:
        listeners = subscribed(running, stack, count)
        each = (running.server.megabytes - before) * 1000 / count
        asked = running.peer.exchange(event())
        publisher = Wire(running.port, asked.answer)
        closed([publisher], stack)
        publisher.send(asked.request)
        drive([publisher, *listeners], lambda: all(listener.count for listener in listeners))
    return [
        Cost("idle", f"memory of an idle subscriber, {count:,} held and each served", round(each, 2), "kB", 20.0),
    ]


def _slow_reader(running: Running) -> Cost:
    """Memory of a subscriber that wants the whole log and reads none of it."""
    before = running.server.megabytes
    with socket.create_connection(("127.0.0.1", running.port)) as reader:
        reader.sendall(subscribe(EVERYTHING, oldest=True))
        time.sleep(1)
        return Cost("backlog", "memory of a reader's backlog", round(running.server.megabytes - before, 2), "MB", 2.0)


def _beside_replays(running: Running, seconds: float, events: int) -> Cost:
    alone = publish.raw(running, seconds, connections=1)["p99"]
    with _replays(running, events):
        beside = publish.raw(running, seconds, connections=1)["p99"]
    title = (
        f"p99 of a publish beside {REPLAYS} full replays ({beside:.3g} ms), as a multiple of without ({alone:.3g} ms)"
    )
    return Cost("replays", title, round(beside / alone, 2), "×", 3.0)


@contextmanager
def _replays(running: Running, events: int) -> Iterator[None]:
    """A process that replays the log again and again, several times at once."""
    process = multiprocessing.Process(target=_replay, args=(running, events), daemon=True)
    process.start()
    try:
        time.sleep(0.2)
        yield
    finally:
        process.kill()
        process.join()


def _replay(running: Running, events: int) -> None:
    while True:
        _replay_once(running, events)


def _replay_once(running: Running, events: int) -> None:
    with ExitStack() as stack:
        readers = [running.peer.subscriber(running.port, EVERYTHING, oldest=True) for _ in range(REPLAYS)]
        closed(readers, stack)
        drive(readers, lambda: all(reader.count >= events for reader in readers))
