"""A namespace kept in a log: one log, one order, one writer.

    publish ─▶ check ─▶ gather ─▶ commit ─▶ deliver ─▶ answer
                 │         │         │
            InvalidError   │    StorageError: everything behind it is refused as well
                      DuplicateKeyError, or wait for whoever claimed the key

Whoever reads learns of a commit in the same turn of the loop in which its publishers are answered.
"""

from __future__ import annotations

import logging
from asyncio import AbstractEventLoop
from collections.abc import Callable, Sequence
from functools import partial
from operator import attrgetter
from pathlib import Path

from bus.config import Storage
from bus.engine.administration import NamespaceStats
from bus.engine.base import Publisher
from bus.engine.embedded.batch_builder import BATCH_BYTES, BATCH_EVENTS, BatchBuilder, apologise
from bus.engine.embedded.checked_draft import CheckedDraft, check_draft
from bus.engine.embedded.duplicates import Duplicates
from bus.engine.embedded.group_commit import Committer
from bus.engine.embedded.quota import Quota
from bus.engine.embedded.separate_events import Outcomes
from bus.engine.guard import as_bus_error
from bus.engine.namespace import READ_BATCHES, READ_BYTES, Namespace
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
from bus.storage.batch import Batch
from bus.storage.damage import Damage, DamagedLogError
from bus.storage.log import Log
from bus.storage.log_reader import OutOfLogError
from bus.wire import Durability

log = logging.getLogger("bus.engine")

GATHERED_BYTES = 64 * 1024 * 1024
"""Frames that may wait for the disk before publishers are told to come back later."""

_key_of = attrgetter("key")

Parked = tuple[list[CheckedDraft], Publisher]


class LogNamespace(Namespace):
    """Publishing to one log, and reading what is committed there; it is volatile if it ends with the server.

    The log may have *quota* bytes; None is no limit.
    """

    def __init__(
        self,
        name: str,
        store: Log,
        committer: Committer,
        duplicates: Duplicates,
        *,
        durability: Durability,
        quota: int | None,
        loop: AbstractEventLoop,
    ) -> None:
        super().__init__(name, next=store.next, loop=loop)
        self.store = store
        self.durability = durability
        self.is_volatile = durability is Durability.MEMORY
        self._time = store.time
        self._broken: StorageError | None = None
        self._committer = committer
        self._duplicates = duplicates
        self._quota = Quota(name, store, quota, gathered=GATHERED_BYTES)
        self._make_id = id_maker()
        self._gathering: list[BatchBuilder] = []
        self._gathered_bytes = 0
        self._committing: list[BatchBuilder] = []
        self._scheduled = False
        self._parked: list[Parked] = []
        self._reported: set[tuple[Path, int]] = set()
        self._on_idle: Callable[[], None] | None = None

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

    def publish(self, drafts: Sequence[Draft], publisher: Publisher, *, now: int) -> None:
        """Store *drafts*, all or none. Raises what `Engine.publish` says."""
        if len(drafts) > BATCH_EVENTS:
            raise InvalidEventError(f"the batch holds {len(drafts)} events: {BATCH_EVENTS} is the most")
        self.append([check_draft(draft, now=now) for draft in drafts], publisher, now=now)

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
                    self._parked.append(([event], outcomes.at([place])))
                    continue
            except Exception as error:
                outcomes.put([place], [as_bus_error(error, f"publishing to namespace {self.name}")])
            else:
                events.append(event)
                places.append(place)
        if events:
            self._gather(events, publisher if len(events) == len(drafts) else outcomes.at(places), now=now)

    def append(self, events: list[CheckedDraft], publisher: Publisher, *, now: int, past_quota: bool = False) -> None:
        """Store events that were found to be in order. Raises `DuplicateKeyError` and what keeps it from that."""
        refusal = self._refusal()
        if refusal and not (past_quota and isinstance(refusal, QuotaExceededError)):
            raise refusal
        keys = [event.key for event in events if event.key]
        if keys and not self._duplicates.claim(keys, now=now):
            self._parked.append((events, publisher))
        else:
            self._gather(events, publisher, now=now)

    def _refusal(self) -> BusError | None:
        """Why no events are taken now, None if they are."""
        if self._broken or self.store.failure:
            return self.failure
        if self._on_idle:
            return StoppingError("the server is stopping: publish again when it is back")
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
            gathering.append(self._begin_batch())
        self._gathered_bytes += gathering[-1].add(events, publisher, now=now)
        if not self._scheduled and not self._committing:
            self._schedule()

    def _begin_batch(self) -> BatchBuilder:
        before = self._gathering or self._committing
        first, time = (before[-1].next, before[-1].time) if before else (self.next, self._time)
        return BatchBuilder(first, time, durability=self.durability, make_id=self._make_id, hash_id=self.store.hash_id)

    # -- committing

    def _schedule(self) -> None:
        """Commit at the end of this turn of the loop, so that all that came in together goes together."""
        self._scheduled = True
        self._loop.call_soon(self._commit)

    def _commit(self) -> None:
        self._scheduled = False
        self._committing, self._gathering = self._gathering, []
        self._quota.take(self._gathered_bytes)
        self._gathered_bytes = 0
        try:
            batches = [builder.build() for builder in self._committing]
        except Exception as error:
            self._committed([], 0, as_bus_error(error, f"building batches of namespace {self.name}"))
            return
        self._committer.commit(batches, lambda stored, failure: self._committed(batches, stored, failure))

    def _committed(self, batches: list[Batch], stored: int, failure: BusError | None) -> None:
        done, self._committing = self._committing, []
        self._quota.measure()
        if stored:
            keyed = [builder for builder in done[:stored] if builder.claimed]
            remember = partial(self._remember_keys, keyed) if keyed else None
            self._time = batches[stored - 1].time
            self.take_over(batches[:stored], done[:stored], before=remember)
        if failure:
            self._refuse_gathered(done[stored:], failure)
        if self._parked:
            self._retry_parked()
        if self._gathering:
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
        self._gathered_bytes = 0
        for builder in refused:
            for key in builder.claimed:
                self._duplicates.release(key)
            builder.answer(failure)

    def _retry_parked(self) -> None:
        """Try again those who waited for a claimed key; the claims are settled now."""
        parked, self._parked = self._parked, []
        for events, publisher in parked:
            try:
                self.append(events, publisher, now=max(event.time for event in events))
            except Exception as error:
                apologise(publisher, as_bus_error(error, f"publishing to namespace {self.name}"))

    # -- reading

    def read_stored(self, index: int) -> Sequence[Batch]:
        while index < self.next:
            try:
                found = self.store.read(index, READ_BYTES, READ_BATCHES)
                return [batch for batch in found if batch.first < self.next]
            except OutOfLogError:
                index = self.store.first
            except DamagedLogError as error:
                self._report(error.damage)
                index = max(error.damage.next, index + 1)
        return ()

    def _report(self, damage: Damage) -> None:
        """Name damage in the server's log, once, however many read past it."""
        place = damage.path, damage.offset
        if place not in self._reported:
            self._reported.add(place)
            log.error("namespace %s: %s", self.name, DamagedLogError(damage))

    @property
    def first(self) -> int:
        """Index of the oldest event left."""
        return min(self.store.first, self.next)

    def is_damaged(self, index: int) -> bool:
        return any(found.first <= index < found.next for found in self.store.damage)

    def oldest_damage(self) -> int | None:
        return next((found.first for found in self.store.damage if found.first < found.next == self.first), None)

    def find_id(self, event_id: str) -> Sequence[int]:
        return self.store.find_client_id(self.store.hash_id(event_id.encode()))[::-1]

    def find_time(self, time: int) -> int:
        return min(self.store.find_time(time), self.next)

    def forget_read(self) -> None:
        super().forget_read()
        self.store.forget_opened()

    def maintain(self, work: Callable[[], None]) -> None:
        """Do *work* on the log between commits, where it is written."""
        self._committer.maintain(work)

    # -- the rest

    def stats(self) -> NamespaceStats:
        """What there is to know at a glance."""
        return NamespaceStats(
            namespace=self.name,
            first_index=self.first,
            next_index=self.next,
            events=self.next - self.first,
            bytes=self.store.size,
            segments=len(self.store.segments),
            published=self.published,
            subscribers=len(self.live),
            delivered_bytes=self.live.delivered_bytes,
            keys=len(self._duplicates),
            writable=self.failure is None,
            storage=Storage.MEMORY if self.is_volatile else Storage.DISK,
            quota=self._quota.most,
        )

    def shrunk(self) -> None:
        """Some of the log was deleted."""
        self._quota.measure()

    def stop(self, idle: Callable[[], None]) -> None:
        """Take no more events; call *idle* when all that were taken are answered."""
        self._on_idle = idle
        if not (self._gathering or self._committing):
            idle()

    def close(self) -> None:
        """Close the log. Nothing may be under way."""
        self._committer.close()
        self.store.close()
