"""A frame: one event as the finished server-sent event that is stored, because it is what is sent.

    id: e_00000000002a7f3k9q2xw0\\n
    event: msg\\n
    data: {"id":"e_…","subject":"orders.created","payload":{…},"created_at":"…","index":42}\\n
    \\n

``id`` is the first field. ``key``, ``trace_id``, ``response_subject``, ``headers``, ``ttl``, ``attempts``, ``error``
and ``dead`` follow ``index`` where there are any, so a frame is extended by cutting off its last three bytes. From
``headers`` on they are younger than the Go server's clients of v0.5, whose parser stops at a field it doesn't know:
these clients get frames without (`Format.CORE`).

Everything that writes, cuts or reads frames is here.
"""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Sequence
from enum import StrEnum
from itertools import accumulate, pairwise
from typing import Final

import msgspec

from bus.event import Dead, Event
from bus.frame_fields import (
    FrameFields,
    decode_dead,
    decode_fields,
    decode_key,
    decode_payload,
    decode_response_subject,
)
from bus.payload import one_line

_LINES: Final = 4
_DATA_LINE: Final = 2
_DATA: Final = b"data: "
NULL_PAYLOAD: Final = b'"payload":null'
"""What frames have whose payload is null; others may have it in their payloads."""

_encode_value: Final = msgspec.json.Encoder().encode


class Format(StrEnum):
    """How events go out: frames as they are stored, their JSON a line each, or frames of core fields alone."""

    SSE = "sse"
    NDJSON = "ndjson"
    CORE = "core"


# -- writing


def encode_frame(event_id: str, subject: bytes, payload: bytes, created_at: str, index: int, extra: bytes) -> bytes:
    """The frame of one event; *extra* is what `encode_extra` made of its optional fields."""
    name = event_id.encode()
    return b'id: %b\nevent: msg\ndata: {"id":"%b","subject":"%b","payload":%b,"created_at":"%b","index":%d%b}\n\n' % (
        name, name, subject, payload, created_at.encode(), index, extra,
    )  # fmt: skip


def encode_extra(**fields: object) -> bytes:
    """The optional fields of an event that are given, each led by a comma."""
    extra = b""
    for name, value in fields.items():
        if value:
            extra += b',"%b":%b' % (name.encode(), _encode_value(value))
    return extra


def extend_frame(frame: bytes, extra: bytes) -> bytes:
    """*frame* with optional fields added to its JSON."""
    return frame[:-3] + extra + b"}\n\n"


def encode_line(event: Event) -> bytes:
    """The line of JSON that *event* came as; its payload is the bytes that were published."""
    extra = encode_extra(
        key=event.key,
        trace_id=event.trace_id,
        response_subject=event.response_subject,
        headers=event.headers,
        ttl=event.ttl,
        attempts=event.attempts,
        error=event.error,
        dead=event.dead,
    )
    payload, subject = one_line(bytes(event.payload)), event.subject.encode()
    return json_of(encode_frame(event.id, subject, payload, event.created_at, event.index, extra))


# -- cutting


def json_of(frame: bytes) -> bytes:
    """The event's JSON, one line without its line break."""
    return frame[frame.index(b"\ndata: ") + 7 : -2]


def lines_in(frames: bytes) -> bytes:
    """The events in a run of *frames* as NDJSON, exactly as they are in there.

    A frame is four lines, and its JSON holds no line break, so this takes no step per event.
    """
    data = b"\n".join(frames.split(b"\n")[_DATA_LINE::_LINES])
    return data.removeprefix(_DATA).replace(b"\n" + _DATA, b"\n") + b"\n" if data else b""


def split_frames(frames: bytes, lengths: Iterable[int]) -> Iterator[bytes]:
    """Each of a run of *frames*, which have these *lengths*."""
    return (frames[begin:end] for begin, end in pairwise(accumulate(lengths, initial=0)))


def join_frames(frames: Sequence[bytes], form: Format) -> bytes:
    """The bytes that carry *frames* to a subscriber."""
    match form:
        case Format.SSE:
            return b"".join(frames)
        case Format.NDJSON:
            return lines_in(b"".join(frames))
        case Format.CORE:
            data = b"".join(frames)
            return b"".join(map(_core_of, frames)) if has_younger_fields(data) else data


def has_younger_fields(frames: bytes) -> bool:
    """Whether one of *frames* may have a field that is not among the core ones; a payload may pass for one."""
    # ``in`` takes its operand for a number first, and catches the error; ``find`` doesn't, and is three times as fast.
    return (
        frames.find(b'"headers":') >= 0
        or frames.find(b'"ttl":') >= 0
        or frames.find(b'"attempts":') >= 0
        or frames.find(b'"error":') >= 0
        or frames.find(b'"dead":') >= 0
    )


# -- reading


def id_of(frame: bytes) -> str:
    return frame[4 : frame.index(b"\n")].decode()


def read_frame(frame: bytes) -> FrameFields:
    """The fields of *frame*."""
    return decode_fields(json_of(frame))


def key_of(frame: bytes) -> str:
    """The key that its publisher gave the event of *frame*, empty if there is none."""
    return decode_key(json_of(frame)).key


def has_null_payload(frame: bytes) -> bool:
    """Whether the payload of the event of *frame* is null."""
    return NULL_PAYLOAD in frame and bytes(decode_payload(json_of(frame)).payload) == b"null"


def dead_of(frame: bytes) -> Dead | None:
    """The event that the dead letter *frame* stands for, None if it is none."""
    return decode_dead(json_of(frame)).dead


def inbox_of(frame: bytes) -> str:
    """The inbox that replies to the event of *frame* go to, empty if it asks for none."""
    return decode_response_subject(json_of(frame)).response_subject


def read_event_line(line: bytes) -> FrameFields:
    """The fields of the event in *line*, as it is cut out of a frame."""
    return decode_fields(line)


def _core_of(frame: bytes) -> bytes:
    """*frame* with the core fields alone, which every client knows."""
    if not has_younger_fields(frame):
        return frame
    fields = read_frame(frame)
    fields.headers, fields.ttl, fields.attempts = None, "", 0
    return b"id: %b\nevent: msg\ndata: %b\n\n" % (fields.id.encode(), msgspec.json.encode(fields))
