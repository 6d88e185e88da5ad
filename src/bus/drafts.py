"""Events as publishers write them: reading their JSON, and saying what is wrong with it."""

from __future__ import annotations

import re
from collections.abc import Callable, Sequence
from typing import Final, TypeVar

import msgspec

from bus.errors import BusError, InvalidEventError
from bus.event import Draft
from bus.payload import SHORT, check_encoding, check_payload, is_harmless, may_overflow, too_deep
from bus.subject import is_inbox, is_usual_inbox, parse_subject
from bus.suggest import suggest

T = TypeVar("T")

_ARRAY: Final = re.compile(rb"[ \t\r\n]*\[")
_LONE_SURROGATE: Final = re.compile(rb"\\u[dD][89a-fA-F]")
_UNKNOWN_FIELD: Final = re.compile(r"Object contains unknown field `(.*?)`(?: - at `\$\[(\d+)\]`)?", re.DOTALL)


class _Received(Draft, kw_only=True):
    """An event with what Bus itself puts into events, so that one that was received can be published again."""

    index: msgspec.Raw = msgspec.Raw()
    attempts: msgspec.Raw = msgspec.Raw()
    error: msgspec.Raw = msgspec.Raw()
    dead: msgspec.Raw = msgspec.Raw()

    def draft(self) -> Draft:
        """The event as a publisher sends it."""
        return Draft(*[getattr(self, name) for name in _FIELDS])


_FIELDS: Final = Draft.__struct_fields__
_draft_decoder: Final = msgspec.json.Decoder(Draft)
_received_decoder: Final = msgspec.json.Decoder(_Received)
_raw_decoder: Final = msgspec.json.Decoder(msgspec.Raw)
_drafts_decoder: Final = msgspec.json.Decoder(list[Draft])
_received_batch_decoder: Final = msgspec.json.Decoder(list[_Received])


def decode_events(body: bytes) -> list[Draft]:
    """Read one event, or an array of events. Raises `InvalidEventError` saying what is wrong with it."""
    return [decode_draft(body)] if body.startswith(b"{") or not _ARRAY.match(body) else decode_drafts(body)


def decode_draft(body: bytes) -> Draft:
    """Read one event. Raises `InvalidEventError` saying what is wrong with it."""
    if len(body) > SHORT or not body.isascii() or may_overflow(body):
        return _decode_checked(body)
    try:
        return _draft_decoder.decode(body)
    except (msgspec.MsgspecError, RecursionError, UnicodeDecodeError):
        return _decode_checked(body)


def _decode_checked(body: bytes) -> Draft:
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
    decode = _draft_decoder.decode if short else decode_draft
    try:
        return [decode(line) for line in lines]
    except (BusError, msgspec.MsgspecError, RecursionError, UnicodeDecodeError):
        return [_decode_line(line, decode) for line in lines]


def _decode_line(line: bytes, decode: Callable[[bytes], Draft]) -> Draft | BusError:
    try:
        return decode(line)
    except BusError as error:
        return error.without_traceback()
    except msgspec.ValidationError:
        return _decode_line(line, decode_draft)
    except (msgspec.MsgspecError, RecursionError, UnicodeDecodeError) as error:
        return _invalid(line, error)


def decode_drafts(body: bytes) -> list[Draft]:
    """Read a JSON array of events. Raises `InvalidEventError` when it is empty or one of them is wrong.

    Payloads of an array that is harmless as a whole are looked at only if they are long.
    """
    check_encoding(body)
    harmless_up_to = SHORT if is_harmless(body) else -1
    try:
        drafts = _drafts_decoder.decode(body)
    except msgspec.ValidationError:
        drafts = [received.draft() for received in decode_as(_received_batch_decoder, body)]
    except (msgspec.MsgspecError, RecursionError, UnicodeDecodeError) as error:
        raise _invalid(body, error) from None
    if not drafts:
        raise InvalidEventError("the batch holds no event: send at least one")
    for draft in drafts:
        if len(draft.payload) > harmless_up_to:
            check_payload(draft.payload)
    return drafts


def decode_as(decoder: msgspec.json.Decoder[T], body: bytes) -> T:
    """Read *body* by *decoder*; payloads in it are left to be checked. Raises `InvalidEventError`."""
    check_encoding(body)
    try:
        return decoder.decode(body)
    except (msgspec.MsgspecError, RecursionError, UnicodeDecodeError) as error:
        raise _invalid(body, error) from None


def decode_json(body: bytes) -> msgspec.Raw:
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


def check_response_subject(text: str) -> str:
    """Return the name of an inbox, raise `InvalidEventError` for any other subject.

    Most are used once, and then there is no use in having them remembered.
    """
    if is_usual_inbox(text):
        return text
    parse_subject(text)
    if not is_inbox(text):
        raise InvalidEventError(f"response_subject {text!a} is not an inbox: name one like _bus_.3f9c")
    return text
