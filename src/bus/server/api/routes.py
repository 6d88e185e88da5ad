"""Which request goes where.

POST /      publish         GET /   subscribe      PUT /  acknowledge     HEAD /  200
OPTIONS     anywhere: what goes there, and the CORS preflight
GET         /healthz /readyz /metrics /openapi.json /v1/…   see ``bus.server.api.monitoring``
"""

from __future__ import annotations

import asyncio
import time
from collections.abc import Callable, Mapping
from functools import partial

from bus.config import ServerSettings
from bus.engine.base import Engine
from bus.engine.guard import as_bus_error
from bus.engine.reading.round_robin import RoundRobin
from bus.errors import MethodNotAllowedError, NotFoundError, StoppingError
from bus.server.api.acknowledge import acknowledge
from bus.server.api.monitoring import Admin
from bus.server.api.publish import check_upload, publish
from bus.server.api.publish_ndjson import Upload
from bus.server.api.route import Route, allowed_methods, derived_route
from bus.server.api.stream_sink import StreamSink
from bus.server.api.subscribe import Streams
from bus.server.api.upload_turns import UploadTurns
from bus.server.http import body, limits
from bus.server.http.connection import Connection
from bus.server.http.connection_limits import HEALTH_PATHS, Admission
from bus.server.http.cross_origin import check_page
from bus.server.http.decompression import Inflater, WholeBody, check_coding
from bus.server.http.memory_limits import Memory
from bus.server.http.request import Request
from bus.server.http.request_line import METHODS
from bus.server.http.responder import Carrier, Responder
from bus.server.http.response import Cors

_SUBSCRIBE = (
    "start", "ack", "redelivery", "redelivery_count", "prefetch", "consumer", "order", "limit", "follow",
    "last_event_id", "worker",
)  # fmt: skip


class Routes:
    """The server's side of every connection: answers requests and knows the streams that are open."""

    def __init__(self, engine: Engine, settings: ServerSettings, loop: asyncio.AbstractEventLoop) -> None:
        self.cors = Cors(settings.cors_origins)
        self.max_body = settings.max_body
        self.incoming = Memory(settings.max_body_memory, "bodies")
        self.unread = Memory(limits.UNREAD_BYTES, "unread answers")
        self.connections: set[Connection] = set()
        self.streams: dict[Carrier, StreamSink] = {}
        self.stopping = False
        self._deserted = asyncio.Event()
        self._engine = engine
        self._settings = settings
        self._opener = Streams(engine, heartbeat=settings.heartbeat)
        self._loop = loop
        self.turns = RoundRobin(loop)
        self._uploads = UploadTurns(loop)
        self._admission = Admission(settings.max_connections, settings.max_connections_per_address)
        self._root: dict[bytes, Route] = {
            b"POST": Route(self._publish, ("wait", "count", "timeout")),
            b"GET": Route(self._subscribe, _SUBSCRIBE, lists=("subject",)),
            b"PUT": Route(self._acknowledge, ("consumer_id", "action", "delay", "reason"), lists=("event_id",)),
            b"HEAD": Route(_alive, _SUBSCRIBE, lists=("subject",)),
        }
        self._admin = Admin(engine, self.connections, self.streams, self.incoming)

    # -- connections

    def connected(self, connection: Connection) -> None:
        self.connections.add(connection)
        if self.stopping:
            raise StoppingError("the server is stopping: connect again when it is back")
        if not self._admission.admit(connection):
            connection.deadline = self._loop.time() + limits.RESERVED_SECONDS

    def disconnected(self, connection: Connection) -> None:
        self.connections.discard(connection)
        self._admission.leave(connection)
        self.streams.pop(connection, None)
        if self.stopping and not self.connections:
            self._deserted.set()

    # -- requests

    def upload(self, request: Request, responder: Responder) -> body.Upload | None:
        head, connection = request.head, responder.connection
        self._check_admission(request, responder)
        check_coding(head)
        if head.is_ndjson and head.method == b"POST" and head.path == "/":
            check_page(request, self.cors.origins)
            self._root[b"POST"].check(request)
            check_upload(request)
            take = partial(self._publish_lines, responder, chunked=head.version == b"1.1")
            return Inflater(take, connection, loop=self._loop) if head.coding else take(connection.read_on)
        if head.coding:
            return Inflater(partial(self._keep, request, responder), connection, loop=self._loop)
        return None

    def _check_admission(self, request: Request, responder: Responder) -> None:
        """Raise `OverloadedError` if the connection was let in only to ask for something else."""
        if refusal := self._admission.refusal(responder.connection):
            responder.close = True
            if request.head.path not in HEALTH_PATHS:
                raise refusal

    def _publish_lines(self, responder: Responder, read_on: Callable[[], None], *, chunked: bool) -> Upload:
        return Upload(
            self._engine, responder, longest=self.max_body, chunked=chunked, read_on=read_on,
            turns=self._uploads, memory=self.incoming, loop=self._loop,
        )  # fmt: skip

    def _keep(self, request: Request, responder: Responder, read_on: Callable[[], None]) -> WholeBody:
        """Who keeps a compressed body; it never pauses."""
        return WholeBody(request, responder, most=self.max_body, memory=self.incoming, handle=self.handle)

    def handle(self, request: Request, responder: Responder) -> None:
        responder.run(self._answer, request, responder)

    def _answer(self, request: Request, responder: Responder) -> None:
        check_page(request, self.cors.origins)
        self._check_admission(request, responder)
        route = self._route(request)
        if request.head.raw_query:
            route.check(request)
        route.answer(request, responder)

    def _route(self, request: Request) -> Route:
        method, path = request.head.method, request.head.path
        routes = self._root if path == "/" else self._routes_of(path)
        route = routes.get(method) or derived_route(routes, method)
        if route is None:
            allowed = allowed_methods(routes)
            raise MethodNotAllowedError(f"{method.decode()} is not for {path}: use {allowed}", allowed=allowed)
        return route

    def _routes_of(self, path: str) -> Mapping[bytes, Route]:
        if path == "*":
            return dict.fromkeys(METHODS - {b"OPTIONS"}, Route(_alive))
        routes = self._admin.routes(path)
        if routes is None:
            raise NotFoundError(f"path {path[:80]!a} doesn't exist: events are at /")
        return routes

    def _publish(self, request: Request, responder: Responder) -> None:
        publish(self._engine, request, responder, loop=self._loop)

    def _subscribe(self, request: Request, responder: Responder) -> None:
        if self.stopping:
            raise StoppingError("the server is stopping: subscribe again when it is back")
        self._opener.open(request, responder, now=time.time_ns(), opened=self._opened)

    def _opened(self, sink: StreamSink) -> None:
        self.streams[sink.connection] = sink
        sink.connection.deadline = self._loop.time() + self._settings.heartbeat

    def _acknowledge(self, request: Request, responder: Responder) -> None:
        acknowledge(self._engine, request, responder)

    # -- time

    def sweep(self) -> None:
        """Look at all deadlines: ping streams, hang up on the slow and the idle."""
        now = self._loop.time()
        for connection in [connection for connection in self.connections if connection.deadline <= now]:
            try:
                self._expire(connection, now)
            except Exception as error:
                as_bus_error(error, f"looking at the deadline of {connection!r}")
                connection.transport.abort()

    def _expire(self, connection: Connection, now: float) -> None:
        stream = self.streams.get(connection)
        if stream:
            stream.ping()
            connection.deadline = now + self._settings.heartbeat
        else:
            connection.expire(self._admission.refusal(connection))

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


def _alive(request: Request, responder: Responder) -> None:
    responder.respond(200)
