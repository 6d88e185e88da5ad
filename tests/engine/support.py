"""What the tests of the engine share: a loop that is driven turn by turn, sinks that remember, logs in memory."""

from __future__ import annotations

import asyncio
from array import array
from collections.abc import Callable, Generator, Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any, TypeVar

from bus.engine.base import Outcome, Settled, Subscription
from bus.engine.consumer.delivery import GivenUp
from bus.engine.consumer.subscription import ConsumerSubscription, SharedConsumer
from bus.engine.embedded.duplicates import Duplicates
from bus.engine.embedded.group_commit import Committed, Committer, InlineCommitter
from bus.engine.embedded.log_namespace import LogNamespace
from bus.engine.embedded.subjects.store import SubjectStore
from bus.engine.embedded.subjects.table import SubjectTable
from bus.errors import BusError, DiskFullError
from bus.event import index_in
from bus.frame import encode_extra, encode_frame
from bus.namespace import Compact
from bus.storage import Batch, Cipher, FileSystem, Log, MemoryFiles
from bus.storage.batch import narrow
from bus.wire import Durability

T = TypeVar("T")


class ManualLoop(asyncio.SelectorEventLoop):
    """A loop that goes round when it is told to, by a clock that stands still until it is told to."""

    def __init__(self) -> None:
        self.now = 1000.0
        super().__init__()

    def time(self) -> float:
        return self.now

    def __enter__(self) -> ManualLoop:
        return self

    def __exit__(self, *error: object) -> None:
        self.close()

    def turn(self, turns: int = 1) -> None:
        """Go round so many times."""
        for _ in range(turns):
            self.call_soon(self.stop)
            self.run_forever()

    def advance(self, seconds: float) -> None:
        """Let time pass, and what is due by then be done."""
        self.now += seconds
        self.turn(3)


class RecordingSink:
    """A sink that remembers what it was sent; it is full once it has taken *room* bytes."""

    def __init__(self, room: float = float("inf")) -> None:
        self.room = room
        self.writes: list[bytes] = []
        self.again: list[Callable[[], bytes] | None] = []
        self.told: list[tuple[str, Mapping[str, Any]]] = []
        self.ended: list[str] = []
        self.interrupted: list[str] = []
        self.failed: list[BusError] = []

    @property
    def writable(self) -> bool:
        return self.room > 0

    def write(self, data: bytes, again: Callable[[], bytes] | None = None) -> None:
        self.room -= len(data)
        self.writes.append(data)
        self.again.append(again)

    def tell(self, kind: str, data: Mapping[str, Any]) -> None:
        self.told.append((kind, data))

    def end(self, reason: str) -> None:
        self.ended.append(reason)

    def interrupt(self, why: str) -> None:
        self.interrupted.append(why)

    def fail(self, error: BusError) -> None:
        self.failed.append(error)

    @property
    def ids(self) -> list[str]:
        lines = b"".join(self.writes).splitlines()
        return [line[4:].decode() for line in lines if line.startswith(b"id: ")]

    @property
    def indexes(self) -> list[int]:
        """Of the events it was sent, whose ids are made by `event_id`."""
        return [index_in(found) or 0 for found in self.ids]


class RecordingOwner:
    """An owner of consumers that remembers what it was told; it settles at once with *error*."""

    def __init__(self, error: BusError | None = None) -> None:
        self.error = error
        self.gone: list[ConsumerSubscription] = []
        self.buried: list[tuple[int, str]] = []
        self.changes = 0

    def left(self, subscription: ConsumerSubscription) -> None:
        self.gone.append(subscription)

    def given_up(self, consumer: SharedConsumer, gone: GivenUp, settled: Settled) -> None:
        self.buried.append((gone.delivery.index, gone.reason))
        settled(self.error)

    def acknowledged(self, consumer: SharedConsumer, indexes: Sequence[int], settled: Settled) -> None:
        settled(None)

    def changed(self, consumer: SharedConsumer) -> None:
        self.changes += 1


class ToldCommitter:
    """Commits when it is told to, as much as it is told to."""

    patience = 0.0

    def __init__(self) -> None:
        self.waiting: tuple[Sequence[Batch], Committed] | None = None
        self.append: Callable[[Batch], None]

    def commit(self, batches: Sequence[Batch], committed: Committed) -> None:
        assert self.waiting is None, "one commit at a time"
        self.waiting = batches, committed

    def finish(self, stored: int | None = None) -> None:
        """Store so many of the batches, all by default; the disk is full for the others."""
        assert self.waiting
        (batches, committed), self.waiting = self.waiting, None
        stored = len(batches) if stored is None else min(stored, len(batches))
        for found in batches[:stored]:
            self.append(found)
        committed(stored, None if stored == len(batches) else DiskFullError("the disk is full: make room"))

    def maintain(self, work: Callable[[], None]) -> None:
        work()

    def close(self) -> None:
        """Nothing is under way."""


@dataclass(slots=True)
class Publishing:
    """Waits for events to be stored."""

    outcomes: list[Outcome] = field(default_factory=list)
    durability: Durability | None = None
    failure: BusError | None = None

    def stored(self, outcomes: Sequence[Outcome], durability: Durability) -> None:
        self.outcomes.extend(outcomes)
        self.durability = durability

    def failed(self, error: BusError) -> None:
        self.failure = error


@dataclass(slots=True)
class Subscribing:
    """Waits for a subscription."""

    subscription: Subscription | None = None
    failure: BusError | None = None

    def opened(self, subscription: Subscription) -> None:
        self.subscription = subscription

    def refused(self, error: BusError) -> None:
        self.failure = error

    def start(self) -> Subscription:
        """The subscription, which is there, started."""
        assert self.subscription
        self.subscription.start()
        return self.subscription


def event_id(index: int) -> str:
    """An id as Bus makes it."""
    return f"e_{index:012x}0000000000"


def batch(
    first: int, subjects: Sequence[str], *, payload: bytes = b"1", key: str = "", created_at: str = "", time: int = 0,
    expires: Sequence[int] = (),
) -> Batch:  # fmt: skip
    """A batch with one event on each of *subjects*; *expires* has a time for each, or is empty."""
    frames = [
        encode_frame(event_id(index), subject.encode(), payload, created_at, index, encode_extra(key=key))
        for index, subject in enumerate(subjects, first)
    ]
    names = tuple(dict.fromkeys(subject.encode() for subject in subjects))
    numbers = {name: number for number, name in enumerate(names)}
    which = narrow([numbers[subject.encode()] for subject in subjects], len(names))
    return Batch(
        first,
        first + len(frames),
        time,
        b"".join(frames),
        array("I", map(len, frames)),
        names,
        which,
        bool(key),
        (),
        array("q", expires) if expires else (),
    )


def open_namespace(
    loop: asyncio.AbstractEventLoop,
    *,
    files: FileSystem | None = None,
    segment_bytes: int = 1 << 20,
    quota: int | None = None,
    compact: Compact | None = None,
    cipher: Cipher | None = None,
    duplicates: Duplicates | None = None,
    committer: Committer | None = None,
    keys: int = 0,
) -> LogNamespace:
    """A namespace ``app`` whose log is in memory."""
    store = Log.open(Path("/log"), files=files or MemoryFiles(), cipher=cipher, segment_bytes=segment_bytes)
    subjects = SubjectTable("app", store, SubjectStore(None, sync=False), loop)
    subjects.open()
    return LogNamespace(
        "app",
        store,
        committer or InlineCommitter(store),
        Duplicates("app", size=keys, ttl=None) if duplicates is None else duplicates,
        durability=Durability.OS,
        quota=quota,
        subjects=subjects,
        compact=compact,
        loop=loop,
    )


def store(namespace: LogNamespace, *batches: Batch) -> None:
    """Bring *batches* into the log, and let those who follow have them."""
    for found in batches:
        namespace.store.append(found)
    namespace.take_over(batches, ())


def fill(namespace: LogNamespace, count: int, *, subject: str = "app.a", payload: bytes = b"1") -> None:
    """Store *count* events, each in a batch of its own."""
    for _ in range(count):
        store(namespace, batch(namespace.next, [subject], payload=payload))


def finish(pieces: Generator[object, None, T]) -> tuple[T, int]:
    """Do work that is done in pieces; returns what comes of it, and how many times it stopped for others."""
    stops = 0
    while True:
        try:
            next(pieces)
        except StopIteration as end:
            found: T = end.value
            return found, stops
        stops += 1
