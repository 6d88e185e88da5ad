"""Exchanges: one request and its answer, which goes out when its turn comes.

Requests of one connection are answered in their order (RFC 9112, section 9.3.2), whenever each answer is
found: parts of it are kept until those before it are written.
"""

from __future__ import annotations

import asyncio
from collections.abc import Callable
from typing import Protocol

from bus.errors import BusError, MalformedError
from bus.server.request import Request
from bus.server.response import Cors, encode_error, encode_head


class Carrier(Protocol):
    """What an exchange knows of the connection that carries it.

    ``stream`` is called when a stream may go on; ``deadline`` is when the connection is looked at again, by
    the loop's clock; ``draining`` says that this answer is the last.
    """

    transport: asyncio.Transport
    stream: Callable[[], None] | None
    writable: bool
    draining: bool
    deadline: float

    @property
    def cors(self) -> Cors:
        """What web pages may do."""

    def flush(self) -> None:
        """Write what is due."""

    def read_on(self) -> None:
        """Take more of an upload."""


class Exchange:
    """The answer to one request, written when its turn comes."""

    __slots__ = ("_done", "_due", "_when_first", "close", "connection", "head", "on_lost")

    def __init__(self, connection: Carrier, request: Request | None) -> None:
        self.connection = connection
        self._due = b""
        self._done = False
        self._when_first: Callable[[], None] | None = None
        self.on_lost: Callable[[], None] | None = None
        self.head = request.head if request else None
        self.close = self.head is None or not self.head.keep_alive

    def respond(self, status: int, headers: bytes = b"", body: bytes = b"", *, preflight: bool = False) -> None:
        """Send a whole answer."""
        if self.head and self.head.origin:
            headers += self.connection.cors.headers(self.head.origin, preflight=preflight)
        close = self.close or self.connection.draining
        length = None if status == 204 else len(body)
        self._due += encode_head(status, headers, length=length, close=close)
        if body and not (self.head and self.head.method == b"HEAD"):
            self._due += body
        self.close = close
        self.finish()

    def fail(self, error: BusError) -> None:
        """Send the answer to *error*; one that spoils the connection closes it."""
        self.close |= isinstance(error, MalformedError)
        headers, body = encode_error(error, as_problem=self.head is not None and self.head.wants_problem)
        self.respond(error.status, headers, body)

    def begin(self, status: int, headers: bytes) -> None:
        """Send the head of an answer whose body comes in pieces."""
        if self.head and self.head.origin:
            headers += self.connection.cors.headers(self.head.origin)
        self.write(encode_head(status, headers, length=None, close=self.close))

    def write(self, data: bytes) -> None:
        """Send a piece, or keep it until it is this answer's turn."""
        self._due += data
        self.connection.flush()

    def finish(self) -> None:
        """The answer is complete."""
        self._done = True
        self.connection.flush()

    def when_first(self, call: Callable[[], None]) -> None:
        """Call back as soon as all answers before this one are written."""
        self._when_first = call
        self.connection.flush()

    def take(self) -> tuple[bytes, bool]:
        """What is there to write, and whether that is all."""
        if self._when_first:
            call, self._when_first = self._when_first, None
            call()
        data, self._due = self._due, b""
        return data, self._done

    def lost(self) -> None:
        if self.on_lost and not self._done:
            self.on_lost()


Route = Callable[[Request, Exchange], None]
"""Answers one request, now or later. Raises `BusError`."""
