"""Moving a consumer: where to, and what that repeats or skips. Nothing of it is done here, only found out.

    first           to                cursor             next
    ──┼──────────────┼── repeated ──────┼──────────────────┼──      back: what is pending before *to* is skipped

    first         cursor                to               next
    ──┼─ pending ────┼──── skipped ──────┼─────────────────┼──      on: what is pending is skipped

Events are counted by the tables of their batches, a piece of the log at a time: each ``yield`` here is a place to let
others have their turn. What can't be read isn't there.
"""

from __future__ import annotations

from collections.abc import Generator, Sequence
from dataclasses import dataclass
from itertools import islice
from typing import NamedTuple

from bus.engine.administration import Destination, Step
from bus.engine.consumer.consumer import Consumer
from bus.engine.delivery.filtering import count_matching, matching
from bus.engine.namespace import Namespace
from bus.engine.reading.start_position import begin
from bus.errors import StorageError
from bus.storage.batch import Batch
from bus.subject import Filter

STRIDE = 1024
"""How many events are looked through first on the way back; then twice as many, and so on."""

Pieces = Generator[None, None, int]
"""Work in pieces, and the number that comes of it."""


class Effect(NamedTuple):
    """What a move from index *origin* to index *to* means: events that are repeated, skipped, and forgotten."""

    origin: int
    to: int
    repeats: int
    skips: int
    forgotten: int


def preview(consumer: Consumer, to: Destination) -> Generator[None, None, Effect]:
    """What it means to move *consumer*, which hands out nothing meanwhile.

    Raises `UnknownEventError` if there never was such a place.
    """
    log = MatchingEvents(consumer.namespace, consumer.filter)
    origin = max(consumer.cursor, consumer.namespace.first)
    if isinstance(to, Step):
        index = yield from log.step(origin, to.events)
    else:
        index = begin(consumer.namespace, to).index
    between = yield from log.count(min(index, origin), max(index, origin))
    pending = [delivery.index for delivery in consumer.pending]
    skipped = sum(found < index for found in pending)
    back = index < origin
    return Effect(consumer.cursor, index, between if back else 0, skipped + (0 if back else between), len(pending))


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
