"""Spans that were recorded, as tests look at them."""

from __future__ import annotations

from collections.abc import Sequence

from opentelemetry.sdk.trace import ReadableSpan, TracerProvider
from opentelemetry.sdk.trace.export import SimpleSpanProcessor
from opentelemetry.sdk.trace.export.in_memory_span_exporter import InMemorySpanExporter
from opentelemetry.trace import SpanContext, format_span_id, format_trace_id


class Recorded:
    """A provider, and the spans of it that are over."""

    def __init__(self) -> None:
        self.provider = TracerProvider()
        self._exporter = InMemorySpanExporter()
        self.provider.add_span_processor(SimpleSpanProcessor(self._exporter))

    @property
    def spans(self) -> Sequence[ReadableSpan]:
        return self._exporter.get_finished_spans()

    @property
    def as_begun(self) -> Sequence[ReadableSpan]:
        """The same in the order in which they began: one thread may end another span first."""
        return sorted(self.spans, key=lambda span: span.start_time or 0)

    @property
    def names(self) -> list[str]:
        return [span.name for span in self.spans]

    def one(self, name: str) -> ReadableSpan:
        """The only span of this *name*."""
        (found,) = [span for span in self.spans if span.name == name]
        return found


def context_of(span: ReadableSpan) -> SpanContext:
    found: SpanContext | None = span.context
    assert found is not None
    return found


def traceparent(span: ReadableSpan) -> str:
    """The context of *span* as a header has it."""
    context = context_of(span)
    return f"00-{format_trace_id(context.trace_id)}-{format_span_id(context.span_id)}-{context.trace_flags:02x}"


def parent_of(span: ReadableSpan) -> int | None:
    """The id of the span that *span* is part of."""
    return span.parent.span_id if span.parent else None


def linked(span: ReadableSpan) -> list[int]:
    """The ids of the spans that *span* is linked to."""
    return [link.context.span_id for link in span.links]


def fact(span: ReadableSpan, name: str) -> object:
    """An attribute of *span*, None if it hasn't got it."""
    return (span.attributes or {}).get(name)
