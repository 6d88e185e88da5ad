"""Bytes from the server, cut anywhere, as HTTP/1.1 answers."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass

import httptools

from bus.client.core.retry import UNKNOWN_OUTCOME, NotBusError
from bus.errors import ConnectionFailedError


@dataclass(frozen=True, slots=True)
class Response:
    """One whole answer; names of headers are in lower case."""

    status: int
    headers: dict[bytes, bytes]
    body: bytes = b""

    def header(self, name: str) -> str:
        """The value of a header, empty when it is absent."""
        return self.headers.get(name.lower().encode(), b"").decode("latin-1")


LONGEST_HEAD = 1 << 16
"""Bytes before the body, interim answers (1xx) included; 64 KiB."""

LONGEST_BODY = 64 << 20
"""Bytes of a body that has to be held whole; one that is taken as it comes may be longer."""


class ResponseReader:
    """Takes in what a connection receives, for as many answers as it carries, one at a time.

    ``started`` is true once a byte of the answer has come, ``head`` once its headers have; ``complete``
    says that all of it has. A body can be taken as it comes, which is how streams are read.

    What a server sends beyond its answer is passed over, and ends the connection: nobody asked for it.
    """

    __slots__ = ("_before_body", "_headers", "_held", "_parser", "_parts", "complete", "head", "keep_alive", "started")

    def __init__(self) -> None:
        self._parser = httptools.HttpResponseParser(self)
        self.keep_alive = True
        self.expect()

    def expect(self) -> None:
        """Get ready for the next answer."""
        self.started = False
        self.complete = False
        self.head: Response | None = None
        self._headers: dict[bytes, bytes] = {}
        self._parts: list[bytes] = []
        self._before_body = 0
        self._held = 0

    def feed(self, data: bytes) -> None:
        """Take in the next bytes.

        Raises `NotBusError` or `ConnectionFailedError` when they are not HTTP, or more than `LONGEST_HEAD` and
        `LONGEST_BODY`.
        """
        self.started = True
        try:
            self._parser.feed_data(data)
        except (httptools.HttpParserError, httptools.HttpParserUpgrade) as error:
            kind = NotBusError if self.head is None else ConnectionFailedError
            raise kind(
                f"the answer is not HTTP ({error or 'it changes the protocol'}): is this a Bus server?"
            ) from None
        if self.head is None:
            self._before_body += len(data)
        if self._before_body > LONGEST_HEAD or self._held > LONGEST_BODY:
            raise NotBusError("the answer is longer than any of ours: is this a Bus server?")

    def feed_eof(self) -> None:
        """The server closed. Raises `ConnectionFailedError` when the answer isn't over by that."""
        self.keep_alive = False
        if self.head is not None and not {b"content-length", b"transfer-encoding"} & self._headers.keys():
            self.complete = True
        elif not self.complete:
            raise ConnectionFailedError(f"the server closed before its answer was complete: {UNKNOWN_OUTCOME}")

    def take_body(self) -> bytes:
        """What has come of the body since the last time."""
        self._held = 0
        if len(self._parts) == 1:
            return self._parts.pop()
        body = b"".join(self._parts)
        self._parts.clear()
        return body

    def response(self) -> Response:
        """The whole answer, once it is complete."""
        assert self.head is not None
        return Response(self.head.status, self.head.headers, self.take_body())

    # What follows is called by the parser.

    def on_header(self, name: bytes, value: bytes) -> None:
        if self.head is None:  # a trailer is part of the body
            self._headers[name.lower()] = value

    def on_headers_complete(self) -> None:
        status = self._parser.get_status_code()
        if status >= 200 and self.head is None:
            self.head = Response(status, self._headers)

    def on_body(self, body: bytes) -> None:
        if not self.complete:
            self._parts.append(body)
            self._held += len(body)

    def on_message_complete(self) -> None:
        if self.complete:
            self.keep_alive = False
        elif self.head is None:  # an interim answer, to which nothing belongs
            self._headers = {}
        else:
            self.complete = True
            self.keep_alive = self._parser.should_keep_alive()

    def __repr__(self) -> str:
        state = "complete" if self.complete else "in its body" if self.head else "awaiting headers"
        return f"<ResponseReader {state}>"


Heard = Callable[[ResponseReader], None]
"""Who is shown the reader whenever a part of the answer has come."""
