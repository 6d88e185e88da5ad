"""Which request goes where.

POST /      publish         GET /   subscribe      PUT /  acknowledge     HEAD /  200
OPTIONS *   CORS preflight
GET         /healthz /readyz /metrics /openapi.json /v1/…   see ``bus.server.admin``
"""

from __future__ import annotations

import asyncio
import logging
import time

from bus.config import Settings
from bus.engine.base import Engine
from bus.errors import BusError, MethodNotAllowedError, NotFoundError, OverloadedError, StoppingError
from bus.server.acknowledge import acknowledge
from bus.server.admin import Admin
from bus.server.exchange import Carrier, Exchange, Route
from bus.server.pages import check_page
from bus.server.protocol import Connection
from bus.server.publish import publish
from bus.server.request import Request
from bus.server.response import Cors
from bus.server.stream import StreamSink, open_stream
from bus.server.upload import Upload

log = logging.getLogger("bus.server")


class Routes:
    """The server's side of every connection: answers requests and knows the streams that are open."""

    def __init__(self, engine: Engine, settings: Settings, loop: asyncio.AbstractEventLoop) -> None:
        self.cors = Cors(settings.cors_origins)
        self.max_body = settings.max_body
        self.connections: set[Connection] = set()
        self.streams: dict[Carrier, StreamSink] = {}
        self.stopping = False
        self._deserted = asyncio.Event()
        self._engine = engine
        self._settings = settings
        self._loop = loop
        self._root: dict[bytes, Route] = {
            b"POST": self._publish,
            b"GET": self._subscribe,
            b"PUT": self._acknowledge,
            b"HEAD": lambda request, exchange: exchange.respond(200),
        }
        self._admin = Admin(engine, self.connections, self.streams)

    # -- connections

    def connected(self, connection: Connection) -> None:
        self.connections.add(connection)
        if self.stopping:
            raise StoppingError("the server is stopping: connect again when it is back")
        if len(self.connections) > self._settings.max_connections:
            raise OverloadedError(f"the server holds {len(self.connections)} connections: try again shortly")

    def disconnected(self, connection: Connection) -> None:
        self.connections.discard(connection)
        self.streams.pop(connection, None)
        if self.stopping and not self.connections:
            self._deserted.set()

    # -- requests

    def upload(self, request: Request, exchange: Exchange) -> Upload | None:
        if not request.head.is_ndjson or request.head.method != b"POST" or request.head.path != "/":
            return None
        check_page(request, self.cors.origins)
        chunked = request.head.version == b"1.1"
        return Upload(self._engine, exchange, longest=self.max_body, chunked=chunked, loop=self._loop)

    def handle(self, request: Request, exchange: Exchange) -> None:
        try:
            check_page(request, self.cors.origins)
            self._route(request)(request, exchange)
        except BusError as error:
            exchange.fail(error)
        except Exception:
            log.exception("%s %s failed", request.head.method.decode(), request.head.path)
            exchange.fail(BusError("the server made a mistake: its log has the details"))

    def _route(self, request: Request) -> Route:
        if request.head.method == b"OPTIONS":
            return _preflight
        routes = self._root if request.head.path == "/" else self._admin.routes(request.head.path)
        if routes is None:
            raise NotFoundError(f"path {request.head.path[:80]!a} doesn't exist: events are at /")
        route = routes.get(request.head.method) or (routes.get(b"GET") if request.head.method == b"HEAD" else None)
        if route is None:
            allowed = ", ".join(sorted(method.decode() for method in routes))
            raise MethodNotAllowedError(
                f"{request.head.method.decode()} is not for {request.head.path}: use {allowed}", allowed=allowed
            )
        return route

    def _publish(self, request: Request, exchange: Exchange) -> None:
        publish(self._engine, request, exchange, loop=self._loop)

    def _subscribe(self, request: Request, exchange: Exchange) -> None:
        if self.stopping:
            raise StoppingError("the server is stopping: subscribe again when it is back")
        open_stream(self._engine, request, exchange, now=time.time_ns(), opened=self._opened)

    def _opened(self, sink: StreamSink) -> None:
        self.streams[sink.connection] = sink
        sink.connection.deadline = self._loop.time() + self._settings.heartbeat

    def _acknowledge(self, request: Request, exchange: Exchange) -> None:
        acknowledge(self._engine, request)
        exchange.respond(202)

    # -- time

    def sweep(self) -> None:
        """Look at all deadlines: ping streams, hang up on the slow and the idle."""
        now = self._loop.time()
        for connection in [connection for connection in self.connections if connection.deadline <= now]:
            stream = self.streams.get(connection)
            if stream:
                stream.ping()
                connection.deadline = now + self._settings.heartbeat
            else:
                connection.expire()

    async def drain(self) -> None:
        """Stop: end the streams, close what is idle, and return when the last answer is taken."""
        self.stopping = True
        for stream in list(self.streams.values()):
            stream.shut_down()
        for connection in list(self.connections):
            connection.drain()
        if self.connections:
            await self._deserted.wait()

    def __repr__(self) -> str:
        return f"<Routes {len(self.connections)} connections, {len(self.streams)} streams>"


def _preflight(request: Request, exchange: Exchange) -> None:
    exchange.respond(204, preflight=True)
