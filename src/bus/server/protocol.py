"""A connection: bytes to requests, and answers back in the order of the requests.

        ┌────────────────────── next request ──────────────────────┐
        ▼                                                          │
      HEAD ──empty line──▶ BODY (length, chunked) ──its end──▶ handled, answered later
        │                     │
        └── too long, late, malformed: answer, then CLOSED ◀──┘

llhttp reads each head; bodies are cut out here, so that the end of every request is known exactly. Answers
wait in `Exchange`s until those before them are written. A connection that doesn't read its answers, or has
many outstanding, is not read from until that changes.
"""

from __future__ import annotations

import asyncio
from collections import deque
from collections.abc import Callable
from enum import Enum, auto
from typing import Protocol, cast

from bus.errors import (
    BusError,
    ExpectationFailedError,
    HeadTooLargeError,
    MalformedError,
    RequestLineTooLongError,
    RequestTimeoutError,
)
from bus.server import limits
from bus.server.chunks import ChunkReader
from bus.server.request import Request, read_head, too_large
from bus.server.response import Cors, encode_error, encode_head

NEVER = float("inf")


class Handler(Protocol):
    """What is done with requests."""

    cors: Cors
    max_body: int

    def upload(self, request: Request, exchange: Exchange) -> Upload | None:
        """Who takes the body of *request* as it comes; None if it is to be handed over whole."""

    def handle(self, request: Request, exchange: Exchange) -> None:
        """Answer *request* through *exchange*, now or later. Raises `BusError`."""

    def connected(self, connection: Connection) -> None:
        """A connection was made. Raises an `UnavailableError` to refuse it."""

    def disconnected(self, connection: Connection) -> None:
        """The connection is gone."""


Route = Callable[[Request, "Exchange"], None]
"""Answers one request, now or later. Raises `BusError`."""


class Upload(Protocol):
    """Takes a body piece by piece."""

    def feed(self, data: bytes) -> bool:
        """Take in the next bytes; False asks for a pause until `Connection.read_on`."""

    def finish(self) -> None:
        """The body is complete."""

    def fail(self, error: BusError) -> None:
        """The rest of the body can't be read."""


class _State(Enum):
    HEAD = auto()
    BODY = auto()
    CLOSED = auto()


class Exchange:
    """The answer to one request, written when its turn comes."""

    __slots__ = ("_connection", "_done", "_parts", "_when_first", "close", "head", "on_lost")

    def __init__(self, connection: Connection, request: Request | None) -> None:
        self._connection = connection
        self._parts: list[bytes] = []
        self._done = False
        self._when_first: Callable[[], None] | None = None
        self.on_lost: Callable[[], None] | None = None
        self.head = request.head if request else None
        self.close = self.head is None or not self.head.keep_alive

    def respond(self, status: int, headers: bytes = b"", body: bytes = b"", *, preflight: bool = False) -> None:
        """Send a whole answer."""
        if self.head and self.head.origin:
            headers += self._connection.handler.cors.headers(self.head.origin, preflight=preflight)
        close = self.close or self._connection.draining
        length = None if status == 204 else len(body)
        self._parts.append(encode_head(status, headers, length=length, close=close))
        if body and not (self.head and self.head.method == b"HEAD"):
            self._parts.append(body)
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
            headers += self._connection.handler.cors.headers(self.head.origin)
        self.write(encode_head(status, headers, length=None, close=self.close))

    def write(self, data: bytes) -> None:
        """Send a piece, or keep it until it is this answer's turn."""
        self._parts.append(data)
        self._connection.flush()

    def finish(self) -> None:
        """The answer is complete."""
        self._done = True
        self._connection.flush()

    def when_first(self, call: Callable[[], None]) -> None:
        """Call back as soon as all answers before this one are written."""
        self._when_first = call
        self._connection.flush()

    def take(self) -> tuple[bytes, bool]:
        """What is there to write, and whether that is all."""
        if self._when_first:
            call, self._when_first = self._when_first, None
            call()
        data = b"".join(self._parts) if len(self._parts) != 1 else self._parts[0]
        self._parts.clear()
        return data, self._done

    def lost(self) -> None:
        if self.on_lost and not self._done:
            self.on_lost()

    @property
    def connection(self) -> Connection:
        return self._connection


class Connection(asyncio.Protocol):
    """One client's connection."""

    __slots__ = (
        "_buffer", "_chunks", "_exchanges", "_flushing", "_left", "_lingers", "_loop", "_paused_reading", "_reading",
        "_request", "_size", "_state", "_upload", "_whole",
        "deadline", "draining", "handler", "stream", "transport", "writable",
    )  # fmt: skip

    def __init__(self, handler: Handler, loop: asyncio.AbstractEventLoop) -> None:
        self.handler = handler
        self.transport: asyncio.Transport
        self.writable = True
        self.draining = False
        self.stream: Callable[[], None] | None = None
        self.deadline = loop.time() + limits.HEAD_SECONDS
        self._loop = loop
        self._state = _State.HEAD
        self._buffer = b""
        self._exchanges: deque[Exchange] = deque()
        self._flushing = False
        self._lingers = False
        self._paused_reading = False
        self._reading = True
        self._request: Request | None = None
        self._chunks: ChunkReader | None = None
        self._upload: Upload | None = None
        self._whole: list[bytes] = []
        self._size = 0
        self._left = 0

    # -- what the transport says

    def connection_made(self, transport: asyncio.BaseTransport) -> None:
        self.transport = transport = cast(asyncio.Transport, transport)
        transport.set_write_buffer_limits(limits.WRITE_HIGH_WATER, limits.WRITE_LOW_WATER)
        try:
            self.handler.connected(self)
        except BusError as error:
            self._refuse(error)

    def connection_lost(self, exc: Exception | None) -> None:
        self._state = _State.CLOSED
        self.deadline = NEVER
        self.handler.disconnected(self)
        for exchange in self._exchanges:
            exchange.lost()
        self._exchanges.clear()

    def eof_received(self) -> bool:
        """A client that is done sending may still be waiting for its answers, unless they are a stream."""
        if self._state is _State.BODY:
            self._refuse(MalformedError("the body ended before it was complete"))
        self._state = _State.CLOSED
        return bool(self._exchanges) and self.stream is None

    def pause_writing(self) -> None:
        self.writable = False
        self._balance()

    def resume_writing(self) -> None:
        self.writable = True
        if self.stream:
            self.stream()
        self._balance()

    def data_received(self, data: bytes) -> None:
        if self.stream or self._state is _State.CLOSED:
            return
        self._buffer = self._buffer + data if self._buffer else data
        self._advance()

    # -- requests

    def _advance(self) -> None:
        """Take requests from the buffer as far as it goes."""
        try:
            while self._buffer and not self._blocked and self._step():
                pass
        except BusError as error:
            self._refuse(error)
        self._balance()

    def _step(self) -> bool:
        """Take a head or a piece of a body; False if more bytes are needed."""
        if self._state is _State.HEAD:
            return self._take_head()
        return self._state is _State.BODY and self._take_body()

    def _take_head(self) -> bool:
        """Take a head; empty lines before it are passed over (RFC 9112, section 2.2)."""
        self._buffer = self._buffer.lstrip(b"\r\n")
        end = self._buffer.find(b"\r\n\r\n")
        if end < 0:
            self._wait_for_head()
            return False
        head, self._buffer = self._buffer[: end + 4], self._buffer[end + 4 :]
        if len(head) > limits.HEAD_BYTES:
            raise self._head_too_large(head)
        self._begin_request(Request(read_head(head)))
        return True

    def _wait_for_head(self) -> None:
        if len(self._buffer) > limits.HEAD_BYTES:
            raise self._head_too_large(self._buffer)
        if b"\n\n" in self._buffer:
            raise MalformedError("the request's lines don't end in CR LF")
        self.deadline = min(self.deadline, self._loop.time() + limits.HEAD_SECONDS)

    @staticmethod
    def _head_too_large(head: bytes) -> BusError:
        if b"\r\n" not in head[: limits.REQUEST_LINE_BYTES + 2]:
            return RequestLineTooLongError(f"the request line is longer than {limits.REQUEST_LINE_BYTES} bytes")
        return HeadTooLargeError(f"the headers are longer than {limits.HEAD_BYTES} bytes")

    def _begin_request(self, request: Request) -> None:
        """Handle a request that is all here at once; else see to its body."""
        exchange = Exchange(self, request)
        self._exchanges.append(exchange)
        head = request.head
        if not (head.chunked or head.is_ndjson) and head.length <= min(len(self._buffer), self.handler.max_body):
            request.body, self._buffer = self._buffer[: head.length], self._buffer[head.length :]
            self._dispatch(request, exchange)
            return
        self._request = request
        self._upload = self.handler.upload(request, exchange)
        if self._upload is None and head.length > self.handler.max_body:
            raise too_large(self.handler.max_body)
        self._begin_body(request, exchange)

    def _begin_body(self, request: Request, exchange: Exchange) -> None:
        self._left = request.head.length
        self._chunks = ChunkReader() if request.head.chunked else None
        if not self._left and not request.head.chunked:
            self._end_request()
            return
        self._state = _State.BODY
        self.deadline = self._loop.time() + limits.BODY_SECONDS
        if b"expect" in request.head.headers:
            self._answer_expectation(request, exchange)

    def _answer_expectation(self, request: Request, exchange: Exchange) -> None:
        if request.head.headers[b"expect"].lower() != b"100-continue":
            raise ExpectationFailedError("the only expectation known here is 100-continue")
        if not self._buffer:
            exchange.write(b"HTTP/1.1 100 Continue\r\n\r\n")

    def _take_body(self) -> bool:
        data = self._take_chunks() if self._chunks else self._take_length()
        if data:
            self._keep(data)
        if self._chunks.done if self._chunks else not self._left:
            self._end_request()
            return True
        return False

    def _take_length(self) -> bytes:
        data, self._buffer = self._buffer[: self._left], self._buffer[self._left :]
        self._left -= len(data)
        return data

    def _take_chunks(self) -> bytes:
        assert self._chunks
        data, self._buffer = self._chunks.read(self._buffer)
        return data

    def _keep(self, data: bytes) -> None:
        """Hand a piece of a body on, or keep it until the body is whole."""
        if self._upload:
            self.deadline = self._loop.time() + limits.UPLOAD_IDLE_SECONDS
            if not self._upload.feed(data):
                self._paused_reading = True
            return
        self._size += len(data)
        if self._size > self.handler.max_body:
            raise too_large(self.handler.max_body)
        self._whole.append(data)

    def _end_request(self) -> None:
        request, upload = self._request, self._upload
        assert request is not None
        request.body = b"".join(self._whole)
        self._whole.clear()
        self._request = self._upload = self._chunks = None
        self._size = 0
        if upload:
            self._state = _State.HEAD if request.head.keep_alive else _State.CLOSED
            self.deadline = NEVER
            upload.finish()
        else:
            self._dispatch(request, self._exchanges[-1])

    def _dispatch(self, request: Request, exchange: Exchange) -> None:
        """Have a complete request answered."""
        self._state = _State.HEAD if request.head.keep_alive else _State.CLOSED
        self.deadline = NEVER
        try:
            self.handler.handle(request, exchange)
        except BusError as error:
            exchange.fail(error)

    def _refuse(self, error: BusError) -> None:
        """Answer a request that can't be read on; what follows it can't be understood either."""
        self._state = _State.CLOSED
        self._buffer = b""
        self._lingers = True
        self._paused_reading = False
        if not self._request:
            self._exchanges.append(Exchange(self, None))
        exchange, upload = self._exchanges[-1], self._upload
        self._request = self._upload = None
        exchange.close = True
        (upload or exchange).fail(error)

    # -- answers

    def flush(self) -> None:
        """Write what is due, in the order of the requests."""
        if self._flushing:
            return
        self._flushing = True
        parts = []
        while self._exchanges:
            exchange = self._exchanges[0]
            data, done = exchange.take()
            parts.append(data)
            if not done:
                break
            self._exchanges.popleft()
            if exchange.close:
                self._close(parts)
                return
        self._flushing = False
        self._write(parts)
        if not self._exchanges:
            self._rest()
        if self._buffer:
            self._loop.call_soon(self._advance)

    def _rest(self) -> None:
        """Everything is answered: wait for the next request, if there can be one."""
        if self.draining or self._state is _State.CLOSED:
            self.transport.close()
        elif self._state is _State.HEAD:
            self.deadline = self._loop.time() + limits.IDLE_SECONDS

    def _write(self, parts: list[bytes]) -> None:
        if data := b"".join(parts):
            self.transport.write(data)

    def _close(self, parts: list[bytes]) -> None:
        """Write the last answer and hang up, at once or when the client has stopped sending."""
        self._state = _State.CLOSED
        self._buffer = b""
        self._exchanges.clear()
        self._write(parts)
        if self._lingers:
            self.deadline = self._loop.time() + limits.LINGER_SECONDS
            self.transport.write_eof()
        else:
            self.transport.close()

    # -- flow

    @property
    def _blocked(self) -> bool:
        """Whether no more requests should be taken for now."""
        return (
            self._paused_reading or not self.writable or self.stream is not None
            or len(self._exchanges) >= limits.PIPELINE_DEPTH
        )  # fmt: skip

    def _balance(self) -> None:
        """Read from the socket exactly while requests are wanted; a stream is read to notice its end."""
        if self.transport.is_closing():
            return
        wanted = self.stream is not None or not self._blocked
        if wanted and not self._reading:
            self.transport.resume_reading()
        elif self._reading and not wanted:
            self.transport.pause_reading()
        self._reading = wanted

    def read_on(self) -> None:
        """The upload takes more."""
        if self._paused_reading:
            self._paused_reading = False
            self._loop.call_soon(self._advance)

    # -- the end

    def expire(self) -> None:
        """The deadline has passed: tell a sender that was too slow, or hang up on an idle client."""
        self.deadline = NEVER
        if self._buffer or self._state is _State.BODY:
            self._refuse(RequestTimeoutError("the request did not arrive in time"))
        else:
            self.transport.abort()

    def drain(self) -> None:
        """Answer what was asked, take nothing more, then close."""
        self.draining = True
        if not self._exchanges:
            self._state = _State.CLOSED
            self.transport.close()

    @property
    def idle(self) -> bool:
        return not self._exchanges

    def __repr__(self) -> str:
        return f"<Connection {self._state.name.lower()}, {len(self._exchanges)} unanswered>"
