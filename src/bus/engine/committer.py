"""Group commit: one write and one sync for everything that gathered while the last one was under way.

After Gray and Lamport's observation that a log forced once per group costs one rotation for all of its
transactions. At most one commit is under way per log:

    loop     gather ─┐          gather ─┐ answer 1   gather ─┐ answer 2
    thread           └─ append 1, sync ─┘└─ append 2, sync ──┘└─ …

Under ``fsync=always`` the commit runs on a thread of its own, which holds no lock while the disk works.
Otherwise appending is a copy into the page cache, cheaper than waking a thread, and is done in place.
"""

from __future__ import annotations

import logging
import threading
from asyncio import AbstractEventLoop, TimerHandle
from collections.abc import Callable, Sequence
from queue import SimpleQueue
from typing import Protocol

from bus.config import Fsync
from bus.errors import StorageError
from bus.storage.batch import Batch
from bus.storage.log import Log

log = logging.getLogger("bus.engine")

Committed = Callable[[int, StorageError | None], None]
"""Called on the loop with how many batches are stored, in order, and what stopped the rest."""


class Committer(Protocol):
    """Brings batches into a log and says when they are there."""

    def commit(self, batches: Sequence[Batch], committed: Committed) -> None:
        """Store *batches*; no other commit may be under way."""

    def close(self) -> None:
        """Finish what is under way; the log can then be closed."""


def make_committer(store: Log, *, fsync: Fsync, interval: float, loop: AbstractEventLoop) -> Committer:
    """The committer for a policy; *interval* is in seconds and counts under ``fsync=interval``."""
    if fsync is Fsync.ALWAYS:
        return SyncedCommitter(store, loop)
    return UnsyncedCommitter(store, interval if fsync is Fsync.INTERVAL else None, loop)


class SyncedCommitter:
    """Append and sync on a thread."""

    def __init__(self, store: Log, loop: AbstractEventLoop) -> None:
        self._store = store
        self._loop = loop
        self._work: SimpleQueue[tuple[Sequence[Batch], Committed] | None] = SimpleQueue()
        self._thread = threading.Thread(target=self._run, name=f"commit {store!r}", daemon=True)
        self._thread.start()

    def commit(self, batches: Sequence[Batch], committed: Committed) -> None:
        self._work.put((batches, committed))

    def _run(self) -> None:
        while (work := self._work.get()) is not None:
            batches, committed = work
            self._loop.call_soon_threadsafe(committed, *_append(self._store, batches, sync=True))

    def close(self) -> None:
        self._work.put(None)
        self._thread.join()


class UnsyncedCommitter:
    """Append in place; under ``fsync=interval`` sync on a timer, on a thread of the loop's."""

    def __init__(self, store: Log, interval: float | None, loop: AbstractEventLoop) -> None:
        self._store = store
        self._interval = interval
        self._loop = loop
        self._dirty = False
        self._timer: TimerHandle | None = None
        self._arm()

    def commit(self, batches: Sequence[Batch], committed: Committed) -> None:
        self._dirty = True
        committed(*_append(self._store, batches, sync=False))

    def _arm(self) -> None:
        if self._interval is not None:
            self._timer = self._loop.call_later(self._interval, self._sync)

    def _sync(self) -> None:
        if self._dirty:
            self._dirty = False
            self._loop.run_in_executor(None, _sync_quietly, self._store)
        self._arm()

    def close(self) -> None:
        if self._timer:
            self._timer.cancel()


def _append(store: Log, batches: Sequence[Batch], *, sync: bool) -> tuple[int, StorageError | None]:
    """Append as many of *batches* as can be; the ones counted are synced if *sync*."""
    stored = 0
    failure: StorageError | None = None
    try:
        for batch in batches:
            store.append(batch)
            stored += 1
    except StorageError as error:
        failure = error
    if not (sync and stored):
        return stored, failure
    try:
        store.sync()
    except StorageError as error:
        return 0, error
    return stored, failure


def _sync_quietly(store: Log) -> None:
    """Sync between answers: a failure marks the log, so the next publisher hears of it."""
    try:
        store.sync()
    except StorageError as error:
        log.error("%s", error)
