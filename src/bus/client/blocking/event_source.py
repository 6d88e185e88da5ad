"""The connection of a stream over blocking sockets, made again whenever it breaks."""

from __future__ import annotations

from math import inf
from queue import Empty, SimpleQueue
from threading import Lock
from time import monotonic, sleep

from bus.client.blocking.connection import Connection, Pool
from bus.client.core import forks
from bus.client.core.outcomes import check
from bus.client.core.request import Endpoint, Requests
from bus.client.core.response import Response
from bus.client.core.retry import Retry
from bus.client.core.source_state import SourceState
from bus.errors import BusError, ConnectionFailedError, TimedOutError


class EventSource:
    """Feeds *state* over one connection after the other, for one thread; any may close it.

    Making one may take *patience* seconds. ``lock`` guards the state, if other threads change that as well.
    """

    def __init__(self, state: SourceState, *, requests: Requests, pool: Pool, patience: float) -> None:
        self.closed = False
        self.lock = Lock()
        self._state = state
        self._requests = requests
        self._pool = pool
        self._patience = patience
        self._connection: Connection | None = None
        self._closing: SimpleQueue[None] = SimpleQueue()  # its put is safe in a signal handler
        forks.on_fork(self._forked)

    @property
    def endpoint(self) -> Endpoint:
        return self._requests.endpoint

    @property
    def connected(self) -> bool:
        """Whether there is a connection."""
        return self._connection is not None

    def open(self) -> None:
        """Connect for the first time. Raises what the server refuses that with, or that it can't be reached."""
        deadline = monotonic() + self._patience
        retry = Retry(deadline=deadline, repeatable=True)
        while not (self.connected or self.closed):
            try:
                self._connect(deadline)
            except BusError as error:
                self._disconnect()
                sleep(retry.delay(error, now=monotonic()))

    def advance(self, until: float = inf, *, tick: float = inf) -> None:
        """Feed the state with what the connection brings next, or make a new one.

        It ends when the caller's time is up, unless it is connecting then, and at the latest after *tick* seconds on a
        connection that stands: if nothing came, the state is fed with that. Raises what can't get better by another
        connection, and is closed then.
        """
        try:
            if self._connection is None:
                self._reconnect(until)
            else:
                self._receive(self._connection, until, tick)
        except BusError as error:
            self._lose(error)

    # -- making a connection

    def _reconnect(self, until: float) -> None:
        delay = min(self._state.backoff.next(), until - monotonic())
        try:
            self._closing.get(timeout=max(delay, 0))
        except Empty:
            if monotonic() < until:
                self._connect(monotonic() + self._patience)

    def _connect(self, deadline: float) -> None:
        self._requests.renew()
        connection = self._pool.connect(deadline=deadline)
        try:
            self._stand(connection, deadline)
        except BaseException:
            connection.close()
            raise
        self._connection = connection

    def _stand(self, connection: Connection, deadline: float) -> None:
        """Ask for the stream, and wait until it stands. Raises what the server refuses it with."""
        head = self._ask(connection, deadline)
        with self.lock:
            self._state.connected(head)
        self._take_in(connection)
        while not (self._state.stands or self._state.finished):
            connection.receive(timeout=connection.left(deadline))
            self._take_in(connection)

    def _ask(self, connection: Connection, deadline: float) -> Response:
        with self.lock:
            request = self._state.request(self._requests)
        connection.send(request, deadline=deadline)
        reader = connection.reader
        while reader.head is None or (reader.head.status != 200 and not reader.complete):
            connection.receive(timeout=connection.left(deadline))
        if reader.head.status != 200:
            check(reader.response())
        return reader.head

    # -- a connection that stands

    def _receive(self, connection: Connection, until: float, tick: float) -> None:
        silence = self._state.silence
        silent_at = connection.heard_at + silence
        try:
            connection.receive(timeout=min(min(silent_at, until) - monotonic(), tick))
        except TimedOutError:
            if monotonic() >= silent_at:
                raise ConnectionFailedError(f"the stream was silent for {silence:g}s") from None
        self._take_in(connection)

    def _take_in(self, connection: Connection) -> None:
        with self.lock:
            self._state.feed(connection.reader.take_body())
        if connection.reader.complete and not self._state.finished:
            raise ConnectionFailedError("the server closed the stream")

    def _lose(self, error: BusError) -> None:
        """The connection broke: another one is made later, or *error* raised if that can't help."""
        self._disconnect()
        if self.closed or self._state.finished:
            return
        if not self._state.goes_on(error):
            self.close()
            raise error

    # -- the end

    def _disconnect(self) -> None:
        if self._connection is not None:
            self._connection.close()
            self._connection = None
        with self.lock:
            self._state.disconnected()

    def close(self) -> None:
        """Read no more. May be called from any thread, and more than once."""
        if self.closed:
            return
        self.closed = True
        self._closing.put(None)
        self._state.closed()
        connection = self._connection
        if connection is not None:
            connection.interrupt()
            connection.close()

    def _forked(self) -> None:
        """A child has neither the threads that hold the lock nor a right to the connection."""
        self.lock = Lock()
        self._closing = SimpleQueue()
        if self._connection is not None:
            self._connection.close()
            self._connection = None
        self._state.forked()

    def __del__(self) -> None:
        self.close()

    def __repr__(self) -> str:
        state = "closed" if self.closed else "open" if self.connected else "not connected"
        return f"<EventSource of {self.endpoint}, {state}>"
