"""What is around the events: health, readiness, metrics, what there is, and the API's description."""

from __future__ import annotations

from collections.abc import Mapping, Sized

import msgspec

from bus.engine.base import Engine
from bus.errors import UnavailableError
from bus.server.api.consumers import ConsumerRoutes
from bus.server.api.later import answer_later
from bus.server.api.metrics import MetricsRoute
from bus.server.api.openapi import describe
from bus.server.api.route import Route
from bus.server.http.memory_limits import Memory
from bus.server.http.request import Request
from bus.server.http.responder import Responder
from bus.server.http.response import format_headers
from bus.wire import JSON, TEXT

_JSON = format_headers({"Content-Type": JSON})
_TEXT = format_headers({"Content-Type": TEXT})


class Admin:
    """The paths other than ``/``."""

    def __init__(self, engine: Engine, connections: Sized, streams: Sized, incoming: Memory) -> None:
        self._engine = engine
        self._metrics = MetricsRoute(engine, connections, streams, incoming)
        self._paths: dict[str, dict[bytes, Route]] = {
            "/healthz": {b"GET": Route(self._health)},
            "/readyz": {b"GET": Route(self._ready)},
            "/metrics": {b"GET": Route(self._metrics.get)},
            "/openapi.json": {b"GET": Route(self._openapi)},
            "/v1/namespaces": {b"GET": Route(self._namespaces)},
        }
        self._consumers = ConsumerRoutes(engine.consumers)

    def routes(self, path: str) -> Mapping[bytes, Route] | None:
        """What can be done at *path*, by method; None if there is no such path."""
        return self._paths.get(path) or self._consumers.routes(path)

    def _health(self, request: Request, responder: Responder) -> None:
        responder.respond(200, _TEXT, b"alive\n")

    def _ready(self, request: Request, responder: Responder) -> None:
        failure = self._engine.failure
        if failure:
            raise UnavailableError(f"not ready: {failure.message}")
        responder.respond(200, _TEXT, b"ready\n")

    def _openapi(self, request: Request, responder: Responder) -> None:
        responder.respond(200, _JSON, describe())

    def _namespaces(self, request: Request, responder: Responder) -> None:
        answer_later(responder, self._respond_namespaces(responder))

    async def _respond_namespaces(self, responder: Responder) -> None:
        responder.respond(200, _JSON, msgspec.json.encode({"namespaces": await self._engine.namespaces()}))
