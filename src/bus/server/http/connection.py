"""A connection: bytes to requests, and answers back in the order of the requests.

        ┌────────────────────── next request ──────────────────────┐
        ▼                                                          │
      HEAD ──empty line──▶ BODY (length, chunked) ──its end──▶ handled, answered later
        │                     │
        └── too long, late, malformed: answer, then CLOSED ◀──┘

llhttp reads each head; bodies are cut out here, so that the end of every request is known exactly. Answers
wait in `Responder`s until those before them are written. A connection that doesn't read its answers, or has
many outstanding, is not read from until that changes. However much comes in at once, a connection takes some of it
and then gives way to the others. What it makes the server hold counts in sums over all connections.
"""

from __future__ import annotations

import asyncio
import re
from collections import deque
from collections.abc import Callable
from enum import Enum, auto
from typing import Protocol, cast

from bus.engine.guard import as_bus_error
from bus.engine.reading.round_robin import RoundRobin
from bus.errors import (
    BusError,
    HeadTooLargeError,
    MalformedError,
    RequestLineTooLongError,
    RequestTimeoutError,
)
from bus.server.http import limits
from bus.server.http.body import Body, BodySink
from bus.server.http.cors import Cors
from bus.server.http.memory_limits import Holding, Memory
from bus.server.http.request import Head, Request, check_expectation, read_head
from bus.server.http.responder import Responder

NEVER = float("inf")

_EMPTY_LINES = re.compile(rb"\A(?:\r\n)+")


class Application(Protocol):
    """What is done with requests."""

    cors: Cors
    max_body: int
    incoming: Memory
    unread: Memory
    turns: RoundRobin

    def take_body(self, request: Request, responder: Responder) -> BodySink | None:
        """Who takes the body of *request* as it comes; None if it is to be handed over whole."""

    def handle(self, request: Request, responder: Responder) -> None:
        """Answer *request* through *responder*, now or later."""

    def connected(self, connection: Connection) -> None:
        """A connection was made. Raises an `UnavailableError` to refuse it."""

    def disconnected(self, connection: Connection) -> None:
        """The connection is gone."""


class _State(Enum):
    HEAD = auto()
    BODY = auto()
    CLOSED = auto()


class Connection(asyncio.Protocol):
    """One client's connection."""

    __slots__ = (
        "_body",
        "_buffer",
        "_corked",
        "_credit",
        "_flushing",
        "_held_back",
        "_incoming",
        "_later",
        "_lingers",
        "_loop",
        "_paused_reading",
        "_reading",
        "_request",
        "_responders",
        "_searched",
        "_state",
        "_unread",
        "cors",
        "deadline",
        "draining",
        "handler",
        "stream",
        "transport",
        "writable",
    )  # fmt: skip

    def __init__(self, handler: Application, loop: asyncio.AbstractEventLoop) -> None:
        self.handler = handler
        self.cors = handler.cors
        self.transport: asyncio.Transport
        self.writable = True
        self.draining = False
        self.stream: Callable[[], None] | None = None
        self.deadline = loop.time() + limits.HEAD_SECONDS
        self._loop = loop
        self._state = _State.HEAD
        self._buffer = b""
        self._responders: deque[Responder] = deque()
        self._corked = False
        self._credit = 0
        self._flushing = False
        self._held_back = 0
        self._incoming = Holding(handler.incoming, self.give_way)
        self._later = False
        self._lingers = False
        self._paused_reading = False
        self._reading = True
        self._request: Request | None = None
        self._searched = 0
        self._body: Body | None = None
        self._unread = Holding(handler.unread)

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
        self._buffer = b""
        self._body = None
        self._incoming.release()
        self._unread.release()
        self.handler.disconnected(self)
        for responder in self._responders:
            responder.lost()
        self._responders.clear()

    def eof_received(self) -> bool:
        """A client that is done sending may still be waiting for its answers, unless they are a stream."""
        if self._state is _State.BODY:
            self._refuse(MalformedError("the body ended before it was complete"))
        self._state = _State.CLOSED
        return bool(self._responders) and self.stream is None

    def pause_writing(self) -> None:
        self.writable = False
        if not self.stream:
            self.deadline = min(self.deadline, self._loop.time() + limits.UNREAD_SECONDS)
        self._balance()

    def resume_writing(self) -> None:
        self.writable = True
        self._unread.release()
        if self.stream:
            self.stream()
        elif self._responders:
            self.deadline = NEVER if self._body is None else self._loop.time() + limits.UPLOAD_IDLE_SECONDS
            self._go_on_writing()
        self._balance()

    def data_received(self, data: bytes) -> None:
        if self.stream or self._state is _State.CLOSED:
            return
        self._buffer = self._buffer + data if self._buffer else data
        self._advance()

    # -- requests

    def _advance(self) -> None:
        """Take requests from the buffer as far as it goes; answers that are there by then go out together."""
        self._corked = True
        self._credit = limits.REQUESTS_A_TURN
        try:
            while self._buffer and self._step():
                pass
            self._count_incoming()
        except Exception as error:
            self._refuse(as_bus_error(error, "reading a request"))
        self._corked = False
        if self._responders and self._responders[0].done:
            self.flush()
        if self._buffer or not self._reading:
            self._balance()

    def _advance_soon(self) -> None:
        """Go on in the next turn of the loop."""
        if not self._later:
            self._later = True
            self._loop.call_soon(self._advance_now)

    def _take_turn(self) -> None:
        """Go on when all others that have much to do have had their turn."""
        if not self._later:
            self._later = True
            self.handler.turns.add(self._advance_now)

    def _advance_now(self) -> None:
        self._later = False
        self._advance()

    def _count_incoming(self) -> None:
        """Say how much of what is coming in is held. Raises `OverloadedError` if that is too much by now."""
        if self.stream:
            self._buffer = b""  # nothing can follow a stream
        kept = self._body.size if self._body else 0
        if self._buffer or kept or self._incoming.size:
            self._incoming.resize(len(self._buffer) + kept)

    def _step(self) -> bool:
        """Take a head or a piece of a body; False if more bytes are needed, or none wanted for now."""
        if self._blocked:
            return False
        if self._state is _State.BODY:
            return self._take_body()
        if not self._credit:
            self._take_turn()
            return False
        return self._state is _State.HEAD and self._take_head()

    def _take_head(self) -> bool:
        """Take a head; empty lines before it are passed over (RFC 9112, section 2.2)."""
        buffer = self._buffer
        if buffer.startswith(b"\r\n"):
            self._buffer = buffer = _EMPTY_LINES.sub(b"", buffer, count=1)
            self._searched = 0
        end = buffer.find(b"\r\n\r\n", self._searched) + 4
        if end < 4:
            self._wait_for_head()
            return False
        self._searched = 0
        self._credit -= 1
        self._buffer = buffer[end:]
        self._begin_request(read_head(buffer[:end]))
        return True

    def _wait_for_head(self) -> None:
        if len(self._buffer) > limits.HEAD_BYTES:
            raise self._head_too_large()
        if self._buffer.count(b"\n") > self._buffer.count(b"\r\n"):
            raise MalformedError("the request's lines don't end in CR LF")
        self._searched = max(len(self._buffer) - 3, 0)
        self.deadline = min(self.deadline, self._loop.time() + limits.HEAD_SECONDS)

    def _head_too_large(self) -> BusError:
        if b"\r\n" not in self._buffer[: limits.REQUEST_LINE_BYTES + 2]:
            return RequestLineTooLongError(f"the request line is longer than {limits.REQUEST_LINE_BYTES} bytes")
        return HeadTooLargeError(f"the headers are longer than {limits.HEAD_BYTES} bytes")

    def _begin_request(self, head: Head) -> None:
        """Handle a request that is all here at once; else see to its body."""
        responder = Responder(self, head, not head.keep_alive)
        self._responders.append(responder)
        length = head.length
        if length <= len(self._buffer) and length <= self.handler.max_body and head.at_once:
            body, self._buffer = self._buffer[:length], self._buffer[length:]
            self._await_next(head)
            self._handle(Request(head, body), responder)
        else:
            self._begin_body(head, responder)

    def _handle(self, request: Request, responder: Responder) -> None:
        if request.head.path != "/":
            self._credit = 0
        self.handler.handle(request, responder)

    def _begin_body(self, head: Head, responder: Responder) -> None:
        self._request = request = Request(head)
        check_expectation(head)
        sink = self.handler.take_body(request, responder)
        self._body = Body(head, sink=sink, most=self.handler.max_body)
        if not sink:
            self.handler.incoming.check(head.length)
        self._state = _State.BODY
        self.deadline = self._loop.time() + limits.BODY_SECONDS
        if head.expects and not self._buffer and not self._body.done:
            responder.write(b"HTTP/1.1 100 Continue\r\n\r\n")
        self._end_request_if_done()

    def _take_body(self) -> bool:
        assert self._body
        if self._body.sink and self._request and self._request.head.is_ndjson:
            self.deadline = self._loop.time() + limits.UPLOAD_IDLE_SECONDS
        self._buffer = self._body.take(self._buffer)
        self._paused_reading = self._body.paused
        if self._body.behind:
            self._take_turn()
        return self._end_request_if_done()

    def _end_request_if_done(self) -> bool:
        request, body = self._request, self._body
        assert request is not None
        assert body is not None
        if not body.done:
            return False
        self._request = self._body = None
        request.body = body.whole
        self._await_next(request.head)
        if body.sink:
            body.sink.finish()
        else:
            self._handle(request, self._responders[-1])
        return True

    def _await_next(self, head: Head) -> None:
        """The request is complete: what comes now is the next one."""
        self._state = _State.HEAD if head.keep_alive else _State.CLOSED
        self.deadline = NEVER if self.writable else self._loop.time() + limits.UNREAD_SECONDS

    def _refuse(self, error: BusError) -> None:
        """Answer a request that can't be read on; what follows it can't be understood either."""
        self._state = _State.CLOSED
        self._buffer = b""
        self._incoming.release()
        self._lingers = True
        self._paused_reading = False
        if not self._request:
            self._responders.append(Responder(self, None, True))
        responder, sink = self._responders[-1], self._body and self._body.sink
        self._request = self._body = None
        responder.close = True
        (sink or responder).fail(error)

    def give_way(self, error: BusError) -> None:
        """Refuse what is coming in, because there is no room for it."""
        if self._request or self._buffer:
            self._refuse(error)

    # -- answers

    def answered(self) -> None:
        """An answer is complete."""
        if self._responders and not self._responders[0].done:
            self._held_back = sum([responder.size for responder in self._responders])
        elif not self._corked or len(self._responders) >= limits.ANSWERS_TOGETHER:
            self.flush()

    def takes_more(self, responder: Responder) -> bool:
        """Whether what is written to *responder* leaves at once."""
        return self.writable and bool(self._responders) and self._responders[0] is responder

    def flush(self) -> None:
        """Write what is due, in the order of the requests."""
        if self._flushing:
            return
        self._flushing = True
        self._held_back = 0
        due = b""
        while self._responders:
            responder = self._responders[0]
            responder.reach_turn()
            due += responder.take()
            if not responder.done:
                break
            self._responders.popleft()
            if responder.close:
                self._close(due)
                return
            if self._responders:
                self._go_on_writing()
        self._flushing = False
        if due:
            self._write(due)
        if not self._responders:
            self._rest()
        if self._buffer:
            self._advance_soon()

    def _write(self, due: bytes) -> None:
        self.transport.write(due)
        if not self.writable and not self.stream:
            self._count_unread()

    def _count_unread(self) -> None:
        """Say how much the client doesn't take, and hang up on it if that is too much for the server."""
        try:
            self._unread.resize(self.transport.get_write_buffer_size())
        except BusError:
            self.transport.abort()

    def _go_on_writing(self) -> None:
        if (first := self._responders[0]).on_writable:
            first.on_writable()

    def _rest(self) -> None:
        """Everything is answered: wait for the next request, if there can be one."""
        if self.draining or self._state is _State.CLOSED:
            self.transport.close()
        elif self._state is _State.HEAD:
            self.deadline = self._loop.time() + limits.IDLE_SECONDS

    def _close(self, due: bytes) -> None:
        """Write the last answer and hang up, at once or when the client has stopped sending."""
        self._state = _State.CLOSED
        self._buffer = b""
        self._responders.clear()
        self._write(due)
        if self._lingers:
            self.deadline = self._loop.time() + limits.LINGER_SECONDS
            self.transport.write_eof()
        else:
            self.deadline = self._loop.time() + limits.UNREAD_SECONDS
            self.transport.close()

    # -- flow

    @property
    def _blocked(self) -> bool:
        """Whether no more should be taken for now. An upload may be sent whole before its answer is read."""
        uploading = self._body is not None and self._body.sink is not None
        return (
            self._paused_reading or self._later or not (self.writable or uploading) or self.stream is not None
            or len(self._responders) >= limits.PIPELINE_DEPTH or self._held_back > limits.WRITE_HIGH_WATER
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
            self._advance_soon()

    # -- the end

    def expire(self, refusal: BusError | None = None) -> None:
        """The deadline has passed: tell a sender that was too slow, or hang up on an idle client.

        *refusal* is told to one that isn't welcome and has asked for nothing.
        """
        self.deadline = NEVER
        if refusal and self._state is _State.HEAD and not self._responders:
            self._refuse(refusal)
        elif self.writable and (self._buffer or self._state is _State.BODY):
            self._refuse(RequestTimeoutError("the request did not arrive in time"))
        else:
            self.transport.abort()

    def drain(self) -> None:
        """Answer what was asked, take nothing more, then close."""
        self.draining = True
        if not self._responders:
            self._state = _State.CLOSED
            self.transport.close()

    def __repr__(self) -> str:
        return f"<Connection {self._state.name.lower()}, {len(self._responders)} unanswered>"
