"""What a consumer has in flight and with whom, as it is told of; times of the loop become times of the world."""

from __future__ import annotations

import time
from asyncio import AbstractEventLoop
from collections.abc import Generator
from heapq import nsmallest
from operator import attrgetter
from typing import NamedTuple

from bus.consumer import ConsumerConnection, PendingDeliveries, PendingDelivery
from bus.engine.consumer.consumer import Consumer
from bus.engine.consumer.delivery import TIMED, Delivery
from bus.engine.consumer.subscription import ConsumerSubscription
from bus.units import SECOND_NS, format_time

TURN_DELIVERIES = 128
"""How many are described in one turn of the loop: about a millisecond's work."""


class WallClock(NamedTuple):
    """A moment by the loop's clock, in seconds, and by that of the world, in ns."""

    loop: float
    wall: int

    @classmethod
    def now(cls, loop: AbstractEventLoop) -> WallClock:
        return cls(loop.time(), time.time_ns())

    def shown(self, moment: float) -> str:
        """A *moment* of the loop's clock, RFC 3339."""
        return format_time(self._wall(moment))

    def shown_to_the_second(self, moment: float) -> str:
        """The same, rounded."""
        return format_time(round(self._wall(moment) / SECOND_NS) * SECOND_NS)

    def _wall(self, moment: float) -> int:
        return self.wall + int((moment - self.loop) * SECOND_NS)


def list_pending(consumer: Consumer, most: int, clock: WallClock) -> Generator[None, None, PendingDeliveries]:
    """What *consumer* has read and not settled, the first *most* of it, found out in pieces."""
    count, first = len(consumer.pending), nsmallest(most, consumer.pending, key=attrgetter("index"))
    listed: list[PendingDelivery] = []
    while len(listed) < len(first):
        listed += [_delivery(found, clock) for found in first[len(listed) : len(listed) + TURN_DELIVERIES]]
        yield
    return PendingDeliveries(count, listed)


def _delivery(found: Delivery, clock: WallClock) -> PendingDelivery:
    return PendingDelivery(
        index=found.index,
        event_id=found.event_id,
        state=found.state.value,
        attempts=found.attempts,
        connection=found.owner.owner,
        since=clock.shown(found.since) if found.since else "",
        due=clock.shown(found.due) if found.state in TIMED else "",
    )


def list_connections(consumer: Consumer, clock: WallClock) -> list[ConsumerConnection]:
    """Who shares *consumer*, those who have been there for longest first."""
    return [_connection(found, clock) for found in sorted(consumer.subscriptions, key=attrgetter("since"))]


def _connection(found: ConsumerSubscription, clock: WallClock) -> ConsumerConnection:
    return ConsumerConnection(
        consumer_id=found.consumer_id,
        address=found.address,
        worker=found.window.worker,
        since=clock.shown(found.since),
        in_flight=found.in_flight,
        prefetch=found.prefetch,
        silent=found.window.silent,
    )
