"""Tracing by OpenTelemetry: its API alone, so that the program says where spans go.

The conventions are those of messaging spans (https://opentelemetry.io/docs/specs/semconv/messaging/messaging-spans/),
whose names are written out here: the package that has them as constants changes them with each release.
"""

from __future__ import annotations

from collections.abc import Sequence
from contextlib import AbstractContextManager

from opentelemetry.context import Context
from opentelemetry.trace import (
    Link,
    SpanContext,
    SpanKind,
    Status,
    StatusCode,
    TracerProvider,
    get_current_span,
    get_tracer,
    use_span,
)
from opentelemetry.trace import Span as RecordedSpan
from opentelemetry.trace.propagation import set_span_in_context
from opentelemetry.trace.propagation.tracecontext import TraceContextTextMapPropagator

from bus.subject import is_inbox
from bus.tracing import NO_FACTS, Carrier, Facts, Operation, Span

SYSTEM = "bus"
SCHEMA = "https://opentelemetry.io/schemas/1.38.0"

_context = TraceContextTextMapPropagator()


class OpenTelemetrySpan:
    """A span of OpenTelemetry's."""

    __slots__ = ("_failed", "_span")

    def __init__(self, span: RecordedSpan) -> None:
        self._span = span
        self._failed = False

    @property
    def carrier(self) -> Carrier:
        headers: dict[str, str] = {}
        _context.inject(headers, set_span_in_context(self._span, Context()))
        return headers

    def note(self, facts: Facts) -> None:
        self._span.set_attributes({f"messaging.{name}": value for name, value in facts.items()})

    def fail(self, kind: str, why: str) -> None:
        if self._failed:
            return
        self._failed = True
        self._span.set_attribute("error.type", kind)
        self._span.set_status(Status(StatusCode.ERROR, why))

    def record(self, error: BaseException) -> None:
        self._span.record_exception(error)
        self.fail(type(error).__qualname__, str(error))

    def end(self) -> None:
        self._span.end()

    def current(self) -> AbstractContextManager[object]:
        return use_span(self._span, record_exception=False, set_status_on_exception=False)


class OpenTelemetryTracing:
    """Spans of the *provider*, by default the program's, of what is done at the server *address* and *port*."""

    def __init__(
        self, provider: TracerProvider | None = None, *, version: str, address: str = "", port: int = 0
    ) -> None:
        self._tracer = get_tracer("bus", version, provider, SCHEMA)
        self._common: dict[str, str | int] = {"messaging.system": SYSTEM}
        if address:
            self._common.update({"server.address": address, "server.port": port})

    def begin(
        self,
        operation: Operation,
        subject: str,
        *,
        template: str = "",
        parent: Carrier | None = None,
        links: Sequence[Carrier] = (),
        facts: Facts = NO_FACTS,
    ) -> Span:
        span = self._tracer.start_span(
            _name(operation, subject, template),
            None if parent is None else _context.extract(parent, Context()),
            SpanKind[operation.kind.name],
            self._common
            | _attributes(operation, subject, template)
            | {f"messaging.{name}": value for name, value in facts.items()},
            [Link(found) for carrier in links if (found := _context_in(carrier)).is_valid],
        )
        return OpenTelemetrySpan(span)

    def __repr__(self) -> str:
        return "<OpenTelemetryTracing>"


def _context_in(carrier: Carrier) -> SpanContext:
    return get_current_span(_context.extract(carrier, Context())).get_span_context()


def _name(operation: Operation, subject: str, template: str) -> str:
    """What is done to what. An inbox's name is used once, so it is left out."""
    destination = template or ("" if is_inbox(subject) else subject)
    return f"{operation.name} {destination}".rstrip()


def _attributes(operation: Operation, subject: str, template: str) -> dict[str, str | int]:
    found: dict[str, str | int] = {
        "messaging.operation.name": operation.name,
        "messaging.operation.type": operation.type,
    }
    if subject:
        found["messaging.destination.name"] = subject
    if template:
        found["messaging.destination.template"] = template
    if is_inbox(subject):
        found["messaging.destination.temporary"] = True
    return found
