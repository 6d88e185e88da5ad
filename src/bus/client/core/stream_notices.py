"""What the server says about a stream, between the events."""

from __future__ import annotations

import logging

import msgspec

from bus.client.core.retry import NotBusError
from bus.errors import BusError, StorageError, error_class
from bus.sse import ServerSentEvent

log = logging.getLogger("bus.client")


class Gap(msgspec.Struct, frozen=True):
    """Events that a subscriber can't have; the stream goes on behind them.

    Attributes:
        first_missing: index of the first event that is missing.
        last_missing: index of the last one.
        next_index: where the stream goes on.
        reason: ``expired``: they are no longer kept. ``damaged``: they are stored and can't be read. ``unknown``:
            the server doesn't know the last event received, because it lost it in a power cut or is another one;
            then the stream goes on at the oldest event, and which are missing can't be told.
    """

    first_missing: int
    last_missing: int
    next_index: int
    reason: str = "expired"


class Dropped(msgspec.Struct, frozen=True):
    """An event that was given up; it stays in the log.

    Attributes:
        id: its id.
        index: its place in the namespace.
        attempts: how often it was delivered.
        reason: why it was given up.
    """

    id: str
    index: int
    attempts: int = 0
    reason: str = ""


class StreamOpen(msgspec.Struct):
    """The stream stands, and begins at ``next_index``.

    ``heartbeat`` is the time between signs of life, in seconds, and ``redelivery`` the time that each attempt may take,
    empty if the server doesn't say.
    """

    next_index: int | None = None
    consumer_id: str = ""
    heartbeat: float = 0.0
    redelivery: tuple[float, ...] = ()
    retry: float | None = None


class StreamEnd(msgspec.Struct):
    """The stream is over: ``limit``, ``tail``, ``shutdown``, ``deleted`` or ``error``."""

    reason: str = ""


Notice = StreamOpen | Gap | Dropped | StreamEnd | BusError


def read_notice(event: ServerSentEvent) -> Notice | None:
    """What the server says, None for a kind this version doesn't know. Raises `NotBusError` if it can't be read."""
    if event.kind == "error":
        told_as = error_class(event.code) or StorageError  # a server of the same protocol that isn't ours gives no code
        return told_as(event.data.decode("utf-8", "replace"))
    kind = _KINDS.get(event.kind)
    if kind is None:
        return None
    try:
        told = msgspec.json.decode(event.data, type=kind)
    except ValueError as error:
        raise NotBusError(
            f"the stream says {event.kind!a} with what can't be read ({error}): is this a Bus server?"
        ) from None
    if isinstance(told, StreamOpen) and event.retry_ms is not None:
        told.retry = event.retry_ms / 1000
    return told


_KINDS: dict[str, type[StreamOpen | Gap | Dropped | StreamEnd]] = {
    "open": StreamOpen,
    "gap": Gap,
    "dropped": Dropped,
    "done": StreamEnd,
}


def log_gap(gap: Gap) -> None:
    """What is done with a gap unless the caller wants to be told."""
    if gap.reason == "unknown":
        log.warning("the server doesn't know the last event received: going on at index %d", gap.next_index)
    else:
        log.warning("events %d to %d are %s: they were missed", gap.first_missing, gap.last_missing, gap.reason)


def log_dropped(dropped: Dropped) -> None:
    """What is done with an event given up unless the caller wants to be told."""
    log.warning("event %s was given up after %d attempts: %s", dropped.id, dropped.attempts, dropped.reason)
