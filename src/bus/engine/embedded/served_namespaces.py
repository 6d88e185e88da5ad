"""The namespaces that are served: each is opened, begins to be served and, if it is deleted, ends.

begin   in one turn of the loop: known to publishers and subscribers, its schedules and durable consumers are taken up
end     in one turn: its streams end, and nobody finds it any more
        then: what was under way is stored and answered, or refused; no event is being deleted
        then: its files are closed
"""

from __future__ import annotations

import asyncio
from asyncio import AbstractEventLoop
from collections.abc import Callable
from contextlib import suppress
from dataclasses import dataclass
from hashlib import sha256

from bus.config import EngineSettings, Fsync
from bus.engine.base import unknown_namespace
from bus.engine.embedded.compaction.compaction import Compaction
from bus.engine.embedded.data_directory import DataDirectory, DirectoryLock
from bus.engine.embedded.log_namespace import LogNamespace
from bus.engine.embedded.namespace_opening import limit, open_in_memory, open_on_disk
from bus.engine.embedded.retention import Retention
from bus.engine.embedded.schedules.scheduler import Scheduler
from bus.engine.embedded.schedules.store import ScheduleStore
from bus.engine.embedded.stored_events import StoredEvents
from bus.engine.embedded.subscribing import Subscribing
from bus.errors import BusError
from bus.namespace import Storage


@dataclass(frozen=True, slots=True, kw_only=True)
class NamespaceFiles:
    """The files of namespaces in *directory*, which *lock* watches; without one, all of them are in memory.

    *grown* is called with the name of one in memory that has begun a segment.
    """

    directory: DataDirectory | None
    lock: DirectoryLock | None
    loop: AbstractEventLoop
    grown: Callable[[str], None]

    def open(self, name: str, settings: EngineSettings) -> LogNamespace:
        """Open or make a log, on any thread. Raises a `StorageError`."""
        if self.directory is None or settings.namespaces[name] is Storage.MEMORY:
            return open_in_memory(name, settings, self.loop, grown=lambda: self.grown(name))
        return open_on_disk(name, self.directory.log(name), settings, self.loop)

    def open_scheduler(self, namespace: LogNamespace, settings: EngineSettings) -> Scheduler:
        """Open the scheduled events of *namespace*. One in memory keeps them there."""
        path = self.directory.schedules(namespace.name) if self.directory and not namespace.is_volatile else None
        store = ScheduleStore(path, key=key_in(settings), sync=settings.fsync is Fsync.ALWAYS)
        return Scheduler(namespace, namespace.publish_each, store, self.loop)

    def watch(self, namespace: LogNamespace) -> None:
        """Have it noticed if its directory is taken away."""
        if self.lock and self.directory and not namespace.is_volatile:
            self.lock.watch(self.directory.log(namespace.name))

    def let_go(self, name: str) -> None:
        """The directory of this namespace may go."""
        if self.lock and self.directory:
            self.lock.let_go(self.directory.log(name))


def key_in(settings: EngineSettings) -> bytes | None:
    """What encrypts all but the logs, None if nothing is encrypted."""
    secret = settings.secret_key
    return sha256(secret.encode()).digest() if secret else None


@dataclass(frozen=True, slots=True, kw_only=True)
class ServedNamespaces:
    """What is served: *namespaces* and their *schedulers*, and who has to do with them."""

    files: NamespaceFiles
    namespaces: dict[str, LogNamespace]
    schedulers: dict[str, Scheduler]
    subscribing: Subscribing
    events: StoredEvents
    retention: Retention
    compaction: Compaction

    def open(self, name: str, settings: EngineSettings) -> LogNamespace:
        """As `NamespaceFiles.open`."""
        return self.files.open(name, settings)

    def begin(self, namespace: LogNamespace, settings: EngineSettings) -> None:
        """Serve *namespace* from now on. Raises a `StorageError`, and then it isn't served and is closed."""
        try:
            scheduler = self.files.open_scheduler(namespace, settings)
        except BaseException:
            namespace.close()
            raise
        self.files.watch(namespace)
        self.namespaces[namespace.name] = namespace
        self.schedulers[namespace.name] = scheduler
        self.subscribing.durables.take_up(namespace)

    def limit(self, settings: EngineSettings) -> None:
        """Have the limits in *settings* hold for all that are served."""
        self.retention.keep = settings.retention
        for namespace in self.namespaces.values():
            limit(namespace, settings)

    async def end(self, name: str) -> list[str]:
        """Serve it no more, and close its files; returns its durable consumers, which aren't forgotten yet."""
        gone = unknown_namespace(name)
        consumers = self.subscribing.end_namespace(name)
        namespace, scheduler = self.namespaces.pop(name), self.schedulers.pop(name)
        self.files.let_go(name)
        await asyncio.gather(self._settle(scheduler, gone), self._settle(namespace, gone))
        await scheduler.finish()
        scheduler.close()
        async with self.events.turn:
            with suppress(BusError):  # it can't be closed well, and needn't be
                await namespace.discard()
        self.compaction.forget(namespace)
        return consumers

    async def _settle(self, part: LogNamespace | Scheduler, gone: BusError) -> None:
        """Wait until all that *part* took is answered; whoever comes later is told that it is *gone*."""
        idle = asyncio.Event()
        part.stop(idle.set, ending=gone)
        await idle.wait()

    def forget(self, consumers: list[str]) -> None:
        """Forget durable consumers of a namespace that has ended, for good. Raises a `StorageError`."""
        self.subscribing.durables.forget_all(consumers)

    def erase(self) -> None:
        """Leave no traces of consumers that were forgotten; on any thread. Raises a `StorageError`."""
        self.subscribing.durables.erase()
