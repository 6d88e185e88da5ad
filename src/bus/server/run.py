"""A server from start to stop.

open the logs ─▶ listen ─▶ serve ─▶ SIGTERM ─▶ stop listening ─▶ end streams, answer publishers ─▶ close
"""

from __future__ import annotations

import asyncio
import gc
import logging
import resource
import signal
import socket
import sys
import time
from collections.abc import Callable, Iterator, Sequence
from contextlib import closing, contextmanager
from functools import partial
from ipaddress import ip_address

import uvloop

from bus.config import Address, ServerSettings, Settings
from bus.engine.base import Engine
from bus.engine.guard import as_bus_error
from bus.engine.open import data_directory, engine_name, open_engine
from bus.errors import BusError, ConfigError
from bus.namespace import NamespaceDescription
from bus.server.api.about import ServerFacts
from bus.server.api.dispatcher import Dispatcher
from bus.server.http import limits
from bus.server.http.busy_poll import BusyPoll, PolledConnection
from bus.server.http.connection import Connection
from bus.server.http.connection_limits import watch_peers
from bus.server.http.tls_transport import TlsTransport
from bus.server.log_output import set_up_log
from bus.server.service_manager import Supervisor
from bus.server.session_key import read_session_key
from bus.server.tls import Certificates
from bus.tracing import MISSING, Tracing

log = logging.getLogger("bus.server")

MakeProtocol = Callable[[], asyncio.Protocol]
SWITCH_SECONDS = 0.0005
"""How long a thread may hold the interpreter while another waits: a commit that is done should be answered."""


def serve(settings: Settings, *, version: str) -> int:
    """Run a server of this *version* until SIGTERM or SIGINT.

    Returns the exit status: 0 after a clean stop, 1 if it couldn't start, with one line saying why. Raises
    `ConfigError` if its certificates can't be used, there are no namespaces, or traces can't be sent.
    """
    recent = set_up_log(settings.server.log_level, settings.server.log_format)
    sys.setswitchinterval(SWITCH_SECONDS)
    _raise_file_limit()
    data_directory(settings.engine)
    certificates = Certificates.of(settings.server)
    facts = ServerFacts(version, engine_name(settings.engine), settings.shown, recent.lines)
    with _tracing(settings.server, version) as tracing:
        try:
            uvloop.run(Server(settings, certificates, facts, tracing).run())
        except BusError as error:
            print(f"bus: {error}", file=sys.stderr)
            return 1
    return 0


@contextmanager
def _tracing(settings: ServerSettings, version: str) -> Iterator[Tracing | None]:
    """Who is told of what is published and delivered, if somebody traces. Raises `ConfigError` if nobody can."""
    if not settings.otel:
        yield None
        return
    try:
        from bus.tracing.export import Export
    except ImportError:
        raise ConfigError(f"--otel can't be: {MISSING}") from None
    with closing(Export(version)) as export:
        yield export.tracing


class Server:
    """One server on one address and one data directory."""

    def __init__(
        self, settings: Settings, certificates: Certificates | None, facts: ServerFacts, tracing: Tracing | None
    ) -> None:
        self._settings = settings
        self._tracing = tracing
        self._facts = facts
        self._certificates = certificates
        self._supervisor = Supervisor.of()

    async def run(self) -> None:
        """Serve until a signal says stop. Raises `StorageError` or `ConfigError` if it can't start."""
        loop = asyncio.get_running_loop()
        async with open_engine(self._settings.engine, loop) as engine:
            alive = loop.create_task(self._supervisor.keep_alive())
            try:
                await self._serve(engine, loop)
            finally:
                alive.cancel()

    async def _serve(self, engine: Engine, loop: asyncio.AbstractEventLoop) -> None:
        dispatcher = Dispatcher(
            engine, self._settings.server, loop,
            session_key=self._session_key(), facts=self._facts, tracing=self._tracing,
        )  # fmt: skip
        listening = await _listen(self._settings.server.addr, self._protocol_factory(dispatcher, loop), loop)
        stop = asyncio.Event()
        for number in (signal.SIGTERM, signal.SIGINT):
            loop.add_signal_handler(number, stop.set)
        if dispatcher.tokens or self._certificates:
            loop.add_signal_handler(signal.SIGHUP, partial(self._read_anew, dispatcher))
        chores = [loop.create_task(_sweep(*self._watched(dispatcher))), loop.create_task(_retain(engine))]
        _freeze()
        self._announce(listening, await engine.namespaces())
        await stop.wait()
        log.info("stopping: no new connections, %d streams to end", len(dispatcher.streams))
        self._supervisor.stopping(f"stopping, {len(dispatcher.streams)} streams to end")
        listening.close()
        for chore in chores:
            chore.cancel()
        await self._drain(engine, dispatcher)

    def _session_key(self) -> bytes:
        """What seals sessions: kept with the data, if there are tokens and there is a place for it."""
        path = data_directory(self._settings.engine) if self._settings.server.auth else None
        return read_session_key(path / "sessions.key" if path else None)

    def _protocol_factory(self, dispatcher: Dispatcher, loop: asyncio.AbstractEventLoop) -> MakeProtocol:
        """Makes what speaks to each client."""
        certificates, make_connection = self._certificates, self._connection_factory(dispatcher, loop)
        if certificates is None:
            return make_connection

        def make() -> TlsTransport:
            connection = make_connection()
            return TlsTransport(certificates.context, connection, certify=connection.certify)

        return make

    def _connection_factory(self, dispatcher: Dispatcher, loop: asyncio.AbstractEventLoop) -> Callable[[], Connection]:
        if not self._settings.server.busy_poll:
            return partial(Connection, dispatcher, loop)
        return partial(PolledConnection, dispatcher, loop, BusyPoll(self._settings.server.busy_poll, loop))

    def _watched(self, dispatcher: Dispatcher) -> Iterator[Callable[[], None]]:
        """What looks after things that change by themselves."""
        yield dispatcher.sweep
        if self._certificates:
            yield self._certificates.watch

    def _read_anew(self, dispatcher: Dispatcher) -> None:
        """Have tokens and certificates count as their files are now."""
        if dispatcher.tokens:
            dispatcher.tokens.read()
        if self._certificates:
            self._certificates.renew()

    def _announce(self, listening: asyncio.Server, served: Sequence[NamespaceDescription]) -> None:
        settings, url = self._settings.engine, _url(listening, secure=self._certificates is not None)
        log.info(
            "listening on %s namespaces=%s path=%s fsync=%s encrypted=%s engine=%s",
            url, ",".join(map(_declared, served)),
            data_directory(settings) or "none", settings.fsync,
            "yes" if settings.secret_key else "no", engine_name(settings),
        )  # fmt: skip
        if not self._settings.server.auth and any(map(_is_reachable, listening.sockets)):
            log.warning("whoever reaches %s may do everything: --auth FILE says who may do what", url)
        self._supervisor.ready(f"serving {', '.join(found.namespace for found in served)} on {url}")

    async def _drain(self, engine: Engine, dispatcher: Dispatcher) -> None:
        """Answer every publisher, then give the connections time to take their answers."""
        idle = asyncio.Event()
        engine.stop(idle.set)
        try:
            async with asyncio.timeout(self._settings.server.drain):
                await idle.wait()
                await dispatcher.drain()
        except TimeoutError:
            log.warning("stopped with %d connections still open", len(dispatcher.connections))
        log.info("stopped")


async def _listen(address: Address, make: MakeProtocol, loop: asyncio.AbstractEventLoop) -> asyncio.Server:
    try:
        listening = await loop.create_server(make, address.host or None, address.port, backlog=limits.LISTEN_BACKLOG)
        for listener in listening.sockets:
            watch_peers(listener)
        return listening
    except OSError as error:
        reason = (error.strerror or str(error)).lower()
        raise ConfigError(f"can't listen on {address}: {reason}; choose another --addr") from None


async def _sweep(*watched: Callable[[], None]) -> None:
    while True:
        await asyncio.sleep(limits.SWEEP_SECONDS)
        for look_after in watched:
            try:
                look_after()
            except Exception as error:
                log.error("%s", as_bus_error(error, "looking after what changes by itself"))


async def _retain(engine: Engine) -> None:
    while True:
        try:
            engine.retain(now=time.time_ns())
        except Exception as error:
            log.error("%s", as_bus_error(error, "retention"))
        await asyncio.sleep(limits.RETENTION_SECONDS)


def _declared(found: NamespaceDescription) -> str:
    """A namespace as it is declared."""
    return found.namespace if found.storage == "disk" else f"{found.namespace}:{found.storage}"


def _is_reachable(listener: socket.socket) -> bool:
    """Whether others than this machine may reach it."""
    return not ip_address(listener.getsockname()[0].partition("%")[0]).is_loopback


def _url(listening: asyncio.Server, *, secure: bool) -> str:
    """Where to reach the server from this machine."""
    listener = listening.sockets[0]
    host, port = listener.getsockname()[:2]
    host = {"0.0.0.0": "localhost", "::": "localhost"}.get(host, host)
    scheme = "https" if secure else "http"
    return f"{scheme}://{Address(host, port)}"


def _raise_file_limit() -> None:
    """Allow as many open files as the system does: its usual soft limit is for programs that call ``select``."""
    _, most = resource.getrlimit(resource.RLIMIT_NOFILE)
    resource.setrlimit(resource.RLIMIT_NOFILE, (most, most))


def _freeze() -> None:
    """Keep what is loaded by now out of garbage collection, and collect less often: requests make no cycles."""
    gc.collect()
    gc.freeze()
    gc.set_threshold(50_000, 20, 50)
