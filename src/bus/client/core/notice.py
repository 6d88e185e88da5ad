"""What the server says about a stream, between the events."""

from __future__ import annotations

import logging

import msgspec

log = logging.getLogger("bus.client")


class Gap(msgspec.Struct, frozen=True):
    """Events that a resuming subscriber can't have; the stream goes on at ``next_index``.

    They have ``expired``, from the first to the last index that is missing; or the last event received is
    ``unknown`` to the server, which may have lost its end in a power cut or be another one.
    """

    first_missing: int
    last_missing: int
    next_index: int
    reason: str = "expired"


class Dropped(msgspec.Struct, frozen=True):
    """An event that was given up after its last attempt; it stays in the log."""

    id: str
    index: int
    attempts: int = 0
    reason: str = ""


class Open(msgspec.Struct):
    """The stream stands, and begins at ``next_index``."""

    next_index: int | None = None


class Done(msgspec.Struct):
    """The stream is over: ``limit``, ``tail``, ``shutdown`` or ``error``."""

    reason: str = ""


def log_gap(gap: Gap) -> None:
    """What is done with a gap unless the caller wants to be told."""
    if gap.reason == "unknown":
        log.warning("the server doesn't know the last event received: going on at index %d", gap.next_index)
    else:
        log.warning("events %d to %d are no longer stored: they were missed", gap.first_missing, gap.last_missing)


def log_dropped(dropped: Dropped) -> None:
    """What is done with a dropped event unless the caller wants to be told."""
    log.warning("event %s was given up after %d attempts: %s", dropped.id, dropped.attempts, dropped.reason)
