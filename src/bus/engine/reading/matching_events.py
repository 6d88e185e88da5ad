"""Counting events that a filter takes, and going so many on or back.

Events are counted by the tables of their batches, a piece of the log at a time: each ``yield`` here is a place to let
others have their turn, or to wait for what has to be fetched. What can't be read isn't there.
"""

from __future__ import annotations

from asyncio import Future
from collections.abc import Generator, Sequence
from dataclasses import dataclass, field, replace
from itertools import islice

from bus.engine.base import Subscribe
from bus.engine.delivery.filtering import Counted, count_next, matching
from bus.engine.namespace import Namespace
from bus.engine.reading.places import EVERYWHERE, Places
from bus.engine.reading.snapshot import Snapshot
from bus.engine.start import StartKind, StartPoint
from bus.errors import StorageError
from bus.storage.batch import Batch
from bus.subject import Filter
from bus.units import BEGINNING

STRIDE = 1024
"""How many events are looked through first on the way back; then twice as many, and so on."""

Pieces = Generator[Future[None] | None, None, int]
"""Work in pieces, and the number that comes of it."""


def settle_start(
    namespace: Namespace, wanted: Subscribe, places: Places = EVERYWHERE
) -> Generator[Future[None] | None, None, Subscribe]:
    """*wanted* with the index in the place of a start that counts events back from the end, as far as they will come.

    They are in *places*.
    """
    if wanted.start.kind is not StartKind.BACK:
        return wanted
    now = BEGINNING if wanted.expired else namespace.clock()
    events = MatchingEvents(namespace, wanted.filter, places=places, now=now)
    index = yield from events.step(namespace.next, -wanted.start.events)
    return replace(wanted, start=StartPoint(StartKind.INDEX, index=index))


@dataclass(frozen=True, slots=True)
class MatchingEvents:
    """The events of *namespace* that *wanted* takes, which are in *places*, and haven't expired by *now* (ns)."""

    namespace: Namespace
    wanted: Filter
    places: Places = field(default=EVERYWHERE, kw_only=True)
    now: int = field(default=BEGINNING, kw_only=True)

    def count(self, start: int, end: int) -> Pieces:
        """How many there are from index *start* on and before *end*."""
        found = 0
        while start < end and (batches := (yield from self._read(start))):
            counted = self._count(batches, start, end)
            found, start = found + counted.events, counted.end
            yield None
        return found

    def count_newest(self, start: int, end: int) -> Pieces:
        """Of how many subjects the newest event is there; as far as that isn't known yet, how many events are."""
        snapshot, found = Snapshot(self.namespace, self.wanted, end=end), 0
        while start < end:
            subjects, following = snapshot.subjects(start)
            if following == start:
                return found + (yield from self.count(start, end))
            found, start = found + len(subjects), following
            yield None
        return found

    def step(self, origin: int, events: int) -> Pieces:
        """The index that lies so many *events* on from *origin*, or back; an end of the log if there are fewer."""
        return (yield from self._on(origin, events) if events >= 0 else self._back(origin, -events))

    def _on(self, start: int, events: int) -> Pieces:
        while events and (batches := (yield from self._read(start))):
            passed = self._count(batches, start, self.namespace.next)
            if passed.events >= events:
                left = filter(self.places.may_have, batches)
                last = next(islice(matching(left, self.wanted, start=start, now=self.now), events - 1, None))
                return last[0] + 1
            start, events = passed.end, events - passed.events
            yield None
        return start

    def _back(self, end: int, events: int) -> Pieces:
        stride, oldest = STRIDE, end
        while events and (place := self.places.before(end)).next > self.namespace.first:
            end = place.next
            start = max(end - stride, place.first, self.namespace.first)
            passed = yield from self.count(start, end)
            if passed:
                behind = yield from self._on(start, max(passed - events, 0) + 1)
                oldest = behind - 1
            end, events, stride = start, max(events - passed, 0), 2 * stride
        return oldest if self.places is not EVERYWHERE or not events else self.namespace.first

    def _read(self, index: int) -> Generator[Future[None] | None, None, Sequence[Batch]]:
        while coming := self.namespace.bring(max(index, self.namespace.first)):
            yield coming
        try:
            return self.namespace.read(max(index, self.namespace.first))
        except StorageError:
            return ()

    def _count(self, batches: Sequence[Batch], start: int, end: int) -> Counted:
        looked_at = [batch for batch in batches if batch.first < end and self.places.may_have(batch)]
        found = count_next(looked_at, self.wanted, start=start, until=end, now=self.now)
        is_all = not looked_at or found.end >= looked_at[-1].next
        return found._replace(end=batches[-1].next) if is_all else found
