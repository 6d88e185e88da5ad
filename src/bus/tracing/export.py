"""Spans of a server on their way to a collector, by OTLP over HTTP, as the variables ``OTEL_…`` say.

Which these are is OpenTelemetry's to say: https://opentelemetry.io/docs/specs/otel/configuration/sdk-environment-variables/
"""

from __future__ import annotations

from threading import Thread

from opentelemetry.exporter.otlp.proto.http.trace_exporter import OTLPSpanExporter
from opentelemetry.sdk.resources import SERVICE_NAME, SERVICE_VERSION, Resource
from opentelemetry.sdk.trace import TracerProvider
from opentelemetry.sdk.trace.export import BatchSpanProcessor, SpanExporter

from bus.tracing.otel import SYSTEM, OpenTelemetryTracing

CLOSE_SECONDS = 2.0
"""How long a server that stops waits for a collector."""

_UNNAMED = "unknown_service"


class Export:
    """Sends the spans of ``tracing`` from a thread of its own; those that come too fast for it are left out."""

    def __init__(self, version: str) -> None:
        self._provider = TracerProvider(resource=_described(version), shutdown_on_exit=False)
        self._exporter: SpanExporter = OTLPSpanExporter()
        self._provider.add_span_processor(BatchSpanProcessor(self._exporter))
        self.tracing = OpenTelemetryTracing(self._provider, version=version)

    def close(self) -> None:
        """Send what is left, if the collector takes it soon."""
        sending = Thread(target=self._provider.shutdown, daemon=True)
        sending.start()
        sending.join(CLOSE_SECONDS)
        if sending.is_alive():
            self._exporter.shutdown()

    def __repr__(self) -> str:
        return "<Export>"


def _described(version: str) -> Resource:
    """Who it is that sends; what the variables say of it counts."""
    found = Resource.create()
    named = not str(found.attributes[SERVICE_NAME]).startswith(_UNNAMED)
    ours = {SERVICE_VERSION: version} if named else {SERVICE_NAME: SYSTEM, SERVICE_VERSION: version}
    return found.merge(Resource(ours))
