"""What is told of the server: its health, its readiness, its namespaces, and the description of its API."""

from __future__ import annotations

import msgspec

from bus.access.rights import Rights
from bus.engine.base import Engine, unknown_namespace
from bus.errors import UnavailableError
from bus.server.api.later import answer_later
from bus.server.api.openapi import read_openapi
from bus.server.api.permits import Permits
from bus.server.http.request import Request
from bus.server.http.responder import Responder
from bus.server.http.response import format_headers
from bus.wire import JSON, TEXT

_JSON = format_headers({"Content-Type": JSON})
_TEXT = format_headers({"Content-Type": TEXT})


class MonitoringRoutes:
    """Answers those who look after the server and *engine*, as far as *permits* let them."""

    def __init__(self, engine: Engine, permits: Permits) -> None:
        self._engine = engine
        self._permits = permits

    def health(self, request: Request, responder: Responder) -> None:
        responder.respond(200, _TEXT, b"alive\n")

    def ready(self, request: Request, responder: Responder) -> None:
        failure = self._engine.failure
        if failure:
            raise UnavailableError(f"not ready: {failure.message}")
        responder.respond(200, _TEXT, b"ready\n")

    def openapi(self, request: Request, responder: Responder) -> None:
        responder.respond(200, _JSON, read_openapi())

    def namespaces(self, request: Request, responder: Responder) -> None:
        answer_later(responder, self._respond_namespaces(request.principal.rights, responder))

    async def _respond_namespaces(self, rights: Rights, responder: Responder) -> None:
        found = [one for one in await self._engine.namespaces() if rights.may_know(one.namespace)]
        responder.respond(200, _JSON, msgspec.json.encode({"namespaces": found}))

    def namespace(self, request: Request, responder: Responder) -> None:
        self._permits.check_namespace(request, responder, request.path_values["name"])
        answer_later(responder, self._respond_namespace(request.path_values["name"], responder))

    async def _respond_namespace(self, name: str, responder: Responder) -> None:
        found = next((one for one in await self._engine.namespaces() if one.namespace == name), None)
        if found is None:
            raise unknown_namespace(name)
        responder.respond(200, _JSON, msgspec.json.encode(found))

    def __repr__(self) -> str:
        return f"<MonitoringRoutes of {self._engine!r}>"
