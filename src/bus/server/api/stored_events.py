"""Stored events over HTTP.

GET    /v1/events?subject=PATTERN&before=INDEX     a page of events, the newest first
GET    /v1/events/ID?namespace=NAME                one event
GET    /v1/subjects?match=PATTERN                  the subjects that the pattern takes, and how many events they have
DELETE /v1/events?subject=PATTERN&before=INDEX     delete what the pattern takes, for good
DELETE /v1/events/ID?namespace=NAME                delete one event

Publishers may choose ids, so several namespaces can have an event with the same one. Which is meant has to be said
then, unless who asks may only know of one.
"""

from __future__ import annotations

from collections.abc import Sequence

import msgspec

from bus.engine.administration import EventAdmin, EventPage, StoredEvent
from bus.engine.base import unknown_event_id
from bus.errors import AmbiguousEventError, InvalidParameterError
from bus.frame import json_of
from bus.server.api.later import answer_later
from bus.server.api.permits import Permits
from bus.server.http.query import read_id
from bus.server.http.request import Request
from bus.server.http.responder import Responder
from bus.server.http.response import format_headers
from bus.subject import Filter
from bus.units import parse_time, parse_whole
from bus.wire import JSON

PAGE = 50
SUBJECT_PAGE = 100
MOST_OF_A_PAGE = 1000

_JSON = format_headers({"Content-Type": JSON})


class StoredEventRoutes:
    """The paths below ``/v1/events``: what *permits* let somebody do to *events*."""

    def __init__(self, events: EventAdmin, permits: Permits) -> None:
        self._events = events
        self._permits = permits

    def show_page(self, request: Request, responder: Responder) -> None:
        answer_later(responder, self._show_page(request, responder))

    async def _show_page(self, request: Request, responder: Responder) -> None:
        wanted = _read_filter(request, "to be looked at")
        self._permits.check_page(request, responder, wanted)
        index, time = _read_before(request)
        limit = parse_whole(request.parameter("limit") or str(PAGE), what="limit", least=1, most=MOST_OF_A_PAGE)
        page = await self._events.page(wanted, before=index, older_than=time, limit=limit)
        responder.respond(200, _JSON, _format_page(page))

    def show(self, request: Request, responder: Responder) -> None:
        answer_later(responder, self._show(request, responder))

    async def _show(self, request: Request, responder: Responder) -> None:
        """An event that isn't there and one that may not be read have the same answer."""
        event_id = read_id(request.path_values["id"], "event id")
        found = await self._find(request, responder, event_id)
        event = _only(self._permits.readable(request, responder, event_id, found), event_id)
        responder.respond(200, _JSON, json_of(event.frame))

    async def _find(self, request: Request, responder: Responder, event_id: str) -> Sequence[StoredEvent]:
        """The events with this id, of all namespaces or of the one that *request* names.

        Whether there is such a namespace, only those learn who may do something in it.
        """
        if namespace := request.parameter("namespace"):
            self._permits.managing.check_namespace(request, responder, namespace)
        return await self._events.find(event_id, namespace=namespace)

    def subjects(self, request: Request, responder: Responder) -> None:
        answer_later(responder, self._subjects(request, responder))

    async def _subjects(self, request: Request, responder: Responder) -> None:
        texts = request.query.get("match", ())
        if not any(texts):
            raise InvalidParameterError("match is required: the pattern of the subjects, such as orders.>")
        wanted = Filter.parse(texts)
        self._permits.check_page(request, responder, wanted)
        limit = parse_whole(request.parameter("limit") or str(SUBJECT_PAGE), what="limit", least=1, most=MOST_OF_A_PAGE)
        page = await self._events.subjects(wanted, after=request.parameter("after"), limit=limit)
        responder.respond(200, _JSON, msgspec.json.encode(page))

    def delete_matching(self, request: Request, responder: Responder) -> None:
        answer_later(responder, self._delete_matching(request, responder))

    async def _delete_matching(self, request: Request, responder: Responder) -> None:
        wanted = _read_filter(request, "to be deleted")
        self._permits.managing.check_purge(request, responder, wanted)
        index, time = _read_before(request)
        _respond(responder, await self._events.delete_matching(wanted, before=index, older_than=time))

    def delete_one(self, request: Request, responder: Responder) -> None:
        answer_later(responder, self._delete_one(request, responder))

    async def _delete_one(self, request: Request, responder: Responder) -> None:
        """Whether there is such an event, only those learn who may delete it."""
        event_id = read_id(request.path_values["id"], "event id")
        found = await self._find(request, responder, event_id)
        event = _only(self._permits.managing.deletable(request, responder, found), event_id)
        _respond(responder, await self._events.delete_one(event))

    def __repr__(self) -> str:
        return f"<StoredEventRoutes of {self._events!r}>"


def _only(found: Sequence[StoredEvent], event_id: str) -> StoredEvent:
    """The event that *found* has. Raises `UnknownEventError` if there is none, `AmbiguousEventError` if several."""
    if not found:
        raise unknown_event_id(event_id)
    if len(found) > 1:
        names = sorted(event.namespace for event in found)
        raise AmbiguousEventError(
            f"event {event_id} is in {len(names)} namespaces, say which is meant with namespace=: {', '.join(names)}",
            namespaces=names,
        )
    return found[0]


def _read_filter(request: Request, purpose: str) -> Filter:
    """Which events are meant. Raises `InvalidParameterError` if that isn't said: a deletion can't be taken back."""
    patterns = [text for value in request.query.get("subject", ()) for text in value.split(",")]
    if not patterns:
        raise InvalidParameterError(f"subject is required: the pattern of the events {purpose}, such as orders.>")
    return Filter.parse(patterns)


def _read_before(request: Request) -> tuple[int | None, int | None]:
    """The index and the time (ns) before which events are meant, each None if that isn't given."""
    before = request.parameter("before")
    if not before:
        return None, None
    if before.isdecimal():
        return parse_whole(before, what="before", least=1), None
    return None, parse_time(before)


def _format_page(page: EventPage) -> bytes:
    events = b",".join(map(json_of, page.frames))
    rest = b"" if page.next is None else b',"next":%d' % page.next
    return b'{"events":[%b]%b}' % (events, rest)


def _respond(responder: Responder, deleted: int) -> None:
    responder.respond(200, _JSON, msgspec.json.encode({"deleted": deleted}))
