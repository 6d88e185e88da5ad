"""The dispatcher: what stands behind every connection, from its first byte to the server's stop.

    connected ─▶ admitted? ─▶ requests, each through the gate to its route ─▶ disconnected
                    ▲
                    └── sweep: deadlines and heartbeats

The engine and what the routes need are joined here.
"""

from __future__ import annotations

import asyncio
from collections import Counter
from collections.abc import Callable
from functools import partial

from bus.access.sessions import Sessions, Tickets
from bus.config import ServerSettings
from bus.engine.base import Engine
from bus.engine.guard import as_bus_error
from bus.engine.reading.round_robin import RoundRobin
from bus.errors import StoppingError
from bus.server.api.about import AboutRoute, ServerFacts
from bus.server.api.audit import AuditLog
from bus.server.api.consumers import ConsumerRoutes
from bus.server.api.counting import Counting
from bus.server.api.dashboard import DashboardRoutes
from bus.server.api.events import EventRoutes
from bus.server.api.gate import Gate
from bus.server.api.heartbeat import Heartbeat
from bus.server.api.metrics import MetricsRoute
from bus.server.api.monitoring import MonitoringRoutes
from bus.server.api.namespaces import NamespaceRoutes
from bus.server.api.page_writes import PageWrites
from bus.server.api.permits import Permits
from bus.server.api.principal_limits import PrincipalLimits
from bus.server.api.routes import all_routes
from bus.server.api.schedules import ScheduleRoutes
from bus.server.api.sessions import SessionRoutes
from bus.server.api.stored_events import StoredEventRoutes
from bus.server.api.subscribe import Streams
from bus.server.api.token_watch import TokenWatch
from bus.server.api.watch import Watch, WatchRoute
from bus.server.http import limits
from bus.server.http.access_log import AccessLog
from bus.server.http.body import BodySink, MakeSink
from bus.server.http.client_address import ClientAddresses
from bus.server.http.client_limits import ClientLimits
from bus.server.http.connection import Connection
from bus.server.http.connection_limits import Admission
from bus.server.http.cors import Cors
from bus.server.http.decompression import Inflater, WholeBody, check_coding
from bus.server.http.duty_cycle import DutyCycle, RestingTurns
from bus.server.http.known_hosts import KnownHosts
from bus.server.http.memory_limits import Memory
from bus.server.http.request import Request
from bus.server.http.responder import MakeResponder, Responder
from bus.tracing import Tracing


class Dispatcher:
    """Hands requests to their routes, and knows the connections and the streams that are open.

    Raises `ConfigError` if there is a token file that can't be read.
    """

    def __init__(
        self,
        engine: Engine,
        settings: ServerSettings,
        loop: asyncio.AbstractEventLoop,
        *,
        session_key: bytes,
        facts: ServerFacts,
        tracing: Tracing | None = None,
    ) -> None:
        self.cors = Cors(settings.cors_origins)
        self.max_body = settings.max_body
        self.refusals: Counter[str] = Counter()
        self.incoming = Memory(settings.max_body_memory, "bodies")
        self.unread = Memory(limits.UNREAD_BYTES, "unread answers")
        self.connections: set[Connection] = set()
        self.stopping = False
        duty = DutyCycle(loop)
        self.turns: RoundRobin = RestingTurns(loop, duty)
        self._deserted = asyncio.Event()
        self._loop = loop
        self._heartbeat = Heartbeat(settings.heartbeat)
        self.streams = self._heartbeat.streams
        sessions, tickets = Sessions(session_key), Tickets()
        self.tokens = TokenWatch.of(settings, self._judge_streams, loop, sessions=sessions)
        authenticator = self.tokens.authenticator if self.tokens else None
        clients = ClientAddresses(settings.trusted_proxies)
        audit = AuditLog(clients)
        self._principal_limits = PrincipalLimits(clients, loop)
        self._permits = Permits(authenticator, engine.consumers, audit, self._principal_limits)
        self._opener = Streams(engine, self._permits, self._heartbeat, clients, loop, tracing)
        self.make_responder: MakeResponder = AccessLog(clients).responder if settings.access_log else Responder
        self._admission = Admission(settings.max_connections, settings.max_connections_per_address, clients)
        counting = Counting(engine, self.connections, self.streams, self.incoming)
        page_writes = None if authenticator else PageWrites(clients, self.cors.origins)
        self.table = all_routes(
            EventRoutes(
                engine, self._permits, self._opener,
                longest=self.max_body, memory=self.incoming, duty=duty, loop=loop, tracing=tracing,
            ),
            MonitoringRoutes(engine),
            MetricsRoute(engine, counting, self.refusals, facts.version),
            NamespaceRoutes(engine, self._permits.managing),
            ConsumerRoutes(engine.consumers, self._permits.managing),
            ScheduleRoutes(engine.schedules, self._permits),
            StoredEventRoutes(engine.events, self._permits),
            SessionRoutes(sessions, tickets, clients),
            AboutRoute(facts, engine, counting, page_writes),
            WatchRoute(Watch(counting, loop), self._permits, self._heartbeat, loop),
            DashboardRoutes(),
        )  # fmt: skip
        self._client_limits = ClientLimits(
            clients, requests=settings.limit_requests, bytes=settings.limit_bytes,
            exempt=self.table.probes, loop=loop,
        )  # fmt: skip
        checks = [KnownHosts(settings.hosts).check] if settings.hosts else []
        if settings.limit_requests or settings.limit_bytes:
            checks.append(self._client_limits.check)
        self._gate = Gate(
            self.table,
            self._admission,
            authenticator,
            self.cors.origins,
            audit,
            self._principal_limits,
            tickets,
            page_writes,
            checks,
        )

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
        self._heartbeat.end(connection)
        self._permits.streams.end(connection)
        if self.stopping and not self.connections:
            self._deserted.set()

    # -- requests

    def handle(self, request: Request, responder: Responder) -> None:
        """Have *request* answered by its route; whatever is raised becomes the answer."""
        try:
            self._gate.let_in(request, responder).respond(request, responder)
        except Exception as error:
            responder.fail(as_bus_error(error, responder.what))

    def take_body(self, request: Request, responder: Responder) -> BodySink | None:
        self._gate.check_sender(request, responder)
        check_coding(request.head)
        make = self._sink_maker(request, responder)
        if make and request.head.section.coding:
            return Inflater(make, responder.connection, loop=self._loop)
        return make(responder.connection.read_on) if make else None

    def _sink_maker(self, request: Request, responder: Responder) -> MakeSink | None:
        """Makes who takes the body of *request* as it comes, None if it is to come whole."""
        route = self.table.find(request)
        if request.head.section.is_ndjson and route and route.take_lines:
            self._gate.let_in(request, responder)
            make: MakeSink = partial(route.take_lines, request, responder)
            make = self._principal_limits.pace(make, request, responder)
            return self._client_limits.pace(make, request, responder)
        return partial(self._keep, request, responder) if request.head.section.coding else None

    def _keep(self, request: Request, responder: Responder, read_on: Callable[[], None]) -> WholeBody:
        """Who keeps a compressed body; it never pauses."""
        return WholeBody(request, responder, most=self.max_body, memory=self.incoming, handle=self.handle)

    # -- time

    def sweep(self) -> None:
        """Look at all deadlines: ping streams, hang up on the slow and the idle, end what has expired."""
        now = self._loop.time()
        self._judge_when_due()
        for connection in [connection for connection in self.connections if connection.deadline <= now]:
            try:
                if not self._heartbeat.beat(connection, now=now):
                    connection.expire(self._admission.refusal(connection))
            except Exception as error:
                as_bus_error(error, f"looking at the deadline of {connection!r}")
                connection.transport.abort()

    def _judge_when_due(self) -> None:
        """Look whether other tokens are in force, or some have expired."""
        if self.tokens:
            self.tokens.look()
            self._permits.end_expired()

    def _judge_streams(self) -> None:
        self._permits.judge_streams()

    async def drain(self) -> None:
        """Stop: end the streams, close what is idle, and return when the last answer is taken."""
        self.stopping = self._opener.stopping = True
        for stream in list(self.streams.values()):
            stream.shut_down()
        for connection in list(self.connections):
            connection.drain()
        if self.connections:
            await self._deserted.wait()

    def __repr__(self) -> str:
        return f"<Dispatcher of {len(self.connections)} connections, {len(self.streams)} streams>"
