"""What is told of the server: its health, its readiness, and the description of its API."""

from __future__ import annotations

from bus.engine.base import Engine
from bus.errors import UnavailableError
from bus.server.api.openapi import read_openapi
from bus.server.http.request import Request
from bus.server.http.responder import Responder
from bus.server.http.response import format_headers
from bus.wire import JSON, TEXT

_JSON = format_headers({"Content-Type": JSON})
_TEXT = format_headers({"Content-Type": TEXT})


class MonitoringRoutes:
    """Answers those who look after the server and *engine*."""

    def __init__(self, engine: Engine) -> None:
        self._engine = engine

    def health(self, request: Request, responder: Responder) -> None:
        responder.respond(200, _TEXT, b"alive\n")

    def ready(self, request: Request, responder: Responder) -> None:
        failure = self._engine.failure
        if failure:
            raise UnavailableError(f"not ready: {failure.message}")
        responder.respond(200, _TEXT, b"ready\n")

    def openapi(self, request: Request, responder: Responder) -> None:
        responder.respond(200, _JSON, read_openapi())

    def __repr__(self) -> str:
        return f"<MonitoringRoutes of {self._engine!r}>"
