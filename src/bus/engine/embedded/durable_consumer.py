"""A durable consumer: a consumer with a name, and what it gave up."""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import dataclass, field
from operator import attrgetter

from bus.engine.consumer.consumer import Consumer
from bus.engine.consumer.delivery import DELAYED, Delivery, KeptDelivery
from bus.engine.consumer.terms import Terms
from bus.engine.embedded.consumer_store import ConsumerState, GivenUpEvent
from bus.units import SECOND_NS

LONGEST_NACK_DELAY = 7 * 86400.0
"""Seconds a worker may put an event off."""


@dataclass(slots=True, eq=False)
class DurableConsumer:
    """A consumer with a name, and the events it gave up."""

    consumer: Consumer
    terms: Terms
    dead: dict[int, GivenUpEvent] = field(default_factory=dict)
    burying: dict[int, int] = field(default_factory=dict)

    @property
    def name(self) -> str:
        return self.consumer.name

    def state(self, *, now: float, wall: int) -> ConsumerState:
        """What to write. An event on its way to the dead letters is still pending.

        *now* is the loop's time in seconds and *wall* that of the world in ns, which goes on over restarts.
        """
        consumer, terms = self.consumer, self.terms
        pending = [KeptDelivery.of(found, due=_due(found, now, wall)) for found in consumer.pending]
        burying = [KeptDelivery(index, attempts) for index, attempts in self.burying.items()]
        return ConsumerState(
            name=consumer.name,
            namespace=consumer.namespace.name,
            patterns=[pattern.text for pattern in consumer.filter.patterns],
            redelivery=terms.redelivery,
            redelivery_count=terms.redelivery_count,
            by_key=terms.by_key,
            cursor=consumer.cursor,
            pending=sorted(pending + burying, key=attrgetter("index")),
            dead=list(self.dead.values()),
            given=sorted(terms.given),
        )

    def restore(self, pending: Iterable[KeptDelivery], *, wall: int) -> list[KeptDelivery]:
        """Take up what was pending; returns those whose events can't be read any more.

        No delay is longer than any may be, whatever became of the world's clock.
        """
        return [kept for kept in pending if not self.consumer.restore(kept, delay=_delay(kept, wall))]

    def oldest_needed(self) -> int:
        """The oldest index that isn't settled, or whose letter isn't stored yet."""
        pending = (delivery.index for delivery in self.consumer.pending)
        return min((*pending, *self.burying, self.consumer.cursor))

    def choose(self, indexes: Iterable[int] | None) -> list[GivenUpEvent]:
        """The dead events of these indexes, all of them for None."""
        if indexes is None:
            return list(self.dead.values())
        return [self.dead[index] for index in dict.fromkeys(indexes) if index in self.dead]


def _due(delivery: Delivery, now: float, wall: int) -> int:
    return wall + int((delivery.due - now) * SECOND_NS) if delivery.state is DELAYED else 0


def _delay(kept: KeptDelivery, wall: int) -> float:
    return min((kept.due - wall) / SECOND_NS, LONGEST_NACK_DELAY) if kept.due else 0
