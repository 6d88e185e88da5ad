"""A namespace, as those who deliver see it: one log, one order, whatever engine keeps it.

    stored ─▶ readers are served ─▶ whoever published is answered        in one turn of the loop

Those who keep up get what was stored just now; who reads at a pace of its own reads on from an index. What is at
the tail is read from memory.
"""

from __future__ import annotations

import time
from abc import ABC, abstractmethod
from asyncio import AbstractEventLoop, Future
from collections.abc import Callable, Sequence
from typing import ClassVar, Final, NamedTuple, Protocol

from bus.engine.administration import Latencies
from bus.engine.delivery.confirmations import Confirmations
from bus.engine.delivery.fan_out import FanOut
from bus.engine.delivery.single_events import SingleEvents
from bus.engine.delivery.tail_cache import TailCache
from bus.engine.guard import as_bus_error
from bus.errors import BusError
from bus.latency import Latency
from bus.storage.batch import Batch
from bus.subject import Filter

TAIL_BYTES: Final = 2 * 1024 * 1024
"""Frames kept in memory for those who read at the tail."""

READ_BYTES: Final = 256 * 1024
READ_BATCHES: Final = 64
"""How much is read at a time: less than half a millisecond's work, be the batches large or small."""


class Newest(NamedTuple):
    """Subjects with the index of their newest event, in the order of these, and the index to go on from."""

    subjects: Sequence[tuple[bytes, int]]
    next: int


class Publishers(Protocol):
    """Publishers who wait for one batch."""

    def answer(self, failure: BusError | None = None) -> None:
        """Tell each of them, once, that its events are stored, or what prevented it."""


class Namespace(ABC):
    """What is stored in one namespace, and who is told of it. An engine says how to read what is not in memory.

    *clock* tells the time, in ns since the epoch, by which events expire; *syncs* has how long
    syncs take, if there are any; *noted* is told of what is stored before anybody else is. ``published`` counts events,
    ``reads`` how often something was read that wasn't in memory.
    """

    reads_later: ClassVar[bool] = False
    """Whether what isn't in memory has to be fetched before it can be read (`bring`)."""

    # Slots, because CPython 3.11 shares the names of no more than 30 attributes, and looks others up more slowly.
    __slots__ = (
        "_loop", "_noted", "_single_events", "_tail", "clock", "committed_at", "confirmations",
        "latencies", "live", "name", "next", "published", "reads",
    )  # fmt: skip

    def __init__(
        self,
        name: str,
        *,
        next: int,
        loop: AbstractEventLoop,
        clock: Callable[[], int] = time.time_ns,
        syncs: Latency | None = None,
        noted: Callable[[Sequence[Batch]], None] | None = None,
    ) -> None:
        self.name = name
        self.next = next
        self.clock = clock
        self.live = FanOut(loop, clock=clock)
        self.confirmations = Confirmations()
        self.latencies = Latencies(name, Latency() if syncs is None else syncs)
        self.published = self.reads = 0
        self.committed_at = -1.0
        self._loop = loop
        self._noted = noted
        self._tail = TailCache(TAIL_BYTES)
        self._single_events = SingleEvents(self.read)

    # -- what an engine brings

    @property
    @abstractmethod
    def first(self) -> int:
        """Index of the oldest event left; ``next`` if there is none."""

    @abstractmethod
    def read_stored(self, index: int) -> Sequence[Batch]:
        """As `read`, from where the events are kept; *index* is before ``next``."""

    @abstractmethod
    def is_damaged(self, index: int) -> bool:
        """Whether the event at *index*, before ``first``, is stored and can't be read."""

    @abstractmethod
    def oldest_damage(self) -> int | None:
        """Where damage begins that reaches to the first event left; None if there is none."""

    @abstractmethod
    def find_id(self, event_id: str) -> Sequence[int]:
        """Indexes that may have this id, which a publisher chose, oldest first."""

    @abstractmethod
    def find_time(self, time: int) -> int:
        """An index before which no event was created at *time* (ns) or later."""

    @abstractmethod
    def newest(self, wanted: Filter, start: int, end: int, limit: int) -> Newest:
        """Subjects with their newest event, from index *start* on and before *end*, in order; about *limit*.

        Subjects that *wanted* doesn't take may be among them. There are none, and the index to go on from is *start*,
        as long as it isn't known. Raises `StorageError`.
        """

    @abstractmethod
    def when_newest_known(self, then: Callable[[], None]) -> None:
        """Call *then*, once, when `newest` may know more than it does."""

    # -- what is stored

    def read(self, index: int) -> Sequence[Batch]:
        """Committed batches from the one that holds *index* on, about `READ_BYTES`; none at the tail.

        If the event at *index* was deleted by retention or is damaged, they begin with the next that can be read.
        Raises `StorageError`.
        """
        if index >= self.next:
            return ()
        found = self._tail.read(index, READ_BYTES, READ_BATCHES)
        if not found:
            self.reads += 1
            found = self.read_stored(index)
        return found

    def bring(self, index: int) -> Future[None] | None:
        """What to wait for before `read` at *index*; None if that answers at once. It may have to be asked again."""
        return None

    def forget_read(self) -> None:
        """Read anew what is in memory: some of it was deleted."""
        self._tail = TailCache(TAIL_BYTES)
        self._single_events = SingleEvents(self.read)

    def frame(self, index: int) -> bytes | None:
        """The frame of the event at *index*: empty if it was deleted by itself, None if it isn't there (any more)."""
        return self._single_events.at(index) if self.first <= index < self.next else None

    def is_expired(self, index: int) -> bool:
        """Whether the event at *index* has expired, so that nobody is to get it any more."""
        return self.first <= index < self.next and self._single_events.expires(index) <= self.clock()

    def take_over(
        self,
        batches: Sequence[Batch],
        waiting: Sequence[Publishers],
        *,
        before: Callable[[], None] | None = None,
    ) -> None:
        """*batches* are stored, and count from now on, whatever befalls *before* or those who are told of it."""
        end = batches[-1].next
        self.published += end - self.next
        self.next = end
        self.committed_at = self._loop.time()
        self._tail.extend(batches)
        if self._noted:
            self._note(self._noted, batches)
        self._deliver(batches)
        try:
            if before:
                before()
            for publishers in waiting:
                publishers.answer()
        except Exception as error:
            told = as_bus_error(error, f"answering the publishers of namespace {self.name}")
            for publishers in waiting:
                publishers.answer(told)

    def _note(self, noted: Callable[[Sequence[Batch]], None], batches: Sequence[Batch]) -> None:
        try:
            noted(batches)
        except Exception as error:
            as_bus_error(error, f"noting what is new in namespace {self.name}")

    def _deliver(self, batches: Sequence[Batch]) -> None:
        """Readers come before publishers: what they wait for is under way for longer."""
        try:
            self.live.deliver(batches)
        except Exception as error:
            as_bus_error(error, f"delivering what is new in namespace {self.name}")

    def __repr__(self) -> str:
        return f"<{type(self).__name__} {self.name} [{self.first}, {self.next}) {len(self.live)} subscribers>"
