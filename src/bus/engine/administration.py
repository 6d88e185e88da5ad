"""What an engine says about itself, and what can be done to its durable consumers and schedules.

All of it is awaited, for none of it is hot.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable, Sequence
from dataclasses import dataclass, field
from typing import Protocol

import msgspec
from msgspec import UNSET, UnsetType

from bus.consumer import ConsumerConnection, ConsumerDescription, Move, PendingDeliveries
from bus.engine.start import NEWEST, StartPoint
from bus.event import Draft
from bus.latency import Latency
from bus.namespace import Compact, Keep, NamespaceDescription, NamespaceSettings, Storage, SubjectPage
from bus.subject import Filter
from bus.wire import Durability


@dataclass(frozen=True, slots=True, kw_only=True)
class NamespaceChange:
    """What is to be so of a namespace from now on; what is left out stays as it is, or is the default of a new one.

    None for ``retention``, ``max_bytes`` and ``compact`` is what the server's flags say.
    """

    storage: Storage | None = None
    retention: Keep | UnsetType | None = UNSET
    max_bytes: int | UnsetType | None = UNSET
    compact: Compact | UnsetType | None = UNSET

    def applied(self, before: NamespaceSettings) -> NamespaceSettings:
        """*before*, changed."""
        return NamespaceSettings(
            storage=self.storage or before.storage,
            retention=before.retention if self.retention is UNSET else self.retention,
            max_bytes=before.max_bytes if self.max_bytes is UNSET else self.max_bytes,
            compact=before.compact if self.compact is UNSET else self.compact,
        )


@dataclass(frozen=True, slots=True)
class ChangedNamespace:
    """The namespace after a change, and whether it was made by that."""

    namespace: NamespaceDescription
    made: bool


class NamespaceAdmin(Protocol):
    """The namespaces of an engine, as they are made, changed and deleted."""

    async def change(self, name: str, change: NamespaceChange) -> ChangedNamespace:
        """Make a namespace, or change it, for good before this returns.

        Raises `InvalidParameterError` for its name, `ConflictError` for one that there can't be, `StorageError`, and
        then nothing has changed.
        """

    async def delete(self, name: str) -> None:
        """Delete a namespace with all that is in it, its durable consumers and schedules; its streams end.

        Its bytes are gone from the disk before this returns. Raises `UnknownNamespaceError`, `ConflictError` for one
        that is declared, and `StorageError`: if it was deleted in part, the rest is done by another attempt, or when
        the server is started.
        """


@dataclass(slots=True, eq=False)
class Latencies:
    """How long things took in one namespace since the server started.

    ``publish`` is from when events were taken until their publishers were answered, ``delivery`` until they were handed
    to live subscribers, ``sync`` how long the disk took: each once for a commit. ``ack`` is from a delivery until it
    was acknowledged, once for those that were acknowledged together. Of what happens more often than a hundred times
    a second only some is timed.
    """

    namespace: str
    sync: Latency
    publish: Latency = field(default_factory=Latency)
    delivery: Latency = field(default_factory=Latency)
    ack: Latency = field(default_factory=Latency)


class EngineCounts(msgspec.Struct, frozen=True):
    """What there is beside the namespaces: inboxes and the bytes in them, and subscriptions of all kinds.

    ``sync_p50`` and ``sync_p99`` are how long the last syncs took, half and all but one in a hundred of them, in
    seconds; None if there was none.
    """

    inboxes: int
    inbox_bytes: int
    subscriptions: int
    sync_p50: float | None
    sync_p99: float | None


@dataclass(frozen=True, slots=True, kw_only=True)
class ConsumerChange:
    """What is to be so of a durable consumer from now on; what is left out stays as it is.

    ``start`` is where a new one begins. ``expires`` is in seconds, 0 for never, None for what the server's setting
    says.
    """

    filter: Filter | None = None
    start: StartPoint = NEWEST
    redelivery: tuple[float, ...] | None = None
    redelivery_count: int | None = None
    by_key: bool | None = None
    expires: float | UnsetType | None = UNSET
    paused: bool | None = None


@dataclass(frozen=True, slots=True)
class Changed:
    """The consumer after a change, ``behind`` as far as it is known at once, and whether it was made by that."""

    consumer: ConsumerDescription
    made: bool


@dataclass(frozen=True, slots=True)
class Step:
    """So many matching events on, or back if it is negative, from where a consumer is."""

    events: int


Destination = StartPoint | Step
"""Where a consumer is to be moved."""


class DeadLetter(msgspec.Struct, frozen=True, omit_defaults=True):
    """An event a consumer gave up: its index, its letter's index, and why. ``time`` is in ns.

    There is no letter, and its index is 0, if the event was gone by then.
    """

    index: int
    event_id: str
    subject: str
    attempts: int
    reason: str
    time: int
    letter: int = 0


class Redriven(msgspec.Struct, frozen=True, omit_defaults=True):
    """How many events were sent back, and the indexes of those that can't be: neither they nor letters are left."""

    redriven: int
    gone: list[int] = []


@dataclass(frozen=True, slots=True)
class EventPage:
    """Frames of stored events, the newest first, and the index before which the next page begins; None at the end.

    There may be fewer than were asked for, or none, and still be a next page.
    """

    frames: Sequence[bytes]
    next: int | None


@dataclass(frozen=True, slots=True)
class StoredEvent:
    """An event that is stored: where it is, and its frame (`bus.frame`)."""

    namespace: str
    index: int
    frame: bytes


class EventAdmin(Protocol):
    """The stored events of an engine."""

    async def page(
        self, wanted: Filter, *, before: int | None = None, older_than: int | None = None, limit: int
    ) -> EventPage:
        """At most *limit* events that *wanted* takes, the newest first: if given only those *before* an index,
        *older_than* a time (ns).

        What one page costs is bounded. What has expired isn't there. Raises `UnknownNamespaceError` or a
        `StorageError`.
        """

    async def find(self, event_id: str, *, namespace: str = "") -> Sequence[StoredEvent]:
        """The events with this id, the first of each namespace: of all of them, or of one.

        Raises `UnknownNamespaceError`.
        """

    async def subjects(self, wanted: Filter, *, after: str, limit: int) -> SubjectPage:
        """At most *limit* subjects that *wanted* takes, behind the subject *after*.

        Raises `UnknownNamespaceError`, or a `StorageError`.
        """

    async def delete_matching(self, wanted: Filter, *, before: int | None = None, older_than: int | None = None) -> int:
        """Delete the events that *wanted* takes: if given only those *before* an index, *older_than* a time (ns).

        Returns how many, when their bytes are gone from the disk; dead letters that stand for them count as well.
        Raises `UnknownNamespaceError` or a `StorageError`.
        """

    async def delete_one(self, event: StoredEvent) -> int:
        """Delete one event that was found, likewise."""


class ScheduleDescription(msgspec.Struct, frozen=True, omit_defaults=True):
    """An event that waits to be published. Its fields are those of ``/v1/schedules``.

    ``deliver_at`` is its next time, RFC 3339; ``bytes`` the size of the payload, which is there where one schedule is
    asked for. ``cron``, ``time_zone`` and ``late`` are those of an event that recurs.
    """

    id: str
    subject: str
    deliver_at: str
    bytes: int
    key: str = ""
    cron: str = ""
    time_zone: str = ""
    late: str = ""
    payload: msgspec.Raw | msgspec.UnsetType = msgspec.UNSET


class SchedulePage(msgspec.Struct, frozen=True, omit_defaults=True):
    """Some of the schedules, in the order in which they are due; ``next`` says where the next page begins."""

    schedules: list[ScheduleDescription]
    next: str = ""


class Scheduled(msgspec.Struct, frozen=True):
    """What a publisher gets back whose event is kept until it is due: its schedule's id, and the event's to be."""

    schedule_id: str
    event_id: str
    durability: Durability


class Recurring(msgspec.Struct, frozen=True):
    """An event that recurs: what is published, when (cron, in a time zone), and what becomes of one that is late."""

    draft: Draft
    cron: str
    time_zone: str = "UTC"
    late: str = "once"


class ScheduleAdmin(Protocol):
    """The scheduled events of an engine. Unknown ids raise `UnknownScheduleError`."""

    async def add(self, draft: Draft, *, due: int, now: int) -> Scheduled:
        """Keep *draft* until *due* and append it then, once; both times are in ns.

        Raises what `Engine.publish` does, and `InvalidParameterError` for a time that is too far away.
        """

    async def set(self, name: str, recurring: Recurring, *, now: int) -> ScheduleDescription:
        """Have an event recur under this name, in the place of what it stood for before.

        Raises what `add` does, and `ConflictError` if the name stands for events of another namespace.
        """

    async def page(self, wanted: Callable[[str], bool], *, after: str = "", limit: int) -> SchedulePage:
        """At most *limit* schedules whose subjects are *wanted*, from where the page before said that it ended."""

    async def describe_one(self, schedule_id: str) -> ScheduleDescription:
        """One schedule, with its payload."""

    async def cancel(self, schedule_id: str) -> None:
        """Forget a schedule. Raises `ConflictError` if its event is being appended: then it can't be kept back."""


class ConsumerAdmin(Protocol):
    """The durable consumers of an engine, by name. Unknown names raise `UnknownConsumerError`."""

    async def describe(self) -> Sequence[ConsumerDescription]:
        """Every consumer, as it is now or later; those who ask together may get the same sequence."""

    async def describe_one(self, name: str) -> ConsumerDescription:
        """One consumer, likewise."""

    async def why(self, name: str) -> str:
        """Why nothing is being delivered, in a line."""

    async def delete(self, name: str) -> None:
        """Forget a consumer; its streams end."""

    async def patterns(self, name: str) -> Sequence[str]:
        """What it reads."""

    async def change(self, name: str, change: ConsumerChange) -> Changed:
        """Make a consumer, or change it, for good before this returns.

        Connections that subscribed to other patterns or another order are interrupted. Raises
        `InvalidParameterError`, `UnknownNamespaceError`, `UnknownEventError`, `TooManyConsumersError`,
        `ConsumerMismatchError` or `StorageError`, and then nothing has changed.
        """

    async def move(self, name: str, to: Destination, *, dry_run: bool = False) -> Move:
        """Have a consumer go on elsewhere, for good before this returns, or say only what that would be.

        What it has pending is forgotten, with connections too. Raises `UnknownEventError` for a place that never
        existed, or `StorageError`, and then nothing has changed.
        """

    async def pending(self, name: str, *, most: int) -> PendingDeliveries:
        """The events it has read and not settled, the first *most* of them."""

    async def connections(self, name: str) -> Sequence[ConsumerConnection]:
        """The connections that share it."""

    async def dead(self, name: str) -> Sequence[DeadLetter]:
        """The events it gave up."""

    async def redrive(self, name: str, indexes: Iterable[int] | None = None) -> Redriven:
        """Deliver events it gave up again, all or those given by index, as far as they are left."""

    async def drop(self, name: str, indexes: Iterable[int] | None = None) -> int:
        """Forget events it gave up, all or those given by index; returns how many."""
