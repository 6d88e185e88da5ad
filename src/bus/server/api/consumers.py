"""Durable consumers over HTTP.

GET    /v1/consumers                 all of them
GET    /v1/consumers/NAME            one
PUT    /v1/consumers/NAME            make or change it
DELETE /v1/consumers/NAME            forget it; its streams end
GET    /v1/consumers/NAME/why        why nothing is being delivered, in a line
GET    /v1/consumers/NAME/pending    the events it has read and not settled
GET    /v1/consumers/NAME/connections
                                     who shares it
POST   /v1/consumers/NAME/position   move it, or say what that would repeat or skip: ?dry_run=true
GET    /v1/consumers/NAME/dead       the events it gave up
POST   /v1/consumers/NAME/dead       send them back: all, or ?index=7,9
DELETE /v1/consumers/NAME/dead       forget them: all, or ?index=7,9
"""

from __future__ import annotations

import time
from collections.abc import Sequence

import msgspec

from bus.consumer import ConsumerDescription
from bus.engine.administration import ConsumerAdmin
from bus.server.api.consumer_bodies import read_change, read_destination
from bus.server.api.later import answer_later
from bus.server.api.management_permits import ManagementPermits
from bus.server.http.query import read_flag
from bus.server.http.request import Request
from bus.server.http.responder import Responder
from bus.server.http.response import format_headers
from bus.units import parse_whole
from bus.wire import JSON, TEXT

MOST_PENDING = 10_000
LISTED = 1000
"""Pending events that are listed unless somebody wants more or fewer."""

_JSON = format_headers({"Content-Type": JSON})
_TEXT = format_headers({"Content-Type": TEXT})


class ConsumerRoutes:
    """The paths below ``/v1/consumers``: what *permits* let somebody see or do of *consumers*."""

    def __init__(self, consumers: ConsumerAdmin, permits: ManagementPermits) -> None:
        self._consumers = consumers
        self._permits = permits
        self._encoded: tuple[Sequence[ConsumerDescription], bytes] = ((), b"")

    def show_all(self, request: Request, responder: Responder) -> None:
        responder.await_turn(lambda: answer_later(responder, self._respond_all(request, responder)))

    async def _respond_all(self, request: Request, responder: Responder) -> None:
        """Answers that were found together, and are for whoever may see all, are encoded once."""
        found = await self._consumers.describe()
        visible = self._permits.visible(request, found)
        if visible is not found:
            _respond(responder, {"consumers": visible})
            return
        if self._encoded[0] is not found:
            self._encoded = found, msgspec.json.encode({"consumers": found})
        responder.respond(200, _JSON, self._encoded[1])

    def show(self, request: Request, responder: Responder) -> None:
        responder.await_turn(lambda: answer_later(responder, self._respond_one(request, responder)))

    async def _respond_one(self, request: Request, responder: Responder) -> None:
        await self._permits.check_consumer(request, responder, _name(request))
        _respond(responder, await self._consumers.describe_one(_name(request)))

    def change(self, request: Request, responder: Responder) -> None:
        answer_later(responder, self._change(request, responder))

    async def _change(self, request: Request, responder: Responder) -> None:
        name, change = _name(request), read_change(request.body, now=time.time_ns())
        patterns = [pattern.text for pattern in change.filter.patterns] if change.filter else []
        await self._permits.check_change(request, responder, name, patterns)
        changed = await self._consumers.change(name, change)
        _respond(responder, changed.consumer, status=201 if changed.made else 200)

    def move(self, request: Request, responder: Responder) -> None:
        answer_later(responder, self._move(request, responder))

    async def _move(self, request: Request, responder: Responder) -> None:
        name, to = _name(request), read_destination(request.body, now=time.time_ns())
        dry_run = read_flag(request.parameter("dry_run"), "dry_run")
        await self._permits.check_management(request, responder, name)
        _respond(responder, await self._consumers.move(name, to, dry_run=dry_run))

    def pending(self, request: Request, responder: Responder) -> None:
        answer_later(responder, self._pending(request, responder))

    async def _pending(self, request: Request, responder: Responder) -> None:
        text = request.parameter("limit")
        most = parse_whole(text, what="limit", least=1, most=MOST_PENDING) if text else LISTED
        await self._permits.check_consumer(request, responder, _name(request))
        _respond(responder, await self._consumers.pending(_name(request), most=most))

    def connections(self, request: Request, responder: Responder) -> None:
        answer_later(responder, self._connections(request, responder))

    async def _connections(self, request: Request, responder: Responder) -> None:
        await self._permits.check_consumer(request, responder, _name(request))
        _respond(responder, {"connections": await self._consumers.connections(_name(request))})

    def delete(self, request: Request, responder: Responder) -> None:
        answer_later(responder, self._delete(request, responder))

    def why(self, request: Request, responder: Responder) -> None:
        answer_later(responder, self._why(request, responder))

    def dead(self, request: Request, responder: Responder) -> None:
        answer_later(responder, self._dead(request, responder))

    def redrive(self, request: Request, responder: Responder) -> None:
        answer_later(responder, self._redrive(request, responder))

    def drop(self, request: Request, responder: Responder) -> None:
        answer_later(responder, self._drop(request, responder))

    async def _delete(self, request: Request, responder: Responder) -> None:
        await self._permits.check_management(request, responder, _name(request))
        await self._consumers.delete(_name(request))
        responder.respond(204)

    async def _why(self, request: Request, responder: Responder) -> None:
        await self._permits.check_consumer(request, responder, _name(request))
        responder.respond(200, _TEXT, f"{await self._consumers.why(_name(request))}\n".encode())

    async def _dead(self, request: Request, responder: Responder) -> None:
        await self._permits.check_consumer(request, responder, _name(request))
        dead = await self._consumers.dead(_name(request))
        _respond(responder, {"count": len(dead), "dead": dead})

    async def _redrive(self, request: Request, responder: Responder) -> None:
        indexes = _read_indexes(request)
        await self._permits.check_management(request, responder, _name(request))
        _respond(responder, await self._consumers.redrive(_name(request), indexes))

    async def _drop(self, request: Request, responder: Responder) -> None:
        indexes = _read_indexes(request)
        await self._permits.check_management(request, responder, _name(request))
        _respond(responder, {"dropped": await self._consumers.drop(_name(request), indexes)})

    def __repr__(self) -> str:
        return f"<ConsumerRoutes of {self._consumers!r}>"


def _name(request: Request) -> str:
    """The consumer that the path names."""
    return request.path_values["name"]


def _respond(responder: Responder, body: object, *, status: int = 200) -> None:
    responder.respond(status, _JSON, msgspec.json.encode(body))


def _read_indexes(request: Request) -> list[int] | None:
    """The events meant, None for all. Raises `InvalidParameterError`."""
    texts = [part for value in request.query.get("index", []) for part in value.split(",")]
    return [parse_whole(text, what="index", least=1) for text in texts] or None
