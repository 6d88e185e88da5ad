"""Tracing: what Bus says of its operations to whoever follows a trace. The seam; `bus.tracing.otel` is behind it.

    publish ──▶ headers of the event ──▶ log ──▶ handle
       │           traceparent                      │
       └────────────── one trace ───────────────────┘

Who doesn't trace has None in place of a `Tracing`, so that there is nothing to be called. A trace goes along as W3C
Trace Context (https://www.w3.org/TR/trace-context/), in the headers of an event as it would in those of HTTP. Names
are those of OpenTelemetry's semantic conventions for messaging.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from contextlib import AbstractContextManager
from dataclasses import dataclass, replace
from enum import StrEnum
from typing import Protocol

Carrier = Mapping[str, str]
"""Headers that may hold the context of a span."""

Facts = Mapping[str, str | int]
"""What is known of an operation, by the names of the conventions behind ``messaging.``."""

TRACEPARENT = "traceparent"
TRACESTATE = "tracestate"

MISSING = "OpenTelemetry is not installed: pip install 'busd[otel]'"

NO_FACTS: Facts = {}
NO_CARRIER: Carrier = {}


class Kind(StrEnum):
    """Which part an operation has in a trace."""

    PRODUCER = "producer"
    CONSUMER = "consumer"
    CLIENT = "client"
    SERVER = "server"


@dataclass(frozen=True, slots=True)
class Operation:
    """What is done with events: its name here, its type in the conventions, its part in a trace."""

    name: str
    type: str
    kind: Kind

    @property
    def of_created(self) -> Operation:
        """The same on events that have a context already: of a `CREATE`, or one of their publisher's own."""
        return replace(self, kind=Kind.CLIENT)


PUBLISH = Operation("publish", "send", Kind.PRODUCER)
REQUEST = Operation("request", "send", Kind.PRODUCER)
CREATE = Operation("create", "create", Kind.PRODUCER)
PROCESS = Operation("process", "process", Kind.CONSUMER)
ACCEPT = Operation("publish", "receive", Kind.SERVER)
DELIVER = Operation("deliver", "send", Kind.CLIENT)


class Span(Protocol):
    """One operation that is under way."""

    @property
    def carrier(self) -> Carrier:
        """Headers that hold its context."""

    def note(self, facts: Facts) -> None:
        """Add what has come to be known."""

    def fail(self, kind: str, why: str) -> None:
        """It has failed: *kind* is one of few, *why* is for people. The first failure counts."""

    def record(self, error: BaseException) -> None:
        """It has failed with *error*."""

    def end(self) -> None:
        """It is over."""

    def current(self) -> AbstractContextManager[object]:
        """While this is entered, spans that are begun are part of it."""


class Tracing(Protocol):
    """Begins spans."""

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
        """An *operation* on events of *subject* begins.

        *template* is the pattern that stands for many such subjects. What holds the *parent* is a carrier, without
        any context in it the span begins a trace; None makes it part of the span that is current. The operations that
        led here besides are its *links*.
        """


def is_traced(headers: Carrier | None) -> bool:
    """Whether *headers* hold a context."""
    return headers is not None and any(name.lower() == TRACEPARENT for name in headers)
