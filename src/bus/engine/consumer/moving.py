"""Moving a consumer: where to, and what that repeats or skips. Nothing of it is done here, only found out.

    first           to                cursor             next
    ──┼──────────────┼── repeated ──────┼──────────────────┼──      back: what is pending before *to* is skipped

    first         cursor                to               next
    ──┼─ pending ────┼──── skipped ──────┼─────────────────┼──      on: what is pending is skipped

The log is looked through a piece at a time: each ``yield`` here is a place to let others have their turn.
"""

from __future__ import annotations

from collections.abc import Generator
from typing import NamedTuple

from bus.engine.administration import Destination, Step
from bus.engine.consumer.consumer import Consumer
from bus.engine.reading.matching_events import MatchingEvents
from bus.engine.reading.start_position import begin


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
