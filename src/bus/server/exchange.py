"""Exchanges: one request and its answer, which goes out when its turn comes.

Requests of one connection are answered in their order (RFC 9112, section 9.3.2), whenever each answer is
found: parts of it are kept until those before it are written.
"""

from __future__ import annotations

import asyncio
from collections.abc import Callable
from typing import Protocol

import msgspec

from bus.errors import BusError, MalformedError
from bus.server.request import Head
from bus.server.response import Cors, encode_error, encode_head


class Carrier(Protocol):
    """What an exchange knows of the connection that carries it.

    ``stream`` is called when a stream may go on; ``deadline`` is when the connection is looked at again, by
    the loop's clock; ``draining`` says that this answer is the last; ``cors`` is what web pages may do.
    """

    transport: asyncio.Transport
    stream: Callable[[], None] | None
    writable: bool
    draining: bool
    deadline: float
    cors: Cors

    def flush(self) -> None:
        """Write what is due."""

    def answered(self) -> None:
        """An answer is complete."""

    def read_on(self) -> None:
        """Take more of an upload."""

    def give_way(self, error: BusError) -> None:
        """Refuse what is coming in."""


class Exchange(msgspec.Struct, eq=False):
    """The answer to one request, written when its turn comes.

    ``head`` is None for a request that could not be read; ``close`` ends the connection after the answer,
    ``done`` says that the answer is complete, and ``on_lost`` is called if nobody is there to take it.
    """

    connection: Carrier
    head: Head | None
    close: bool
    done: bool = False
    on_lost: Callable[[], None] | None = None
    _due: bytes = b""
    _when_first: Callable[[], None] | None = None

    def respond(self, status: int, headers: str = "", body: bytes = b"", *, preflight: bool = False) -> None:
        """Send a whole answer."""
        head = self.head
        cors = self.connection.cors
        headers += cors.headers(head.origin, preflight=preflight) if head and head.origin else cors.vary
        self.close = self.close or self.connection.draining
        length = None if status == 204 else len(body)
        self._due += encode_head(status, headers, length=length, close=self.close)
        if body and not (head and head.method == b"HEAD"):
            self._due += body
        self.finish()

    def fail(self, error: BusError) -> None:
        """Send the answer to *error*; one that spoils the connection closes it."""
        self.close |= isinstance(error, MalformedError)
        headers, body = encode_error(error, as_problem=self.head is not None and self.head.wants_problem)
        self.respond(error.status, headers, body)

    def begin(self, status: int, headers: str) -> None:
        """Send the head of an answer whose body comes in pieces."""
        cors = self.connection.cors
        headers += cors.headers(self.head.origin) if self.head and self.head.origin else cors.vary
        self.write(encode_head(status, headers, length=None, close=self.close))

    def write(self, data: bytes) -> None:
        """Send a piece, or keep it until it is this answer's turn."""
        self._due += data
        self.connection.flush()

    def finish(self) -> None:
        """The answer is complete."""
        self.done = True
        self.connection.answered()

    def when_first(self, call: Callable[[], None]) -> None:
        """Call back as soon as all answers before this one are written."""
        self._when_first = call
        self.connection.flush()

    def take(self) -> bytes:
        """What there is to write, now that it is this answer's turn."""
        if self._when_first:
            call, self._when_first = self._when_first, None
            call()
        due, self._due = self._due, b""
        return due

    def lost(self) -> None:
        if self.on_lost and not self.done:
            self.on_lost()
