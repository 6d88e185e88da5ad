"""Counting events that a filter takes, and going so many on or back.

Events are counted by the tables of their batches, a piece of the log at a time: each ``yield`` here is a place to let
others have their turn. What can't be read isn't there.
"""

from __future__ import annotations

from collections.abc import Generator, Sequence
from dataclasses import dataclass, replace
from itertools import islice

from bus.engine.base import Subscribe
from bus.engine.delivery.filtering import count_matching, matching
from bus.engine.namespace import Namespace
from bus.engine.start import StartKind, StartPoint
from bus.errors import StorageError
from bus.storage.batch import Batch
from bus.subject import Filter

STRIDE = 1024
"""How many events are looked through first on the way back; then twice as many, and so on."""

Pieces = Generator[None, None, int]
"""Work in pieces, and the number that comes of it."""


def settle_start(namespace: Namespace, wanted: Subscribe) -> Generator[None, None, Subscribe]:
    """*wanted* with the index in the place of a start that counts events back from the end."""
    if wanted.start.kind is not StartKind.LAST:
        return wanted
    events = MatchingEvents(namespace, wanted.filter)
    index = yield from events.step(namespace.next, -wanted.start.events)
    return replace(wanted, start=StartPoint(StartKind.INDEX, index=index))


@dataclass(frozen=True, slots=True)
class MatchingEvents:
    """The events of *namespace* that *wanted* takes."""

    namespace: Namespace
    wanted: Filter

    def count(self, start: int, end: int) -> Pieces:
        """How many there are from index *start* on and before *end*."""
        found = 0
        while start < end and (batches := self._read(start)):
            found += self._count(batches, start, end)
            start = batches[-1].next
            yield
        return found

    def step(self, origin: int, events: int) -> Pieces:
        """The index that lies so many *events* on from *origin*, or back; an end of the log if there are fewer."""
        return (yield from self._on(origin, events) if events >= 0 else self._back(origin, -events))

    def _on(self, start: int, events: int) -> Pieces:
        while events and (batches := self._read(start)):
            passed = self._count(batches, start, self.namespace.next)
            if passed >= events:
                last = next(islice(matching(batches, self.wanted, start=start), events - 1, None))
                return last[0] + 1
            start, events = batches[-1].next, events - passed
            yield
        return start

    def _back(self, end: int, events: int) -> Pieces:
        stride = STRIDE
        while events and end > self.namespace.first:
            start = max(end - stride, self.namespace.first)
            passed = yield from self.count(start, end)
            if passed >= events:
                behind = yield from self._on(start, passed - events + 1)
                return behind - 1
            end, events, stride = start, events - passed, 2 * stride
        return end

    def _read(self, index: int) -> Sequence[Batch]:
        try:
            return self.namespace.read(max(index, self.namespace.first))
        except StorageError:
            return ()

    def _count(self, batches: Sequence[Batch], start: int, end: int) -> int:
        return sum(count_matching(batch, self.wanted, start=start, until=end) for batch in batches if batch.first < end)
