"""The calls of a client that traces, and the handlers of its workers: each within a span."""
# Generated from bus/client/aio/tracing.py by `make generate`: change that one.

from __future__ import annotations

from collections.abc import Callable, Iterable
from typing import TYPE_CHECKING, Any, Literal, TypeVar

from bus.client.blocking.calls import Calls
from bus.client.blocking.delivery import Delivery
from bus.client.blocking.handling import Handler
from bus.client.blocking.stream import Stream
from bus.client.core.draft import EventFields, OutgoingEvent
from bus.client.core.get_options import GetOptions
from bus.client.core.handle_spans import HandleSpans
from bus.client.core.publish_spans import PublishSpans, note_outcomes, note_receipt
from bus.client.core.request import Parameters, Requests
from bus.client.core.response import Response
from bus.errors import BusError
from bus.event import Draft, Receipt
from bus.tracing import PUBLISH, REQUEST, Tracing

if TYPE_CHECKING:
    from ssl import SSLContext

_T = TypeVar("_T")


class TracedCalls(Calls):
    """Does what `Calls` does, and tells *tracing*."""

    def __init__(
        self,
        tracing: Tracing,
        requests: Requests,
        *,
        timeout: float,
        tls: SSLContext | None,
    ) -> None:
        super().__init__(requests, timeout=timeout, tls=tls)
        self._tracing = tracing
        self._spans = PublishSpans(tracing)

    def publish(self, event: OutgoingEvent, *, timeout: float | None) -> Receipt:
        with self._spans.one(event) as span:
            receipt = super().publish(event, timeout=timeout)
            note_receipt(span, receipt)
            return receipt

    def publish_if(self, event: OutgoingEvent, expected: Parameters, *, timeout: float | None) -> Receipt:
        with self._spans.one(event) as span:
            receipt = super().publish_if(event, expected, timeout=timeout)
            note_receipt(span, receipt)
            return receipt

    def publish_later(self, event: OutgoingEvent, when: Parameters, *, timeout: float | None) -> Receipt:
        with self._spans.one(event):
            return super().publish_later(event, when, timeout=timeout)

    def publish_batch(
        self, events: Iterable[EventFields | Draft], *, expected: Parameters | None, timeout: float | None
    ) -> Receipt:
        created = self._spans.created(events)
        with self._spans.many(created):
            return super().publish_batch(created, expected=expected, timeout=timeout)

    def publish_each(self, events: Iterable[EventFields | Draft], *, timeout: float | None) -> list[Receipt | BusError]:
        created = self._spans.created(events)
        with self._spans.many(created) as span:
            outcomes = super().publish_each(created, timeout=timeout)
            note_outcomes(span, outcomes)
            return outcomes

    def publish_and_wait(
        self,
        event: OutgoingEvent,
        read: Callable[[Response], _T],
        *,
        wait: Literal["reply", "confirm"],
        timeout: float | None,
        count: int = 1,
        expected: Parameters | None = None,
    ) -> _T:
        with self._spans.one(event, REQUEST if wait == "reply" else PUBLISH) as span:
            answer = super().publish_and_wait(event, read, wait=wait, timeout=timeout, count=count, expected=expected)
            if isinstance(answer, Receipt):
                note_receipt(span, answer)
            return answer

    def subscribe(self, options: GetOptions) -> Stream:
        stream = super().subscribe(options)
        if options.manual:
            stream.trace(HandleSpans(self._tracing, options))
        return stream


def traced(handler: Handler, spans: HandleSpans | None) -> Handler:
    """*handler*, each call of it within one of *spans*, if there are any."""
    if spans is None:
        return handler

    def call(event: Delivery) -> Any:
        span = spans.begin(event)
        with span.current():
            try:
                return handler(event)
            except BaseException as error:
                span.record(error)
                raise

    return call
