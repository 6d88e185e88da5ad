"""An event as a message of JetStream, and back.

    payload    the payload's JSON, as it was published
    headers    Bus-At   its time, ns since the epoch
               Bus-Id   its id, if its publisher chose one
               Bus-X    its further fields, as they stand in a frame behind the index
               Bus-Until  when it expires, ns since the epoch, if it does

The index is the message's sequence, and the id is made of it and the stream's lot: reading it takes no look elsewhere.
"""

from __future__ import annotations

import hashlib
from array import array
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from typing import NamedTuple

from bus.engine.checked_draft import CheckedDraft
from bus.frame import encode_frame
from bus.nats.message import decode_headers, encode_headers
from bus.storage.batch import Batch, narrow
from bus.units import NEVER, format_time

MESSAGE_ID = "Nats-Msg-Id"
AT = "Bus-At"
_ID, _EXTRA, _UNTIL = "Bus-Id", "Bus-X", "Bus-Until"


@dataclass(frozen=True, slots=True)
class Stored:
    """A message of a stream, however it came: *subject* is that of its event, *index* its sequence."""

    subject: str
    index: int
    headers: bytes
    payload: bytes


class FoundEvent(NamedTuple):
    """An event that is stored: *time* and *expires* are in ns."""

    event_id: str
    time: int
    expires: int
    subject: bytes
    frame: bytes


def encode_event(event: CheckedDraft, *, more: Mapping[str, str] | None = None) -> bytes:
    """The headers of the message that *event* becomes, and *more*."""
    headers = {AT: str(event.time), **(more or {})}
    if event.event_id:
        headers[_ID] = event.event_id
    if event.extra:
        headers[_EXTRA] = event.extra.decode()
    if event.expires is not None:
        headers[_UNTIL] = str(event.expires)
    if event.key:
        headers[MESSAGE_ID] = message_id(*event.key)
    return encode_headers(headers)


def message_id(subject: str, key: str) -> str:
    """What JetStream knows duplicates by: its window is that of a stream, and keys count for one subject."""
    return hashlib.blake2b(f"{subject}\0{key}".encode(), digest_size=16).hexdigest()


def decode_event(stored: Stored, make_id: Callable[[int], str]) -> FoundEvent:
    """The event of a message; *make_id* makes the id of one whose publisher chose none.

    A message that Bus didn't write is an event of the epoch, whose payload is null unless it is one line.
    """
    headers = decode_headers(stored.headers) if stored.headers else {}
    event_id = headers.get(_ID) or make_id(stored.index)
    time, expires = int(headers.get(AT, 0)), int(headers.get(_UNTIL, NEVER))
    subject, extra = stored.subject.encode(), headers.get(_EXTRA, "").encode()
    payload = stored.payload if AT in headers else b"null"
    frame = encode_frame(event_id, subject, payload, format_time(time), stored.index, extra)
    return FoundEvent(event_id, time, expires, subject, frame)


@dataclass(slots=True)
class BatchOfMessages:
    """A batch of the events of messages that follow each other.

    ``chosen`` are ids that publishers chose, with their indexes.
    """

    batch: Batch
    chosen: Sequence[tuple[str, int]]


def batch_of(messages: Sequence[Stored], make_id: Callable[[int], str]) -> BatchOfMessages:
    """The batch of *messages*, whose indexes follow each other."""
    events = [decode_event(message, make_id) for message in messages]
    names = [event.subject for event in events]
    subjects = tuple(dict.fromkeys(names))
    numbers = {subject: number for number, subject in enumerate(subjects)}
    first = messages[0].index
    chosen = [(event.event_id, index) for index, event in enumerate(events, first) if event.event_id != make_id(index)]
    may_expire = any(event.expires != NEVER for event in events)
    batch = Batch(
        first=first,
        next=first + len(events),
        time=max(event.time for event in events),
        frames=b"".join(event.frame for event in events),
        lengths=array("I", [len(event.frame) for event in events]),
        subjects=subjects,
        which=narrow(map(numbers.__getitem__, names), len(subjects)) if len(subjects) > 1 else b"",
        keyed=False,
        expires=array("q", [event.expires for event in events]) if may_expire else (),
    )
    return BatchOfMessages(batch, chosen)
