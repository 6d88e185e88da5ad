"""Anonymous consumers: one connection each, and gone with it."""

from __future__ import annotations

from asyncio import AbstractEventLoop
from collections.abc import Callable, Iterator, Sequence

from bus.engine.base import Settled, Sink, Subscribe
from bus.engine.consumer.consumer import Consumer
from bus.engine.consumer.delivery import GivenUp
from bus.engine.consumer.subscription import ConsumerSubscription, SharedConsumer
from bus.engine.consumer.terms import Terms
from bus.engine.namespace import Namespace
from bus.engine.reading.start_position import locate


class AnonymousConsumers:
    """The anonymous consumers of a server, as their `ConsumerOwner`.

    *left* is told the id of each connection that is gone, *refused* of the events that were given up.
    """

    def __init__(
        self,
        *,
        loop: AbstractEventLoop,
        left: Callable[[str], None],
        refused: Callable[[Namespace, GivenUp], None],
    ) -> None:
        self._loop = loop
        self._left = left
        self._refused = refused
        self._consumers: dict[SharedConsumer, Consumer] = {}

    def join(self, namespace: Namespace, wanted: Subscribe, sink: Sink) -> ConsumerSubscription:
        """Make a consumer for one connection. Raises `UnknownEventError` for a start that never existed."""
        position = locate(namespace, wanted)
        consumer = Consumer(namespace, Terms.of(wanted), position, loop=self._loop, owner=self)
        self._consumers[consumer] = consumer
        return consumer.join(wanted, sink, position.gap)

    def left(self, subscription: ConsumerSubscription) -> None:
        self._left(subscription.consumer_id)
        self._consumers.pop(subscription.consumer, None)
        subscription.consumer.close()

    def given_up(self, consumer: SharedConsumer, gone: GivenUp, settled: Settled) -> None:
        """Tell the subscriber what it will not get again; the event itself stays in the log."""
        delivery = gone.delivery
        about: dict[str, str | int] = {"id": delivery.event_id, "index": delivery.index}
        about |= {"attempts": delivery.attempts, "reason": gone.reason}
        for subscription in consumer.subscriptions:
            subscription.sink.tell("dropped", about)
        self._refused(consumer.namespace, gone)
        settled(None)

    def acknowledged(self, consumer: SharedConsumer, indexes: Sequence[int], settled: Settled) -> None:
        """Nothing of it is kept."""
        settled(None)

    def changed(self, consumer: SharedConsumer) -> None:
        """Nothing of it is kept."""

    def end_namespace(self, name: str) -> None:
        """End the consumers of the namespace *name*."""
        for consumer in [found for found in self if found.namespace.name == name]:
            consumer.end("deleted")

    def __iter__(self) -> Iterator[Consumer]:
        return iter(self._consumers.values())

    def __len__(self) -> int:
        return len(self._consumers)

    def __repr__(self) -> str:
        return f"<AnonymousConsumers {len(self)}>"
