"""A connection: bytes to requests, and answers back in the order of the requests.

    transport ─▶ RequestReader ─▶ handler ─▶ Responders ─▶ AnswerQueue ─▶ transport
                      ▲                                        │
                      └────────────── FlowControl ◀────────────┘

The reader is a state machine of its own, and so is the queue; here they are joined to the transport, and here is how a
connection ends. A ``deadline`` is when it is looked at again, by the clock of the loop.
"""

from __future__ import annotations

import asyncio
from collections import Counter
from collections.abc import Callable
from typing import Protocol, cast

from bus.errors import BusError, MalformedError, RequestTimeoutError
from bus.server.http import limits
from bus.server.http.answer_queue import ENDED, AnswerQueue
from bus.server.http.cors import Cors
from bus.server.http.flow_control import FlowControl
from bus.server.http.memory_limits import Memory
from bus.server.http.request_reader import BODY, CLOSED, HEAD, NEVER, RequestHandler, RequestReader
from bus.server.http.responder import Carrier, Responder


class Application(RequestHandler, Protocol):
    """What stands behind all connections."""

    cors: Cors
    refusals: Counter[str]
    unread: Memory

    def connected(self, connection: Connection) -> None:
        """A connection was made. Raises an `UnavailableError` to refuse it."""

    def disconnected(self, connection: Connection) -> None:
        """The connection is gone."""


class Connection(Carrier):
    """One client's connection."""

    __slots__ = ("_answers", "_application", "_flow", "_loop", "_reader")

    def __init__(self, application: Application, loop: asyncio.AbstractEventLoop) -> None:
        self.cors = application.cors
        self.deadline = loop.time() + limits.HEAD_SECONDS
        self.draining = False
        self.refusals = application.refusals
        self.stream: Callable[[], None] | None = None
        self.writable = True
        self._application = application
        self._loop = loop
        self._answers = AnswerQueue()
        self._flow = FlowControl(self, self._answers, incoming=application.incoming, unread=application.unread)
        self._reader = RequestReader(self, self._answers, self._flow, application, loop)

    # -- what the transport says

    def connection_made(self, transport: asyncio.BaseTransport) -> None:
        self.transport = transport = cast(asyncio.Transport, transport)
        transport.set_write_buffer_limits(limits.WRITE_HIGH_WATER, limits.WRITE_LOW_WATER)
        try:
            self._application.connected(self)
        except BusError as error:
            self._reader.refuse(error)

    def certify(self, name: str) -> None:
        """The client has shown a certificate of this *name*; said before anything else has come."""
        self._reader.certify(name)

    def connection_lost(self, exc: Exception | None) -> None:
        self.deadline = NEVER
        self._reader.lose()
        self._flow.incoming.release()
        self._flow.unread.release()
        self._application.disconnected(self)
        self._answers.lost()

    def eof_received(self) -> bool:
        """A client that is done sending may still be waiting for its answers, unless they are a stream."""
        if self._reader.state is BODY:
            self._reader.refuse(MalformedError("the body ended before it was complete"))
        self._reader.state = CLOSED
        return bool(self._answers.waiting) and self.stream is None

    def pause_writing(self) -> None:
        self.writable = False
        if not self.stream:
            self.deadline = min(self.deadline, self._loop.time() + limits.UNREAD_SECONDS)
        self._flow.balance()

    def resume_writing(self) -> None:
        self.writable = True
        self._flow.unread.release()
        if self.stream:
            self.stream()
        elif self._answers.waiting:
            idle = self._loop.time() + limits.UPLOAD_IDLE_SECONDS
            self.deadline = idle if self._reader.has_body_coming else NEVER
            self._answers.go_on()
        self._flow.balance()

    def data_received(self, data: bytes) -> None:
        reader = self._reader
        if self.stream or reader.state is CLOSED:
            return
        reader.buffer = reader.buffer + data if reader.buffer else data
        reader.advance()

    # -- what responders say

    def takes_more(self, responder: Responder) -> bool:
        """Whether what is written to *responder* leaves at once."""
        return self.writable and bool(self._answers.waiting) and self._answers.waiting[0] is responder

    def flush(self) -> None:
        """Write what is due, in the order of the requests."""
        answers, reader = self._answers, self._reader
        due = answers.take()
        if due is None:
            return
        if answers.state is ENDED:
            self._close(due)
            return
        if due:
            self.transport.write(due)
            if not self.writable and not self.stream:
                self._flow.count_unread()
        if not answers.waiting:
            self._rest()
        if reader.buffer:
            reader.advance_soon()

    def _rest(self) -> None:
        """Everything is answered: wait for the next request, if there can be one."""
        if self.draining or self._reader.state is CLOSED:
            self.transport.close()
        elif self._reader.state is HEAD:
            self.deadline = self._loop.time() + limits.IDLE_SECONDS

    def _close(self, due: bytes) -> None:
        """Write the last answer and hang up, at once or when the client has stopped sending."""
        self._reader.close()
        self.transport.write(due)
        if not self.writable:
            self._flow.count_unread()
        if self._reader.lingers:
            self.deadline = self._loop.time() + limits.LINGER_SECONDS
            self.transport.write_eof()
        else:
            self.deadline = self._loop.time() + limits.UNREAD_SECONDS
            self.transport.close()

    # -- what those say who take bodies

    def read_on(self) -> None:
        """Take more of a body."""
        if self._flow.paused:
            self._flow.paused = False
            self._reader.advance_soon()

    def give_way(self, error: BusError) -> None:
        """Refuse what is coming in, because there is no room for it."""
        if self._reader.begun:
            self._reader.refuse(error)

    # -- the end

    def expire(self, refusal: BusError | None = None) -> None:
        """The deadline has passed: tell a sender that was too slow, or hang up on an idle client.

        *refusal* is told to one that isn't welcome and has asked for nothing.
        """
        self.deadline = NEVER
        reader = self._reader
        if refusal and reader.state is HEAD and not self._answers.waiting:
            reader.refuse(refusal)
        elif self.writable and (reader.buffer or reader.state is BODY):
            reader.refuse(RequestTimeoutError("the request did not arrive in time"))
        else:
            self.transport.abort()

    def drain(self) -> None:
        """Answer what was asked, take nothing more, then close."""
        self.draining = True
        if not self._answers.waiting:
            self._reader.state = CLOSED
            self.transport.close()

    def __repr__(self) -> str:
        return f"<Connection {self._reader.state.name.lower()}, {len(self._answers.waiting)} unanswered>"
