"""Deleting events for good: out of the log, out of memory, out of what consumers have yet to settle.

    loop      which events, before which index ────────────────────────────────────────┐
    thread        any of them in the active segment? ─▶ close it                       │ one deletion
                  each closed segment: any of them? ─▶ write it anew, put it in place  │ at a time
    loop      forget what is in memory, consumers look again ─▶ answered ◀─────────────┘

Reading and writing segments goes on beside publishing, with rests; only putting a segment
in place is done between commits. A dead letter has the payload of the event it stands for, so it goes with it. What is
being delivered at this moment may still be settled; what comes back is passed over.
"""

from __future__ import annotations

import asyncio
import time
from asyncio import AbstractEventLoop
from collections.abc import Callable, Iterable, Iterator
from dataclasses import dataclass
from functools import partial
from itertools import compress

from bus.engine.consumer.consumer import Consumer
from bus.engine.embedded.log_namespace import LogNamespace
from bus.engine.guard import as_bus_error
from bus.frame import dead_of
from bus.storage.batch import Batch
from bus.storage.log_reader import OutOfLogError
from bus.storage.segment import SegmentInfo
from bus.subject import DEAD_SEGMENT, Filter

WORK_SECONDS = 0.001
REST_SECONDS = 0.001
"""How long the thread works at a time, and rests then, so that the loop has the interpreter to itself."""


@dataclass(frozen=True, slots=True)
class Deleted:
    """Which events are to be deleted: those that *wanted* takes before the index *before*, or the one at *index*."""

    namespace: str
    before: int
    wanted: Filter | None = None
    index: int = 0

    def __call__(self, batch: Batch) -> set[int]:
        """Those in *batch*, by index."""
        taken = [self._takes_subject(subject) for subject in batch.subjects]
        letters = [subject.startswith(self._letters) for subject in batch.subjects]
        gone = set(_with_subjects(batch, taken))
        gone.update(index for index in _with_subjects(batch, letters) if self._stands_for_one(batch.frame(index)))
        if batch.first <= self.index < batch.next:
            gone.add(self.index)
        return gone if batch.next <= self.before else {index for index in gone if index < self.before}

    @property
    def _letters(self) -> bytes:
        return f"{self.namespace}.{DEAD_SEGMENT}.".encode()

    def _takes_subject(self, subject: bytes) -> bool:
        return self.wanted is not None and self.wanted.matches(subject)

    def _stands_for_one(self, frame: bytes) -> bool:
        """Whether this dead letter is that of an event that is to be deleted."""
        about = dead_of(frame)
        return about is not None and (
            about.index == self.index or (about.index < self.before and self._takes_subject(about.subject.encode()))
        )


def _with_subjects(batch: Batch, wanted: list[bool]) -> Iterable[int]:
    """The indexes of the events that have a subject which is *wanted*."""
    if not any(wanted):
        return ()
    indexes = range(batch.first, batch.next)
    return indexes if len(wanted) == 1 else compress(indexes, map(wanted.__getitem__, batch.which))


class Deletion:
    """Deletes events; *consumers* gives those of a namespace, of all kinds."""

    def __init__(self, consumers: Callable[[LogNamespace], Iterator[Consumer]], loop: AbstractEventLoop) -> None:
        self._consumers = consumers
        self._loop = loop
        self._turn = asyncio.Lock()

    async def delete_matching(self, namespace: LogNamespace, wanted: Filter, *, before: int | None) -> int:
        """Delete what *wanted* takes, up to now or *before* an index; returns how many events that were.

        Raises a `StorageError`; some segments may have been written anew by then.
        """
        end = namespace.next if before is None else min(before, namespace.next)
        return await self._delete(namespace, Deleted(namespace.name, end, wanted), namespace.first)

    async def delete_one(self, namespace: LogNamespace, index: int) -> int:
        """Delete the event at *index*, and its dead letters, likewise."""
        return await self._delete(namespace, Deleted(namespace.name, namespace.next, index=index), index)

    async def _delete(self, namespace: LogNamespace, doomed: Deleted, begin: int) -> int:
        if namespace.failure:
            raise namespace.failure
        async with self._turn:
            await self._close_active(namespace, doomed)
            deleted = 0
            for segment in namespace.store.segments:
                if segment.next > begin and segment.first < doomed.before and not segment.active:
                    deleted += await self._delete_in(namespace, segment, doomed)
            if deleted:
                self._forget(namespace)
            return deleted

    async def _close_active(self, namespace: LogNamespace, doomed: Deleted) -> None:
        """Nothing is written to a closed segment, so that it can be written anew."""
        active = next((segment for segment in namespace.store.segments if segment.active), None)
        has_some = active is not None and await asyncio.to_thread(_has_some, namespace, active, doomed)
        if has_some:
            await self._between_commits(namespace, namespace.store.roll)

    async def _delete_in(self, namespace: LogNamespace, segment: SegmentInfo, doomed: Deleted) -> int:
        try:
            rewritten = await asyncio.to_thread(namespace.store.rewrite, segment, _Paced(doomed))
        except OutOfLogError:  # retention was faster
            return 0
        if rewritten is None:
            return 0
        await self._between_commits(namespace, partial(namespace.store.replace, rewritten))
        return rewritten.deleted

    async def _between_commits(self, namespace: LogNamespace, work: Callable[[], None]) -> None:
        """Have *work* done where the log is written; raises what it does."""
        done: asyncio.Future[None] = self._loop.create_future()

        def tell(error: Exception | None) -> None:
            if error:
                done.set_exception(as_bus_error(error, f"deleting in namespace {namespace.name}"))
            else:
                done.set_result(None)

        def run() -> None:
            try:
                work()
            except Exception as error:
                self._loop.call_soon_threadsafe(tell, error)
            else:
                self._loop.call_soon_threadsafe(tell, None)

        namespace.maintain(run)
        await done

    def _forget(self, namespace: LogNamespace) -> None:
        namespace.forget_read()
        namespace.shrunk()
        for consumer in self._consumers(namespace):
            consumer.look_again()

    def __repr__(self) -> str:
        return f"<Deletion, {'busy' if self._turn.locked() else 'idle'}>"


class _Paced:
    """*doomed*, at a pace."""

    def __init__(self, doomed: Deleted) -> None:
        self._doomed = doomed
        self._since = time.perf_counter()

    def __call__(self, batch: Batch) -> set[int]:
        if time.perf_counter() - self._since > WORK_SECONDS:
            time.sleep(REST_SECONDS)
            self._since = time.perf_counter()
        return self._doomed(batch)


def _has_some(namespace: LogNamespace, segment: SegmentInfo, doomed: Deleted) -> bool:
    return any(map(_Paced(doomed), namespace.store.batches(segment)))
