"""Spans of events that are being handled, from when one is handed out to the last word on it.

    hand-out ──▶ ack                  over
             ──▶ nack, reject         failed: by the exception of a worker's handler, else by what was said
             ──▶ handed out again     failed, and begun anew
             ──▶ the stream's end     failed

Assumption: the server has at most the prefetched number of events in flight on a connection. One beyond these was
settled by its id, past its stream, and its span is over when the next event is handed out.
"""

from __future__ import annotations

from threading import Lock

from bus.client.core.delivery import Delivered
from bus.client.core.get_options import GetOptions
from bus.client.core.request import Acknowledgement
from bus.subject import Filter
from bus.tracing import PROCESS, Facts, Span, Tracing


class HandleSpans:
    """The spans of the events of one stream. Any thread may call it."""

    def __init__(self, tracing: Tracing, options: GetOptions) -> None:
        self._tracing = tracing
        self._patterns = [(text, Filter.parse([text])) for text in options.subjects if text.endswith((".*", ".>"))]
        self._group = options.consumer
        self._most = options.prefetch or 1
        self._spans: dict[str, Span] = {}
        self._lock = Lock()

    def begin(self, event: Delivered) -> Span:
        """*event* is handed out."""
        span = self._tracing.begin(
            PROCESS,
            event.subject,
            template=self._template(event.subject),
            parent=event.headers,
            links=[event.headers],
            facts=self._facts(event),
        )
        with self._lock:
            before = self._spans.pop(event.id, None)
            beyond = max(len(self._spans) + 1 - self._most, 0)
            others = [self._spans.pop(oldest) for oldest in list(self._spans)[:beyond]]
            self._spans[event.id] = span
        if before is not None:
            _fail(before, "redelivered", "the event was delivered again before anything was said of it")
        for other in others:
            other.end()
        return span

    def settled(self, event: Delivered, said: Acknowledgement) -> None:
        """*said* is said of *event*, or will be when it comes again."""
        if said.action == "extend" or (span := self._taken(event)) is None:
            return
        span.note({"bus.settlement": said.action})
        if said.action == "ack":
            span.end()
        else:
            _fail(span, said.action, said.reason)

    def refused(self, event: Delivered, said: Acknowledgement, error: BaseException) -> None:
        """*said* could not be said of *event*."""
        if said.action != "extend" and (span := self._taken(event)) is not None:
            span.record(error)
            span.end()

    def end(self) -> None:
        """The stream has ended: nothing will be said of what was handed out."""
        with self._lock:
            spans, self._spans = self._spans, {}
        for span in spans.values():
            _fail(span, "unsettled", "the subscription ended before anything was said of the event")

    def forked(self) -> None:
        """In a child: the spans are the parent's to end."""
        self._spans = {}
        self._lock = Lock()

    def _taken(self, event: Delivered) -> Span | None:
        with self._lock:
            return self._spans.pop(event.id, None)

    def _template(self, subject: str) -> str:
        """The pattern that has brought *subject*, empty if it was asked for by its name."""
        wire = subject.encode()
        return next((text for text, pattern in self._patterns if pattern.matches(wire)), "")

    def _facts(self, event: Delivered) -> Facts:
        facts: dict[str, str | int] = {
            "message.id": event.id,
            "client.id": event.consumer_id,
            "bus.event.index": event.index,
            "bus.event.attempts": event.attempts,
        }
        return {**facts, "consumer.group.name": self._group} if self._group else facts

    def __repr__(self) -> str:
        return f"<HandleSpans, {len(self._spans)} under way>"


def _fail(span: Span, kind: str, why: str) -> None:
    span.fail(kind, why)
    span.end()
