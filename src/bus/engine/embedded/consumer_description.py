"""What there is to say of a durable consumer, for ``/v1/consumers`` and the metrics."""

from __future__ import annotations

from asyncio import AbstractEventLoop
from dataclasses import dataclass

from bus.engine.base import Description
from bus.engine.consumer.lag import Lag
from bus.engine.consumer.why import why
from bus.engine.embedded.durable_consumer import DurableConsumer


@dataclass(frozen=True, slots=True)
class About:
    """One consumer to describe; *loop* has the time."""

    durable: DurableConsumer
    loop: AbstractEventLoop

    @property
    def lag(self) -> Lag:
        return self.durable.consumer.lag

    @property
    def size(self) -> int:
        return len(self.durable.consumer.pending)

    def describe(self) -> Description:
        """All there is to say. ``counting`` means that ``behind`` is a lower bound yet."""
        consumer, durable = self.durable.consumer, self.durable
        return {
            "name": consumer.name,
            "namespace": consumer.namespace.name,
            "patterns": [pattern.text for pattern in consumer.filter.patterns],
            **durable.terms.describe(),
            "next_index": consumer.cursor,
            "behind": self.lag.events,
            "counting": not self.lag.is_exact,
            "pending": len(consumer.pending),
            "in_flight": sum(subscription.in_flight for subscription in consumer.subscriptions),
            "dead": len(durable.dead),
            "connections": len(consumer.subscriptions),
            "why": why(consumer, now=self.loop.time()),
        }
