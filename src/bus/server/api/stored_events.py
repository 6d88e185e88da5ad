"""Stored events over HTTP.

GET    /v1/events/ID                               one event
DELETE /v1/events?subject=PATTERN&before=INDEX     delete what the pattern takes, for good
DELETE /v1/events/ID                               delete one event
"""

from __future__ import annotations

import msgspec

from bus.engine.administration import EventAdmin
from bus.errors import InvalidParameterError, UnknownEventError
from bus.frame import json_of, read_frame
from bus.server.api.later import answer_later
from bus.server.api.permits import Permits
from bus.server.http.query import read_id
from bus.server.http.request import Request
from bus.server.http.responder import Responder
from bus.server.http.response import format_headers
from bus.subject import Filter
from bus.units import parse_time, parse_whole
from bus.wire import JSON

_JSON = format_headers({"Content-Type": JSON})


class StoredEventRoutes:
    """The paths below ``/v1/events``: what *permits* let somebody do to *events*."""

    def __init__(self, events: EventAdmin, permits: Permits) -> None:
        self._events = events
        self._permits = permits

    def show(self, request: Request, responder: Responder) -> None:
        answer_later(responder, self._show(request, responder))

    async def _show(self, request: Request, responder: Responder) -> None:
        """An event that isn't there and one that may not be read have the same answer."""
        event_id = read_id(request.path_values["id"], "event id")
        frame = await self._events.frame_of(event_id)
        self._permits.check_event(request, responder, event_id, read_frame(frame).subject)
        responder.respond(200, _JSON, json_of(frame))

    def delete_matching(self, request: Request, responder: Responder) -> None:
        answer_later(responder, self._delete_matching(request, responder))

    async def _delete_matching(self, request: Request, responder: Responder) -> None:
        wanted = _read_filter(request)
        self._permits.check_purge(request, responder, wanted)
        before = request.parameter("before")
        if not before or before.isdecimal():
            index = parse_whole(before, what="before", least=1) if before else None
            deleted = await self._events.delete_matching(wanted, before=index)
        else:
            deleted = await self._events.delete_matching(wanted, older_than=parse_time(before))
        _respond(responder, deleted)

    def delete_one(self, request: Request, responder: Responder) -> None:
        answer_later(responder, self._delete_one(request, responder))

    async def _delete_one(self, request: Request, responder: Responder) -> None:
        """Whether there is such an event, only those learn who may delete it."""
        event_id = read_id(request.path_values["id"], "event id")
        try:
            frame = await self._events.frame_of(event_id)
        except UnknownEventError:
            self._permits.check_purge(request, responder, None)
            raise
        self._permits.check_purge(request, responder, Filter.parse([read_frame(frame).subject]))
        _respond(responder, await self._events.delete_one(event_id))

    def __repr__(self) -> str:
        return f"<StoredEventRoutes of {self._events!r}>"


def _read_filter(request: Request) -> Filter:
    """Which events are meant. Raises `InvalidParameterError` if that isn't said: it can't be taken back."""
    patterns = [text for value in request.query.get("subject", ()) for text in value.split(",")]
    if not patterns:
        raise InvalidParameterError("subject is required: the pattern of the events to be deleted, such as orders.>")
    return Filter.parse(patterns)


def _respond(responder: Responder, deleted: int) -> None:
    responder.respond(200, _JSON, msgspec.json.encode({"deleted": deleted}))
