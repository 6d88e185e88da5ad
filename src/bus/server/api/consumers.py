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

import re
from collections.abc import Callable, Coroutine, Mapping, Sequence
from functools import partial

import msgspec

from bus.engine.administration import ConsumerAdmin, ConsumerDescription
from bus.server.api.later import answer_later
from bus.server.api.route import Route
from bus.server.http.request import Request
from bus.server.http.responder import Responder
from bus.server.http.response import format_headers
from bus.units import parse_whole
from bus.wire import JSON, TEXT

Answer = Callable[[Request, Responder], None]

_PATH = re.compile(r"/v1/consumers(?:/([^/]+)(?:/(why|dead))?)?")
_JSON = format_headers({"Content-Type": JSON})
_TEXT = format_headers({"Content-Type": TEXT})


class ConsumerRoutes:
    """The paths below ``/v1/consumers``."""

    def __init__(self, consumers: ConsumerAdmin) -> None:
        self._consumers = consumers
        self._encoded: tuple[Sequence[ConsumerDescription], bytes] = ((), b"")

    def routes(self, path: str) -> Mapping[bytes, Route] | None:
        """What can be done at *path*, by method; None if it is none of these paths."""
        found = _PATH.fullmatch(path)
        if not found:
            return None
        name, what = found.groups()
        if name is None:
            return {b"GET": Route(self._list)}
        if what == "why":
            return {b"GET": Route(_awaited(partial(self._why, name)))}
        if what == "dead":
            return {
                b"GET": Route(_awaited(partial(self._dead, name))),
                b"POST": Route(_awaited(partial(self._redrive, name)), lists=("index",)),
                b"DELETE": Route(_awaited(partial(self._drop, name)), lists=("index",)),
            }
        return {b"GET": Route(partial(self._show, name)), b"DELETE": Route(_awaited(partial(self._delete, name)))}

    def _list(self, request: Request, responder: Responder) -> None:
        responder.when_first(lambda: answer_later(responder, self._respond_all(responder)))

    async def _respond_all(self, responder: Responder) -> None:
        """Answers that were found together are encoded once."""
        found = await self._consumers.describe()
        if self._encoded[0] is not found:
            self._encoded = found, msgspec.json.encode({"consumers": found})
        responder.respond(200, _JSON, self._encoded[1])

    def _show(self, name: str, request: Request, responder: Responder) -> None:
        responder.when_first(lambda: answer_later(responder, self._respond_one(name, responder)))

    async def _respond_one(self, name: str, responder: Responder) -> None:
        _respond(responder, await self._consumers.describe_one(name))

    async def _delete(self, name: str, request: Request, responder: Responder) -> None:
        await self._consumers.delete(name)
        responder.respond(204)

    async def _why(self, name: str, request: Request, responder: Responder) -> None:
        responder.respond(200, _TEXT, f"{await self._consumers.why(name)}\n".encode())

    async def _dead(self, name: str, request: Request, responder: Responder) -> None:
        dead = await self._consumers.dead(name)
        _respond(responder, {"count": len(dead), "dead": dead})

    async def _redrive(self, name: str, request: Request, responder: Responder) -> None:
        _respond(responder, await self._consumers.redrive(name, _read_indexes(request)))

    async def _drop(self, name: str, request: Request, responder: Responder) -> None:
        _respond(responder, {"dropped": await self._consumers.drop(name, _read_indexes(request))})


def _awaited(answer: Callable[[Request, Responder], Coroutine[object, object, None]]) -> Answer:
    """*answer*, as a route has it."""
    return lambda request, responder: answer_later(responder, answer(request, responder))


def _respond(responder: Responder, body: object) -> None:
    responder.respond(200, _JSON, msgspec.json.encode(body))


def _read_indexes(request: Request) -> list[int] | None:
    """The events meant, None for all. Raises `InvalidParameterError`."""
    texts = [part for value in request.query.get("index", []) for part in value.split(",")]
    return [parse_whole(text, what="index", least=1) for text in texts] or None
