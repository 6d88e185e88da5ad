"""A namespace kept in a log: one log, one order, one writer.

    publish ─▶ check ─▶ gather ─▶ commit ─▶ deliver ─▶ answer
                 │         │         │
            InvalidError   │    StorageError: everything behind it is refused as well
                      DuplicateKeyError, or wait for whoever claimed the key
                      WrongIndexError, or wait for the commit that decides it

Whoever reads learns of a commit in the same turn of the loop in which its publishers are answered.
"""

from __future__ import annotations

import asyncio
import logging
from asyncio import AbstractEventLoop
from collections.abc import Callable, Sequence
from functools import partial
from operator import attrgetter

from bus.engine.base import Expected, Publisher
from bus.engine.checked_draft import CheckedDraft, Key, check_draft
from bus.engine.embedded.batch_builder import BATCH_BYTES, BATCH_EVENTS, BatchBuilder, apologise
from bus.engine.embedded.commit_times import CommitTimes
from bus.engine.embedded.duplicates import Duplicates
from bus.engine.embedded.gather_window import GatherWindow
from bus.engine.embedded.group_commit import Committer
from bus.engine.embedded.log_end import LogEnds
from bus.engine.embedded.quota import Quota
from bus.engine.embedded.stored_namespace import StoredNamespace
from bus.engine.embedded.subjects.table import SubjectTable
from bus.engine.guard import as_bus_error
from bus.engine.namespace import Publishers
from bus.engine.separate_events import Outcomes
from bus.errors import (
    BusError,
    InvalidEventError,
    LogFailedError,
    OverloadedError,
    QuotaExceededError,
    StoppingError,
    StorageError,
)
from bus.event import Draft, id_maker
from bus.namespace import Compact
from bus.storage.batch import Batch
from bus.storage.log import Log
from bus.wire import Durability

log = logging.getLogger("bus.engine")

GATHERED_BYTES = 64 * 1024 * 1024
"""Frames that may wait for the disk before publishers are told to come back later."""

_key_of = attrgetter("key")

Parked = tuple[list[CheckedDraft], Publisher, Expected | None]


class LogNamespace(StoredNamespace):
    """Publishing to one log, and reading what is committed there; it is volatile if it ends with the server.

    The log may have *quota* bytes; None is no limit. ``compactions`` and ``compacted_bytes`` count what was done since
    the start.
    """

    __slots__ = (
        "_broken", "_committer", "_committing", "_compact", "_duplicates", "_ending", "_ends", "_gathered_bytes",
        "_gathered_publishers", "_gathering", "_make_id", "_on_idle", "_parked", "_quota", "_scheduled", "_time",
        "_times", "_window", "compacted_bytes", "compactions", "durability", "is_volatile",
    )  # fmt: skip

    def __init__(
        self,
        name: str,
        store: Log,
        committer: Committer,
        duplicates: Duplicates,
        *,
        durability: Durability,
        quota: int | None,
        subjects: SubjectTable,
        compact: Compact | None = None,
        loop: AbstractEventLoop,
    ) -> None:
        super().__init__(name, store, subjects, loop=loop)
        self.compactions = self.compacted_bytes = 0
        self._times = CommitTimes(self.latencies, self.clock)
        self.durability = durability
        self.is_volatile = durability is Durability.MEMORY
        self._time = store.time
        self._broken: StorageError | None = None
        self._committer = committer
        self._duplicates = duplicates
        self._quota = Quota(name, store, quota, gathered=GATHERED_BYTES)
        self._make_id = id_maker()
        self._gathering: list[BatchBuilder] = []
        self._gathered_bytes = self._gathered_publishers = 0
        self._committing: list[BatchBuilder] = []
        self._scheduled = False
        self._window = GatherWindow(committer.patience)
        self._parked: list[Parked] = []
        self._ends = LogEnds(name, subjects)
        self._on_idle: Callable[[], None] | None = None
        self._ending: BusError = StoppingError("the server is stopping: publish again when it is back")
        self.compact = compact

    @property
    def compact(self) -> Compact | None:
        """What makes an event supersede another, None if none does.

        Where the key does, it comes again and again, so there is no duplicate window.
        """
        return self._compact

    @compact.setter
    def compact(self, compact: Compact | None) -> None:
        self._compact = compact
        self._duplicates.suspend(compact is Compact.KEY)

    @property
    def keys(self) -> int:
        """How many deduplication keys are remembered."""
        return len(self._duplicates)

    @property
    def quota(self) -> int | None:
        """Bytes that the log may have; None for no limit."""
        return self._quota.most

    @property
    def oldest_key(self) -> int:
        """The index from which on events may have a key that is in the duplicate window."""
        return self._duplicates.oldest or self.next

    @property
    def failure(self) -> StorageError | None:
        """Why the namespace takes no more events; a sync between two commits may have failed too."""
        return self._broken or (LogFailedError(self.store.failure) if self.store.failure else None)

    def fail(self, failure: StorageError) -> None:
        """Take no more events, until a restart."""
        if self._broken is None:
            log.error("namespace %s: %s", self.name, failure)
            self._broken = failure

    # -- publishing

    def publish(
        self, drafts: Sequence[Draft], publisher: Publisher, *, expected: Expected | None = None, now: int
    ) -> None:
        """Store *drafts*, all or none. Raises what `Engine.publish` says."""
        if len(drafts) > BATCH_EVENTS:
            raise InvalidEventError(f"the batch holds {len(drafts)} events: {BATCH_EVENTS} is the most")
        self.append([check_draft(draft, now=now) for draft in drafts], publisher, expected=expected, now=now)

    def publish_each(self, drafts: Sequence[Draft], publisher: Publisher, *, now: int) -> None:
        """Store *drafts* each by itself, together if nothing keeps one of them behind."""
        if refusal := self._refusal():
            raise refusal
        try:
            events = [check_draft(draft, now=now) for draft in drafts]
            plain = not any(map(_key_of, events))
        except Exception:
            plain = False
        if plain:
            self._gather(events, publisher, now=now)
        else:
            self._sort_out(drafts, publisher, now=now)

    def _sort_out(self, drafts: Sequence[Draft], publisher: Publisher, *, now: int) -> None:
        """Store those of *drafts* that can be, together as far as no claimed key keeps one behind."""
        outcomes = Outcomes(len(drafts), publisher, self.durability)
        events: list[CheckedDraft] = []
        places: list[int] = []
        for place, draft in enumerate(drafts):
            try:
                event = check_draft(draft, now=now)
                if event.key and not self._duplicates.claim([event.key], now=now):
                    self._parked.append(([event], outcomes.at([place]), None))
                    continue
            except Exception as error:
                outcomes.put([place], [as_bus_error(error, f"publishing to namespace {self.name}")])
            else:
                events.append(event)
                places.append(place)
        if events:
            self._gather(events, publisher if len(events) == len(drafts) else outcomes.at(places), now=now)

    def append(
        self,
        events: list[CheckedDraft],
        publisher: Publisher,
        *,
        expected: Expected | None = None,
        now: int,
        past_quota: bool = False,
    ) -> None:
        """Store events that were found to be in order. Raises `DuplicateKeyError`, `WrongIndexError` and what keeps
        it from that.
        """
        refusal = self._refusal()
        if refusal and not (past_quota and isinstance(refusal, QuotaExceededError)):
            raise refusal
        keys = [event.key for event in events if event.key]
        claimed = not keys or self._duplicates.claim(keys, now=now)
        if claimed and (expected is None or self._meets(expected, events, keys)):
            self._gather(events, publisher, now=now)
        else:
            self._parked.append((events, publisher, expected))

    def _meets(self, expected: Expected, events: list[CheckedDraft], keys: Sequence[Key]) -> bool:
        """Whether the log ends as *expected*, False if that isn't decided; unless it does, *keys* are free again.

        Raises `WrongIndexError`, `InvalidEventError` for events of several subjects, and `UnavailableError`.
        """
        met = False
        try:
            met = self._ends.meet(expected, events, [*self._committing, *self._gathering], next=self.next)
        finally:
            if not met:
                for key in keys:
                    self._duplicates.release(key)
        return met

    def _refusal(self) -> BusError | None:
        """Why no events are taken now, None if they are."""
        if self._broken or self.store.failure:
            return self.failure
        if self._on_idle:
            return self._ending
        if self._gathered_bytes > self._quota.room:
            return self._no_room()
        return None

    def _no_room(self) -> BusError:
        if self._gathered_bytes <= GATHERED_BYTES:
            return self._quota.refusal()
        return OverloadedError(f"namespace {self.name} has more waiting than its disk takes: try again shortly")

    def _gather(self, events: list[CheckedDraft], publisher: Publisher, *, now: int) -> None:
        gathering = self._gathering
        if not gathering or gathering[-1].size >= BATCH_BYTES:
            gathering.append(self._begin_batch(now))
        self._gathered_bytes += gathering[-1].add(events, publisher, now=now)
        self._gathered_publishers += 1
        if not self._scheduled and not self._committing:
            self._schedule()

    def _begin_batch(self, now: int) -> BatchBuilder:
        before = self._gathering or self._committing
        first, time = (before[-1].next, before[-1].time) if before else (self.next, self._time)
        begun = BatchBuilder(first, time, durability=self.durability, make_id=self._make_id, hash_id=self.store.hash_id)
        if now >= self._times.due:
            self._times.begin(begun, now=now)
        return begun

    # -- committing

    def _schedule(self) -> None:
        """Commit at the end of this turn of the loop or one soon after: what comes in together goes together."""
        self._scheduled = True
        self._window.open()
        self._loop.call_soon(self._commit)

    def _commit(self) -> None:
        if self._gathered_bytes < BATCH_BYTES and self._window.stays_open(self._gathered_publishers):
            self._loop.call_soon(self._commit)
            return
        self._scheduled = False
        self._committing, self._gathering = self._gathering, []
        if self._quota.most is not None:
            self._quota.take(self._gathered_bytes)
        self._gathered_bytes = self._gathered_publishers = 0
        try:
            batches = [builder.build() for builder in self._committing]
        except Exception as error:
            self._committed([], 0, as_bus_error(error, f"building batches of namespace {self.name}"))
            return
        self._committer.commit(batches, lambda stored, failure: self._committed(batches, stored, failure))

    def _committed(self, batches: list[Batch], stored: int, failure: BusError | None) -> None:
        done, self._committing = self._committing, []
        if self._quota.most is not None:
            self._quota.measure()
        if stored:
            keyed = [builder for builder in done[:stored] if builder.claimed]
            remember = partial(self._remember_keys, keyed) if keyed else None
            self._time = batches[stored - 1].time
            waiting: Sequence[Publishers] = done[:stored]
            if self._times.timed:
                waiting = self._times.around(waiting, live=self.live.has_followers)
            self.take_over(batches[:stored], waiting, before=remember)
        if failure:
            self._times.forget()
            self._refuse_gathered(done[stored:], failure)
        if self._parked:
            self._retry_parked()
        if self._gathering:
            if not self._scheduled:
                self._schedule()
        elif self._on_idle:
            self._on_idle()

    def _remember_keys(self, builders: Sequence[BatchBuilder]) -> None:
        for builder in builders:
            for key, receipt in builder.claimed.items():
                self._duplicates.store(key, receipt, now=builder.time)

    def _refuse_gathered(self, builders: list[BatchBuilder], failure: BusError) -> None:
        """Refuse what was not stored and all that was numbered behind it."""
        log.error("namespace %s: %s", self.name, failure)
        if isinstance(failure, LogFailedError):
            self._broken = failure
        refused, self._gathering = [*builders, *self._gathering], []
        self._gathered_bytes = self._gathered_publishers = 0
        for builder in refused:
            for key in builder.claimed:
                self._duplicates.release(key)
            builder.answer(failure)

    def _retry_parked(self) -> None:
        """Try again those who waited for a claimed key, or for where the log ends: that is settled now."""
        parked, self._parked = self._parked, []
        for events, publisher, expected in parked:
            try:
                self.append(events, publisher, expected=expected, now=max(event.time for event in events))
            except Exception as error:
                apologise(publisher, as_bus_error(error, f"publishing to namespace {self.name}"))

    # -- the rest

    def maintain(self, work: Callable[[], None]) -> None:
        """Do *work* on the log between commits, where it is written."""
        self._committer.maintain(work)

    def shrunk(self) -> None:
        """Some of the log was deleted."""
        self._quota.measure()

    def limit(self, *, quota: int | None, segment_bytes: int) -> None:
        """Have other limits hold from now on."""
        self._quota.change(quota)
        self.store.limit_segments(segment_bytes)

    def stop(self, idle: Callable[[], None], *, ending: BusError | None = None) -> None:
        """Take no more events; call *idle* when all that were taken are answered.

        *ending* is what publishers are told, unless it is that the server stops.
        """
        self._ending = ending or self._ending
        self._on_idle = idle
        if not (self._gathering or self._committing):
            idle()

    def close(self) -> None:
        """Close the log. Nothing may be under way."""
        self._committer.close()
        self.subjects.close()
        self.store.close()

    async def discard(self) -> None:
        """As `close`, for what is to be deleted: less is written, and the loop doesn't wait for it."""
        self.subjects.stop()
        await asyncio.to_thread(self._let_go)

    def _let_go(self) -> None:
        self._committer.close()
        self.subjects.abandon()
        self.store.close()
