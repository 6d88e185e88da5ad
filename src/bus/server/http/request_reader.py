"""Reading requests: what came in is cut into heads and bodies, as far as it goes for now.

        ┌────────────────────── next request ──────────────────────┐
        ▼                                                          │
      HEAD ──empty line──▶ BODY (length, chunked) ──its end──▶ handled, answered later
        │                     │
        └── too long, late, malformed: answer, then CLOSED ◀──┘

llhttp reads each head; bodies are cut out here, so that the end of every request is known exactly.
"""

from __future__ import annotations

import re
from asyncio import AbstractEventLoop
from enum import Enum, auto
from typing import Final, Protocol

from bus.access.principal import Credentials
from bus.engine.guard import as_bus_error
from bus.engine.reading.round_robin import RoundRobin
from bus.errors import BusError, HeadTooLargeError, MalformedError, RequestLineTooLongError
from bus.server.http import limits
from bus.server.http.answer_queue import AnswerQueue
from bus.server.http.body import Body, BodySink
from bus.server.http.flow_control import FlowControl
from bus.server.http.head_reader import HeadReader
from bus.server.http.memory_limits import Memory
from bus.server.http.request import Head, Request, check_expectation
from bus.server.http.responder import Carrier, MakeResponder, Responder

NEVER: Final = float("inf")

_EMPTY_LINES = re.compile(rb"\A(?:\r\n)+")


class RequestHandler(Protocol):
    """What is done with requests."""

    max_body: int
    incoming: Memory
    make_responder: MakeResponder
    turns: RoundRobin

    def take_body(self, request: Request, responder: Responder) -> BodySink | None:
        """Who takes the body of *request* as it comes; None if it is to be handed over whole."""

    def handle(self, request: Request, responder: Responder) -> None:
        """Answer *request* through *responder*, now or later."""


class ReadState(Enum):
    """What comes next: a head, more of a body, or nothing that is looked at."""

    HEAD = auto()
    BODY = auto()
    CLOSED = auto()


HEAD: Final = ReadState.HEAD
BODY: Final = ReadState.BODY
CLOSED: Final = ReadState.CLOSED
"""Names of their own: until Python 3.12, to look one up in its class takes longer than a step between them."""


class RequestReader:
    """Cuts the requests of one connection out of its bytes, and hands them to *handler*.

    ``lingers`` says that what still comes is read and dropped, behind a request that was refused.
    """

    __slots__ = (
        "_answers", "_body", "_carrier", "_credit", "_flow", "_handler", "_heads", "_loop", "_make_responder",
        "_most_at_once", "_request", "_searched", "buffer", "lingers", "state",
    )  # fmt: skip

    def __init__(
        self,
        carrier: Carrier,
        answers: AnswerQueue,
        flow: FlowControl,
        handler: RequestHandler,
        loop: AbstractEventLoop,
    ) -> None:
        self.buffer = b""
        self.lingers = False
        self.state = HEAD
        self._answers = answers
        self._body: Body | None = None
        self._carrier = carrier
        self._credit = 0
        self._flow = flow
        self._handler = handler
        self._heads = HeadReader()
        self._loop = loop
        self._make_responder = handler.make_responder
        self._most_at_once = min(limits.SMALL_BODY, handler.max_body)
        self._request: Request | None = None
        self._searched = 0

    def certify(self, name: str) -> None:
        """Whoever is at the other end has shown a certificate of this *name*."""
        self._heads.bare = Credentials(b"", certificate=name)

    # -- turns

    def advance(self) -> None:
        """Take requests from the buffer as far as it goes; answers that are there by then go out together."""
        answers, flow = self._answers, self._flow
        answers.corked = True
        self._credit = limits.REQUESTS_A_TURN
        try:
            while self.buffer and not flow.blocked and self._take():
                pass
            if self.buffer or self._body or flow.incoming.size:
                self._count_incoming()
        except Exception as error:
            self.refuse(as_bus_error(error, "reading a request"))
        answers.corked = False
        if answers.waiting and answers.waiting[0].done:
            self._carrier.flush()
        if self.buffer or not flow.reading:
            flow.balance()

    def advance_soon(self) -> None:
        """Go on in the next turn of the loop."""
        if not self._flow.waiting:
            self._flow.waiting = True
            self._loop.call_soon(self._go_on)

    def _take_turn(self) -> None:
        """Go on when all others that have much to do have had their turn."""
        if not self._flow.waiting:
            self._flow.waiting = True
            self._handler.turns.add(self._go_on)

    def _go_on(self) -> None:
        self._flow.waiting = False
        self.advance()

    def _count_incoming(self) -> None:
        """Say how much of what is coming in is held. Raises `OverloadedError` if that is too much by now."""
        if self._carrier.stream:
            self.buffer = b""  # nothing can follow a stream
        kept = self._body.size if self._body else 0
        self._flow.incoming.resize(len(self.buffer) + kept)

    def _take(self) -> bool:
        """Take a request, or a piece of a body; False if more bytes are needed, or none wanted for now."""
        if self.state is HEAD and self._credit:
            return self._take_request()
        if self.state is BODY:
            return self._take_body()
        if not self._credit:
            self._take_turn()
        return False

    # -- requests

    def _take_request(self) -> bool:
        """Take a head, and handle its request if all of it is here; else see to its body."""
        buffer = self.buffer
        if buffer.startswith(b"\r\n"):
            buffer = self._skip_empty_lines()
        body = buffer.find(b"\r\n\r\n", self._searched) + 4
        if body < 4:
            self._wait_for_head()
            return False
        self._searched = 0
        self._credit -= 1
        head, credentials = self._heads.read(buffer[:body])
        section = head.section
        self._answers.waiting.append(responder := self._make_responder(self._carrier, head, not section.keep_alive))
        end = body + section.length
        if end > len(buffer) or section.length > self._most_at_once or not section.at_once:
            self.buffer = buffer[body:]
            self._begin_body(Request(head, b"", credentials), responder)
            return True
        self.buffer = buffer[end:]
        self._await_next(head)
        self._handler.handle(Request(head, buffer[body:end], credentials), responder)
        return True

    def _skip_empty_lines(self) -> bytes:
        """Pass over empty lines before a head (RFC 9112, section 2.2)."""
        self.buffer = _EMPTY_LINES.sub(b"", self.buffer, count=1)
        self._searched = 0
        return self.buffer

    def _wait_for_head(self) -> None:
        if len(self.buffer) > limits.HEAD_BYTES:
            raise self._head_too_large()
        if self.buffer.count(b"\n") > self.buffer.count(b"\r\n"):
            raise MalformedError("the request's lines don't end in CR LF")
        self._searched = max(len(self.buffer) - 3, 0)
        self._carrier.deadline = min(self._carrier.deadline, self._loop.time() + limits.HEAD_SECONDS)

    def _head_too_large(self) -> BusError:
        if b"\r\n" not in self.buffer[: limits.REQUEST_LINE_BYTES + 2]:
            return RequestLineTooLongError(f"the request line is longer than {limits.REQUEST_LINE_BYTES} bytes")
        return HeadTooLargeError(f"the headers are longer than {limits.HEAD_BYTES} bytes")

    def _await_next(self, head: Head) -> None:
        """The request is complete: what comes now is the next one."""
        self.state = HEAD if head.section.keep_alive else CLOSED
        carrier = self._carrier
        carrier.deadline = NEVER if carrier.writable else self._loop.time() + limits.UNREAD_SECONDS
        if head.path != "/":
            self._credit = 0
        elif head.raw_query:
            self._credit -= min(len(head.raw_query) // limits.LONG_QUERY, self._credit)

    # -- bodies

    def _begin_body(self, request: Request, responder: Responder) -> None:
        self._request = request
        head = request.head
        check_expectation(head.section)
        sink = self._handler.take_body(request, responder)
        self._body = Body(head, sink=sink, most=self._handler.max_body)
        self._flow.uploading = sink is not None
        if not sink:
            self._handler.incoming.check(head.section.length)
        self.state = BODY
        self._carrier.deadline = self._loop.time() + limits.BODY_SECONDS
        if head.section.expects and not self.buffer and not self._body.done:
            responder.write(b"HTTP/1.1 100 Continue\r\n\r\n")
        self._end_request_if_done()

    def _take_body(self) -> bool:
        assert self._body
        if self._body.sink and self._request and self._request.head.section.is_ndjson:
            self._carrier.deadline = self._loop.time() + limits.UPLOAD_IDLE_SECONDS
        self.buffer = self._body.take(self.buffer)
        self._flow.paused = self._body.paused
        if self._body.behind:
            self._take_turn()
        return self._end_request_if_done()

    def _end_request_if_done(self) -> bool:
        """A large body is much to do at once: its request is handled when its turn comes."""
        assert self._body
        if not self._body.done:
            return False
        if self._body.size > limits.SMALL_BODY:
            self._flow.waiting = True
            self._flow.balance()
            self._handler.turns.add(self._end_large_request)
            return False
        self._end_request()
        return True

    def _end_large_request(self) -> None:
        self._flow.waiting = False
        if self._request:
            self._end_request()
        self.advance()

    def _end_request(self) -> None:
        request, body = self._request, self._body
        assert request is not None
        assert body is not None
        self._forget_request()
        request.body = body.whole
        self._await_next(request.head)
        if body.sink:
            body.sink.finish()
        else:
            self._handler.handle(request, self._answers.waiting[-1])

    def _forget_request(self) -> None:
        self._request = self._body = None
        self._flow.uploading = False

    @property
    def has_body_coming(self) -> bool:
        return self._body is not None

    # -- the end

    def refuse(self, error: BusError) -> None:
        """Answer a request that can't be read on; what follows it can't be understood either."""
        self.close()
        self._flow.incoming.release()
        self._flow.paused = False
        self.lingers = True
        if not self._request:
            self._answers.waiting.append(self._make_responder(self._carrier, None, True))
        responder, sink = self._answers.waiting[-1], self._body and self._body.sink
        self._forget_request()
        responder.close = True
        (sink or responder).fail(error)

    def close(self) -> None:
        """Take no more requests."""
        self.state = CLOSED
        self.buffer = b""

    def lose(self) -> None:
        """The connection is gone, and nobody sends the rest."""
        self.close()
        self._forget_request()

    @property
    def begun(self) -> bool:
        """Whether a part of a request is here."""
        return bool(self._request or self.buffer)

    def __repr__(self) -> str:
        return f"<RequestReader at {self.state.name.lower()}, {len(self.buffer)} bytes to look at>"
