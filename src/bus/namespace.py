"""A namespace and its subjects: as it is set up, and as they are told of, which a server says and its clients read."""

from __future__ import annotations

from dataclasses import dataclass
from enum import StrEnum
from typing import Literal

import msgspec


class Storage(StrEnum):
    """Where a namespace is: on disk, or in memory until the server stops."""

    DISK = "disk"
    MEMORY = "memory"


class Compact(StrEnum):
    """What makes a newer event supersede an older one: the same subject, the same subject and key, or nothing."""

    SUBJECT = "subject"
    KEY = "key"
    NONE = "none"


@dataclass(frozen=True, slots=True)
class Keep:
    """How much of a namespace to keep: seconds, bytes and events, None for no limit."""

    age: float | None = None
    size: int | None = None
    events: int | None = None

    def __str__(self) -> str:
        """As it is written in settings: ``7d,10GB,1000000``."""
        limits = (
            None if self.age is None else _written_age(self.age),
            None if self.size is None else _written_size(self.size),
            None if self.events is None else str(self.events),
        )
        return ",".join(limit for limit in limits if limit) or EVERYTHING


EVERYTHING = "everything"
"""How it is written that all events are kept."""


class NamespaceSettings(msgspec.Struct, frozen=True, kw_only=True, omit_defaults=True):
    """What was said of one namespace; None is for what the server's flags say.

    ``max_bytes`` is its quota, 0 for no limit.
    """

    storage: Storage = Storage.DISK
    retention: Keep | None = None
    max_bytes: int | None = None
    compact: Compact | None = None


class NamespaceDescription(msgspec.Struct, frozen=True):
    """A namespace of a server, at a glance.

    Attributes:
        namespace: its name.
        first_index: the index of its oldest event.
        next_index: the index that its next event gets.
        events: how many are left, without those that were deleted; while they are being counted, as many as there
            may be.
        bytes: what they take, on the disk or in memory.
        segments: how many segments they are in.
        published: events that were published since the server started.
        subscribers: its open streams.
        delivered_bytes: what its streams got since the server started.
        keys: deduplication keys that are remembered.
        writable: whether it takes events.
        storage: ``"disk"`` or ``"memory"``.
        quota: bytes that it may have, None for no limit.
        retention: what is kept of it, like ``7d,10GB``, None for everything.
        declared: whether it is named on the server's command line, so that it can't be deleted.
        delivered: events that were handed to subscribers of all kinds since the server started.
        compact: what makes a newer event supersede an older one: ``"subject"``, ``"key"``, or None for nothing.
        compactions: how often it was compacted since the server started.
        compacted_bytes: bytes that this has freed.
        subjects: how many there were when somebody asked last, some seconds ago at most; None until they are counted.
    """

    namespace: str
    first_index: int
    next_index: int
    events: int
    bytes: int
    segments: int
    published: int
    subscribers: int
    delivered_bytes: int
    keys: int
    writable: bool
    storage: Literal["disk", "memory"]
    quota: int | None
    retention: str | None = None
    declared: bool = True
    delivered: int = 0
    compact: Literal["subject", "key"] | None = None
    compactions: int = 0
    compacted_bytes: int = 0
    subjects: int | None = None


_AGES = (("d", 86400), ("h", 3600), ("m", 60), ("s", 1))
_SIZES = (("TB", 1000**4), ("GB", 1000**3), ("MB", 1000**2), ("KB", 1000))


def _written_age(seconds: float) -> str:
    """The same number of seconds when it is read again."""
    unit, one = next((found for found in _AGES if seconds % found[1] == 0), ("s", 1))
    return f"{seconds / one:.9f}".rstrip("0").rstrip(".") + unit


def _written_size(size: int) -> str:
    """The same number of bytes when it is read again; one without a unit would count events."""
    unit, one = next((found for found in _SIZES if size % found[1] == 0), ("B", 1))
    return f"{size // one}{unit}"


class SubjectDescription(msgspec.Struct, frozen=True):
    """A subject of a server, at a glance.

    Attributes:
        subject: its name.
        events: how many of its events are left.
        last_index: the index of the newest.
        last_time: when the newest was stored, RFC 3339.
    """

    subject: str
    events: int
    last_index: int
    last_time: str


class SubjectPage(msgspec.Struct, frozen=True, omit_defaults=True):
    """Some of the subjects, in the order of their bytes; ``next`` says where the next page begins."""

    subjects: list[SubjectDescription]
    next: str = ""
