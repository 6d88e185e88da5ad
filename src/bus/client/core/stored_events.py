"""What a client asks about stored events, and what it is told."""

from __future__ import annotations

from collections.abc import Sequence
from datetime import datetime
from typing import Any
from urllib.parse import quote

import msgspec

from bus.client.core.decode import UNREADABLE, read_payload, typed
from bus.client.core.outcomes import answer_as
from bus.client.core.request import Parameters
from bus.client.core.response import Response
from bus.errors import InvalidEventError, InvalidParameterError
from bus.event import Event

PATH = "v1/events"
SUBJECTS = "v1/subjects"
PAGE = 500
"""Events that are asked for at a time by who wants all of them."""

SUBJECT_PAGE = 1000
"""The most subjects that one page has."""

Before = int | datetime | str | None
"""An index or a time, which events are to be before."""


class Deleted(msgspec.Struct, frozen=True):
    """How many events were deleted."""

    deleted: int


class EventPage(msgspec.Struct, frozen=True):
    """Some stored events, the newest first.

    Attributes:
        events: the events; there may be fewer than were asked for, or none, and still be more behind them.
        next: give it as *before* for the page after this one; None if there is none.
    """

    events: list[Event]
    next: int | None = None


class _Page(msgspec.Struct):
    """An `EventPage` whose payloads are as they came."""

    events: list[typed(Event, msgspec.Raw)]  # type: ignore[valid-type]
    next: int | None = None


_read_page = answer_as(_Page)


def page_in(response: Response, payload_type: Any) -> EventPage:
    """The page that *response* has, its payloads as *payload_type*; otherwise raises the error it tells of.

    Raises `InvalidEventError` if a payload is of another type.
    """
    page = _read_page(response)
    for event in page.events:
        event.payload = _payload_of(event, payload_type)
    return EventPage(page.events, page.next)


def _payload_of(event: Event, payload_type: Any) -> Any:
    """The payload of *event*, in which it is raw, as *payload_type*."""
    if payload_type is msgspec.Raw:
        return event.payload
    try:
        data = bytes(event.payload)
        return read_payload(data) if payload_type is Any else msgspec.json.decode(data, type=payload_type)
    except UNREADABLE as error:
        reason = " ".join(str(error).split())
        raise InvalidEventError(f"event {event.id} at index {event.index} can't be decoded: {reason}") from None


def subjects_query(patterns: Sequence[str], *, limit: int, after: str) -> Parameters:
    """What asks for the subjects behind *after*."""
    query = [("match", ",".join(patterns)), ("limit", str(min(limit, SUBJECT_PAGE)))]
    return [*query, ("after", after)] if after else query


def namespace_query(namespace: str | None) -> Parameters:
    """What says in which namespace an event is."""
    return [("namespace", namespace)] if namespace else []


def path_of(event_id: str) -> str:
    """The path of one event."""
    return f"{PATH}/{quote(event_id, safe='')}"


def page_query(subjects: Sequence[str], before: Before, limit: int) -> Parameters:
    """What says which page is meant. Raises `InvalidParameterError`."""
    return [*events_query(subjects, before), ("limit", str(limit))]


def events_query(subjects: Sequence[str], before: Before) -> Parameters:
    """What says which events are meant. Raises `InvalidParameterError`."""
    query = [("subject", ",".join(subjects))]
    if isinstance(before, datetime):
        if before.tzinfo is None:
            raise InvalidParameterError("before has no time zone: give it one, such as datetime.timezone.utc")
        before = before.isoformat()
    if before is not None:
        query.append(("before", str(before)))
    return query
