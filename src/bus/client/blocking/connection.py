"""Sockets: one connection, and a pool of those that are idle."""

from __future__ import annotations

import select
import socket
from collections import deque
from collections.abc import Callable
from contextlib import suppress
from time import monotonic, sleep
from typing import TYPE_CHECKING, TypeVar

from bus.client.blocking.dial import connect_socket, left
from bus.client.core.request import Endpoint, Write
from bus.client.core.response import Heard, Response, ResponseReader
from bus.client.core.retry import UNKNOWN_OUTCOME, Retry, broken
from bus.errors import BusError, TimedOutError

if TYPE_CHECKING:
    from ssl import SSLContext

_T = TypeVar("_T")

RECEIVE_SIZE = 1 << 16
"""Larger buffers are mapped into memory and out again for every answer."""

MOST_IDLE = 64


class Connection:
    """One connection to a server, used by one thread at a time. Deadlines are on the monotonic clock."""

    __slots__ = ("_endpoint", "_poll", "_socket", "_timeout", "heard_at", "reader")

    def __init__(self, endpoint: Endpoint, *, deadline: float, tls: SSLContext | None) -> None:
        """Connect. Raises `NotConnectedError` when that isn't done by *deadline*."""
        self._endpoint = endpoint
        self._socket = connect_socket(endpoint, deadline=deadline, tls=tls)
        self._timeout = self._socket.gettimeout() or 0.0
        self._poll = select.poll()
        self._poll.register(self._socket, select.POLLIN)
        self.heard_at = monotonic()
        self.reader = ResponseReader()

    @property
    def stale(self) -> bool:
        """Whether the server has closed: nothing else arrives while no answer is due."""
        return bool(self._poll.poll(0))

    def send(self, request: bytes, *, deadline: float) -> None:
        """Send *request* and expect its answer. Raises `ConnectionFailedError`, `TimedOutError`."""
        self.reader.expect()
        try:
            self._limit(left(deadline))
            self._socket.sendall(request)
        except TimeoutError:
            raise self._timed_out() from None
        except (OSError, ValueError) as error:
            # What the server managed to answer before it closed says more than the broken pipe.
            self._receive_last(error, deadline)

    def _receive_last(self, error: Exception, deadline: float) -> None:
        with suppress(BusError):
            while not self.reader.complete:
                self.receive(timeout=self.left(deadline))
        if not self.reader.complete:
            raise broken(self._endpoint, error) from None

    def receive(self, *, timeout: float) -> None:
        """Feed the next bytes to the reader.

        Raises `TimedOutError` when none come within *timeout* seconds, `ConnectionFailedError` when the
        connection ends before the answer does.
        """
        try:
            self._limit(max(timeout, 0.001))
            data = self._socket.recv(RECEIVE_SIZE)
        except TimeoutError:
            raise self._timed_out() from None
        except (OSError, ValueError) as error:
            raise broken(self._endpoint, error) from None
        self.heard_at = monotonic()
        if data:
            self.reader.feed(data)
        else:
            self.reader.feed_eof()

    def exchange(self, request: bytes, *, deadline: float, heard: Heard | None = None) -> None:
        """Send *request* and read its whole answer, showing the reader to *heard* as parts of it come.

        Raises `ConnectionFailedError`, `TimedOutError`.
        """
        self.send(request, deadline=deadline)
        while not self.reader.complete:
            self.receive(timeout=self.left(deadline))
            if heard:
                heard(self.reader)

    def _timed_out(self) -> TimedOutError:
        return TimedOutError(f"{self._endpoint} did not answer in time: {UNKNOWN_OUTCOME}")

    def left(self, deadline: float) -> float:
        """Seconds until *deadline*. Raises `TimedOutError` when there are none, whatever the server goes on sending."""
        try:
            return left(deadline)
        except TimeoutError:
            raise self._timed_out() from None

    def _limit(self, seconds: float) -> None:
        # Each change is a system call, and what is left of a deadline always differs a little.
        if not 0.99 <= seconds / self._timeout <= 1.01:
            self._timeout = seconds
            self._socket.settimeout(seconds)

    def interrupt(self) -> None:
        """Make a `receive` that is going on in another thread fail. It ends the connection of every process."""
        with suppress(OSError):
            self._socket.shutdown(socket.SHUT_RDWR)

    def close(self) -> None:
        with suppress(OSError):
            self._socket.close()

    def __repr__(self) -> str:
        return f"<Connection to {self._endpoint}, {self.reader!r}>"


class Pool:
    """Connections that are kept for the next request, the last used first."""

    __slots__ = ("_closed", "_endpoint", "_idle", "_tls")

    def __init__(self, endpoint: Endpoint, *, tls: SSLContext | None) -> None:
        self._endpoint = endpoint
        self._tls = tls
        self._idle: deque[Connection] = deque()
        self._closed = False

    def take(self, *, deadline: float) -> Connection:
        """An idle connection that still stands, or a new one. Raises `NotConnectedError`."""
        while True:
            try:
                connection = self._idle.pop()
            except IndexError:
                return self.connect(deadline=deadline)
            if not connection.stale:
                return connection
            connection.close()

    def exchange(self, request: bytes, *, deadline: float, heard: Heard | None = None) -> ResponseReader:
        """Send *request* on some connection and return what has read the answer, complete.

        Raises `NotConnectedError`, `ConnectionFailedError`, `TimedOutError`.
        """
        connection = self.take(deadline=deadline)
        try:
            connection.exchange(request, deadline=deadline, heard=heard)
        except BaseException:
            connection.close()
            raise
        self.give(connection)
        return connection.reader

    def call(self, write: Write, read: Callable[[Response], _T], retry: Retry) -> _T:
        """Send what *write* writes until it is answered for good, as far as *retry* lets it.

        Returns what *read* makes of the answer.

        Raises what *read* raises, `NotConnectedError`, `ConnectionFailedError`, `TimedOutError`.
        """
        while True:
            try:
                return read(self.exchange(write(), deadline=retry.deadline).response())
            except BusError as error:
                sleep(retry.delay(error, now=monotonic()))

    def connect(self, *, deadline: float) -> Connection:
        """A new connection, which the caller closes or gives. Raises `NotConnectedError`."""
        if self._closed:
            raise BusError("the client is closed: make a new one")
        return Connection(self._endpoint, deadline=deadline, tls=self._tls)

    def give(self, connection: Connection) -> None:
        """Keep *connection* for the next request, if there can be one."""
        if self._closed or not connection.reader.keep_alive or len(self._idle) >= MOST_IDLE:
            connection.close()
        else:
            self._idle.append(connection)

    def forked(self) -> None:
        """A child must not talk on the connections of its parent."""
        self._idle = deque()

    def close(self) -> None:
        """Close what is idle; what is in use is closed when it is given back."""
        self._closed = True
        while self._idle:
            self._idle.pop().close()

    def __repr__(self) -> str:
        return f"<Pool of {len(self._idle)} idle connections to {self._endpoint}>"
