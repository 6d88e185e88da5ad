"""Making subscriptions: what somebody asks for, and which part of the engine serves it.

    inbox _bus_.… ─────────────────────▶ Inboxes
    ack=none ──────────────────────────▶ PlainSubscription
    ack=manual ─┬─ no consumer named ──▶ AnonymousConsumers
                └─ consumer=NAME ──────▶ DurableConsumers

A start that counts events back takes a look at the log first, a piece in each turn of the loop; one with the newest
event of each subject waits until the table of subjects is counted.
"""

from __future__ import annotations

from asyncio import AbstractEventLoop, Task
from collections.abc import Mapping
from dataclasses import dataclass, field

from bus.engine.ack_routing import AckRouter
from bus.engine.base import AckMode, Opening, Sink, Subscribe, Subscription, unknown_namespace
from bus.engine.consumer.anonymous_consumers import AnonymousConsumers
from bus.engine.embedded.consumers.durable_consumers import DurableConsumers
from bus.engine.embedded.log_namespace import LogNamespace
from bus.engine.guard import as_bus_error
from bus.engine.inboxes import Inboxes
from bus.engine.reading.matching_events import settle_start
from bus.engine.reading.paced_turns import PacedTurns
from bus.engine.reading.plain_subscription import PlainSubscription
from bus.engine.reading.round_robin import RoundRobin
from bus.engine.start import StartKind
from bus.errors import InvalidParameterError
from bus.subject import INBOX_NAMESPACE

_TAKES_A_LOOK = (StartKind.BACK, StartKind.LAST)


@dataclass(frozen=True, slots=True, kw_only=True)
class Subscribing:
    """Makes subscriptions to *namespaces* and *inboxes*, which *settling* knows from then on.

    Replays go by the turns of *replays*, looks at the log by *turns*.
    """

    namespaces: Mapping[str, LogNamespace]
    inboxes: Inboxes
    settling: AckRouter
    durables: DurableConsumers
    anonymous: AnonymousConsumers
    replays: PacedTurns
    turns: RoundRobin
    loop: AbstractEventLoop
    _opening: set[Task[None]] = field(default_factory=set)

    def subscribe(self, wanted: Subscribe, sink: Sink, opening: Opening) -> None:
        """As `Engine.subscribe`."""
        if wanted.start.kind in _TAKES_A_LOOK and wanted.filter.namespace in self.namespaces:
            task = self.loop.create_task(self._subscribe_later(wanted, sink, opening))
            self._opening.add(task)
            task.add_done_callback(self._opening.discard)
        else:
            self._subscribe_now(wanted, sink, opening)

    async def _subscribe_later(self, wanted: Subscribe, sink: Sink, opening: Opening) -> None:
        try:
            namespace = self._namespace(wanted.filter.namespace)
            if wanted.start.kind is StartKind.LAST and wanted.resume_after is None:
                await namespace.subjects.settled()
                self._subscribe_now(wanted, sink, opening)
            else:
                back = wanted.start.events
                places = await namespace.subjects.places(wanted.filter, namespace.next, events=back)
                self._subscribe_now(await self.turns.run(settle_start(namespace, wanted, places)), sink, opening)
        except Exception as error:
            opening.refused(as_bus_error(error, "subscribing"))

    def _subscribe_now(self, wanted: Subscribe, sink: Sink, opening: Opening) -> None:
        subscription = self._subscription(wanted, sink)
        self.settling.add(subscription, wanted.filter)
        opening.opened(subscription)

    def _subscription(self, wanted: Subscribe, sink: Sink) -> Subscription:
        name = wanted.filter.namespace
        if name == INBOX_NAMESPACE:
            if wanted.ack is AckMode.MANUAL:
                raise InvalidParameterError("an inbox has nothing to acknowledge: subscribe to it with ack=none")
            return self.inboxes.subscribe(wanted, sink, self.settling.forget)
        namespace = self._namespace(name)
        if wanted.ack is AckMode.NONE:
            return PlainSubscription(namespace, wanted, sink, turns=self.replays, closed=self.settling.forget)
        if wanted.consumer:
            return self.durables.join(namespace, wanted, sink)
        return self.anonymous.join(namespace, wanted, sink)

    def end_namespace(self, name: str) -> list[str]:
        """End the streams of the namespace *name*; returns its durable consumers, which are yet to be forgotten."""
        consumers = self.durables.end_namespace(name)
        self.anonymous.end_namespace(name)
        self.settling.end_namespace(name)
        return consumers

    def _namespace(self, name: str) -> LogNamespace:
        try:
            return self.namespaces[name]
        except KeyError:
            raise unknown_namespace(name) from None
