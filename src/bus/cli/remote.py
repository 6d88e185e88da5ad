"""A running server as a place to read events from, and to ask about what it has.

Another server of the same protocol will do, too (the Go server of the same name). It tells neither its
namespaces nor where its log ends, so it is read until no event has come for a while.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator, Sequence
from time import monotonic
from typing import TypeVar

import msgspec

from bus.cli.admission import READ_ERRORS
from bus.cli.frames import FrameReader
from bus.cli.options import parse_host
from bus.cli.places import choose, everything_in
from bus.client.blocking.connection import Connection, Pool
from bus.client.core.outcomes import check
from bus.client.core.request import Parameters, Requests
from bus.client.core.response import Response
from bus.errors import ConfigError, ConnectionFailedError, InvalidParameterError, StorageError, TimedOutError
from bus.subject import check_namespaces
from bus.wire import SSE

T = TypeVar("T")

PATIENCE = 20.0
"""Seconds that a server is given to answer, or to go on with an answer: more than it leaves between two pings."""

IDLE = 5.0
"""Seconds without an event after which a log of unknown end is taken to have come to it."""

GLANCE = 0.25
"""Seconds between two looks at whether such a log has come to its end."""


class Stats(msgspec.Struct):
    """What a server tells of one of its namespaces."""

    namespace: str
    first_index: int
    next_index: int
    events: int
    bytes: int
    segments: int


class _Namespaces(msgspec.Struct):
    namespaces: list[Stats]


class Server:
    """A server to read from; make it with `Server.connect`.

    ``stats`` is what it tells of its namespaces, and empty if it isn't ours.
    """

    def __init__(self, url: str, *, on_gap: Callable[[str], object] | None = None) -> None:
        self.url = url
        self.stats: dict[str, Stats] = {}
        self.namespaces: Sequence[str] = ()
        self._stopped = False
        self._on_gap = on_gap or _raise_gap
        self._endpoint = parse_host(url)
        self._requests = Requests(self._endpoint)
        self._pool = Pool(self._endpoint, tls=None)

    @classmethod
    def connect(cls, url: str, *, only: Sequence[str] = (), on_gap: Callable[[str], object] | None = None) -> Server:
        """Ask the server at *url* for its namespaces, of which *only* some are to be read.

        That it can't send some events is told to *on_gap*; without that, it is raised.

        Raises `ConnectionFailedError`, `UnknownNamespaceError`, or `InvalidParameterError` if it doesn't tell
        them and *only* is empty.
        """
        server = cls(url, on_gap=on_gap)
        server.stats = server.ask_namespaces()
        if not server.is_log and not only:
            raise InvalidParameterError(f"the server at {url} doesn't tell its namespaces: name them by --namespace")
        server.namespaces = choose(list(server.stats), only, place=url) if server.is_log else only
        return server

    @property
    def is_log(self) -> bool:
        """Whether it is a Bus of ours: it tells its namespaces and where its logs end."""
        return bool(self.stats)

    @property
    def events(self) -> int | None:
        return sum(self.stats[name].events for name in self.namespaces) if self.is_log else None

    # -- questions

    def ask(self, method: str, path: str, kind: type[T]) -> T:
        """What it answers at *path*, as a *kind*. Raises the error it answers with, or `ConnectionFailedError`."""
        response = self._call(method, path)
        check(response)
        try:
            return msgspec.json.decode(response.body, type=kind)
        except READ_ERRORS as error:
            raise self._stranger(f"what can't be read ({error})") from None

    def ask_text(self, method: str, path: str) -> str:
        """The text that it answers at *path*, if any. Raises the error it answers with."""
        response = self._call(method, path)
        check(response)
        return response.body.decode("utf-8", "replace").rstrip()

    def _stranger(self, answer: str) -> ConnectionFailedError:
        return ConnectionFailedError(f"{self.url} answered {answer}: is it a Bus server?")

    def ask_namespaces(self) -> dict[str, Stats]:
        """What it tells of its namespaces, nothing if it isn't ours."""
        response = self._call("GET", "v1/namespaces")
        try:
            found = msgspec.json.decode(response.body, type=_Namespaces) if response.status == 200 else None
        except READ_ERRORS:
            return {}
        return self._checked(found.namespaces) if found else {}

    def _checked(self, found: Sequence[Stats]) -> dict[str, Stats]:
        """What a server tells of its namespaces, whose names go into paths."""
        try:
            check_namespaces([stats.namespace for stats in found])
        except ConfigError as error:
            raise self._stranger(f"namespaces that can't be ({error})") from None
        return {stats.namespace: stats for stats in found}

    def _call(self, method: str, path: str) -> Response:
        endpoint, deadline = self._endpoint, monotonic() + PATIENCE
        head = f"{method} {endpoint.path}{path} HTTP/1.1\r\nHost: {endpoint.authority}\r\n"
        connection = self._pool.connect(deadline=deadline)
        try:
            request = f"{head}Accept: application/problem+json, */*\r\nContent-Length: 0\r\n\r\n".encode()
            connection.exchange(request, deadline=deadline)
            return connection.reader.response()
        finally:
            connection.close()

    # -- events

    def lines(self, namespace: str, *, after: str = "") -> Iterator[bytes]:
        """All events of *namespace* as they come, or those *after* the one with this id, as pieces of NDJSON.

        Raises `ConnectionFailedError` when the stream breaks before the end of the log, `StorageError` when the server
        says that it can't go on.
        """
        connection = self._pool.connect(deadline=monotonic() + PATIENCE)
        try:
            self._subscribe(connection, namespace, after or "oldest")
            yield from self._follow(connection)
        finally:
            connection.close()

    def _subscribe(self, connection: Connection, namespace: str, start: str) -> None:
        wanted: Parameters = [("subject", f"{namespace}.>"), ("start", start)]
        if self.is_log:
            wanted = [("subject", ",".join(everything_in(namespace))), *wanted[1:], ("follow", "false")]
        connection.send(self._requests.subscribe(wanted), deadline=monotonic() + PATIENCE)
        reader = connection.reader
        while reader.head is None or (reader.head.status != 200 and not reader.complete):
            connection.receive(timeout=PATIENCE)
        if reader.head.status != 200:
            check(reader.response())
        kind = reader.head.header("content-type")
        if kind.partition(";")[0].strip().lower() != SSE:
            raise self._stranger(f"a subscription with {kind or 'something'}")

    def _follow(self, connection: Connection) -> Iterator[bytes]:
        reader, deadline = FrameReader(self._on_gap), monotonic() + IDLE
        while True:
            lines = reader.feed(connection.reader.take_body())
            if lines:
                yield lines
                deadline = monotonic() + IDLE
            if reader.finished or not self._receive(connection, deadline):
                return

    def _receive(self, connection: Connection, deadline: float) -> bool:
        """Take in what comes next; False if the log has come to its end without saying so."""
        if self.is_log and connection.reader.complete:
            raise ConnectionFailedError(f"{self.url} ended the stream before the log: run the command again")
        if connection.reader.complete or (not self.is_log and monotonic() >= deadline) or self._stopped:
            return False
        try:
            connection.receive(timeout=PATIENCE if self.is_log else GLANCE)
        except TimedOutError:
            if self.is_log:
                raise
        return True

    def stop(self) -> None:
        """Take the log to end here. May be called in a signal handler."""
        self._stopped = True

    def __repr__(self) -> str:
        return f"<Server {self.url} with {', '.join(self.namespaces)}>"


def tells_its_end(url: str) -> bool:
    """Whether the server at *url* says where a log ends: ours do, others of the protocol don't."""
    return bool(Server(url).ask_namespaces())


def _raise_gap(what: str) -> None:
    raise StorageError(f"the server can't send some events: {what}")
