"""The engine that stores and delivers by itself: a log per namespace in one directory."""

from __future__ import annotations

import logging
import time
from asyncio import AbstractEventLoop
from collections.abc import Callable, Iterator, Sequence
from contextlib import suppress
from functools import partial

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
from bus.engine.consumer.consumer import Consumer
from bus.engine.consumer.delivery import GivenUp
from bus.engine.embedded.compaction.compaction import Compaction
from bus.engine.embedded.consumers.consumer_admin import DurableAdmin
from bus.engine.embedded.consumers.consumer_needs import ConsumerNeeds
from bus.engine.embedded.consumers.consumer_store import ConsumerStore
from bus.engine.embedded.consumers.durable_consumers import DurableConsumers
from bus.engine.embedded.consumers.idle_consumers import IdleConsumers
from bus.engine.embedded.consumers.no_consumer_store import NoConsumerStore
from bus.engine.embedded.data_directory import DataDirectory, directory_for
from bus.engine.embedded.log_namespace import LogNamespace
from bus.engine.embedded.namespace_admin import DirectoryNamespaces
from bus.engine.embedded.namespace_table import NamespaceTable, forget_deleted, remove_deleted, with_table
from bus.engine.embedded.retention import Retention
from bus.engine.embedded.rewriter import Pace, Rewriter
from bus.engine.embedded.schedules.scheduler import Scheduler
from bus.engine.embedded.schedules.schedules import Schedules
from bus.engine.embedded.served_namespaces import NamespaceFiles, ServedNamespaces, key_in
from bus.engine.embedded.stored_events import StoredEvents
from bus.engine.embedded.subscribing import Subscribing
from bus.engine.inbox_publishing import publish_to_inboxes
from bus.engine.inboxes import Inboxes
from bus.engine.namespace import Namespace
from bus.engine.reading.paced_turns import PacedTurns
from bus.engine.reading.round_robin import RoundRobin
from bus.errors import (
    BusError,
    LogFailedError,
    StorageError,
)
from bus.event import Draft
from bus.latency import quantiles
from bus.namespace import NamespaceDescription

log = logging.getLogger("bus.engine")


class EmbeddedEngine:
    """Everything of one server that isn't HTTP. Make it with `EmbeddedEngine.open`."""

    def __init__(self, settings: EngineSettings, directory: DataDirectory | None, loop: AbstractEventLoop) -> None:
        self._flags = settings
        self._loop = loop
        self._turns = RoundRobin(loop)
        self._replays = PacedTurns(loop, committed_at=self._committed_at)
        self._lock = directory.lock() if directory else None
        self._files = NamespaceFiles(directory=directory, lock=self._lock, loop=loop, grown=self._retain)
        self._namespaces: dict[str, LogNamespace] = {}
        self._inboxes = Inboxes(loop)
        self._settling = AckRouter(self._namespaces, self._inboxes)
        self._durables: DurableConsumers | None = None
        self._rewriter = Rewriter(Pace(self._committed_at, time.monotonic), self._consumers_of, loop)
        self._events = StoredEvents(self._namespaces, self._rewriter, self._replays)
        self._compaction = Compaction(self._rewriter, loop, grace=settings.tombstone_ttl)
        self._schedulers: dict[str, Scheduler] = {}
        self._schedules = Schedules(self._schedulers, lambda name: self._namespaces[name].durability)
        self._namespace_admin: DirectoryNamespaces | None = None
        self._anonymous = AnonymousConsumers(loop=loop, left=self._settling.forget, refused=self._refuse_request)

    @classmethod
    def open(cls, settings: EngineSettings, loop: AbstractEventLoop) -> EmbeddedEngine:
        """Lock the data directory, open or make the log of each namespace, and recover what needs it.

        Without a namespace on disk there is no directory, unless there is one with a table of namespaces.

        Raises a `StorageError`: the directory is locked, a key is wrong, a version unknown. Raises `ConfigError` if no
        namespaces are declared, and none were made.
        """
        directory = directory_for(settings)
        if directory:
            directory.make()
        engine = cls(settings, directory, loop)
        try:
            engine._open(directory)
        except BaseException:
            engine.close()
            raise
        return engine

    def _open(self, directory: DataDirectory | None) -> None:
        """Logs first: they know whether the key is right before anything else is touched."""
        table = NamespaceTable(directory.table if directory else None)
        remove_deleted(table, directory)
        settings = with_table(self._flags, table)
        for name in settings.namespaces:
            self._namespaces[name] = self._files.open(name, settings)
            self._files.watch(self._namespaces[name])
        self._durables = DurableConsumers(
            self._open_store(directory), self._namespaces, loop=self._loop,
            left=self._settling.forget, refused=self._refuse_request, most=self._flags.max_consumers,
        )  # fmt: skip
        self._durables.load()
        forget_deleted(table, self._durables)
        self._subscribing = Subscribing(
            namespaces=self._namespaces, inboxes=self._inboxes, settling=self._settling, durables=self._durables,
            anonymous=self._anonymous, replays=self._replays, turns=self._turns, loop=self._loop,
        )  # fmt: skip
        self._admin = DurableAdmin(self._durables, self._namespaces, loop=self._loop, turns=self._turns)
        self._idle = IdleConsumers(self._durables, ttl=self._flags.consumer_ttl, loop=self._loop)
        for name, namespace in self._namespaces.items():
            self._schedulers[name] = self._files.open_scheduler(namespace, settings)
        self._retention = Retention(
            settings.retention, force=settings.retention_force,
            durable=ConsumerNeeds(self._durables), anonymous=self._anonymous, loop=self._loop,
        )  # fmt: skip
        served = ServedNamespaces(
            files=self._files, namespaces=self._namespaces, schedulers=self._schedulers,
            subscribing=self._subscribing, events=self._events, retention=self._retention,
            compaction=self._compaction,
        )  # fmt: skip
        self._namespace_admin = DirectoryNamespaces(self._flags, table, directory, served=served, loop=self._loop)

    @property
    def namespace_admin(self) -> DirectoryNamespaces:
        """The namespaces, as they are managed."""
        assert self._namespace_admin is not None, "the engine is not open"
        return self._namespace_admin

    @property
    def consumers(self) -> DurableAdmin:
        """The durable consumers."""
        return self._admin

    @property
    def _opened_durables(self) -> DurableConsumers:
        assert self._durables is not None, "the engine is not open"
        return self._durables

    @property
    def events(self) -> StoredEvents:
        """What is stored."""
        return self._events

    def _consumers_of(self, namespace: LogNamespace) -> Iterator[Consumer]:
        """The consumers that read *namespace*, durable or not."""
        for consumer in (*(durable.consumer for durable in self._opened_durables), *self._anonymous):
            if consumer.namespace is namespace:
                yield consumer

    @property
    def schedules(self) -> Schedules:
        """The events that are published later."""
        return self._schedules

    def _open_store(self, directory: DataDirectory | None) -> ConsumerStore | NoConsumerStore:
        if directory is None:
            return NoConsumerStore()
        return ConsumerStore(directory.consumers, key=key_in(self._flags))

    def _retain(self, name: str) -> None:
        """One in memory has grown, which may happen to what was on its way when it was deleted."""
        if namespace := self._namespaces.get(name):
            self._retention.retain(namespace, now=time.time_ns())

    def _committed_at(self) -> float:
        """When the last commit was, whatever the namespace: all of them share the loop."""
        return max((namespace.committed_at for namespace in [*self._namespaces.values()]), default=-1.0)

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
        """What comes before the first dot says where they go, even if what comes behind it can't be read."""
        name = (drafts[0].subject or "").partition(".")[0]
        if atomic and len(drafts) > 1:
            check_batch(name, drafts)
        namespace = self._namespaces.get(name)
        if namespace is None:
            publish_to_inboxes(drafts, publisher, self._inboxes, atomic=atomic, expected=expected, now=now)
        elif atomic:
            namespace.publish(drafts, publisher, expected=expected, now=now)
        else:
            namespace.publish_each(drafts, publisher, now=now)

    def _namespace(self, name: str) -> LogNamespace:
        try:
            return self._namespaces[name]
        except KeyError:
            raise unknown_namespace(name) from None

    # -- subscribing

    def subscribe(self, wanted: Subscribe, sink: Sink, opening: Opening) -> None:
        self._subscribing.subscribe(wanted, sink, opening)

    def _refuse_request(self, namespace: Namespace, gone: GivenUp) -> None:
        try:
            self._settling.refuse_request(namespace, gone.delivery.index, gone.reason)
        except BusError as error:
            log.warning(
                "namespace %s: the requester of event %d isn't told: %s", namespace.name, gone.delivery.index, error
            )

    # -- acknowledging, request and reply

    def acknowledge(self, ack: Acknowledge, settled: Settled) -> None:
        self._settling.settle(ack, settled)

    def await_reply(self, inbox: str, replied: Replied) -> None:
        self._inboxes.expect(inbox, replied)

    def forget_reply(self, inbox: str) -> None:
        self._inboxes.forget(inbox)

    def await_confirmations(self, namespace: str, changed: Callable[[Sequence[str]], None]) -> AwaitedConfirmations:
        return self._namespace(namespace).confirmations.expect(changed)

    # -- retention

    def retain(self, *, now: int) -> None:
        """Delete what needn't be kept any more: old segments, superseded events, idle consumers. *now* is in ns."""
        self._check_directory()
        self._idle.expire()
        for namespace in self._namespaces.values():
            self._retention.retain(namespace, now=now)
            self._compaction.look(namespace, now=now)

    def _check_directory(self) -> StorageError | None:
        """Take no more events if the files they would go to are no longer those of the data directory."""
        trouble = self._lock.check() if self._lock else None
        if isinstance(trouble, LogFailedError):
            for namespace in self._namespaces.values():
                namespace.fail(trouble)
        return trouble

    # -- the rest

    async def namespaces(self) -> list[NamespaceDescription]:
        return self.namespace_admin.describe()

    async def latencies(self) -> list[Latencies]:
        return [namespace.latencies for namespace in self._namespaces.values()]

    async def counts(self) -> EngineCounts:
        p50, p99 = quantiles([namespace.store.syncs for namespace in self._namespaces.values()], 0.5, 0.99)
        return EngineCounts(
            inboxes=len(self._inboxes), inbox_bytes=self._inboxes.size, subscriptions=len(self._settling),
            sync_p50=p50, sync_p99=p99,
        )  # fmt: skip

    async def nodes(self) -> None:
        """It keeps the events itself."""

    @property
    def failure(self) -> BusError | None:
        trouble = self._check_directory()
        return next((part.failure for part in self._parts() if part.failure), trouble)

    def stop(self, idle: Callable[[], None]) -> None:
        """Take no more events; call *idle* when every publisher is answered."""
        waiting = set(self._parts())
        self.namespace_admin.stop()
        self._opened_durables.stop()
        self._compaction.stop()
        if not waiting:
            idle()

        def one_idle(part: LogNamespace | Scheduler) -> None:
            waiting.discard(part)
            if not waiting:
                idle()

        for part in self._parts():
            part.stop(partial(one_idle, part))

    def _parts(self) -> list[LogNamespace | Scheduler]:
        """All that stores events."""
        return [*self._namespaces.values(), *self._schedulers.values()]

    def close(self) -> None:
        """Close the logs and unlock the directory."""
        self._compaction.stop()
        if self._namespace_admin is not None:
            self._namespace_admin.close()
        if self._durables is not None:
            self._durables.close()
        for scheduler in self._schedulers.values():
            scheduler.close()
        for namespace in self._namespaces.values():
            with suppress(BusError):
                namespace.close()
        if self._lock:
            self._lock.release()

    def __repr__(self) -> str:
        return f"<EmbeddedEngine {self._flags.path} {', '.join(self._namespaces)}>"
