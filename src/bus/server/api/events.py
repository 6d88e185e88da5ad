"""The routes of ``/``: publishing, subscribing, acknowledging, and asking whether anybody is there."""

from __future__ import annotations

import time
from asyncio import AbstractEventLoop
from collections.abc import Callable
from functools import partial

from bus.drafts import decode_events
from bus.engine.base import Engine, Publishing
from bus.errors import InvalidParameterError
from bus.event import Draft
from bus.server.api.acknowledge import acknowledge
from bus.server.api.later import answer_later
from bus.server.api.permits import Permits
from bus.server.api.publish import Accepting, WaitedPublishing, check_upload
from bus.server.api.publish_ndjson import NdjsonUpload
from bus.server.api.publish_options import NO_OPTIONS, PublishOptions, read_options
from bus.server.api.schedules import read_due, schedule
from bus.server.api.subscribe import Streams
from bus.server.api.tracing import TracedPublishing, accept_later, caller_of
from bus.server.api.upload_turns import UploadTurns
from bus.server.http.duty_cycle import DutyCycle
from bus.server.http.memory_limits import Memory
from bus.server.http.request import Request
from bus.server.http.responder import Responder
from bus.tracing import Tracing


class EventRoutes:
    """Hands the events of requests to *engine* as *permits* allow, and its own through *streams*.

    Lines of an upload are at most *longest* bytes; what is held of them counts in *memory*.
    The work of uploads rests as *duty* says. What is published is told to *tracing*, if somebody traces.
    """

    def __init__(
        self,
        engine: Engine,
        permits: Permits,
        streams: Streams,
        *,
        longest: int,
        memory: Memory,
        duty: DutyCycle,
        loop: AbstractEventLoop,
        tracing: Tracing | None = None,
    ) -> None:
        self._engine = engine
        self._permits = permits
        self._streams = streams
        self._longest = longest
        self._memory = memory
        self._turns = UploadTurns(loop, duty)
        self._waited = WaitedPublishing(permits, loop)
        self._loop = loop
        self._tracing = tracing

    def publish(self, request: Request, responder: Responder) -> None:
        """Store what is in the body, then answer 202, or wait for what others make of it."""
        query, now = request.head.raw_query, time.time_ns()
        options = read_options(query) if query else NO_OPTIONS
        if options.wait:
            self._waited.publish(self._publishing(request), request, responder, options, now=now)
            return
        events = decode_events(request.body)
        self._permits.check_events(request, responder, events)
        if (options.delay or events[0].deliver_at) and (due := read_due(options.delay, events, now=now)):
            self._publish_later(request, responder, events[0], options, due=due, now=now)
        else:
            self._publishing(request).publish(events, Accepting(responder), expected=options.expected, now=now)

    def _publish_later(
        self, request: Request, responder: Responder, event: Draft, options: PublishOptions, *, due: int, now: int
    ) -> None:
        if options.expected:
            raise InvalidParameterError("nobody knows yet where the log will end: give a time or expect")
        if self._tracing is not None:
            accept_later(self._tracing, request.head, event)
        answer_later(responder, schedule(self._engine.schedules, event, responder, due=due, now=now))

    def _publishing(self, request: Request) -> Publishing:
        if self._tracing is None:
            return self._engine
        return TracedPublishing(self._engine, self._tracing, caller_of(request.head))

    def take_lines(self, request: Request, responder: Responder, read_on: Callable[[], None]) -> NdjsonUpload:
        """Who publishes the lines of *request*, which are yet to come."""
        check_upload(request)
        return NdjsonUpload(
            self._publishing(request), responder,
            longest=self._longest, chunked=request.head.section.version == b"1.1", read_on=read_on,
            judge=partial(self._permits.judge_lines, request, responder), turns=self._turns, memory=self._memory,
            loop=self._loop,
        )  # fmt: skip

    def subscribe(self, request: Request, responder: Responder) -> None:
        self._streams.open(request, responder, now=time.time_ns())

    def acknowledge(self, request: Request, responder: Responder) -> None:
        acknowledge(self._engine, self._permits, request, responder)

    def probe(self, request: Request, responder: Responder) -> None:
        """Say that the server runs."""
        responder.respond(200)

    def __repr__(self) -> str:
        return f"<EventRoutes of {self._engine!r}>"
