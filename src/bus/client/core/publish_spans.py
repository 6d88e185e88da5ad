"""Spans of what a client publishes. Their context goes into the headers of events that have none of their own.

put, request   publish ─▶ headers
put_many       create ─▶ headers, for each event; publish, linked to all of them
"""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Sequence
from contextlib import contextmanager

from msgspec.structs import replace

from bus.client.core.draft import EventFields, OutgoingEvent
from bus.errors import BusError
from bus.event import Draft, Receipt, with_headers
from bus.tracing import CREATE, NO_CARRIER, PUBLISH, Carrier, Operation, Span, Tracing, is_traced


class PublishSpans:
    """Begins the spans of one client's publishing."""

    __slots__ = ("_tracing",)

    def __init__(self, tracing: Tracing) -> None:
        self._tracing = tracing

    @contextmanager
    def one(self, event: OutgoingEvent, operation: Operation = PUBLISH) -> Iterator[Span]:
        """The span of publishing *event*, which is to be encoded within."""
        with _ending(self._begin(event, operation)) as span:
            yield span

    def _begin(self, event: OutgoingEvent, operation: Operation) -> Span:
        if event.headers and is_traced(event.headers):
            return self._tracing.begin(operation.of_created, event.subject, links=[event.headers])
        span = self._tracing.begin(operation, event.subject)
        event.headers = with_headers(event.headers, span.carrier)
        return span

    def created(self, events: Iterable[EventFields | Draft]) -> list[EventFields | Draft]:
        """*events*, each with a context in its headers."""
        return [self._created(event) for event in events]

    def _created(self, event: EventFields | Draft) -> EventFields | Draft:
        if is_traced(_headers_of(event)):
            return event
        span = self._tracing.begin(CREATE, _subject_of(event))
        headers = with_headers(_headers_of(event), span.carrier)
        span.end()
        if isinstance(event, Draft):
            return replace(event, headers=headers)
        return {**event, "headers": headers}

    @contextmanager
    def many(self, created: Sequence[EventFields | Draft]) -> Iterator[Span]:
        """The span of publishing those that were `created`."""
        subjects = {_subject_of(event) for event in created}
        span = self._tracing.begin(
            PUBLISH.of_created,
            subjects.pop() if len(subjects) == 1 else "",
            links=[_headers_of(event) or NO_CARRIER for event in created],
            facts={"batch.message_count": len(created)},
        )
        with _ending(span):
            yield span


@contextmanager
def _ending(span: Span) -> Iterator[Span]:
    try:
        yield span
    except BaseException as error:
        span.record(error)
        raise
    finally:
        span.end()


def note_receipt(span: Span, receipt: Receipt) -> None:
    """The event was stored; one that is published later has no place yet."""
    if receipt.index:
        span.note({"message.id": receipt.id, "bus.event.index": receipt.index})


def note_outcomes(span: Span, outcomes: Sequence[Receipt | BusError]) -> None:
    """Some of the events may have been refused."""
    refused = [outcome for outcome in outcomes if isinstance(outcome, BusError)]
    if refused:
        why = f"{len(refused)} of {len(outcomes)} events were not stored, the first: {refused[0]}"
        span.fail(type(refused[0]).__qualname__, why)


def _subject_of(event: EventFields | Draft) -> str:
    return str((event.subject if isinstance(event, Draft) else event.get("subject")) or "")


def _headers_of(event: EventFields | Draft) -> Carrier | None:
    return event.headers if isinstance(event, Draft) else event.get("headers")
