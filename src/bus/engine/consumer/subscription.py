"""A member: one connection of a consumer, with its window and the bounds it asked for."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import asdict, replace
from typing import Protocol

from bus.engine.base import Acknowledge, Gap, Settled, Sink, Subscribe
from bus.engine.consumer.delivery import GivenUp
from bus.engine.consumer.pending import Pending
from bus.engine.consumer.settlement import Settlement
from bus.engine.namespace import Namespace
from bus.event import new_consumer_id


class SharedConsumer(Protocol):
    """What a member knows of the consumer it shares with others."""

    name: str
    namespace: Namespace
    pending: Pending
    subscriptions: list[ConsumerSubscription]

    @property
    def cursor(self) -> int:
        """The index that is read next."""

    def pump_soon(self) -> None:
        """Hand out what there is."""

    def leave(self, subscription: ConsumerSubscription) -> None:
        """The member's connection is gone."""

    def settle(self, subscription: ConsumerSubscription, ack: Acknowledge) -> Settlement:
        """Carry out what the member says of its events."""

    def give_up(self, given_up: Sequence[GivenUp], settled: Settled) -> None:
        """Let everybody know who has to; call *settled* when that is done."""

    def conclude(self, done: Settlement, settled: Settled) -> None:
        """Call *settled* when what was carried out is kept."""

    def is_done(self, subscription: ConsumerSubscription, until: int) -> bool:
        """Whether nothing before *until* is left for *subscription*."""

    def close(self) -> None:
        """Nothing is delivered any more."""


class ConsumerSubscription:
    """One connection of a consumer.

    ``left`` counts down the deliveries it may still get, if it asked for a limit; ``until`` is the index it
    ends at, if it doesn't follow. It is there ``since`` a time of the loop's clock.
    """

    def __init__(self, consumer: SharedConsumer, wanted: Subscribe, sink: Sink, gap: Gap | None, *, now: float) -> None:
        self.consumer = consumer
        self.consumer_id = new_consumer_id()
        self.window = consumer.pending.windows.open(self.consumer_id, wanted.worker)
        self.namespace = consumer.namespace.name
        self.first_index = consumer.namespace.first
        self.next_index = consumer.cursor
        self.gap = gap
        self.redelivery = consumer.pending.redelivery
        self.sink = sink
        self.prefetch = wanted.prefetch
        self.address = wanted.address
        self.since = now
        self.format = wanted.format
        self.left = wanted.limit
        self.until = None if wanted.follow else consumer.namespace.next
        self._started = False
        self._missed_to = 0

    def start(self) -> None:
        self._started = True
        self.consumer.pump_soon()

    def resume(self) -> None:
        self.consumer.pump_soon()

    def close(self) -> None:
        self.consumer.leave(self)

    @property
    def in_flight(self) -> int:
        """How many events it has in flight."""
        return len(self.window.flying)

    def pending_index(self, event_id: str) -> int | None:
        """The index of the event that it means by an id, None if none is pending that has it."""
        return self.consumer.pending.index_of(event_id, self.window)

    @property
    def room(self) -> int:
        """How many events it can be given now: its window, its limit and its socket permitting."""
        if not (self._started and self.sink.writable):
            return 0
        room = self.prefetch - len(self.window.flying)
        return room if self.left is None else min(room, self.left)

    def tell_gap(self, gap: Gap) -> None:
        """Tell what is missing, as far as it wasn't told before."""
        if gap.next_index > self._missed_to:
            self.sink.tell("gap", asdict(replace(gap, first_missing=max(gap.first_missing, self._missed_to))))
            self._missed_to = gap.next_index

    @property
    def is_bounded(self) -> bool:
        """Whether its stream ends when it has got so much."""
        return self.left is not None or self.until is not None

    def count(self, events: int) -> None:
        """It was given *events* events."""
        if self.left is not None:
            self.left -= events

    @property
    def finished(self) -> str:
        """Why its stream is over, empty if it isn't: a bounded stream ends when all it got is settled."""
        if self.left == 0 and not self.window.flying:
            return "limit"
        if self.until is not None and self.consumer.is_done(self, self.until):
            return "tail"
        return ""

    def __repr__(self) -> str:
        return f"<ConsumerSubscription {self.consumer_id} of {self.consumer!r}>"
