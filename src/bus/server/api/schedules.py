"""Scheduled events over HTTP.

POST   /            ?delay=15m, or a field deliver_at     keep one event until it is due
GET    /v1/schedules                                      what is scheduled, the next first
PUT    /v1/schedules/NAME                                 have an event recur
GET    /v1/schedules/ID                                   one schedule, with its payload
DELETE /v1/schedules/ID                                   cancel it
"""

from __future__ import annotations

import time
from contextlib import suppress

import msgspec

from bus.drafts import decode_as
from bus.engine.administration import Recurring, ScheduleAdmin, ScheduleDescription
from bus.errors import InvalidEventError, InvalidParameterError, UnknownScheduleError
from bus.event import NO_TIME, Draft
from bus.payload import check_payload
from bus.server.api.later import answer_later
from bus.server.api.permits import Permits
from bus.server.http.request import Request
from bus.server.http.responder import Responder
from bus.server.http.response import format_headers
from bus.subject import Filter
from bus.units import SECOND_NS, parse_duration, parse_time, parse_whole
from bus.wire import DURABILITY, EVENT_ID, JSON, SCHEDULE_ID

PAGE = 100
MOST_OF_A_PAGE = 1000

_JSON = format_headers({"Content-Type": JSON})


class _RecurringEvent(Draft, kw_only=True):
    """An event with when it recurs."""

    cron: str
    time_zone: str = "UTC"
    late: str = "once"

    def recurring(self) -> Recurring:
        """The event apart from when it recurs."""
        event = Draft(*[getattr(self, name) for name in Draft.__struct_fields__])
        return Recurring(event, self.cron, self.time_zone, self.late)


_recurring_decoder = msgspec.json.Decoder(_RecurringEvent)


def read_due(delay: str, events: list[Draft], *, now: int) -> int | None:
    """When the events of a publish with this *delay* are due, in ns; None for now. Raises `InvalidParameterError`."""
    given = events[0].deliver_at
    if not delay and (not given or given == NO_TIME):
        return None
    if len(events) > 1:
        raise InvalidEventError("an array can't be scheduled: send each event by itself")
    if delay and given:
        raise InvalidParameterError("delay and deliver_at say the same: give one of them")
    return now + round(parse_duration(delay) * SECOND_NS) if delay else parse_time(given or "")


async def schedule(admin: ScheduleAdmin, event: Draft, responder: Responder, *, due: int, now: int) -> None:
    """Keep *event* until *due*, and answer 202 when that is as durable as a publish."""
    event.deliver_at = None
    kept = await admin.add(event, due=due, now=now)
    about = {SCHEDULE_ID: kept.schedule_id, EVENT_ID: kept.event_id, DURABILITY: kept.durability}
    responder.respond(202, format_headers(about))


class ScheduleRoutes:
    """The paths below ``/v1/schedules``: what *permits* let somebody see or do of *schedules*."""

    def __init__(self, schedules: ScheduleAdmin, permits: Permits) -> None:
        self._schedules = schedules
        self._permits = permits

    def show_all(self, request: Request, responder: Responder) -> None:
        answer_later(responder, self._show_all(request, responder))

    async def _show_all(self, request: Request, responder: Responder) -> None:
        patterns = request.query.get("subject", ())
        texts = [text for value in patterns for text in value.split(",")]
        takes = Filter.parse(texts).matches if texts else None
        may_manage = request.principal.rights.may_manage_events
        limit = parse_whole(request.parameter("limit") or str(PAGE), what="limit", least=1, most=MOST_OF_A_PAGE)
        page = await self._schedules.page(
            lambda subject: may_manage(subject) and (takes is None or takes(subject.encode())),
            after=request.parameter("after"), limit=limit,
        )  # fmt: skip
        _respond(responder, page)

    def show(self, request: Request, responder: Responder) -> None:
        answer_later(responder, self._show(request, responder))

    async def _show(self, request: Request, responder: Responder) -> None:
        _respond(responder, await self._find(request, responder))

    def cancel(self, request: Request, responder: Responder) -> None:
        answer_later(responder, self._cancel(request, responder))

    async def _cancel(self, request: Request, responder: Responder) -> None:
        found = await self._find(request, responder)
        self._permits.managing.note_management(request, responder)
        await self._schedules.cancel(found.id)
        responder.respond(204)

    def set(self, request: Request, responder: Responder) -> None:
        answer_later(responder, self._set(request, responder))

    async def _set(self, request: Request, responder: Responder) -> None:
        """Whoever sets one has to be allowed to publish its events, and to manage what it takes the place of."""
        recurring = decode_as(_recurring_decoder, request.body).recurring()
        check_payload(recurring.draft.payload)
        self._permits.managing.check_schedule(request, responder, recurring.draft.subject or "")
        self._permits.check_events(request, responder, [recurring.draft])
        with suppress(UnknownScheduleError):
            found = await self._schedules.describe_one(_id(request))
            self._permits.managing.check_schedule(request, responder, found.subject)
        self._permits.managing.note_management(request, responder)
        _respond(responder, await self._schedules.set(_id(request), recurring, now=time.time_ns()))

    async def _find(self, request: Request, responder: Responder) -> ScheduleDescription:
        """The schedule that the path names, if who asks may manage it. Whether there is one, others don't learn."""
        try:
            found = await self._schedules.describe_one(_id(request))
        except UnknownScheduleError:
            self._permits.managing.check_schedule(request, responder, None)
            raise
        self._permits.managing.check_schedule(request, responder, found.subject)
        return found

    def __repr__(self) -> str:
        return f"<ScheduleRoutes of {self._schedules!r}>"


def _id(request: Request) -> str:
    """The schedule that the path names."""
    return request.path_values["id"]


def _respond(responder: Responder, body: object) -> None:
    responder.respond(200, _JSON, msgspec.json.encode(body))
