"""Moving a consumer: where to, and what that repeats or skips. Nothing of it is done here, only found out.

    first           to                cursor             next
    ──┼──────────────┼── repeated ──────┼──────────────────┼──      back: what is pending before *to* is skipped

    first         cursor                to               next
    ──┼─ pending ────┼──── skipped ──────┼─────────────────┼──      on: what is pending is skipped

The log is looked through a piece at a time: each ``yield`` here is a place to let others have their turn.
"""

from __future__ import annotations

from asyncio import Future
from collections.abc import Generator, Iterable
from typing import NamedTuple, Protocol

from bus.engine.administration import Destination, Step
from bus.engine.consumer.delivery import Delivery
from bus.engine.namespace import Namespace
from bus.engine.reading.matching_events import MatchingEvents
from bus.engine.reading.start_position import begin
from bus.subject import Filter


class Movable(Protocol):
    """A consumer that may be moved."""

    @property
    def namespace(self) -> Namespace:
        """What it reads."""

    @property
    def filter(self) -> Filter:
        """Which events of that."""

    @property
    def cursor(self) -> int:
        """The index it goes on from."""

    @property
    def newest_until(self) -> int:
        """The index before which it gets only the newest event of each subject; 0 for none."""

    @property
    def pending(self) -> Iterable[Delivery]:
        """What it has read and not settled."""


class Effect(NamedTuple):
    """What a move from index *origin* to index *to* means: events that are repeated, skipped, and forgotten."""

    origin: int
    to: int
    repeats: int
    skips: int
    forgotten: int


def preview(consumer: Movable, to: Destination) -> Generator[Future[None] | None, None, Effect]:
    """What it means to move *consumer*, which hands out nothing meanwhile.

    Raises `UnknownEventError` if there never was such a place.
    """
    log = MatchingEvents(consumer.namespace, consumer.filter)
    origin = max(consumer.cursor, consumer.namespace.first)
    if isinstance(to, Step):
        index = yield from log.step(origin, to.events)
    else:
        index = begin(consumer.namespace, to).index
    newest = min(index, consumer.newest_until) if index > origin else 0
    between = yield from log.count_newest(origin, newest)
    between += (
        yield from log.count(min(index, origin), max(index, origin)) if newest <= origin else log.count(newest, index)
    )
    pending = [delivery.index for delivery in consumer.pending]
    skipped = sum(found < index for found in pending)
    back = index < origin
    return Effect(consumer.cursor, index, between if back else 0, skipped + (0 if back else between), len(pending))
