"""A running server as a place to read events from.

Another server of the same protocol will do, too (the Go server of the same name). It tells neither its
namespaces nor where its log ends, so it is read until no event has come for a while.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator, Sequence
from time import monotonic

from bus.client.blocking.connection import Connection, Pool
from bus.client.core.outcomes import check
from bus.client.core.request import Parameters
from bus.errors import ConnectionFailedError, InvalidParameterError, StorageError, TimedOutError
from bus.transfer.namespaces import choose_namespaces, everything_in
from bus.transfer.server_address import ServerAddress
from bus.transfer.server_questions import QUIET_END_SECONDS, REPLY_SECONDS, ServedNamespace, ServerQuestions, stranger
from bus.transfer.stream_lines import StreamLineReader
from bus.wire import SSE

LOOK_SECONDS = 0.25
"""Seconds between two looks at whether such a log has come to its end."""


class ServerSource:
    """A server to read from; make it with `ServerSource.connect`.

    ``stats`` is what it tells of its namespaces, and empty if it isn't ours.
    """

    def __init__(self, address: ServerAddress, *, on_gap: Callable[[str], object] | None = None) -> None:
        self.address = address
        self.stats: dict[str, ServedNamespace] = {}
        self.namespaces: Sequence[str] = ()
        self._stopped = False
        self._on_gap = on_gap or _raise_gap
        self._requests = address.requests()
        self._pool = Pool(self._requests.endpoint, tls=address.tls.context(self._requests.endpoint))

    @classmethod
    def connect(
        cls, address: ServerAddress, *, only: Sequence[str] = (), on_gap: Callable[[str], object] | None = None
    ) -> ServerSource:
        """Ask the server at *address* for its namespaces, of which *only* some are to be read.

        That it can't send some events is told to *on_gap*; without that, it is raised.

        Raises `ConnectionFailedError`, `UnknownNamespaceError`, or `InvalidParameterError` if it doesn't tell
        them and *only* is empty.
        """
        server = cls(address, on_gap=on_gap)
        server.stats = ServerQuestions(address).ask_namespaces()
        if not server.is_log and not only:
            raise InvalidParameterError(
                f"the server at {address} doesn't tell its namespaces: name them by --namespace"
            )
        server.namespaces = choose_namespaces(list(server.stats), only, place=str(address)) if server.is_log else only
        return server

    @property
    def is_log(self) -> bool:
        """Whether it is a Bus of ours: it tells its namespaces and where its logs end."""
        return bool(self.stats)

    @property
    def events(self) -> int | None:
        return sum(self.stats[name].events for name in self.namespaces) if self.is_log else None

    def lines(self, namespace: str, *, after: str = "") -> Iterator[bytes]:
        """All events of *namespace* as they come, or those *after* the one with this id, as pieces of NDJSON.

        Raises `ConnectionFailedError` when the stream breaks before the end of the log, `StorageError` when the server
        says that it can't go on.
        """
        connection = self._pool.connect(deadline=monotonic() + REPLY_SECONDS)
        try:
            self._subscribe(connection, namespace, after or "oldest")
            yield from self._follow(connection)
        finally:
            connection.close()

    def _subscribe(self, connection: Connection, namespace: str, start: str) -> None:
        wanted: Parameters = [("subject", f"{namespace}.>"), ("start", start)]
        if not self.is_log:
            self._ask(connection, wanted)
            return
        wanted = [("subject", ",".join(everything_in(namespace))), *wanted[1:], ("follow", "false")]
        try:
            self._ask(connection, [*wanted, ("expired", "true")])
        except InvalidParameterError:  # no event expires in Bus 0.1, which doesn't know the word
            self._ask(connection, wanted)

    def _ask(self, connection: Connection, wanted: Parameters) -> None:
        connection.send(self._requests.subscribe(wanted), deadline=monotonic() + REPLY_SECONDS)
        reader = connection.reader
        while reader.head is None or (reader.head.status != 200 and not reader.complete):
            connection.receive(timeout=REPLY_SECONDS)
        if reader.head.status != 200:
            check(reader.response())
        kind = reader.head.header("content-type")
        if kind.partition(";")[0].strip().lower() != SSE:
            raise stranger(self.address, f"a subscription with {kind or 'something'}")

    def _follow(self, connection: Connection) -> Iterator[bytes]:
        reader, deadline = StreamLineReader(self._on_gap), monotonic() + QUIET_END_SECONDS
        while True:
            lines = reader.feed(connection.reader.take_body())
            if lines:
                yield lines
                deadline = monotonic() + QUIET_END_SECONDS
            if reader.finished or not self._receive(connection, deadline):
                return

    def _receive(self, connection: Connection, deadline: float) -> bool:
        """Take in what comes next; False if the log has come to its end without saying so."""
        if self.is_log and connection.reader.complete:
            raise ConnectionFailedError(f"{self.address} ended the stream before the log: run the command again")
        if connection.reader.complete or (not self.is_log and monotonic() >= deadline) or self._stopped:
            return False
        try:
            connection.receive(timeout=REPLY_SECONDS if self.is_log else LOOK_SECONDS)
        except TimedOutError:
            if self.is_log:
                raise
        return True

    def stop(self) -> None:
        """Take the log to end here. May be called in a signal handler."""
        self._stopped = True

    def __repr__(self) -> str:
        return f"<ServerSource {self.address} with {', '.join(self.namespaces)}>"


def _raise_gap(what: str) -> None:
    raise StorageError(f"the server can't send some events: {what}")
