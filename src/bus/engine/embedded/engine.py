"""The engine that stores and delivers by itself: a log per namespace in one directory."""

from __future__ import annotations

import logging
import time
from asyncio import AbstractEventLoop
from collections.abc import Callable, Iterator, Sequence
from contextlib import suppress
from functools import partial
from hashlib import sha256

from bus.config import EngineSettings, Fsync, Storage
from bus.engine.administration import EngineCounts, NamespaceStats
from bus.engine.base import (
    Acknowledge,
    AwaitedConfirmations,
    Opening,
    Outcome,
    Publisher,
    Replied,
    Settled,
    Sink,
    Subscribe,
    unknown_namespace,
)
from bus.engine.consumer.anonymous_consumers import AnonymousConsumers
from bus.engine.consumer.consumer import Consumer
from bus.engine.consumer.delivery import GivenUp
from bus.engine.embedded.ack_routing import AckRouter
from bus.engine.embedded.consumer_admin import DurableAdmin
from bus.engine.embedded.consumer_needs import ConsumerNeeds
from bus.engine.embedded.consumer_store import ConsumerStore
from bus.engine.embedded.data_directory import DataDirectory
from bus.engine.embedded.durable_consumers import DurableConsumers
from bus.engine.embedded.idle_consumers import IdleConsumers
from bus.engine.embedded.inboxes import Inboxes
from bus.engine.embedded.log_namespace import LogNamespace
from bus.engine.embedded.namespace_opening import open_in_memory, open_on_disk
from bus.engine.embedded.no_consumer_store import NoConsumerStore
from bus.engine.embedded.retention import Retention
from bus.engine.embedded.schedules.scheduler import Scheduler
from bus.engine.embedded.schedules.schedules import Schedules
from bus.engine.embedded.schedules.store import ScheduleStore
from bus.engine.embedded.stored_events import StoredEvents
from bus.engine.embedded.subscribing import Subscribing
from bus.engine.guard import as_bus_error
from bus.engine.namespace import Namespace
from bus.engine.reading.paced_turns import PacedTurns
from bus.engine.reading.round_robin import RoundRobin
from bus.errors import (
    BusError,
    InvalidEventError,
    LogFailedError,
    StorageError,
)
from bus.event import Draft
from bus.subject import INBOX_NAMESPACE, parse_subject
from bus.wire import Durability

log = logging.getLogger("bus.engine")


class EmbeddedEngine:
    """Everything of one server that isn't HTTP. Make it with `EmbeddedEngine.open`."""

    def __init__(self, settings: EngineSettings, directory: DataDirectory | None, loop: AbstractEventLoop) -> None:
        self._settings = settings
        self._loop = loop
        self._turns = RoundRobin(loop)
        self._replays = PacedTurns(loop, committed_at=self._committed_at)
        self._lock = directory.lock() if directory else None
        self._namespaces: dict[str, LogNamespace] = {}
        self._inboxes = Inboxes(loop)
        self._settling = AckRouter(self._namespaces, self._inboxes)
        self._durables: DurableConsumers | None = None
        self._events = StoredEvents(self._namespaces, self._consumers_of, loop)
        self._schedulers: dict[str, Scheduler] = {}
        self._schedules = Schedules(self._schedulers, lambda name: self._namespaces[name].durability)
        self._anonymous = AnonymousConsumers(loop=loop, left=self._settling.forget, refused=self._refuse_request)

    @classmethod
    def open(cls, settings: EngineSettings, loop: AbstractEventLoop) -> EmbeddedEngine:
        """Lock the data directory, open or make the log of each namespace, and recover what needs it.

        Without a namespace on disk there is no directory.

        Raises a `StorageError`: the directory is locked, a key is wrong, a version unknown.
        """
        directory = DataDirectory(settings.path) if Storage.DISK in settings.namespaces.values() else None
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
        for name in self._settings.namespaces:
            self._namespaces[name] = self._open_namespace(name, directory)
        self._durables = DurableConsumers(
            self._open_store(directory), self._namespaces, loop=self._loop,
            left=self._settling.forget, refused=self._refuse_request, most=self._settings.max_consumers,
        )  # fmt: skip
        self._durables.load()
        self._subscribing = Subscribing(
            namespaces=self._namespaces, inboxes=self._inboxes, settling=self._settling, durables=self._durables,
            anonymous=self._anonymous, replays=self._replays, turns=self._turns, loop=self._loop,
        )  # fmt: skip
        self._admin = DurableAdmin(self._durables, self._namespaces, loop=self._loop, turns=self._turns)
        self._idle = IdleConsumers(self._durables, ttl=self._settings.consumer_ttl, loop=self._loop)
        for name, namespace in self._namespaces.items():
            self._schedulers[name] = self._open_scheduler(namespace, directory)
        self._retention = Retention(
            self._settings.retention, force=self._settings.retention_force,
            durable=ConsumerNeeds(self._durables), anonymous=self._anonymous, loop=self._loop,
        )  # fmt: skip

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

    def _open_namespace(self, name: str, directory: DataDirectory | None) -> LogNamespace:
        if directory is None or self._settings.namespaces[name] is Storage.MEMORY:
            return open_in_memory(name, self._settings, self._loop, grown=lambda: self._retain(name))
        found = open_on_disk(name, directory.log(name), self._settings, self._loop)
        if self._lock:
            self._lock.watch(directory.log(name))
        return found

    def _open_store(self, directory: DataDirectory | None) -> ConsumerStore | NoConsumerStore:
        if directory is None:
            return NoConsumerStore()
        return ConsumerStore(directory.consumers, key=self._key)

    def _open_scheduler(self, namespace: LogNamespace, directory: DataDirectory | None) -> Scheduler:
        """A namespace in memory keeps its scheduled events there."""
        path = directory.schedules(namespace.name) if directory and not namespace.is_volatile else None
        store = ScheduleStore(path, key=self._key, sync=self._settings.fsync is Fsync.ALWAYS)
        return Scheduler(namespace, namespace.publish_each, store, self._loop)

    @property
    def _key(self) -> bytes | None:
        """What encrypts all but the logs, None if nothing is encrypted."""
        secret = self._settings.secret_key
        return sha256(secret.encode()).digest() if secret else None

    def _retain(self, name: str) -> None:
        self._retention.retain(self._namespaces[name], now=time.time_ns())

    def _committed_at(self) -> float:
        """When the last commit was, whatever the namespace: all of them share the loop."""
        return max(namespace.committed_at for namespace in self._namespaces.values())

    # -- publishing

    def publish(self, drafts: Sequence[Draft], publisher: Publisher, *, atomic: bool = True, now: int) -> None:
        """What comes before the first dot says where they go, even if what comes behind it can't be read."""
        name = (drafts[0].subject or "").partition(".")[0]
        if atomic and len(drafts) > 1:
            self._check_batch(name, drafts)
        namespace = self._namespaces.get(name)
        if namespace is None:
            self._publish_to_inboxes(drafts, publisher, atomic=atomic, now=now)
        elif atomic:
            namespace.publish(drafts, publisher, now=now)
        else:
            namespace.publish_each(drafts, publisher, now=now)

    def _check_batch(self, name: str, drafts: Sequence[Draft]) -> None:
        """Raise `InvalidSubjectError` or `InvalidEventError` unless all of *drafts* go to one log, that of *name*."""
        if {(draft.subject or "").partition(".")[0] for draft in drafts} != {name}:
            names = ", ".join(sorted({parse_subject(draft.subject or "")[0] for draft in drafts}))
            raise InvalidEventError(f"the batch is of several namespaces ({names}): send one each")
        if name == INBOX_NAMESPACE:
            raise InvalidEventError("a batch can't go to an inbox: send replies one by one, or as NDJSON")

    def _publish_to_inboxes(self, drafts: Sequence[Draft], publisher: Publisher, *, atomic: bool, now: int) -> None:
        """Put *drafts*, of which there is one if *atomic*, into the inboxes that they are for."""
        outcomes = [self._publish_one(draft, now=now) for draft in drafts]
        if atomic and isinstance(outcomes[0], BusError):
            raise outcomes[0]
        publisher.stored(outcomes, Durability.MEMORY)

    def _publish_one(self, draft: Draft, *, now: int) -> Outcome:
        """Put a draft into its inbox, or say why it can't be stored anywhere."""
        try:
            name, _ = parse_subject(draft.subject or "")
            return self._inboxes.publish(draft, now=now) if name == INBOX_NAMESPACE else unknown_namespace(name)
        except Exception as error:
            return as_bus_error(error, "publishing a reply")

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
        """Delete what needn't be kept any more, whole segments at a time, and idle consumers. *now* is in ns."""
        self._check_directory()
        self._idle.expire()
        for namespace in self._namespaces.values():
            self._retention.retain(namespace, now=now)

    def _check_directory(self) -> StorageError | None:
        """Take no more events if the files they would go to are no longer those of the data directory."""
        trouble = self._lock.check() if self._lock else None
        if isinstance(trouble, LogFailedError):
            for namespace in self._namespaces.values():
                namespace.fail(trouble)
        return trouble

    # -- the rest

    async def namespaces(self) -> list[NamespaceStats]:
        return [namespace.stats() for namespace in self._namespaces.values()]

    async def counts(self) -> EngineCounts:
        return EngineCounts(
            inboxes=len(self._inboxes), inbox_bytes=self._inboxes.size, subscriptions=len(self._settling)
        )

    @property
    def failure(self) -> BusError | None:
        trouble = self._check_directory()
        return next((part.failure for part in self._parts() if part.failure), trouble)

    def stop(self, idle: Callable[[], None]) -> None:
        """Take no more events; call *idle* when every publisher is answered."""
        waiting = set(self._parts())
        self._opened_durables.stop()

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
        return f"<EmbeddedEngine {self._settings.path} {', '.join(self._namespaces)}>"
