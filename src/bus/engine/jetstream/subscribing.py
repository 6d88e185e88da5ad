"""Making subscriptions to streams: all that is stored when somebody asks is known here before it is served."""

from __future__ import annotations

from asyncio import AbstractEventLoop, Task
from collections.abc import Mapping
from dataclasses import dataclass, field

from bus.engine.ack_routing import AckRouter
from bus.engine.base import AckMode, Opening, Sink, Subscribe, Subscription
from bus.engine.consumer.anonymous_consumers import AnonymousConsumers
from bus.engine.guard import as_bus_error
from bus.engine.inboxes import Inboxes
from bus.engine.jetstream.consumers.durable_consumers import LeasedConsumers
from bus.engine.jetstream.consumers.starting import StreamStarting
from bus.engine.jetstream.namespace import JetNamespace
from bus.engine.jetstream.not_supported import NO_LAST, NO_ORDER
from bus.engine.jetstream.peers import Peers
from bus.engine.reading.paced_turns import PacedTurns
from bus.engine.reading.plain_subscription import PlainSubscription
from bus.engine.reading.start_position import locate
from bus.engine.start import StartKind
from bus.errors import InvalidParameterError, NotSupportedError
from bus.subject import INBOX_NAMESPACE


@dataclass(frozen=True, slots=True, kw_only=True)
class StreamSubscribing:
    """Makes subscriptions to *namespaces* and *inboxes*, which *settling* and *peers* know from then on."""

    starting: StreamStarting
    namespaces: Mapping[str, JetNamespace]
    inboxes: Inboxes
    settling: AckRouter
    durables: LeasedConsumers
    anonymous: AnonymousConsumers
    peers: Peers
    replays: PacedTurns
    loop: AbstractEventLoop
    _opening: set[Task[None]] = field(default_factory=set)

    def subscribe(self, wanted: Subscribe, sink: Sink, opening: Opening) -> None:
        """As `Engine.subscribe`; the namespace is known to be there."""
        if wanted.filter.namespace == INBOX_NAMESPACE:
            self._open(self._inbox(wanted, sink), wanted, opening)
            return
        _check(wanted)
        task = self.loop.create_task(self._subscribe_later(wanted, sink, opening))
        self._opening.add(task)
        task.add_done_callback(self._opening.discard)

    async def _subscribe_later(self, wanted: Subscribe, sink: Sink, opening: Opening) -> None:
        try:
            namespace = self.namespaces[wanted.filter.namespace]
            settled = await self.starting.settle(namespace, wanted)
            self._open(await self._subscription(namespace, settled, sink), wanted, opening)
        except Exception as error:
            opening.refused(as_bus_error(error, "subscribing"))

    async def _subscription(self, namespace: JetNamespace, wanted: Subscribe, sink: Sink) -> Subscription:
        if wanted.ack is AckMode.NONE:
            return PlainSubscription(namespace, wanted, sink, turns=self.replays, closed=self.left)
        if wanted.consumer:
            return await self.durables.join(namespace, wanted, sink, lambda: locate(namespace, wanted))
        return self.anonymous.join(namespace, wanted, sink)

    def _inbox(self, wanted: Subscribe, sink: Sink) -> Subscription:
        if wanted.ack is AckMode.MANUAL:
            raise InvalidParameterError("an inbox has nothing to acknowledge: subscribe to it with ack=none")
        return self.inboxes.subscribe(wanted, sink, self.left)

    def _open(self, subscription: Subscription, wanted: Subscribe, opening: Opening) -> None:
        self.settling.add(subscription, wanted.filter)
        self.peers.add(subscription.consumer_id)
        opening.opened(subscription)

    def left(self, consumer_id: str) -> None:
        """The stream of a subscription is over."""
        self.settling.forget(consumer_id)
        self.peers.forget(consumer_id)


def _check(wanted: Subscribe) -> None:
    """Raises `NotSupportedError` for what isn't promised here."""
    if wanted.by_key:
        raise NotSupportedError(NO_ORDER)
    if wanted.start.kind is StartKind.LAST and wanted.resume_after is None:
        raise NotSupportedError(NO_LAST)
