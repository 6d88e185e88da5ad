"""Where a subscription begins: from what the subscriber says to an index.

An id made by Bus carries its index, so finding it is one read. Another id is looked up in the tables of
the segments, a time in their time ranges; the log is never scanned.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

from bus.engine.base import Gap, Subscribe
from bus.engine.namespace import Namespace
from bus.engine.start import StartKind, StartPoint
from bus.errors import InvalidParameterError, UnknownEventError
from bus.event import index_in
from bus.frame import id_of, read_frame, split_frames
from bus.storage.batch import Batch
from bus.units import parse_time


@dataclass(frozen=True, slots=True)
class StartPosition:
    """The index to go on from, and what is missing before it.

    Before the index ``newest_until`` only the newest event of each subject is wanted.
    """

    index: int
    gap: Gap | None = None
    newest_until: int = 0


def locate(namespace: Namespace, wanted: Subscribe) -> StartPosition:
    """Where the subscription *wanted* begins. Raises `UnknownEventError` for a start that never existed."""
    if wanted.resume_after is not None:
        return _resume(namespace, wanted.resume_after)
    if wanted.start.kind is StartKind.LAST:
        return StartPosition(namespace.first, newest_until=namespace.next)
    return begin(namespace, wanted.start)


def _resume(namespace: Namespace, event_id: str) -> StartPosition:
    """After the last event a subscriber saw; if that is gone, all that is left, with a gap."""
    index = find(namespace, event_id)
    if index is None:
        first = namespace.first
        return StartPosition(first, Gap("unknown", first, first - 1, first))
    return _at(namespace, index + 1)


def begin(namespace: Namespace, start: StartPoint) -> StartPosition:
    """Where *start* is.

    Raises `UnknownEventError` if it never existed, `InvalidParameterError` if that depends on what is wanted.
    """
    match start.kind:
        case StartKind.OLDEST:
            return _at(namespace, namespace.oldest_damage() or namespace.first)
        case StartKind.NEWEST:
            return StartPosition(namespace.next)
        case StartKind.TIME:
            return StartPosition(find_time(namespace, start.time))
        case StartKind.AFTER:
            index = find(namespace, start.event_id)
            if index is None:
                raise UnknownEventError(f"start {start.event_id} never existed in namespace {namespace.name}")
            return _at(namespace, index + 1)
        case StartKind.INDEX:
            if start.index > namespace.next:
                raise UnknownEventError(f"start {start.index} is beyond the end: the next index is {namespace.next}")
            return _at(namespace, start.index)
        case StartKind.LAST:
            raise InvalidParameterError("start last is one event of each subject: it goes with a subscription")
        case StartKind.BACK:
            raise InvalidParameterError(f"start -{start.events} counts events back: it goes with a subscription")


def _at(namespace: Namespace, index: int) -> StartPosition:
    first = namespace.first
    if index >= first:
        return StartPosition(index)
    return StartPosition(first, Gap(_why_missing(namespace, index), index, first - 1, first))


def _why_missing(namespace: Namespace, index: int) -> str:
    return "damaged" if index >= namespace.first or namespace.is_damaged(index) else "expired"


def gap_between(namespace: Namespace, index: int, batches: Sequence[Batch]) -> Gap | None:
    """What is missing when a reader at *index* got *batches*: deleted by retention, or damaged, maybe to the end."""
    following = batches[0].first if batches else namespace.next
    if following <= index:
        return None
    return Gap(_why_missing(namespace, index), index, following - 1, following)


def find(namespace: Namespace, event_id: str, *, since: int = 0) -> int | None:
    """The index, *since* at least, of the event with this id, None if there is none.

    An expired id made by Bus is believed. A publisher may have given an id to several events: the earliest left is
    meant, so that who resumes after it may get events twice and misses none.
    """
    made = index_in(event_id)
    if made is not None and made >= since and (made < namespace.first or _has_id(namespace, made, event_id)):
        return made
    for index in namespace.find_id(event_id):
        if index >= since and _has_id(namespace, index, event_id):
            return index
    return None


def _has_id(namespace: Namespace, index: int, event_id: str) -> bool:
    frame = namespace.frame(index)
    return bool(frame) and id_of(frame or b"") == event_id


def find_time(namespace: Namespace, time: int) -> int:
    """The index of the first event created at *time* or later.

    A batch's time is the latest of the log up to its end.
    """
    index = namespace.find_time(time)
    batches = namespace.read(index)
    return _first_since(batches[0], time) if batches else index


def _first_since(batch: Batch, time: int) -> int:
    for index, frame in enumerate(split_frames(batch.frames, batch.lengths), batch.first):
        if frame and parse_time(read_frame(frame).created_at) >= time:
            return index
    return batch.next
