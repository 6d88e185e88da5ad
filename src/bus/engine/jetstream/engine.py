"""The engine that stores in NATS JetStream. What it holds itself is the connections of its clients, and nothing else.

publish ─▶ StreamPublishing ─▶ stream ─▶ Tail ─▶ JetNamespace ─▶ subscribers     of this Bus server and of every other
acknowledge ─▶ AckRouter, or the Bus server that has the consumer
"""

from __future__ import annotations

import asyncio
import logging
import time
from asyncio import AbstractEventLoop
from collections.abc import Callable, Coroutine, Sequence
from functools import partial
from typing import Any

from bus.config import EngineSettings
from bus.engine.ack_routing import AckRouter
from bus.engine.administration import EngineCounts, Latencies
from bus.engine.base import (
    Acknowledge,
    AwaitedConfirmations,
    Expected,
    Opening,
    Publisher,
    Replied,
    Settled,
    Sink,
    Subscribe,
    unknown_namespace,
)
from bus.engine.checked_draft import check_batch
from bus.engine.consumer.anonymous_consumers import AnonymousConsumers
from bus.engine.consumer.delivery import GivenUp
from bus.engine.guard import as_bus_error
from bus.engine.inbox_publishing import publish_to_inboxes
from bus.engine.inboxes import Inboxes
from bus.engine.jetstream.confirmations import SharedConfirmations
from bus.engine.jetstream.consumers.consumer_admin import LeasedAdmin
from bus.engine.jetstream.consumers.durable_consumers import LeasedConsumers
from bus.engine.jetstream.consumers.records import records_config, redrives_config
from bus.engine.jetstream.consumers.starting import StreamStarting
from bus.engine.jetstream.description import describe
from bus.engine.jetstream.durability import durability_of
from bus.engine.jetstream.namespace import JetNamespace
from bus.engine.jetstream.naming import Naming
from bus.engine.jetstream.nodes import nodes_of
from bus.engine.jetstream.not_supported import DeclaredNamespaces, NoSchedules
from bus.engine.jetstream.peers import Peers
from bus.engine.jetstream.stored_events import StreamEvents
from bus.engine.jetstream.stream_publishing import StreamPublishing
from bus.engine.jetstream.streams import found_or_made, lot_of, open_stream
from bus.engine.jetstream.subscribing import StreamSubscribing
from bus.engine.namespace import Namespace
from bus.engine.reading.paced_turns import PacedTurns
from bus.engine.reading.round_robin import RoundRobin
from bus.errors import BusError, StoppingError, UnavailableError
from bus.event import Draft, made_by
from bus.namespace import NamespaceDescription
from bus.nats import NANOSECONDS, Client, ConnectionLostError, RefusedError, StreamInfo
from bus.overview import ClusterNode
from bus.subject import INBOX_NAMESPACE, check_namespaces

log = logging.getLogger("bus.engine")


class JetStreamEngine:
    """Serves the streams of one prefix by *client*. Make it with `bus.engine.jetstream.opening.open_jetstream`."""

    def __init__(self, settings: EngineSettings, client: Client, naming: Naming, loop: AbstractEventLoop) -> None:
        self._settings = settings
        self._client = client
        self._naming = naming
        self._loop = loop
        self._turns = RoundRobin(loop)
        self._replays = PacedTurns(loop, committed_at=self._committed_at)
        self._namespaces: dict[str, JetNamespace] = {}
        self._publishing: dict[str, StreamPublishing] = {}
        self._stopping = False
        self._tasks: set[asyncio.Task[None]] = set()
        self._inboxes = Inboxes(loop, kept=lambda draft, error: self._peers.tell_reply(draft, error=error))
        self._settling = AckRouter(
            self._namespaces, self._inboxes,
            confirmed=lambda name, indexes, consumer: self._peers.tell_acknowledged(name, indexes, consumer),
        )  # fmt: skip
        self._peers = Peers(client, naming, replied=self._take_reply, settle=self._settle_here)
        self._anonymous = AnonymousConsumers(loop=loop, left=self._left, refused=self._refuse_request)
        self._durables = LeasedConsumers(
            client.jetstream, naming, self._namespaces, loop=loop,
            left=self._left, refused=self._refuse_request, most=settings.max_consumers,
        )  # fmt: skip
        starting = StreamStarting(client.jetstream, self._turns)
        self._subscribing = StreamSubscribing(
            starting=starting, durables=self._durables, namespaces=self._namespaces, inboxes=self._inboxes,
            settling=self._settling, anonymous=self._anonymous, peers=self._peers, replays=self._replays, loop=loop,
        )  # fmt: skip
        self.namespace_admin = DeclaredNamespaces(settings.namespaces)
        self.consumers = LeasedAdmin(self._durables, starting, loop=loop, turns=self._turns)
        self.schedules = NoSchedules()
        self.events = StreamEvents(client.jetstream, naming, self._namespaces, self._turns)

    async def open(self) -> None:
        """Make or check the stream of each namespace. Raises `ConfigError` or a `NatsError`."""
        settings = self._settings
        replicas = settings.engine_replicas or (3 if self._client.cluster.info.cluster else 1)
        for name in check_namespaces(settings.namespaces):
            info = await open_stream(self._client.jetstream, self._naming, name, settings, replicas=replicas)
            durability = await durability_of(settings, replicas=info.config.num_replicas)
            self._namespaces[name] = JetNamespace(
                name, info, lot=lot_of(info), jetstream=self._client.jetstream, naming=self._naming, loop=self._loop
            )
            self._publishing[name] = StreamPublishing(
                self._client.jetstream, self._naming, name,
                make_id=made_by(lot_of(info)), window=info.config.duplicate_window / NANOSECONDS, durability=durability,
                published=self._namespaces[name].latencies.publish, loop=self._loop,
            )  # fmt: skip
        for config in (
            records_config(self._naming, replicas=replicas),
            redrives_config(self._naming, replicas=replicas),
        ):
            await found_or_made(self._client.jetstream, config)
        await self._durables.open()
        self._client.cluster.listen(self)

    # -- the connection

    def lost(self, error: ConnectionLostError) -> None:
        """The connection to NATS is lost; another is being made."""
        log.warning("no connection to NATS: %s", error)

    def back(self) -> None:
        """There is a connection again."""
        log.info("connected to NATS at %s", self._client.cluster.address)

    def refused(self, error: RefusedError) -> None:
        """NATS refused something."""
        log.error("NATS refused: %s", error)

    @property
    def failure(self) -> BusError | None:
        if self._client.cluster.connected:
            return None
        return UnavailableError("there is no connection to NATS: look whether its nodes are up and can be reached")

    # -- publishing

    def publish(
        self,
        drafts: Sequence[Draft],
        publisher: Publisher,
        *,
        atomic: bool = True,
        expected: Expected | None = None,
        now: int,
    ) -> None:
        if self._stopping:
            raise StoppingError("the server is stopping: publish to another one")
        name = (drafts[0].subject or "").partition(".")[0]
        if atomic and len(drafts) > 1:
            check_batch(name, drafts)
        publishing = self._publishing.get(name)
        if publishing is None:
            publish_to_inboxes(drafts, publisher, self._inboxes, atomic=atomic, expected=expected, now=now)
        elif atomic:
            publishing.publish(drafts, publisher, expected, now=now)
        else:
            publishing.publish_each(drafts, publisher, now=now)

    # -- subscribing

    def subscribe(self, wanted: Subscribe, sink: Sink, opening: Opening) -> None:
        if wanted.filter.namespace != INBOX_NAMESPACE:
            self._namespace(wanted.filter.namespace)
        self._subscribing.subscribe(wanted, sink, opening)

    def _namespace(self, name: str) -> JetNamespace:
        try:
            return self._namespaces[name]
        except KeyError:
            raise unknown_namespace(name) from None

    def _left(self, consumer_id: str) -> None:
        self._subscribing.left(consumer_id)

    # -- acknowledging, request and reply

    def acknowledge(self, ack: Acknowledge, settled: Settled) -> None:
        if self._settling.knows(ack.consumer_id):
            self._settle_here(ack, settled)
        else:
            self._peers.forward(ack, settled)

    def _settle_here(self, ack: Acknowledge, settled: Settled) -> None:
        """Carry out *ack*, of a consumer of this server, as soon as what it takes a look at is here."""
        if name := self._settling.reads(ack):
            self._do(self._settle_later(self._namespaces[name], ack, settled))
        else:
            self._settling.settle(ack, settled)

    async def _settle_later(self, namespace: JetNamespace, ack: Acknowledge, settled: Settled) -> None:
        try:
            for event_id in ack.event_ids:
                await namespace.bring_id(event_id)
            self._settling.settle(ack, settled)
        except Exception as error:
            settled(as_bus_error(error, "an acknowledgement"))

    def _refuse_request(self, namespace: Namespace, gone: GivenUp) -> None:
        self._do(self._refuse_later(self._namespace(namespace.name), gone))

    async def _refuse_later(self, namespace: JetNamespace, gone: GivenUp) -> None:
        try:
            await namespace.bring_id(gone.delivery.event_id)
            self._settling.refuse_request(namespace, gone.delivery.index, gone.reason)
        except BusError as error:
            log.warning("namespace %s: a requester isn't told: %s", namespace.name, error)

    def _take_reply(self, draft: Draft, error: str) -> None:
        self._inboxes.take(draft, now=time.time_ns(), error=error)

    def await_reply(self, inbox: str, replied: Replied) -> None:
        self._inboxes.expect(inbox, replied)

    def forget_reply(self, inbox: str) -> None:
        self._inboxes.forget(inbox)

    def await_confirmations(self, namespace: str, changed: Callable[[Sequence[str]], None]) -> AwaitedConfirmations:
        return SharedConfirmations(self._peers, self._namespace(namespace), changed)

    # -- the rest

    async def namespaces(self) -> list[NamespaceDescription]:
        for namespace in self._namespaces.values():
            if self._client.cluster.connected:
                await namespace.look()
        writable = self.failure is None
        return [describe(namespace, self._settings, writable=writable) for namespace in self._namespaces.values()]

    async def latencies(self) -> list[Latencies]:
        return [namespace.latencies for namespace in self._namespaces.values()]

    async def counts(self) -> EngineCounts:
        return EngineCounts(
            inboxes=len(self._inboxes), inbox_bytes=self._inboxes.size, subscriptions=len(self._settling),
            sync_p50=None, sync_p99=None,
        )  # fmt: skip

    async def nodes(self) -> list[ClusterNode]:
        if not self._client.cluster.connected:
            return []
        looks = (namespace.look() for namespace in self._namespaces.values())
        found = await asyncio.gather(*looks, return_exceptions=True)
        return nodes_of(self._client.cluster.info, [one for one in found if isinstance(one, StreamInfo)])

    def retain(self, *, now: int) -> None:
        """JetStream deletes by itself what needn't be kept."""

    def stop(self, idle: Callable[[], None]) -> None:
        self._stopping = True
        self._durables.stop()
        busy = {name for name, publishing in self._publishing.items() if publishing.under_way}
        if not busy:
            idle()

        def one_idle(name: str) -> None:
            busy.discard(name)
            if not busy:
                idle()

        for name in list(busy):
            self._publishing[name].idle = partial(one_idle, name)

    async def aclose(self) -> None:
        await self._durables.aclose()
        for namespace in self._namespaces.values():
            await namespace.close()
        await self._client.close()

    def _committed_at(self) -> float:
        return max((namespace.committed_at for namespace in self._namespaces.values()), default=-1.0)

    def _do(self, work: Coroutine[Any, Any, None]) -> None:
        task = self._loop.create_task(work)
        self._tasks.add(task)
        task.add_done_callback(self._tasks.discard)
