"""Reading what a namespace has in its log, past what retention has deleted and what is damaged."""

from __future__ import annotations

import logging
from asyncio import AbstractEventLoop
from collections.abc import Callable, Sequence
from pathlib import Path

from bus.engine.embedded.subjects.table import SubjectTable
from bus.engine.namespace import READ_BATCHES, READ_BYTES, Namespace, Newest
from bus.storage.batch import Batch
from bus.storage.damage import Damage, DamagedLogError
from bus.storage.log import Log
from bus.storage.log_reader import OutOfLogError
from bus.subject import Filter

log = logging.getLogger("bus.engine")


class StoredNamespace(Namespace):
    """A namespace whose events are in the log *store*, and whose *subjects* are counted."""

    __slots__ = ("_reported", "store", "subjects")

    def __init__(self, name: str, store: Log, subjects: SubjectTable, *, loop: AbstractEventLoop) -> None:
        super().__init__(name, next=store.next, loop=loop, syncs=store.syncs, noted=subjects.note)
        self.store = store
        self.subjects = subjects
        self._reported: set[tuple[Path, int]] = set()

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

    def newest(self, wanted: Filter, start: int, end: int, limit: int) -> Newest:
        return self.subjects.newest(wanted, start, end, limit)

    def when_newest_known(self, then: Callable[[], None]) -> None:
        self.subjects.when_written(then)
