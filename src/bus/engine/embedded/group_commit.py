"""Group commit: one write and one sync for everything that gathered while the last one was under way.

After Gray and Lamport's observation that a log forced once per group costs one rotation for all of its
transactions. At most one commit is under way per log:

    loop     gather ─┐          gather ─┐ answer 1   gather ─┐ answer 2
    thread           └─ append 1, sync ─┘└─ append 2, sync ──┘└─ …

Under ``fsync=always`` the commit runs on a thread of its own, which holds no lock while the disk works; while the
disk is so fast that waking two threads would take longer than the sync, a small commit is done in place:

    loop     gather, append 1, sync, answer 1   gather, append 2, sync, answer 2   …

Under ``fsync=interval`` the thread answers before it syncs, and syncs when the interval is over.
Under ``fsync=never`` appending is a copy into the page cache, cheaper than waking a thread, and is done in
place. Whoever changes a log does it here, so that a log has one writer.
"""

from __future__ import annotations

import logging
import threading
import time
from asyncio import AbstractEventLoop
from collections.abc import Callable, Sequence
from queue import Empty, SimpleQueue
from typing import Final, Protocol

from bus.config import Fsync
from bus.engine.embedded.sync_speed import SyncSpeed
from bus.engine.guard import as_bus_error
from bus.errors import LogFailedError, StorageError
from bus.storage.batch import Batch
from bus.storage.log import Log

log = logging.getLogger("bus.engine")

PATIENCE: Final = 0.0004
"""Seconds for which a commit that is synced may wait for more publishers: a few syncs of a fast disk."""

SMALL = 64 * 1024
"""Frames of a commit that may be done on the loop: copying and checking them is no more than a sync's time."""

Committed = Callable[[int, StorageError | None], None]
"""Called on the loop with how many batches are stored, in order, and what stopped the rest."""


class Committer(Protocol):
    """Brings batches into a log and says when they are there.

    ``patience`` is for how many seconds a commit may wait for more publishers: worth it where it costs a sync.
    """

    @property
    def patience(self) -> float: ...

    def commit(self, batches: Sequence[Batch], committed: Committed) -> None:
        """Store *batches*; no other commit may be under way."""

    def maintain(self, work: Callable[[], None]) -> None:
        """Do *work* on the log between commits."""

    def close(self) -> None:
        """Finish what is under way; the log can then be closed."""


def make_committer(store: Log, *, fsync: Fsync, interval: float, loop: AbstractEventLoop) -> Committer:
    """The committer for a policy; *interval* is in seconds and counts under ``fsync=interval``."""
    if fsync is Fsync.NEVER:
        return InlineCommitter(store)
    if fsync is Fsync.INTERVAL:
        return ThreadCommitter(store, loop, interval=interval)
    return AdaptiveCommitter(store, loop)


class InlineCommitter:
    """Appends where it is asked to, and never syncs."""

    patience = 0.0

    def __init__(self, store: Log) -> None:
        self._store = store

    def commit(self, batches: Sequence[Batch], committed: Committed) -> None:
        committed(*_append(self._store, batches, sync=False))

    def maintain(self, work: Callable[[], None]) -> None:
        work()

    def close(self) -> None:
        """Nothing is ever under way."""


class MemoryCommitter(InlineCommitter):
    """Appends to a log in memory, and calls *grown* whenever that has begun a segment."""

    def __init__(self, store: Log, grown: Callable[[], None]) -> None:
        super().__init__(store)
        self._grown = grown

    def commit(self, batches: Sequence[Batch], committed: Committed) -> None:
        before = len(self._store.segments)
        super().commit(batches, committed)
        if len(self._store.segments) > before:
            self._grown()


class ThreadCommitter:
    """Appends and syncs on a thread: before each answer, or with an *interval* (seconds) when that is over."""

    patience = 0.0

    def __init__(self, store: Log, loop: AbstractEventLoop, *, interval: float | None) -> None:
        self._store = store
        self._loop = loop
        self._interval = interval
        self._sync_due: float | None = None
        self._work: SimpleQueue[Callable[[], None] | None] = SimpleQueue()
        self._handed = 0
        self._done = 0
        self._writer = threading.Thread(target=self._run, name=f"commit {store!r}", daemon=True)
        self._writer.start()

    def commit(self, batches: Sequence[Batch], committed: Committed) -> None:
        self.maintain(lambda: self._commit(batches, committed))

    def maintain(self, work: Callable[[], None]) -> None:
        self._handed += 1
        self._work.put(work)

    @property
    def is_idle(self) -> bool:
        """Whether the thread has done all it was handed. Each count has one writer, so neither needs a lock."""
        return self._handed == self._done

    def _commit(self, batches: Sequence[Batch], committed: Committed) -> None:
        outcome = self._append(batches)
        self._loop.call_soon_threadsafe(committed, *outcome)
        if self._interval is not None and self._sync_due is None:
            self._sync_due = time.monotonic() + self._interval

    def _append(self, batches: Sequence[Batch]) -> tuple[int, StorageError | None]:
        return _append(self._store, batches, sync=self._interval is None)

    def _run(self) -> None:
        while True:
            try:
                work = self._work.get(timeout=self._patience())
            except Empty:
                self._sync()
                continue
            if work is None:
                return
            try:
                work()
            except Exception as error:
                log.error("%s", as_bus_error(error, f"maintaining {self._store!r}"))
            self._done += 1

    def _patience(self) -> float | None:
        """How long to wait for work before the next sync; one that is due comes before more work."""
        if self._sync_due is None:
            return None
        left = self._sync_due - time.monotonic()
        if left <= 0:
            self._sync()
            return None
        return left

    def _sync(self) -> None:
        """Sync between answers: a failure marks the log, so the next publisher hears of it."""
        self._sync_due = None
        try:
            self._store.sync()
        except Exception as error:
            log.error("%s", as_bus_error(error, f"syncing {self._store!r}"))

    def close(self) -> None:
        self._work.put(None)
        self._writer.join()


class AdaptiveCommitter(ThreadCommitter):
    """Syncs before each answer: in place while the disk is fast, else on the thread.

    Only one of them writes at a time: while the thread has anything left to do, commits go there.
    *clock* tells seconds.
    """

    patience = PATIENCE

    def __init__(self, store: Log, loop: AbstractEventLoop, *, clock: Callable[[], float] = time.perf_counter) -> None:
        self._speed = SyncSpeed()
        self._clock = clock
        super().__init__(store, loop, interval=None)

    def commit(self, batches: Sequence[Batch], committed: Committed) -> None:
        if _is_small(batches) and self._speed.is_fast and self.is_idle:
            committed(*self._append(batches))
        else:
            super().commit(batches, committed)

    def _append(self, batches: Sequence[Batch]) -> tuple[int, StorageError | None]:
        started = self._clock()
        outcome = _append(self._store, batches, sync=True)
        if _is_small(batches):
            self._speed.note(self._clock() - started)
        return outcome


def _is_small(batches: Sequence[Batch]) -> bool:
    return len(batches) == 1 and len(batches[0].frames) <= SMALL


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
    except Exception as error:
        failure = _mistake(store, error)
    if not (sync and stored):
        return stored, failure
    try:
        store.sync()
    except StorageError as error:
        return 0, error
    except Exception as error:
        return 0, _mistake(store, error)
    return stored, failure


def _mistake(store: Log, error: Exception) -> StorageError:
    """A failure that is none of the disk's: what is stored isn't known, so nothing more is."""
    as_bus_error(error, f"writing {store!r}")
    return LogFailedError(f"{store!r}: a batch can't be written: the server's log has the details")
