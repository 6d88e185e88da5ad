"""Batches in the making: events that wait for the commit under way to finish.

Events are encoded as they come, with the index they will have: one commit is under way at a time and
is followed by this one, so the next index is known. Should a commit fail, all that gathered behind it
is refused too, and the indexes are given out anew.
"""

from __future__ import annotations

from array import array
from collections.abc import Callable

import msgspec

from bus.engine.base import Published
from bus.engine.duplicates import Key
from bus.event import Draft, Receipt, check_id, check_label, index_in
from bus.storage.batch import Batch
from bus.subject import parse_subject
from bus.units import format_time
from bus.wire import check_response_subject, encode_extra, encode_frame, one_line

BATCH_BYTES = 256 * 1024
"""Frames after which a new batch is begun, so that reading one stays cheap."""

BATCH_EVENTS = 16_384


class Checked(msgspec.Struct, frozen=True, gc=False):
    """A draft found to be in order: nothing about it can be refused any more."""

    subject: bytes
    payload: bytes
    event_id: str
    time: int
    extra: bytes
    key: Key | None


def check_draft(draft: Draft, *, now: int) -> Checked:
    """Check everything about *draft* that doesn't depend on what is stored. *now* is in ns.

    Raises `InvalidSubjectError`, `InvalidEventError` or `InvalidParameterError` (its time).
    """
    name = draft.subject or ""
    _, subject = parse_subject(name)
    return Checked(
        subject=subject,
        payload=one_line(draft.payload),
        event_id=check_id(draft.id) if draft.id else "",
        time=draft.time(now) if draft.created_at else now,
        extra=_extra(draft) if draft.key or draft.trace_id or draft.response_subject else b"",
        key=(name, draft.key) if draft.key else None,
    )


def _extra(draft: Draft) -> bytes:
    return encode_extra(
        key=check_label(draft.key or "", "key"),
        trace_id=check_label(draft.trace_id or "", "trace_id"),
        response_subject=check_response_subject(draft.response_subject) if draft.response_subject else "",
    )


class Waiter(msgspec.Struct):
    """A publisher whose events are gathered, and the keys it claimed."""

    published: Published
    receipts: list[Receipt] = []
    keys: list[tuple[Key, Receipt]] = []


class BatchBuilder:
    """One batch in the making."""

    __slots__ = ("first", "foreign", "frames", "keyed", "lengths", "size", "subjects", "time", "waiters", "which")

    def __init__(self, first: int, time: int) -> None:
        self.first = first
        self.time = time
        self.frames: list[bytes] = []
        self.lengths = array("I")
        self.subjects: dict[bytes, int] = {}
        self.which = array("H")
        self.keyed = False
        self.foreign: list[tuple[int, int]] = []
        self.size = 0
        self.waiters: list[Waiter] = []

    def add(
        self, event: Checked, *, make_id: Callable[[int], str], hash_id: Callable[[bytes], int], now: int
    ) -> Receipt:
        """Encode one event at the end of the batch."""
        index = self.first + len(self.frames)
        event_id = event.event_id or make_id(index)
        if event.event_id and index_in(event_id) != index:
            self.foreign.append((hash_id(event_id.encode()), index))
        created_at = format_time(event.time)
        frame = encode_frame(event_id, event.subject, event.payload, created_at, index, event.extra)
        self.frames.append(frame)
        self.lengths.append(len(frame))
        self.which.append(self.subjects.setdefault(event.subject, len(self.subjects)))
        self.size += len(frame)
        if event.time > self.time:
            self.time = max(self.time, min(event.time, now))
        if event.key:
            self.keyed = True
        return Receipt(event_id, created_at, index)

    @property
    def full(self) -> bool:
        return self.size >= BATCH_BYTES or len(self.frames) >= BATCH_EVENTS

    @property
    def next(self) -> int:
        return self.first + len(self.frames)

    def build(self) -> Batch:
        """The finished batch."""
        return Batch(
            first=self.first,
            time=self.time,
            frames=b"".join(self.frames),
            lengths=self.lengths,
            subjects=tuple(self.subjects),
            which=_narrow(self.which, len(self.subjects)),
            keyed=self.keyed,
            foreign=tuple(self.foreign),
        )

    def __repr__(self) -> str:
        return f"<BatchBuilder {len(self.frames)} events from {self.first}, {self.size} bytes>"


def _narrow(which: array[int], subjects: int) -> bytes | array[int]:
    """The narrowest form the batch format knows: nothing, a byte or two bytes per event."""
    if subjects == 1:
        return b""
    return bytes(which.tolist()) if subjects <= 256 else which
