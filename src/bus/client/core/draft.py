"""Events on their way out: what a caller gives, as one line of JSON."""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from datetime import datetime
from typing import Any, Required, TypedDict

import msgspec

from bus.client.core.get_options import Duration, written_duration
from bus.client.core.request import Parameters
from bus.errors import InvalidEventError, InvalidParameterError
from bus.event import Draft
from bus.payload import one_line

_encoder = msgspec.json.Encoder()
_NOT_ENCODABLE = (TypeError, ValueError, OverflowError, RecursionError, msgspec.MsgspecError)


class EventFields(TypedDict, total=False):
    """The fields of an event to be published; all but *subject* may be left out.

    Attributes:
        subject: what the event is about, such as ``orders.created``.
        payload: anything msgspec can write as JSON.
        key: refuses a second event with this subject and key.
        trace_id: is carried along.
        id: an id of your own; by default the server makes one.
        response_subject: the inbox that a reply goes to.
        created_at: when it happened; by default now.
        headers: go along beside the payload: at most 64, together 8 KiB.
        ttl: seconds, or text such as ``"15m"``, after its time in which it is delivered; by default for ever.
    """

    subject: Required[str]
    payload: Any
    key: str | None
    trace_id: str | None
    id: str | None
    response_subject: str | None
    created_at: datetime | str | None
    headers: Mapping[str, str] | None
    ttl: Duration | None


class OutgoingEvent(msgspec.Struct, omit_defaults=True):
    """One event as a caller gives it; its ``ttl`` is as on the wire once it was encoded."""

    subject: str
    payload: Any
    key: str | None = None
    trace_id: str | None = None
    id: str | None = None
    response_subject: str | None = None
    created_at: datetime | str | None = None
    headers: Mapping[str, str] | None = None
    ttl: Duration | None = None
    deliver_at: datetime | str | None = None


def expectation(expect: int | None, expect_subject: int | None, *, later: bool = False) -> Parameters | None:
    """What says where the log is to end; None if that doesn't matter.

    Raises `InvalidParameterError` for an event that is published *later*: nobody knows yet where the log ends then.
    """
    given = (("expect", expect), ("expect_subject", expect_subject))
    found = [(name, str(index)) for name, index in given if index is not None]
    if found and later:
        raise InvalidParameterError("nobody knows yet where the log will end: give a time or expect")
    return found or None


def encode_payload(payload: Any) -> bytes:
    """*payload* as one line of JSON.

    It may be anything msgspec can write: plain values, dataclasses, structs, dates, UUIDs; a
    ``msgspec.Raw`` is JSON already. Raises `InvalidEventError` for anything else.
    """
    try:
        return one_line(_encoder.encode(payload))
    except _NOT_ENCODABLE as error:
        raise InvalidEventError(f"the payload can't be written as JSON: {error}") from None


def encode_event(event: OutgoingEvent) -> bytes:
    """One event as one line of JSON. Raises `InvalidEventError` when the payload can't be written."""
    try:
        if event.ttl is not None:
            event.ttl = written_duration(event.ttl)
        return one_line(_encoder.encode(event))
    except _NOT_ENCODABLE as error:
        raise InvalidEventError(f"the event for {event.subject!a} can't be written as JSON: {error}") from None


def encode_fields(fields: Mapping[str, Any]) -> bytes:
    """One event given as a mapping, as one line of JSON.

    Raises `InvalidEventError` when a field is unknown, the subject is missing or the payload can't be written.
    """
    try:
        return encode_event(OutgoingEvent(**{"payload": None, **fields}))
    except TypeError as error:
        raise InvalidEventError(f"not the fields of an event: {str(error)[:1].lower()}{str(error)[1:]}") from None


def encode_draft_line(event: Mapping[str, Any] | Draft) -> tuple[bytes, bool]:
    """One event as a line of JSON, and whether it has a key. Raises `InvalidEventError`."""
    if isinstance(event, Draft):
        return one_line(_encoder.encode(event)), bool(event.key)
    return encode_fields(event), bool(event.get("key"))


def encode_batch(events: Iterable[Mapping[str, Any] | Draft]) -> bytes:
    """Several events as a JSON array. Raises `InvalidEventError`."""
    return b"[%b]" % b",".join([encode_draft_line(event)[0] for event in events])
