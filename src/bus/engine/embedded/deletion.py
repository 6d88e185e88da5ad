"""Deleting events for good: out of the log, out of memory, out of what consumers have yet to settle.

    loop      which events, before which index ────────────────────────────────────────┐
    thread        any of them in the active segment? ─▶ close it                       │ one deletion
                  each closed segment: any of them? ─▶ write it anew, put it in place  │ at a time
    loop      forget what is in memory, consumers look again ─▶ answered ◀─────────────┘

Segments are read and written anew beside publishing (``rewriter.py``). A dead letter has the payload of the event it
stands for, so it goes with it. What is being delivered at this moment may still be settled; what comes back is passed
over.
"""

from __future__ import annotations

import asyncio
from collections.abc import Iterable
from contextlib import suppress
from dataclasses import dataclass
from itertools import compress

from bus.engine.embedded.log_namespace import LogNamespace
from bus.engine.embedded.rewriter import Pace, Rewriter
from bus.engine.embedded.subjects.table import SubjectTable
from bus.errors import BusError
from bus.frame import dead_of
from bus.storage.batch import Batch
from bus.storage.rewriting import Rewritten
from bus.storage.segment import SegmentInfo
from bus.subject import DEAD_SEGMENT, Filter


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
    """Deletes events by means of *rewriter*."""

    def __init__(self, rewriter: Rewriter) -> None:
        self._rewriter = rewriter

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
        async with self._rewriter.turn:
            if namespace.failure:
                raise namespace.failure
            await self._close_active(namespace, doomed)
            deleted = 0
            for segment in namespace.store.segments:
                if segment.next > begin and segment.first < doomed.before and not segment.active:
                    deleted += await self._delete_in(namespace, segment, doomed)
            if deleted:
                self._rewriter.forget(namespace)
                await _settle(namespace.subjects)
            return deleted

    async def _close_active(self, namespace: LogNamespace, doomed: Deleted) -> None:
        """Nothing is written to a closed segment, so that it can be written anew."""
        active = next((segment for segment in namespace.store.segments if segment.active), None)
        if active is None:
            return
        if await asyncio.to_thread(_has_some, namespace, active, doomed, self._rewriter.pace):
            await self._rewriter.between_commits(namespace, namespace.store.roll)

    async def _delete_in(self, namespace: LogNamespace, segment: SegmentInfo, doomed: Deleted) -> int:
        done = await self._rewriter.rewrite(namespace, (segment,), doomed)
        return done.deleted if isinstance(done, Rewritten) else 0

    def __repr__(self) -> str:
        return f"<Deletion by {self._rewriter!r}>"


async def _settle(subjects: SubjectTable) -> None:
    """What is counted anew, or can't be, is nothing to wait for."""
    if subjects.is_current:
        with suppress(BusError):
            await subjects.settled()


def _has_some(namespace: LogNamespace, segment: SegmentInfo, doomed: Deleted, pace: Pace) -> bool:
    for batch in namespace.store.batches(segment):
        pace()
        if doomed(batch):
            return True
    return False
