"""What there is to say of a durable consumer, for ``/v1/consumers`` and the metrics."""

from __future__ import annotations

from asyncio import AbstractEventLoop
from dataclasses import dataclass

from bus.consumer import ConsumerDescription
from bus.engine.consumer.delivery import IN_FLIGHT
from bus.engine.consumer.delivery_listing import WallClock
from bus.engine.consumer.lag import Lag
from bus.engine.consumer.why import why
from bus.engine.embedded.consumers.durable_consumer import DurableConsumer
from bus.units import format_duration


@dataclass(frozen=True, slots=True)
class DescribedConsumer:
    """One consumer to describe; *loop* has the time."""

    durable: DurableConsumer
    loop: AbstractEventLoop

    @property
    def lag(self) -> Lag:
        return self.durable.consumer.lag

    @property
    def size(self) -> int:
        return len(self.durable.consumer.pending)

    def describe(self) -> ConsumerDescription:
        """All there is to say."""
        consumer, terms = self.durable.consumer, self.durable.terms
        return ConsumerDescription(
            name=consumer.name,
            namespace=consumer.namespace.name,
            patterns=[pattern.text for pattern in consumer.filter.patterns],
            redelivery=terms.written,
            redelivery_count=terms.redelivery_count,
            order="key" if terms.by_key else None,
            next_index=consumer.cursor,
            behind=self.lag.events,
            counting=not self.lag.is_exact,
            pending=len(consumer.pending),
            in_flight=sum(subscription.in_flight for subscription in consumer.subscriptions),
            dead=len(self.durable.dead),
            connections=len(consumer.subscriptions),
            why=why(consumer, now=self.loop.time()),
            paused=terms.paused,
            expires=None if terms.expires is None else format_duration(terms.expires) if terms.expires else "0",
            delivered=consumer.delivered,
            redelivered=consumer.redelivered,
            oldest_in_flight=self._oldest_in_flight(),
        )

    def _oldest_in_flight(self) -> str | None:
        """To the second: the two clocks don't agree on more, and what stays the same is to be told once."""
        since = [found.since for found in self.durable.consumer.pending if found.state is IN_FLIGHT]
        return WallClock.now(self.loop).shown_to_the_second(min(since)) if since else None
