"""A subscriber's connection that tells a tracer of what it is sent."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

from bus.engine.base import Subscribe
from bus.server.api.large_writes import KeptPieces
from bus.server.api.stream_sink import StreamSink
from bus.server.api.traced_events import TracedEvent, traced_events
from bus.server.http.responder import Responder
from bus.tracing import DELIVER, Facts, Span, Tracing


class TracedSink(StreamSink):
    """The connection of a subscriber that takes part in a consumer; each traced event that is sent is a span."""

    __slots__ = ("_tracing", "_wanted")

    def __init__(self, responder: Responder, wanted: Subscribe, *, kept: KeptPieces, tracing: Tracing) -> None:
        super().__init__(responder, wanted.format, kept=kept)
        self._wanted = wanted
        self._tracing = tracing

    def write(self, data: bytes, again: Callable[[], bytes] | None = None) -> None:
        spans = [self._begin(event) for event in traced_events(data, self._wanted.format)]
        super().write(data, again)
        for span in spans:
            span.end()

    def _begin(self, event: TracedEvent) -> Span:
        group = self._wanted.consumer
        facts: dict[str, Any] = {
            "message.id": event.id,
            "client.id": self.id,
            "bus.event.index": event.index,
            "bus.event.attempts": event.attempts,
        }
        told: Facts = {**facts, "consumer.group.name": group} if group else facts
        return self._tracing.begin(DELIVER, event.subject, parent=event.headers, facts=told)
