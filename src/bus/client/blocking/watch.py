"""A server that is watched from a blocking socket."""

from __future__ import annotations

from queue import Empty, SimpleQueue
from time import monotonic, sleep
from types import TracebackType

from bus.client.blocking.connection import Connection, Pool
from bus.client.core import forks
from bus.client.core.outcomes import check
from bus.client.core.request import Requests
from bus.client.core.retry import Retry
from bus.client.core.stream import reconnects
from bus.client.core.watch import PATH, Counts, WatchState
from bus.errors import BusError, ConnectionFailedError, TimedOutError


class Watch:
    """What a server counts, again and again; made by `Client.watch`.

    It begins with the first counts asked for, and reconnects by itself. It is to be iterated by one thread, and may be
    closed from any.
    """

    def __init__(self, state: WatchState, *, requests: Requests, pool: Pool, patience: float) -> None:
        self._state = state
        self._requests = requests
        self._pool = pool
        self._patience = patience
        self._connection: Connection | None = None
        self._closing: SimpleQueue[None] = SimpleQueue()  # its put is safe in a signal handler
        self._begun = False
        self._closed = False
        forks.on_fork(self._forked)

    def __iter__(self) -> Watch:
        return self

    def __next__(self) -> Counts:
        """Wait for the next counts.

        Returns:
            All there is, as it is now.

        Raises:
            StopIteration: there is no more to come, or it was closed.
            BusError: what can't get better by reconnecting, such as `ForbiddenError`.
        """
        while not self._closed:
            counts = self._state.pop()
            if counts is not None:
                return counts
            if self._state.finished:
                break
            self._advance()
        self.close()
        raise StopIteration

    def _advance(self) -> None:
        """Wait for what the connection brings next, or make one."""
        if not self._begun:
            self._open()
            return
        try:
            if self._connection is None:
                self._reconnect()
            else:
                self._receive(self._connection)
        except BusError as error:
            self._lose(error)

    def _open(self) -> None:
        deadline = monotonic() + self._patience
        retry = Retry(deadline=deadline, repeatable=True, renew=self._requests.renew)
        while self._connection is None and not self._closed:
            try:
                self._connect(deadline)
            except BusError as error:
                self._disconnect()
                sleep(retry.delay(error, now=monotonic()))
        self._begun = True

    def _reconnect(self) -> None:
        try:
            self._closing.get(timeout=self._state.backoff.next())
        except Empty:
            self._requests.renew()
            self._connect(monotonic() + self._patience)

    def _connect(self, deadline: float) -> None:
        connection = self._pool.connect(deadline=deadline)
        try:
            self._begin(connection, deadline)
        except BaseException:
            connection.close()
            raise
        self._connection = connection

    def _begin(self, connection: Connection, deadline: float) -> None:
        connection.send(self._requests.subscribe(self._state.query, path=PATH), deadline=deadline)
        reader = connection.reader
        while reader.head is None or (reader.head.status != 200 and not reader.complete):
            connection.receive(timeout=connection.left(deadline))
        if reader.head.status != 200:
            check(reader.response())
        self._state.connected(reader.head)
        self._take_in(connection)
        while not self._state.stands and not self._state.finished:
            connection.receive(timeout=connection.left(deadline))
            self._take_in(connection)

    def _receive(self, connection: Connection) -> None:
        silent_at = connection.heard_at + self._state.silence
        try:
            connection.receive(timeout=silent_at - monotonic())
        except TimedOutError:
            raise ConnectionFailedError(f"the stream was silent for {self._state.silence:g}s") from None
        self._take_in(connection)

    def _take_in(self, connection: Connection) -> None:
        self._state.feed(connection.reader.take_body())
        if connection.reader.complete and not self._state.finished:
            raise ConnectionFailedError("the server closed the stream")

    def _lose(self, error: BusError) -> None:
        """The connection broke: try another one later, or raise *error* if that can't help."""
        self._disconnect()
        if self._closed or self._state.finished:
            return
        if not reconnects(error):
            self.close()
            raise error
        self._state.backoff.heed(error)

    def _disconnect(self) -> None:
        if self._connection is not None:
            self._connection.close()
            self._connection = None
        self._state.disconnected()

    def close(self) -> None:
        """Watch no more. May be called from any thread, and more than once."""
        if self._closed:
            return
        self._closed = True
        self._closing.put(None)
        connection = self._connection
        if connection is not None:
            connection.interrupt()
            connection.close()

    def _forked(self) -> None:
        """A child has no right to the connection."""
        self._closing = SimpleQueue()
        if self._connection is not None:
            self._connection.close()
            self._connection = None
        self._state.disconnected()

    def __enter__(self) -> Watch:
        return self

    def __exit__(self, kind: type[BaseException] | None, error: BaseException | None, at: TracebackType | None) -> None:
        self.close()

    def __del__(self) -> None:
        if not getattr(self, "_closed", True):
            self.close()

    def __repr__(self) -> str:
        return f"<Watch of {self._requests.endpoint}, {'closed' if self._closed else self._state}>"
