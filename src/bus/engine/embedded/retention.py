"""Letting go of old events, and telling whoever had yet to settle some of them.

    loop      where to cut ── not forced ──▶ no further than durable consumers need
                  │ forced                            │
    thread        └─▶ subjects of what is pending ────┴─▶ remove whole segments
                                                                 │ first index left
    loop      gap in the stream, dead letters, a line in the log ◀┘

1. Where to cut follows from what the log holds; a segment that is too old is closed, to be removed the next time.
2. An event that is pending when it is removed becomes a dead letter without payload: nobody can get it again. Its
   subject is looked up while it is still there.
3. A namespace in memory is kept within its limits whatever consumers need, each time a segment is begun.
4. Consumers whose place is before what is left are told by a gap, now or when somebody joins.
"""

from __future__ import annotations

import logging
from asyncio import AbstractEventLoop
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import replace
from functools import partial
from typing import Protocol

from bus.config import Keep
from bus.engine.consumer.consumer import Consumer
from bus.engine.consumer.dead_event import DELETED
from bus.engine.consumer.delivery import GivenUp
from bus.engine.embedded.log_namespace import LogNamespace
from bus.errors import StorageError
from bus.storage.log import Log
from bus.storage.log_reader import OutOfLogError
from bus.storage.retention_policy import RetentionPolicy
from bus.storage.segment import SegmentInfo
from bus.units import SECOND_NS

log = logging.getLogger("bus.engine")

BYTES_IN_MEMORY = 64 * 1024 * 1024
"""How much of a namespace in memory is kept, unless a size is given."""

SubjectsByIndex = Mapping[int, str]
"""The subjects of events that are gone, by index, as far as they could still be read."""


class RetentionNeeds(Protocol):
    """The durable consumers, as far as retention has to do with them."""

    def oldest_needed(self, namespace: str) -> int | None:
        """The oldest index that one of them has yet to settle; None if there are none."""

    def pending_before(self, namespace: str, index: int) -> Iterable[int]:
        """What is pending before *index*."""

    def lose(self, namespace: LogNamespace, subjects: SubjectsByIndex) -> None:
        """The log of *namespace* doesn't hold any more what some of them need."""


class Retention:
    """Keeps logs within their limits: *keep* by namespace, ``*`` for the others; *force* deletes what is needed."""

    def __init__(
        self,
        keep: Mapping[str, Keep],
        *,
        force: bool,
        durable: RetentionNeeds,
        anonymous: Iterable[Consumer],
        loop: AbstractEventLoop,
    ) -> None:
        self.keep = keep
        self._force = force
        self._durable = durable
        self._anonymous = anonymous
        self._loop = loop

    def retain(self, namespace: LogNamespace, *, now: int) -> None:
        """Delete what *namespace* needn't keep at *now* (ns)."""
        find, force = (limits_in_memory, True) if namespace.is_volatile else (limits_on_disk, self._force)
        keep = find(self.keep, namespace.name)
        if keep is None or namespace.failure:
            return
        segments, limits = namespace.store.segments, _limits(keep)
        cut, roll = limits.cut(segments, now=now), limits.wants_roll(segments, now=now)
        needed = self._durable.oldest_needed(namespace.name)
        pending: list[int] = []
        if needed is not None and needed < cut:
            if force:
                pending = sorted(set(self._durable.pending_before(namespace.name, cut)))
            else:
                cut = needed
        if goes := any(segment.next <= cut for segment in segments):
            namespace.subjects.removing()
        namespace.maintain(partial(self._let_go, namespace, cut, roll, pending, goes=goes))

    def _let_go(self, namespace: LogNamespace, cut: int, roll: bool, pending: Iterable[int], *, goes: bool) -> None:
        """What is done to the log, on the thread that writes it; *goes* says whether something may be removed."""
        opened = namespace.store.open_before(cut) if goes else []
        removed: Sequence[SegmentInfo] = ()
        done = namespace.subjects.recount
        try:
            if roll:
                namespace.store.roll()
            subjects = _subjects(namespace.store, pending)
            removed = namespace.store.drop_before(cut)
            done = partial(namespace.subjects.dropped, [one for one in opened if one.next <= namespace.first])
        except StorageError as error:
            log.error("namespace %s: %s", namespace.name, error)
        if removed:
            log.log(
                logging.DEBUG if namespace.is_volatile else logging.INFO,
                "namespace %s: retention deleted %d segments, before event %d",
                namespace.name, len(removed), namespace.first,
            )  # fmt: skip
            self._loop.call_soon_threadsafe(self._tell, namespace, subjects)
        if goes:
            self._loop.call_soon_threadsafe(done)

    def _tell(self, namespace: LogNamespace, subjects: SubjectsByIndex) -> None:
        namespace.shrunk()
        self._durable.lose(namespace, subjects)
        for consumer in [found for found in self._anonymous if found.namespace is namespace]:
            consumer.give_up([GivenUp(lost, DELETED) for lost in consumer.lose(namespace.first)])


def limits_on_disk(keep: Mapping[str, Keep], name: str) -> Keep | None:
    """What is kept of the namespace *name*; None for everything."""
    return keep.get(name) or keep.get("*")


def limits_in_memory(keep: Mapping[str, Keep], name: str) -> Keep:
    """What is kept of the namespace *name* if it is in memory, which is never everything."""
    found = limits_on_disk(keep, name) or Keep()
    return replace(found, size=found.size or BYTES_IN_MEMORY)


def _limits(keep: Keep) -> RetentionPolicy:
    age = None if keep.age is None else int(keep.age * SECOND_NS)
    return RetentionPolicy(age=age, bytes=keep.size, events=keep.events)


def _subjects(store: Log, indexes: Iterable[int]) -> SubjectsByIndex:
    """The subjects of the events *indexes*, which ascend, from the tables of their batches."""
    found: dict[int, str] = {}
    batch = None
    for index in indexes:
        try:
            if batch is None or index >= batch.next:
                batch = store.read(index, 1, 1)[0]
            found[index] = batch.subject(index).decode()
        except (StorageError, OutOfLogError, IndexError):  # damaged, or gone already
            continue
    return found
