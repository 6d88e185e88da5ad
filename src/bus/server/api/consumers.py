"""Durable consumers over HTTP.

GET    /v1/consumers                 all of them
GET    /v1/consumers/NAME            one
DELETE /v1/consumers/NAME            forget it; its streams end
GET    /v1/consumers/NAME/why        why nothing is being delivered, in a line
GET    /v1/consumers/NAME/dead       the events it gave up
POST   /v1/consumers/NAME/dead       send them back: all, or ?index=7,9
DELETE /v1/consumers/NAME/dead       forget them: all, or ?index=7,9
"""

from __future__ import annotations

from collections.abc import Sequence

import msgspec

from bus.engine.administration import ConsumerAdmin, ConsumerDescription
from bus.server.api.later import answer_later
from bus.server.api.permits import Permits
from bus.server.http.request import Request
from bus.server.http.responder import Responder
from bus.server.http.response import format_headers
from bus.units import parse_whole
from bus.wire import JSON, TEXT

_JSON = format_headers({"Content-Type": JSON})
_TEXT = format_headers({"Content-Type": TEXT})


class ConsumerRoutes:
    """The paths below ``/v1/consumers``: what *permits* let somebody see or do of *consumers*."""

    def __init__(self, consumers: ConsumerAdmin, permits: Permits) -> None:
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


def _respond(responder: Responder, body: object) -> None:
    responder.respond(200, _JSON, msgspec.json.encode(body))


def _read_indexes(request: Request) -> list[int] | None:
    """The events meant, None for all. Raises `InvalidParameterError`."""
    texts = [part for value in request.query.get("index", []) for part in value.split(",")]
    return [parse_whole(text, what="index", least=1) for text in texts] or None
