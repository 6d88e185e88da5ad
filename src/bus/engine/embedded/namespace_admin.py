"""Making, changing and deleting namespaces while the server runs. `namespace_table` says in which steps, and why.

One is made, changed or deleted at a time. What blocks is done on a thread, which is waited for at the end: another
server may have the directory from then on.
"""

from __future__ import annotations

import asyncio
import logging
from asyncio import AbstractEventLoop, Lock
from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor
from typing import TypeVar

import msgspec

from bus.config import EngineSettings
from bus.engine.administration import ChangedNamespace, NamespaceChange
from bus.engine.base import unknown_namespace
from bus.engine.embedded.data_directory import DataDirectory
from bus.engine.embedded.log_namespace import LogNamespace
from bus.engine.embedded.namespace_description import describe
from bus.engine.embedded.namespace_opening import keep_of
from bus.engine.embedded.namespace_table import WHERE, KeptNamespace, NamespaceTable, State, with_table
from bus.engine.embedded.served_namespaces import ServedNamespaces
from bus.errors import ConfigError, ConflictError, InvalidParameterError, StoppingError
from bus.namespace import NamespaceDescription, NamespaceSettings, Storage
from bus.subject import check_namespaces

log = logging.getLogger("bus.engine")

MOST_NAMESPACES = 1000
"""How many a server serves: each has an open file and a thread at least."""

_T = TypeVar("_T")


class DirectoryNamespaces:
    """The namespaces of a server, as they are managed: *flags* declare some, *table* has what was said since."""

    def __init__(
        self,
        flags: EngineSettings,
        table: NamespaceTable,
        directory: DataDirectory | None,
        *,
        served: ServedNamespaces,
        loop: AbstractEventLoop,
    ) -> None:
        self._flags = flags
        self._table = table
        self._directory = directory
        self._namespaces = served.namespaces
        self._served = served
        self._loop = loop
        self._one = Lock()
        self._stopping = False
        self._executor = ThreadPoolExecutor(1, thread_name_prefix="namespaces")
        self.settings = with_table(flags, table)

    # -- looking

    def describe(self) -> list[NamespaceDescription]:
        return [self._describe(namespace) for namespace in self._namespaces.values()]

    def _describe(self, namespace: LogNamespace) -> NamespaceDescription:
        declared = namespace.name in self._flags.namespaces
        return describe(namespace, keep=keep_of(namespace, self.settings), declared=declared)

    # -- making and changing

    async def change(self, name: str, change: NamespaceChange) -> ChangedNamespace:
        async with self._one:
            self._check_stopping()
            served = self._namespaces.get(name)
            if served is None:
                served = await self._make(name, change)
                made = True
            else:
                await self._change(served, change)
                made = False
            return ChangedNamespace(self._describe(served), made)

    async def _make(self, name: str, change: NamespaceChange) -> LogNamespace:
        before = self._table.rows.get(name)
        row = KeptNamespace(name, State.MADE, change.applied(before.settings if before else NamespaceSettings()))
        self._check(row, before)
        await self._in_thread(lambda: self._table.put(row))
        try:
            settings = with_table(self._flags, self._table)
            namespace = await self._in_thread(lambda: self._served.open(name, settings))
            self._served.begin(namespace, settings)
        except BaseException:
            await self._in_thread(lambda: self._take_back(name, before))
            raise
        self._apply(settings)
        log.info("namespace %s is made, %s", name, row.settings.storage)
        return namespace

    def _check(self, row: KeptNamespace, before: KeptNamespace | None) -> None:
        """Raise `InvalidParameterError` or `ConflictError` unless there may be such a namespace."""
        check_new_name(row.name)
        if before and before.state is State.DELETED:
            raise ConflictError(f"namespace {row.name} was deleted, but not all of it is gone: delete it again first")
        if len(self._namespaces) >= MOST_NAMESPACES:
            raise ConflictError(
                f"the server has {MOST_NAMESPACES} namespaces already, the most it serves: delete one that isn't needed"
            )
        if self._directory is None or row.settings.storage is Storage.DISK:
            return
        if self._directory.log(row.name).exists():
            raise ConflictError(
                f"namespace {row.name} has a log in the data directory, so it can't be in memory: make it on disk"
            )

    def _take_back(self, name: str, before: KeptNamespace | None) -> None:
        """Forget a namespace that couldn't be opened."""
        self._table.put(before) if before else self._table.remove(name)

    async def _change(self, namespace: LogNamespace, change: NamespaceChange) -> None:
        name = namespace.name
        is_in = Storage.MEMORY if namespace.is_volatile else Storage.DISK
        if change.storage not in (None, is_in):
            raise ConflictError(f"namespace {name} is stored {WHERE[is_in]}, which can't be changed: make another")
        before = self._table.rows.get(name) or KeptNamespace(name, State.DECLARED, NamespaceSettings(storage=is_in))
        row = msgspec.structs.replace(before, settings=change.applied(before.settings))
        if row == before:
            return
        await self._in_thread(lambda: self._table.put(row))
        self._apply(with_table(self._flags, self._table))
        log.info("namespace %s is changed", name)

    def _apply(self, settings: EngineSettings) -> None:
        self.settings = settings
        self._served.limit(settings)

    # -- deleting

    async def delete(self, name: str) -> None:
        async with self._one:
            self._check_stopping()
            if name in self._flags.namespaces:
                raise ConflictError(
                    f"namespace {name} is declared with --namespaces: take it out there and restart, then delete it"
                )
            if name not in self._namespaces and not self._is_deleted(name):
                raise unknown_namespace(name)
            await self._in_thread(lambda: self._table.put(KeptNamespace(name, State.DELETED)))
            consumers = await self._served.end(name) if name in self._namespaces else []
            self._apply(with_table(self._flags, self._table))
            self._served.forget(consumers)
            await self._in_thread(lambda: self._finish(name))
            log.info("namespace %s is deleted", name)

    def _is_deleted(self, name: str) -> bool:
        """Whether it was deleted, and there may be something left."""
        return name in self._table.rows and self._table.rows[name].state is State.DELETED

    def _finish(self, name: str) -> None:
        self._served.erase()
        if self._directory:
            self._directory.remove_log(name)
        self._table.remove(name)

    def stop(self) -> None:
        """Begin nothing more."""
        self._stopping = True

    def _check_stopping(self) -> None:
        if self._stopping:
            raise StoppingError("the server is stopping: try again when it is back")

    async def _in_thread(self, work: Callable[[], _T]) -> _T:
        """Do *work* on the thread, to its end whatever becomes of who waits for it."""
        return await asyncio.shield(self._loop.run_in_executor(self._executor, work))

    def close(self) -> None:
        """Wait for what is under way on the thread."""
        self._executor.shutdown(wait=True)

    def __repr__(self) -> str:
        return f"<DirectoryNamespaces {', '.join(self._namespaces)}>"


def check_new_name(name: str) -> None:
    """Raise `InvalidParameterError` for what can't be the name of a namespace."""
    try:
        check_namespaces([name[:1000]])
    except ConfigError as error:
        raise InvalidParameterError(str(error)) from None
    if name == "lock":
        raise InvalidParameterError("namespace lock would stand where the data directory has its lock: choose another")
