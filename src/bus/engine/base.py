"""The seam between the server and whatever stores and delivers: one short protocol.

An `Engine` takes drafts in, hands frames to `Sink`s and hears acknowledgements. It runs on the event
loop and answers by callback, because an awaited object per event costs more than the event.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from enum import StrEnum
from typing import Protocol

import msgspec

from bus.engine.administration import ConsumerAdmin, EngineCounts, EventAdmin, Latencies, NamespaceAdmin, ScheduleAdmin
from bus.engine.start import NEWEST, StartPoint
from bus.errors import BusError, UnknownConsumerError, UnknownEventError, UnknownNamespaceError
from bus.event import Draft, Receipt
from bus.frame import Format
from bus.namespace import NamespaceDescription
from bus.overview import ClusterNode
from bus.subject import Filter
from bus.wire import Durability

Outcome = Receipt | BusError
"""What became of one event."""

Settled = Callable[[BusError | None], None]
"""Called once when what a consumer said is carried out, with what prevented some of it."""

Replied = Callable[[bytes, str], None]
"""Called with the JSON of a reply's payload and, if the service answered with an error, its text."""


def unknown_namespace(name: str) -> UnknownNamespaceError:
    """The error for a namespace that isn't served."""
    return UnknownNamespaceError(f"namespace {name[:80]!a} is not declared on this server: see /v1/namespaces")


def unknown_event_id(event_id: str) -> UnknownEventError:
    """The error for an id that no stored event has, or none that who asks may know of."""
    return UnknownEventError(f"event {event_id} isn't stored here: it was deleted, or never was")


def unknown_consumer_id(consumer_id: str) -> UnknownConsumerError:
    """The error for an id that no subscription has, or none that who asks may know of."""
    return UnknownConsumerError(f"consumer {consumer_id} doesn't exist: its stream has ended, or never began")


@dataclass(frozen=True, slots=True)
class Expected:
    """Where a publisher expects the log to end: the last index of the namespace, and of the subject of its events.

    0 is that there is no event yet, None that it doesn't matter.
    """

    last: int | None = None
    last_of_subject: int | None = None


class Publisher(Protocol):
    """Whoever waits for events to be stored: exactly one of these is called, once, now or later."""

    def stored(self, outcomes: Sequence[Outcome], durability: Durability) -> None:
        """One outcome an event, in their order; of an atomic batch all are receipts.

        What it raises goes to `failed`.
        """

    def failed(self, error: BusError) -> None:
        """Nothing was stored."""


class AckMode(StrEnum):
    """Whether a subscription acknowledges what it is sent."""

    NONE = "none"
    MANUAL = "manual"


class Action(StrEnum):
    """What a consumer says of a delivery."""

    ACK = "ack"
    NACK = "nack"
    EXTEND = "extend"
    REJECT = "reject"


@dataclass(frozen=True, slots=True, kw_only=True)
class Subscribe:
    """What a subscriber asks for. ``redelivery`` is in seconds, one per attempt, the last one repeating;
    ``worker`` names the process that subscribes, the same whenever it connects again; ``address`` is where that is, for
    those who look.

    None is what it didn't give, and so is False for ``by_key``: the terms of a durable consumer then hold.
    ``expired`` asks for events as well whose time to live is over, without acknowledging and up to the tail.
    """

    filter: Filter
    start: StartPoint = NEWEST
    resume_after: str | None = None
    ack: AckMode = AckMode.NONE
    redelivery: tuple[float, ...] | None = None
    redelivery_count: int | None = None
    prefetch: int = 1
    consumer: str | None = None
    worker: str = ""
    address: str = ""
    by_key: bool = False
    limit: int | None = None
    follow: bool = True
    expired: bool = False
    format: Format = Format.SSE


class Acknowledge:
    """What a consumer says of deliveries. *delay* is in seconds; *reply* is JSON for the requester."""

    __slots__ = ("action", "consumer_id", "delay", "event_ids", "reason", "reply")

    def __init__(
        self,
        *,
        consumer_id: str,
        event_ids: tuple[str, ...],
        action: Action = Action.ACK,
        delay: float | None = None,
        reason: str = "",
        reply: msgspec.Raw | None = None,
    ) -> None:
        self.consumer_id = consumer_id
        self.event_ids = event_ids
        self.action = action
        self.delay = delay
        self.reason = reason
        self.reply = reply

    def __repr__(self) -> str:
        return f"<Acknowledge {self.action} of {len(self.event_ids)} events by {self.consumer_id}>"


@dataclass(frozen=True, slots=True)
class Gap:
    """Events a subscriber can't have: ``expired``, ``damaged``, or an id to resume from that is ``unknown`` here."""

    reason: str
    first_missing: int
    last_missing: int
    next_index: int


MUCH = 512 * 1024
"""Bytes above which a sink sends in pieces and doesn't keep what the subscriber has yet to take."""


class Sink(Protocol):
    """Where a subscription's bytes go: one subscriber's connection."""

    @property
    def writable(self) -> bool:
        """False while the connection holds as much unsent data as it may."""

    def write(self, data: bytes, again: Callable[[], bytes] | None = None) -> None:
        """Send frames, already in the form the subscriber asked for.

        More than `MUCH` comes with *again*, which makes the same bytes once more, so that they needn't be kept
        while the subscriber doesn't read.
        """

    def tell(self, kind: str, data: Mapping[str, str | int]) -> None:
        """Send an event that isn't stored: ``gap`` or ``dropped``."""

    def end(self, reason: str) -> None:
        """Close a stream that is complete: ``limit``, ``tail`` or ``deleted``."""

    def interrupt(self, why: str) -> None:
        """Break the stream off without a word, so that the subscriber subscribes again; *why* is for the log."""

    def fail(self, error: BusError) -> None:
        """Say why the stream can't go on, and break it off."""


class Subscription(Protocol):
    """A stream being served. ``gap`` says what a resuming subscriber missed for good.

    ``redelivery`` is in seconds, one per attempt, the last one repeating; none if nothing is acknowledged.
    """

    consumer_id: str
    namespace: str
    first_index: int
    next_index: int
    gap: Gap | None
    redelivery: tuple[float, ...]

    def start(self) -> None:
        """Begin to deliver, once the sink has sent what goes before the first event."""

    def resume(self) -> None:
        """The sink is writable again."""

    def close(self) -> None:
        """The connection is gone."""


class Opening(Protocol):
    """Whoever waits for a subscription: exactly one of these is called, once, now or later."""

    def opened(self, subscription: Subscription) -> None:
        """It is there, and delivers nothing before its ``start``."""

    def refused(self, error: BusError) -> None:
        """There is none."""


class AwaitedConfirmations(Protocol):
    """Somebody waits for those who acknowledge an event that is about to be published."""

    def stored(self, index: int) -> None:
        """The event has this index; who acknowledged it before this is known counts as well."""

    def stop(self) -> None:
        """Nobody waits any more."""


class Publishing(Protocol):
    """Storing events, and hearing what others make of them."""

    def publish(
        self,
        drafts: Sequence[Draft],
        publisher: Publisher,
        *,
        atomic: bool = True,
        expected: Expected | None = None,
        now: int,
    ) -> None:
        """Store *drafts*, which are of one namespace, and tell *publisher*. *now* is the time in ns.

        All or none of them if *atomic*, else each by itself. With *expected*, which goes with those that are atomic,
        only if the log ends there when they get their indexes; else *publisher* gets a `WrongIndexError`, or it is
        raised at once. That a key was used comes before that.

        Raises `InvalidEventError`, `InvalidSubjectError`, `UnknownNamespaceError`, `OverloadedError` or a
        `StorageError` at once when nothing is to be stored and *publisher* is told nothing.
        """

    def await_reply(self, inbox: str, replied: Replied) -> None:
        """Hand the first reply in *inbox*, of which nobody has heard yet, to *replied*."""

    def forget_reply(self, inbox: str) -> None:
        """Nobody waits for a reply in *inbox* any more, if somebody did."""

    def await_confirmations(self, namespace: str, changed: Callable[[Sequence[str]], None]) -> AwaitedConfirmations:
        """Call *changed* with the ids of those who acknowledged an event, whenever one more did.

        Asked before the event is published, so that none can be missed. Raises `UnknownNamespaceError`.
        """


class Engine(Publishing, Protocol):
    """Storing and delivering, from when it was opened (`bus.engine.open`) until it is closed.

    opened ─▶ publish, subscribe, acknowledge … ─▶ stop ─▶ idle ─▶ close
    """

    @property
    def namespace_admin(self) -> NamespaceAdmin:
        """What makes, changes and deletes namespaces."""

    @property
    def consumers(self) -> ConsumerAdmin:
        """The durable consumers."""

    @property
    def events(self) -> EventAdmin:
        """What is stored."""

    @property
    def schedules(self) -> ScheduleAdmin:
        """The events that are published later."""

    @property
    def failure(self) -> BusError | None:
        """Why some namespace takes no events, None if all do."""

    def retain(self, *, now: int) -> None:
        """Delete what needn't be kept any more (retention, compaction), and consumers that nobody uses; called once in
        a while. *now* is in ns.
        """

    def stop(self, idle: Callable[[], None]) -> None:
        """Take no more events and hand out no more deliveries; call *idle* when every publisher is answered."""

    def subscribe(self, wanted: Subscribe, sink: Sink, opening: Opening) -> None:
        """Make a subscription and hand it to *opening*.

        Raises `UnknownNamespaceError`, `UnknownEventError` or `ConsumerMismatchError` at once when there is none and
        *opening* is told nothing.
        """

    def acknowledge(self, ack: Acknowledge, settled: Settled) -> None:
        """Carry out what a consumer says, and call *settled*: at once, or if an event is given up by it, when that
        is where it is kept. `UnknownEventError`, `NotOwnerError` and `StorageError` go to *settled*.

        Raises `UnknownConsumerError` or `InvalidParameterError` at once when nothing is to be carried out.
        """

    async def namespaces(self) -> Sequence[NamespaceDescription]:
        """Counts and sizes of every namespace, in the order they were declared."""

    async def latencies(self) -> Sequence[Latencies]:
        """How long things took in every namespace."""

    async def counts(self) -> EngineCounts:
        """How much there is beside them."""

    async def nodes(self) -> Sequence[ClusterNode] | None:
        """The machines that keep the events, nothing while none is reached; None if the engine keeps them itself."""
