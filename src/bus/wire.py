"""The JSON of events on the wire, and the frames that are stored because they are what is sent.

A frame is one event as a finished server-sent event:

    id: e_00000000002a7f3k9q2xw0\\n
    event: msg\\n
    data: {"id":"e_…","subject":"orders.created","payload":{…},"created_at":"…","index":42}\\n
    \\n

``id`` is the first field. ``key``, ``trace_id``, ``response_subject``, ``attempts``, ``error`` and ``dead`` follow
``index`` where there are any, so a frame is extended by cutting off its last three bytes. The last three of them are
younger than the Go server's clients of v0.5, whose parser stops at a field it doesn't know: these clients get frames
without (`Format.CORE`).
"""

from __future__ import annotations

import re
from collections.abc import Callable, Sequence
from enum import StrEnum
from typing import TypeVar

import msgspec

from bus.errors import BusError, InvalidEventError
from bus.event import Draft, Receipt
from bus.payload import SHORT, check_encoding, check_payload, is_harmless, too_deep
from bus.subject import is_inbox, parse_subject
from bus.suggest import suggest

EVENT_ID = "X-BUS-EVENT-ID"
EVENT_CREATED_AT = "X-BUS-EVENT-CREATED-AT"
EVENT_INDEX = "X-BUS-EVENT-INDEX"
EVENT_COUNT = "X-BUS-EVENT-COUNT"
CONSUMER_ID = "X-BUS-CONSUMER-ID"
DURABILITY = "X-BUS-DURABILITY"

JSON = "application/json"
NDJSON = "application/x-ndjson"
SSE = "text/event-stream"
PROBLEM = "application/problem+json"
TEXT = "text/plain; charset=utf-8"

_LONE_SURROGATE = re.compile(rb"\\u[dD][89a-fA-F]")
_LINE_BREAKS = b"\r\n"
_CR, _LF = _LINE_BREAKS

T = TypeVar("T")

_UNKNOWN_FIELD = re.compile(r"Object contains unknown field `(.*?)`(?: - at `\$\[(\d+)\]`)?", re.DOTALL)


class _Received(Draft, kw_only=True):
    """An event with what Bus itself puts into events, so that one that was received can be published again."""

    index: msgspec.Raw = msgspec.Raw()
    attempts: msgspec.Raw = msgspec.Raw()
    error: msgspec.Raw = msgspec.Raw()
    dead: msgspec.Raw = msgspec.Raw()

    def draft(self) -> Draft:
        """The event as a publisher sends it."""
        return Draft(*[getattr(self, name) for name in _FIELDS])


_FIELDS = Draft.__struct_fields__
_draft_decoder = msgspec.json.Decoder(Draft)
_received_decoder = msgspec.json.Decoder(_Received)
_raw_decoder = msgspec.json.Decoder(msgspec.Raw)
_encoder = msgspec.json.Encoder()
_drafts_decoder = msgspec.json.Decoder(list[Draft])
_received_batch_decoder = msgspec.json.Decoder(list[_Received])


class Format(StrEnum):
    """How events go out: frames as they are stored, their JSON a line each, or frames of core fields alone."""

    SSE = "sse"
    NDJSON = "ndjson"
    CORE = "core"


class Durability(StrEnum):
    """What a 202 stands for: on disk, handed to the operating system, or in memory alone."""

    FSYNC = "fsync"
    OS = "os"
    MEMORY = "memory"


def decode_draft(body: bytes) -> Draft:
    """Read one event. Raises `InvalidEventError` saying what is wrong with it."""
    check_encoding(body)
    try:
        draft = _draft_decoder.decode(body)
    except msgspec.ValidationError:
        draft = decode_as(_received_decoder, body).draft()
    except (msgspec.MsgspecError, RecursionError, UnicodeDecodeError) as error:
        raise _invalid(body, error) from None
    check_payload(draft.payload)
    return draft


def decode_lines(lines: Sequence[bytes]) -> list[Draft | BusError]:
    """Read an event from each of *lines*; one that can't be read has its error in its place.

    Lines that are short are looked at together, which costs less than to look at each.
    """
    short = max(map(len, lines), default=0) <= SHORT and is_harmless(b"\n".join(lines))
    return [_decode_line(line, _draft_decoder.decode if short else decode_draft) for line in lines]


def _decode_line(line: bytes, decode: Callable[[bytes], Draft]) -> Draft | BusError:
    try:
        return decode(line)
    except BusError as error:
        return error
    except msgspec.ValidationError:
        return _decode_line(line, decode_draft)
    except (msgspec.MsgspecError, RecursionError, UnicodeDecodeError) as error:
        return _invalid(line, error)


def decode_drafts(body: bytes) -> list[Draft]:
    """Read a JSON array of events. Raises `InvalidEventError` when it is empty or one of them is wrong."""
    check_encoding(body)
    try:
        drafts = _drafts_decoder.decode(body)
    except msgspec.ValidationError:
        drafts = [received.draft() for received in decode_as(_received_batch_decoder, body)]
    except (msgspec.MsgspecError, RecursionError, UnicodeDecodeError) as error:
        raise _invalid(body, error) from None
    if not drafts:
        raise InvalidEventError("the batch holds no event: send at least one")
    for draft in drafts:
        check_payload(draft.payload)
    return drafts


def decode_as(decoder: msgspec.json.Decoder[T], body: bytes) -> T:
    """Read *body* by *decoder*; payloads in it are left to be checked. Raises `InvalidEventError`."""
    check_encoding(body)
    try:
        return decoder.decode(body)
    except (msgspec.MsgspecError, RecursionError, UnicodeDecodeError) as error:
        raise _invalid(body, error) from None


def decode_payload(body: bytes) -> msgspec.Raw:
    """Check that *body* is one JSON value and return it. Raises `InvalidEventError`."""
    check_encoding(body)
    try:
        payload = _raw_decoder.decode(body)
    except (msgspec.MsgspecError, RecursionError, UnicodeDecodeError) as error:
        raise _invalid(body, error) from None
    check_payload(payload)
    return payload


def _invalid(body: bytes, error: Exception) -> InvalidEventError:
    if not body.strip():
        return InvalidEventError("the body is empty: send an event as JSON")
    if unknown := _UNKNOWN_FIELD.fullmatch(str(error)):
        return _unknown_field(*unknown.groups())
    if isinstance(error, msgspec.ValidationError):
        return InvalidEventError(f"the body is JSON but not an event: {error}")
    if isinstance(error, RecursionError):
        return too_deep()
    if _LONE_SURROGATE.search(body):
        return InvalidEventError("the event holds half of a surrogate pair: escape characters beyond U+FFFF as two")
    return InvalidEventError(f"the body is not JSON: {error}")


def _unknown_field(name: str, place: str | None) -> InvalidEventError:
    """The error for a field that events don't have, of the event at *place* in a batch, from 0."""
    whose = "an event" if place is None else f"event {int(place) + 1} of the batch"
    return InvalidEventError(f"field {name[:80]!a} is not for {whose}: {suggest(name, _FIELDS)}")


def encode_frame(event_id: str, subject: bytes, payload: bytes, created_at: str, index: int, extra: bytes) -> bytes:
    """The frame of one event; *extra* is what `encode_extra` made of its optional fields."""
    name = event_id.encode()
    return b'id: %b\nevent: msg\ndata: {"id":"%b","subject":"%b","payload":%b,"created_at":"%b","index":%d%b}\n\n' % (
        name, name, subject, payload, created_at.encode(), index, extra,
    )  # fmt: skip


def encode_extra(**fields: object) -> bytes:
    """The optional fields of an event that are given, each led by a comma."""
    return b"".join(
        b',"%b":%b' % (name.encode(), msgspec.json.encode(value)) for name, value in fields.items() if value
    )


def one_line(data: bytes) -> bytes:
    """JSON without line breaks, which it has only between its tokens."""
    return data.translate(None, _LINE_BREAKS) if _LF in data or _CR in data else data


def extend_frame(frame: bytes, extra: bytes) -> bytes:
    """*frame* with optional fields added to its JSON."""
    return frame[:-3] + extra + b"}\n\n"


def json_of(frame: bytes) -> bytes:
    """The event's JSON, one line without its line break."""
    return frame[frame.index(b"\ndata: ") + 7 : -2]


def id_of(frame: bytes) -> str:
    return frame[4 : frame.index(b"\n")].decode()


def encode_receipts(receipts: Sequence[Receipt]) -> bytes:
    """Lines of the answer to an NDJSON publish."""
    return _encoder.encode_lines(receipts)


def encode_refusal(error: BusError) -> bytes:
    """The line that stands in for the receipt of an event that was refused."""
    body = {"error": error.message, "code": error.code, "status": error.status}
    receipt = getattr(error, "receipt", None)
    return msgspec.json.encode(body | ({"receipt": receipt} if receipt else {})) + b"\n"


def encode_problem(error: BusError) -> bytes:
    """The error as problem details (RFC 9457); ``code`` names its class for clients."""
    title = type(error).__name__.removesuffix("Error")
    words = re.sub(r"(?<=[a-z])(?=[A-Z])", " ", title).lower()
    body = {"type": f"urn:bus:{error.code}", "title": words, "status": error.status, "detail": error.message}
    return msgspec.json.encode(body | {"code": error.code})


def check_response_subject(text: str) -> str:
    """Return the name of an inbox, raise `InvalidEventError` for any other subject."""
    parse_subject(text)
    if not is_inbox(text):
        raise InvalidEventError(f"response_subject {text!a} is not an inbox: name one like _bus_.3f9c")
    return text


def join_frames(frames: Sequence[bytes], form: Format) -> bytes:
    """The bytes that carry *frames* to a subscriber."""
    match form:
        case Format.SSE:
            return b"".join(frames)
        case Format.NDJSON:
            return b"".join([line for frame in frames for line in (json_of(frame), b"\n")])
        case Format.CORE:
            return b"".join([_core_of(frame) if has_younger_fields(frame) else frame for frame in frames])


_YOUNGER_FIELDS = (b'"attempts":', b'"error":', b'"dead":')


def has_younger_fields(frames: bytes) -> bool:
    """Whether one of *frames* may have a field that is not among the core ones; a payload may pass for one."""
    return any(field in frames for field in _YOUNGER_FIELDS)


class _Core(msgspec.Struct, omit_defaults=True):
    """The fields every client knows, in their order."""

    id: str
    subject: str
    payload: msgspec.Raw
    created_at: str
    index: int
    key: str = ""
    trace_id: str = ""
    response_subject: str = ""


_core_decoder = msgspec.json.Decoder(_Core)


def _core_of(frame: bytes) -> bytes:
    """*frame* with the core fields alone."""
    return b"id: %b\nevent: msg\ndata: %b\n\n" % (
        id_of(frame).encode(),
        _encoder.encode(_core_decoder.decode(json_of(frame))),
    )
