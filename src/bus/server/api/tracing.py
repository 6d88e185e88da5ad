"""Spans of what a server does, each part of the trace that the event brings.

    publish   from when an event is read until it is stored or refused
    deliver   from when an event is handed out to a consumer until it is on its way (`traced_sink`)

A batch is one span, linked to what its events bring.

An event without a context gets that of its request, if that has one, as `caller_of` finds it; else a new trace
begins. Its headers tell the worker. What an event brings is left as it is.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from itertools import islice

from bus.engine.base import AwaitedConfirmations, Expected, Outcome, Publisher, Publishing, Replied
from bus.errors import BusError
from bus.event import Draft, with_headers
from bus.server.http.request import Head
from bus.subject import MAX_SUBJECT_BYTES
from bus.tracing import ACCEPT, TRACEPARENT, TRACESTATE, Carrier, Span, Tracing, is_traced
from bus.wire import Durability

MOST_LINKS = 128
"""What a span of OpenTelemetry keeps, unless it is told otherwise."""


def caller_of(head: Head) -> Carrier:
    """The context that a request brings."""
    found = {name: head.section.header(name.encode()) for name in (TRACEPARENT, TRACESTATE)}
    return {name: value for name, value in found.items() if value}


def accept_later(tracing: Tracing, head: Head, draft: Draft) -> None:
    """*draft* is taken, to be published later."""
    _begin(tracing, draft, caller_of(head)).end()


def _begin(tracing: Tracing, draft: Draft, caller: Carrier) -> Span:
    """The span of one event, whose headers hold its context if they held none."""
    traced = is_traced(draft.headers)
    span = tracing.begin(ACCEPT, _subject_of(draft), parent=draft.headers if traced else caller)
    if not traced:
        draft.headers = with_headers(draft.headers, span.carrier)
    return span


class TracedPublishing:
    """Publishing on *engine* for one request, whose *caller* may be traced."""

    __slots__ = ("_caller", "_engine", "_tracing")

    def __init__(self, engine: Publishing, tracing: Tracing, caller: Carrier) -> None:
        self._engine = engine
        self._tracing = tracing
        self._caller = caller

    def publish(
        self,
        drafts: Sequence[Draft],
        publisher: Publisher,
        *,
        atomic: bool = True,
        expected: Expected | None = None,
        now: int,
    ) -> None:
        in_one = atomic and len(drafts) > 1
        spans = (
            [self._begin_batch(drafts)] if in_one else [_begin(self._tracing, draft, self._caller) for draft in drafts]
        )
        traced = _TracedPublisher(publisher, spans)
        try:
            self._engine.publish(drafts, traced, atomic=atomic, expected=expected, now=now)
        except BusError as error:
            traced.refused(error)
            raise

    def _begin_batch(self, drafts: Sequence[Draft]) -> Span:
        """The one span of a batch, linked to the contexts that its events bring."""
        subjects = {_subject_of(draft) for draft in drafts}
        span = self._tracing.begin(
            ACCEPT,
            subjects.pop() if len(subjects) == 1 else "",
            parent=self._caller,
            links=list(islice((draft.headers for draft in drafts if draft.headers), MOST_LINKS)),
            facts={"batch.message_count": len(drafts)},
        )
        for draft in drafts:
            if not is_traced(draft.headers):
                draft.headers = with_headers(draft.headers, span.carrier)
        return span

    def await_reply(self, inbox: str, replied: Replied) -> None:
        self._engine.await_reply(inbox, replied)

    def forget_reply(self, inbox: str) -> None:
        self._engine.forget_reply(inbox)

    def await_confirmations(self, namespace: str, changed: Callable[[Sequence[str]], None]) -> AwaitedConfirmations:
        return self._engine.await_confirmations(namespace, changed)

    def __repr__(self) -> str:
        return f"<TracedPublishing on {self._engine!r}>"


class _TracedPublisher:
    """Tells *publisher* what it waits for, and the span of each event how it ends."""

    __slots__ = ("_publisher", "_spans")

    def __init__(self, publisher: Publisher, spans: Sequence[Span]) -> None:
        self._publisher = publisher
        self._spans = spans

    def stored(self, outcomes: Sequence[Outcome], durability: Durability) -> None:
        if len(outcomes) == len(self._spans):
            for span, outcome in zip(self._spans, outcomes, strict=True):
                _note(span, outcome)
        self._end()
        self._publisher.stored(outcomes, durability)

    def failed(self, error: BusError) -> None:
        self.refused(error)
        self._publisher.failed(error)

    def refused(self, error: BusError) -> None:
        """None of the events is stored."""
        for span in self._spans:
            span.fail(error.code, error.message)
        self._end()

    def _end(self) -> None:
        for span in self._spans:
            span.end()


def _note(span: Span, outcome: Outcome) -> None:
    if isinstance(outcome, BusError):
        span.fail(outcome.code, outcome.message)
    else:
        span.note({"message.id": outcome.id, "bus.event.index": outcome.index})


def _subject_of(draft: Draft) -> str:
    """What *draft* is about, if it can be a subject."""
    subject = draft.subject or ""
    return subject if len(subject) <= MAX_SUBJECT_BYTES else ""
