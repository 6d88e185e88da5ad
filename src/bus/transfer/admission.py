"""Events that come from elsewhere, a dump or a server, checked before they go into a log.

Whoever they come from, the bytes that are stored are written here, from values that were found in order. Millions come
one after the other, so there are two ways to the same end:

    lines ─▶ admit_many ── all of them in order ──────────────▶ events     few steps for many lines at once
                  │
                  └─ one isn't, or is of a kind that is rare ─▶ admit       line by line, which names what is wrong

What `admit_many` takes, `admit` takes as well; so it only ever has to say "not all of them".
"""

from __future__ import annotations

import re
from collections.abc import Sequence

import msgspec
from msgspec.structs import replace

from bus.drafts import check_response_subject, decode_as
from bus.engine.checked_draft import check_draft
from bus.errors import BusError, InvalidEventError
from bus.event import NO_TIME, Dead, Draft, check_headers, check_id, check_label, expiry
from bus.payload import SHORT, check_payload, has_many_brackets, may_overflow
from bus.subject import DEAD_SEGMENT, parse_subject
from bus.units import format_time, parse_time

LAST_INDEX = (1 << 48) - 1
"""The largest index that fits into an id."""

READ_ERRORS = (msgspec.MsgspecError, UnicodeDecodeError, RecursionError)
"""What decoding the JSON of others can end in."""

_IDS = re.compile(r"(?:[A-Za-z0-9_-]{1,128}\n)*+", re.ASCII)
_TIMES = re.compile(r"(?:\d{4}-\d\d-\d\dT\d\d:\d\d:\d\d\.\d{9}Z\n)*+", re.ASCII)
_TO_SECONDS = len("2026-01-31T12:00:00")


class StoredEvent(Draft, kw_only=True, forbid_unknown_fields=True, gc=False):
    """An event as a log holds it and a dump writes it: whoever reads one must not lose a field it doesn't know."""

    index: int = 0
    dead: Dead | None = None

    @property
    def has_more(self) -> bool:
        """Whether it has any of the fields that few events have."""
        return bool(self.key or self.trace_id or self.response_subject or self.headers or self.ttl or self.dead)


_decoder = msgspec.json.Decoder(StoredEvent)


def decode_stored(line: bytes) -> StoredEvent:
    """Read one line of a dump. Raises `InvalidEventError`."""
    event = decode_as(_decoder, line)
    check_payload(event.payload)
    if not 0 <= event.index <= LAST_INDEX:
        raise InvalidEventError("its index is out of range")
    return event


def admit(line: bytes, *, now: int) -> StoredEvent:
    """The event in *line* as it is stored, checked as the engine checks a draft, or one of its own dead letters.

    Its id and time are empty if it brought none, its index is 0. *now* is in ns. Raises `InvalidEventError`, also for
    what the engine has another class for.
    """
    try:
        event = decode_stored(line)
        dead = event.dead
        checked = check_draft(replace(event, subject=dead.subject) if dead else event, now=now)
        if dead:
            _check_dead_letter(event.subject or "", dead)
    except BusError as error:
        raise InvalidEventError(error.message) from None
    created_at = format_time(checked.time) if event.created_at not in (None, "", NO_TIME) else ""
    return replace(event, payload=msgspec.Raw(checked.payload), id=checked.event_id, created_at=created_at)


def _check_dead_letter(subject: str, dead: Dead) -> None:
    namespace, _ = parse_subject(dead.subject)
    check_id(dead.consumer, "consumer")
    if subject != f"{namespace}.{DEAD_SEGMENT}.{dead.consumer}":
        raise InvalidEventError(f"subject {subject!a} is not that of a dead letter of {dead.consumer!a}")


# -- many at once


def admit_many(lines: bytes) -> list[StoredEvent] | None:
    """The events in *lines*, whole lines, as they are stored; None unless all are in order, and bring an id and a time.

    Dead letters are a matter for `admit`.
    """
    try:
        if not lines.isascii():
            lines.decode()
        events = _decoder.decode_lines(lines)
        in_order = bool(events) and not _need_a_closer_look(lines) and _are_plain(events)
    except (*READ_ERRORS, BusError):
        return None
    return events if in_order else None


def _need_a_closer_look(lines: bytes) -> bool:
    """Whether some line may be nested too deep, or hold a number beyond a double."""
    return may_overflow(lines) or any(len(line) > SHORT and has_many_brackets(line) for line in lines.split(b"\n"))


def _are_plain(events: Sequence[StoredEvent]) -> bool:
    """Whether the fields of all events are in order; writes their times as they are stored."""
    for subject in {event.subject for event in events}:
        parse_subject(subject or "")
    rare = [event for event in events if event.has_more]
    if not all(map(_rare_fields_in_order, rare)):
        return False
    indexes = [event.index for event in events]
    ids = "\n".join([event.id or "" for event in events])
    return 0 <= min(indexes) <= max(indexes) <= LAST_INDEX and bool(_IDS.fullmatch(f"{ids}\n")) and _write_times(events)


def _rare_fields_in_order(event: StoredEvent) -> bool:
    check_label(event.key or "", "key")
    check_label(event.trace_id or "", "trace_id")
    if event.response_subject:
        check_response_subject(event.response_subject)
    if event.headers:
        check_headers(event.headers)
    if event.ttl:
        expiry(event.ttl, 0)
    return event.dead is None


def _write_times(events: Sequence[StoredEvent]) -> bool:
    """Have all times in the form that is stored; False if one is missing.

    Those that are in it already are looked at together: their form, and which seconds there are, many events in each.
    """
    times = [event.created_at or "" for event in events]
    if _TIMES.fullmatch("\n".join(times) + "\n"):
        for second in {time[:_TO_SECONDS] for time in times}:
            parse_time(f"{second}Z")
        return True
    if not all(times) or NO_TIME in times:
        return False
    written = {time: format_time(parse_time(time)) for time in set(times)}
    for event, time in zip(events, times, strict=True):
        event.created_at = written[time]
    return True
