"""Stored events, the newest first: a page from some index back, and where the page after it begins.

The log is read forwards, so the way back is taken in windows, each before the one that was looked at:

    index      …      start ─────────▶ end
               ◀── window 3 ──│── window 2 ──│ 1 │ before

Each is about as many events as one read of the log takes, guessed by those looked at last; the first is the batch of
the last event. A window that turns out to be much larger than that is begun anew, nearer to its end. Reading ends when
the page is full, when the log is at its beginning, or behind the window in which ``LOOK`` was spent: what one page
costs is bounded, however few events match. Each ``yield`` is a place to let others have their turn.
"""

from __future__ import annotations

from asyncio import Future
from collections import deque
from collections.abc import Generator, Sequence
from dataclasses import dataclass, field

from bus.engine.administration import EventPage
from bus.engine.delivery.filtering import matching_next
from bus.engine.namespace import READ_BATCHES, READ_BYTES, Namespace
from bus.engine.reading.places import EVERYWHERE, Places
from bus.storage.batch import Batch
from bus.subject import Filter

PAGE_BYTES = 1024 * 1024
"""Bytes of frames that fill a page, however few events they are; the last one may go beyond."""

LOOK = 128 * READ_BYTES
"""What one page may cost, in bytes that are read."""

BATCH_COST = READ_BYTES // READ_BATCHES
"""What a batch costs beside its bytes."""

TOO_MUCH = 4 * READ_BYTES
"""The cost at which a window is begun anew."""


def newest_first(
    namespace: Namespace,
    wanted: Filter,
    *,
    before: int | None,
    limit: int,
    places: Places = EVERYWHERE,
    look: int = LOOK,
) -> Generator[Future[None] | None, None, EventPage]:
    """The page of at most *limit* events that *wanted* takes, from *before* back; those that have expired aren't there.

    They are in *places*. It costs about *look*. Raises `StorageError`.
    """
    end = namespace.next if before is None else min(before, namespace.next)
    now, stride, found, size = namespace.clock(), 1, list[bytes](), 0
    while look > 0 and end > namespace.first:
        place = places.before(end)
        end = max(place.next, namespace.first)
        if end == namespace.first:
            break
        start = max(end - stride, place.first, namespace.first)
        window = _Window(namespace, wanted, start, end, places=places, now=now)
        yield from window.look(limit - len(found), PAGE_BYTES - size)
        look -= window.cost
        if window.abandoned:
            stride = max(stride // 8, 1)
            continue
        found += [frame for _, frame in reversed(window.events)]
        size += window.size
        if window.full:
            return EventPage(found, _next(namespace, window.events[0][0]))
        stride = window.next_stride()
        end = window.start
    return EventPage(found, _next(namespace, end))


def _next(namespace: Namespace, index: int) -> int | None:
    return index if index > namespace.first else None


@dataclass(slots=True)
class _Window:
    """The events of *namespace* from ``start`` on and before ``end``, those that *wanted* takes and live at *now* (ns).

    Attributes:
        events: index and frame of the newest of them, in their order.
        size: bytes of their frames.
        cost: what it took.
        full: whether there may be more of them than were asked for.
        abandoned: whether it is larger than it seemed, and nothing came of it.
    """

    namespace: Namespace
    wanted: Filter
    start: int
    end: int
    places: Places = field(kw_only=True)
    now: int = field(kw_only=True)
    events: deque[tuple[int, bytes]] = field(default_factory=deque)
    size: int = 0
    cost: int = 0
    full: bool = False
    abandoned: bool = False

    def look(self, limit: int, room: int) -> Generator[Future[None] | None, None, None]:
        """Read it, and keep the newest *limit* events, or as many as take up *room* bytes."""
        index, single = self.start, self.start == self.end - 1
        while index < self.end and (batches := (yield from self._read(index))):
            if index == self.start:
                self.start = index = min(batches[0].first, index)
            index = self._take(batches, index, limit, room)
            if self.cost > TOO_MUCH and index < self.end and not single:
                self.abandoned = True
                return
            yield None

    def next_stride(self) -> int:
        """How many events before it probably cost as much as one read; at most twice as many as it has."""
        events = self.end - self.start
        return max(min(2 * events, events * READ_BYTES // max(self.cost, 1)), 1)

    def _read(self, index: int) -> Generator[Future[None] | None, None, Sequence[Batch]]:
        """What is read anew after retention has gone on is read from the beginning of the log."""
        while coming := self.namespace.bring(max(index, self.namespace.first)):
            yield coming
        return self.namespace.read(max(index, self.namespace.first))

    def _take(self, batches: Sequence[Batch], index: int, limit: int, room: int) -> int:
        """Take in what *batches* have, as far as a turn's work goes; returns the index to go on from."""
        batches = [batch for batch in batches if batch.first < self.end]
        if not batches:
            return self.end
        self.cost += sum(len(batch.frames) + BATCH_COST for batch in batches)
        likely = list(filter(self.places.may_have, batches))
        found, end = matching_next(likely, self.wanted, start=index, now=self.now)
        for event in found:
            if event[0] < self.end:
                self._keep(event, limit, room)
        return end if likely and end < likely[-1].next else batches[-1].next

    def _keep(self, event: tuple[int, bytes], limit: int, room: int) -> None:
        self.events.append(event)
        self.size += len(event[1])
        while len(self.events) > limit or (self.size > room and len(self.events) > 1):
            self.size -= len(self.events.popleft()[1])
            self.full = True
        self.full = self.full or len(self.events) == limit or self.size > room

    def __repr__(self) -> str:
        return f"<_Window [{self.start}, {self.end}) {len(self.events)} events>"
