"""The table of subjects: of each, how many events are left, and which is the newest.

    committed ─▶ noted ──counted──▶ changes ──written──▶ rows of `SubjectStore`
                  (batches)          (bounded)    on a thread, now and then

    opening ─▶ behind ──all up to the tail counted──▶ current         segments removed, or written anew
                 ▲                                     │ │                          │
                 ├────── too many changes to keep ─────┘ │                          ▼
                 └── the file and the log disagree ──────┴───────────────── fewer events

1. What is asked is answered of the rows, the changes that are being written, and those that aren't (`KnownSubjects`):
   exact up to the last commit, without a look at the log.
2. The rows say which events of which segments they count. While part of the log is being removed nothing is written,
   so that they never name segments whose events they don't count. A crash in between leaves rows that don't fit the
   log, and these are made anew.
3. Who is behind counts the log piece by piece, and what was counted while some of it was removed is counted again.
   What is asked meanwhile is refused; whoever may wait, waits.
4. Publishers never wait for a table: if more subjects change than can be written, what was counted is dropped, and
   counted again from the log. So what is kept in memory is bounded.
"""

from __future__ import annotations

import logging
from asyncio import AbstractEventLoop, Future
from collections.abc import Callable, Iterator, Mapping, Sequence
from concurrent.futures import ThreadPoolExecutor
from contextlib import contextmanager, suppress
from functools import partial
from typing import TypeVar

from bus.engine.embedded.subjects.counting import count_log, newest_before
from bus.engine.embedded.subjects.known import KnownSubjects
from bus.engine.embedded.subjects.number import SubjectNumber
from bus.engine.embedded.subjects.removals import Removals
from bus.engine.embedded.subjects.rounds import Rounds
from bus.engine.embedded.subjects.rows import Covered, SubjectRow
from bus.engine.embedded.subjects.store import SubjectStore
from bus.engine.guard import as_bus_error
from bus.engine.namespace import Newest
from bus.engine.reading.places import EVERYWHERE, Places
from bus.errors import BusError, DiskFullError, OverloadedError, StoppingError, StorageError
from bus.storage.batch import Batch
from bus.storage.log import Log
from bus.storage.rewriting import Rewritten
from bus.storage.segment import Segment
from bus.subject import Filter

log = logging.getLogger("bus.engine")

T = TypeVar("T")

NOTED_BATCHES = 64
NOTED_BYTES = 1 << 20
"""How much is noted before it is counted."""

MANY_CHANGES = 8192
"""So many subjects have changed when they are written before that is due."""

MOST_CHANGES = 16 * MANY_CHANGES
"""So many have changed at most; then they are counted from the log, where they are."""

PERIOD = 5.0
"""Seconds after which changes are written, and after which a write that failed is tried again."""

A_MOMENT = 0.05
"""Seconds after which it is looked again whether part of the log is still being removed."""

FEW_EVENTS = 50_000
"""So many events are counted in one go, on the loop: some hundredths of a second."""

FEW_SUBJECTS = 4096
"""Events of so many subjects are looked for where one of these is; those of more, from the newest of all back."""


class SubjectTable:
    """The subjects of the namespace *name*, whose log is *source*; it is empty until `open`.

    No more than about *most* of them have changed without being written.
    """

    def __init__(
        self, name: str, source: Log, store: SubjectStore, loop: AbstractEventLoop, *, most: int = MOST_CHANGES
    ) -> None:
        self._name = name
        self._log = source
        self._store = store
        self._loop = loop
        self._most = most
        self._known = KnownSubjects(store)
        self._noted: list[Batch] = []
        self._noted_bytes = 0
        self._upto = source.first
        self._next = source.next
        self._current = False
        self._broken = False
        self._removals = Removals()
        self._rounds = Rounds(self._do_some, failed=self._failed, loop=loop)
        self._executor = ThreadPoolExecutor(1, thread_name_prefix=f"subjects {name}")
        self._number = SubjectNumber(name, store)

    # -- opening and closing

    def open(self) -> None:
        """Take up the rows there are, if they fit the log, and count a little; more is counted by and by."""
        try:
            self._take_up(self._store.open())
            if not self._fits():
                log.warning("namespace %s: its subjects are counted anew: their file doesn't fit the log", self._name)
                self._take_up(self._store.begin_anew())
            self._count_rest()
        except StorageError as error:
            self._rounds.tell(self._failed(error))
            return
        if not self._current or self._known.counted.size >= MANY_CHANGES:
            self._rounds.wake()

    def _take_up(self, covered: Covered) -> None:
        self._known.begin(covered)
        self._upto = max(covered.upto, self._log.first)
        self._current, self._broken = False, False
        self._number.forget()
        self._noted, self._noted_bytes = [], 0

    def _fits(self) -> bool:
        upto = self._known.of.upto
        return upto == 0 or (upto <= self._next and self._known.of.segments == self._log.identity(upto))

    def close(self) -> None:
        """Write what is left to be written, and close the file."""
        self.stop()
        self._executor.shutdown(wait=True)
        with suppress(BusError):
            self._write_last()
        self._store.seal()
        self._store.close()

    def stop(self) -> None:
        """Begin nothing more, and tell who waits; what is under way goes on."""
        why = StoppingError(f"namespace {self._name} is being closed: try again shortly")
        self._rounds.stop(why)
        self._rounds.tell(why)

    def abandon(self) -> None:
        """Close the file as it is, once what is under way is done; on any thread, after `stop`."""
        self._executor.shutdown(wait=True)
        self._store.close()

    def _write_last(self) -> None:
        if self._broken or self._removals.under_way or self._removals.done:
            return
        self._count_noted()
        if not self._known.was_written:
            self._known.take_back()
        if self._upto != self._known.of.upto:
            self._store.apply(self._known.counted, (), self._coverage(), self._newest_before)

    # -- what is committed

    def note(self, batches: Sequence[Batch]) -> None:
        """*batches* are committed, and follow those that were before."""
        self._next = batches[-1].next
        if not self._current:
            return
        self._noted += batches
        for batch in batches:
            self._noted_bytes += len(batch.frames)
        if len(self._noted) >= NOTED_BATCHES or self._noted_bytes >= NOTED_BYTES:
            self._count_noted()
        elif self._rounds.timer is None:
            self._rounds.wake_later(PERIOD)

    def _count_noted(self) -> None:
        if not self._noted:
            return
        self._known.count(self._noted)
        self._upto = self._noted[-1].next
        self._noted, self._noted_bytes = [], 0
        if self._known.counted.size >= self._most:
            self._fall_behind()
        if self._known.counted.size >= MANY_CHANGES:
            self._rounds.wake()

    def _fall_behind(self) -> None:
        """Forget what was counted and isn't written: it is in the log."""
        log.warning("namespace %s: more subjects change than can be written: they are counted from its log", self._name)
        self._current = False
        self._known.forget_counted()
        self._upto = max(self._known.ordered.upto, self._log.first)
        self._rounds.wake()

    # -- what is asked

    @property
    def is_current(self) -> bool:
        """Whether `last` and `find` know all that is committed."""
        return self._current

    @property
    def events(self) -> int | None:
        """How many events are left; None while they are being counted."""
        if self._current:
            self._count_noted()
        return self._known.events if self._current else None

    @property
    def waiting(self) -> int:
        """How many subjects have changed without being on their way into rows."""
        self._count_noted()
        return len(self._known.counted)

    @property
    def number(self) -> int | None:
        """How many subjects there were when this was asked last; who asks has them counted for who asks next."""
        if not self._rounds.is_over:
            self._number.update(self._known.ordered.generation, self._in_thread)
        return self._number.last

    def last(self, subject: str) -> int:
        """Index of the newest event of *subject* that is left, 0 if there is none; exact up to the last commit.

        Raises an `OverloadedError` while the log has yet to be counted.
        """
        row = self.find(subject.encode())
        return row.last if row else 0

    def find(self, subject: bytes) -> SubjectRow | None:
        """What is known of *subject*, None if it has no event (any more). Raises as `last`."""
        self._count_noted()
        if not self._current:
            raise OverloadedError(f"the subjects of namespace {self._name} are being counted: try again shortly")
        with self._ending_with_the_file():
            row = self._known.find(subject)
        return row if self.is_left(row) else None

    def newest(self, wanted: Filter, start: int, end: int, limit: int) -> Newest:
        """Subjects with their newest event, from index *start* on and before *end*, in order; about *limit*.

        Subjects that *wanted* doesn't take may be among them. There are none, and the index to go on from is *start*,
        as long as it isn't known. Raises a `StorageError`.
        """
        self._count_noted()
        if not self._current or self._removals.done:
            return Newest((), start)
        if names := wanted.subjects:
            found = [row for name in names if (row := self.find(name)) and start <= row.last < end]
            return Newest([(row.subject, row.last) for row in sorted(found, key=lambda row: row.last)], end)
        end = min(end, self._known.of.upto)
        with self._ending_with_the_file():
            rows, following = self._known.newest(wanted, max(start, self._log.first), end, limit)
        still = [(row.subject, row.last) for row in rows if not self._known.has_moved(row.subject)]
        return Newest(still, following)

    def when_written(self, then: Callable[[], None]) -> None:
        """Call *then* when more is written, or may be after a failure; not once it is closed."""

        def tell(done: Future[None]) -> None:
            delay = PERIOD if done.exception() else A_MOMENT if self._removals.under_way else 0.0
            if not self._rounds.is_over:
                self._loop.call_later(delay, then)

        self._rounds.next().add_done_callback(tell)

    async def by_subject(self, start: bytes, end: bytes, limit: int) -> list[SubjectRow]:
        """At most *limit* rows, as written, from the subject *start* on and before *end*, in the order of their bytes.

        Raises a `StorageError`.
        """
        with self._ending_with_the_file():
            return await self._in_thread(partial(self._store.by_subject, start, end, limit))

    async def places(self, wanted: Filter, end: int, *, events: int, few: int = FEW_SUBJECTS) -> Places:
        """Where the newest *events* before *end* may be that *wanted* takes: everywhere, if that isn't known.

        If it takes more than *few* subjects, only the newest of all their events is known. Raises a `StorageError`.
        """
        if not self._current:
            return EVERYWHERE
        with self._ending_with_the_file():
            return await self._in_thread(partial(self._store.places, wanted, end, events=events, few=few))

    def is_left(self, row: SubjectRow) -> bool:
        """Whether retention has left something of what *row* counts."""
        return row.events > 0 and row.last >= self._log.first

    async def written(self) -> None:
        """Wait until all that is committed now is in the rows. Raises a `StorageError`."""
        upto = self._next
        while self._known.of.upto < upto or self._removals.done or not self._current:
            await self._rounds.next()

    async def settled(self) -> None:
        """Wait until `last` can tell, and what was removed isn't counted any more. Raises a `StorageError`."""
        while self._removals.done or not self._current:
            await self._rounds.next()

    # -- what is removed

    def removing(self) -> None:
        """Part of the log is about to be removed; one of the next three is called when it was, or wasn't."""
        self._removals.begin()

    def recount(self) -> None:
        """It isn't known what was removed: count all that is left."""
        self._removals.end()
        self._begin_anew()
        self._rounds.wake()

    def dropped(self, segments: Sequence[Segment]) -> None:
        """*segments*, the oldest ones, were removed as a whole."""
        self._removals.dropped(segments)
        self._rounds.wake()

    def rewritten(self, found: Rewritten | None) -> None:
        """Segments were replaced by one without some of their events; None if they weren't after all."""
        if found:
            self._removals.rewritten(found)
        else:
            self._removals.end()
        self._rounds.wake()

    # -- a round: counting and writing, one after the other

    async def _do_some(self) -> None:
        if self._removals.under_way:
            return
        if self._broken:
            self._removals.done.clear()
            self._take_up(await self._in_thread(self._store.begin_anew))
        self._count_noted()
        if self._upto != self._known.of.upto or self._removals.done:
            await self._write()
        if not (self._current or self._broken):
            await self._count_more()

    async def _count_more(self) -> None:
        removals = self._removals.begun
        changes, upto = await self._in_thread(partial(count_log, self._log, self._upto, self._next))
        self._rounds.wake()
        if removals == self._removals.begun:
            self._known.add(changes)
            self._upto = upto
            self._count_rest()

    def _count_rest(self) -> None:
        """Count what is left to be counted, if that isn't much, and be current."""
        if self._next - self._upto <= FEW_EVENTS:
            while self._upto < self._next:
                changes, self._upto = count_log(self._log, self._upto, self._next, rest=0.0)
                self._known.add(changes)
            self._current = True

    async def _write(self) -> None:
        """Have the changes in the rows, and not the events that were removed."""
        removed, upto = list(self._removals.done), self._upto
        fewer = [await self._in_thread(partial(removal, upto)) for removal in removed]
        known = [gone for gone in fewer if gone is not None]
        if self._removals.under_way or self._upto < upto:
            return
        if len(known) < len(fewer):
            self._begin_anew()
            self._rounds.wake()
            return
        covered = self._coverage()
        changes = self._known.set_out(covered)
        try:
            events = await self._in_thread(partial(self._store.apply, changes, known, covered, self._newest_before))
        except StorageError:
            self._take_back()
            raise
        self._known.arrive(covered._replace(events=events))
        del self._removals.done[: len(removed)]

    def _take_back(self) -> None:
        self._known.take_back()
        if self._known.counted.size >= self._most:
            self._fall_behind()

    def _coverage(self) -> Covered:
        return Covered(self._upto, self._log.identity(self._upto), self._known.ordered.generation + 1)

    def _newest_before(self, wanted: Mapping[bytes, int]) -> Mapping[bytes, tuple[int, int]]:
        return newest_before(self._log, wanted)

    def _in_thread(self, work: Callable[[], T]) -> Future[T]:
        return self._loop.run_in_executor(self._executor, work)

    # -- what goes wrong

    def _begin_anew(self) -> None:
        self._current, self._broken = False, True
        self._known.forget_counted()
        self._noted, self._noted_bytes = [], 0
        self._removals.done.clear()

    @contextmanager
    def _ending_with_the_file(self) -> Iterator[None]:
        try:
            yield
        except StorageError as error:
            self._rounds.tell(self._failed(error))
            raise

    def _failed(self, error: Exception) -> BusError:
        """A full disk is waited for; what else may be wrong with the file ends with the file.

        Segments that were removed take up room as long as they are to be counted, which the disk may be waiting for.
        """
        told = as_bus_error(error, f"counting the subjects of namespace {self._name}")
        log.error("namespace %s: the subjects can't be kept: %s", self._name, told)
        if self._removals.done or not isinstance(told, DiskFullError):
            self._begin_anew()
        self._rounds.wake_later(PERIOD)
        return told

    def __repr__(self) -> str:
        state = "current" if self._current else f"behind, at {self._upto}"
        return f"<SubjectTable of {self._name}, {state}, {self._known!r}>"
