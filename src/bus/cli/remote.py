"""A running server as a place to read events from, and to ask about what it has.

Another server of the same protocol will do, too (the Go server of the same name). It tells neither its
namespaces nor where its log ends, so it is read until no event has come for a while.
"""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from time import monotonic, time_ns
from typing import Any

import msgspec

from bus.cli.frames import FrameReader, gather, lines_of
from bus.cli.places import choose, everything_in
from bus.client.blocking.connection import Connection, Pool
from bus.client.core.answer import check
from bus.client.core.request import Endpoint, Parameters, Requests
from bus.client.core.response import Response
from bus.errors import ConnectionFailedError, InvalidParameterError, TimedOutError
from bus.storage import Batch

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

    def __init__(self, url: str) -> None:
        self.url = url
        self.stats: dict[str, Stats] = {}
        self.namespaces: Sequence[str] = ()
        self._stopped = False
        self._endpoint = Endpoint.parse(url)
        self._requests = Requests(self._endpoint)
        self._pool = Pool(self._endpoint, tls=None)

    @classmethod
    def connect(cls, url: str, *, only: Sequence[str] = ()) -> Server:
        """Ask the server at *url* for its namespaces, of which *only* some are to be read.

        Raises `ConnectionFailedError`, `UnknownNamespaceError`, or `InvalidParameterError` if it doesn't tell
        them and *only* is empty.
        """
        server = cls(url)
        server.stats = server._ask_namespaces()
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

    def ask(self, method: str, path: str) -> Any:
        """What it answers at *path*: decoded JSON, else text. Raises the error it answers with."""
        response = self._call(method, path)
        check(response)
        is_json = response.header("content-type").startswith("application/json")
        return msgspec.json.decode(response.body) if is_json else response.body.decode().rstrip()

    def _ask_namespaces(self) -> dict[str, Stats]:
        response = self._call("GET", "v1/namespaces")
        try:
            found = msgspec.json.decode(response.body, type=_Namespaces) if response.status == 200 else None
        except msgspec.DecodeError:
            return {}
        return {stats.namespace: stats for stats in found.namespaces} if found else {}

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

    def lines(self, namespace: str) -> Iterator[bytes]:
        """All events of *namespace*, exactly as they come, as pieces of NDJSON. Raises what `frames` does."""
        return (lines_of(b"".join(frames)) for frames in self.frames(namespace))

    def batches(self, namespace: str) -> Iterator[list[Batch]]:
        """All events of *namespace* as batches that are yet to be hashed. Raises what `frames` does."""
        return ([gather(frames, now=time_ns())] for frames in self.frames(namespace))

    def frames(self, namespace: str) -> Iterator[list[bytes]]:
        """The frames of all events of *namespace*, some at a time.

        Raises `ConnectionFailedError` when the stream breaks before the end of the log.
        """
        connection = self._pool.connect(deadline=monotonic() + PATIENCE)
        try:
            self._subscribe(connection, namespace)
            yield from self._follow(connection)
        finally:
            connection.close()

    def _subscribe(self, connection: Connection, namespace: str) -> None:
        wanted: Parameters = [("subject", f"{namespace}.>"), ("start", "oldest")]
        if self.is_log:
            wanted = [("subject", ",".join(everything_in(namespace))), *wanted[1:], ("follow", "false")]
        connection.send(self._requests.subscribe(wanted), deadline=monotonic() + PATIENCE)
        reader = connection.reader
        while reader.head is None or (reader.head.status != 200 and not reader.complete):
            connection.receive(timeout=PATIENCE)
        if reader.head.status != 200:
            check(reader.response())

    def _follow(self, connection: Connection) -> Iterator[list[bytes]]:
        reader, deadline = FrameReader(), monotonic() + IDLE
        while True:
            frames = reader.feed(connection.reader.take_body())
            if frames:
                yield frames
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
