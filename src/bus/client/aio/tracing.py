"""The calls of a client that traces, and the handlers of its workers: each within a span."""
# ruff: noqa: ASYNC109  (a timeout given by the caller is part of the request and of the error it ends in)

from __future__ import annotations

from collections.abc import Callable, Iterable
from typing import TYPE_CHECKING, Any, Literal, TypeVar

from bus.client.aio.calls import AsyncCalls
from bus.client.aio.delivery import AsyncDelivery
from bus.client.aio.handling import AsyncHandler
from bus.client.aio.stream import AsyncStream
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


class AsyncTracedCalls(AsyncCalls):
    """Does what `AsyncCalls` does, and tells *tracing*."""

    def __init__(
        self,
        tracing: Tracing,
        requests: Requests,
        *,
        timeout: float,
        tls: SSLContext | None,
        max_connections: int,
    ) -> None:
        super().__init__(requests, timeout=timeout, tls=tls, max_connections=max_connections)
        self._tracing = tracing
        self._spans = PublishSpans(tracing)

    async def publish(self, event: OutgoingEvent, *, timeout: float | None) -> Receipt:
        with self._spans.one(event) as span:
            receipt = await super().publish(event, timeout=timeout)
            note_receipt(span, receipt)
            return receipt

    async def publish_if(self, event: OutgoingEvent, expected: Parameters, *, timeout: float | None) -> Receipt:
        with self._spans.one(event) as span:
            receipt = await super().publish_if(event, expected, timeout=timeout)
            note_receipt(span, receipt)
            return receipt

    async def publish_later(self, event: OutgoingEvent, when: Parameters, *, timeout: float | None) -> Receipt:
        with self._spans.one(event):
            return await super().publish_later(event, when, timeout=timeout)

    async def publish_batch(
        self, events: Iterable[EventFields | Draft], *, expected: Parameters | None, timeout: float | None
    ) -> Receipt:
        created = self._spans.created(events)
        with self._spans.many(created):
            return await super().publish_batch(created, expected=expected, timeout=timeout)

    async def publish_each(
        self, events: Iterable[EventFields | Draft], *, timeout: float | None
    ) -> list[Receipt | BusError]:
        created = self._spans.created(events)
        with self._spans.many(created) as span:
            outcomes = await super().publish_each(created, timeout=timeout)
            note_outcomes(span, outcomes)
            return outcomes

    async def publish_and_wait(
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
            answer = await super().publish_and_wait(
                event, read, wait=wait, timeout=timeout, count=count, expected=expected
            )
            if isinstance(answer, Receipt):
                note_receipt(span, answer)
            return answer

    def subscribe(self, options: GetOptions) -> AsyncStream:
        stream = super().subscribe(options)
        if options.manual:
            stream.trace(HandleSpans(self._tracing, options))
        return stream


def traced(handler: AsyncHandler, spans: HandleSpans | None) -> AsyncHandler:
    """*handler*, each call of it within one of *spans*, if there are any."""
    if spans is None:
        return handler

    async def call(event: AsyncDelivery) -> Any:
        span = spans.begin(event)
        with span.current():
            try:
                return await handler(event)
            except BaseException as error:
                span.record(error)
                raise

    return call
