"""A collector of traces: OTLP over HTTP, read by the protocol's own messages."""

from __future__ import annotations

import gzip
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from threading import Condition, Thread

from opentelemetry.proto.collector.trace.v1.trace_service_pb2 import ExportTraceServiceRequest
from opentelemetry.proto.trace.v1.trace_pb2 import Span

from tests.support import PATIENCE


@dataclass(frozen=True, slots=True)
class Collected:
    """One span, and the name of the service it came from."""

    service: str
    name: str
    trace: str
    id: str
    parent: str
    kind: int
    failed: bool
    facts: dict[str, str | int]


class Collector:
    """Takes spans on a port of its own."""

    def __init__(self) -> None:
        self._spans: list[Collected] = []
        self._came = Condition()
        self._server = ThreadingHTTPServer(("127.0.0.1", 0), self._handler())
        self._thread = Thread(target=self._server.serve_forever)
        self._thread.start()

    @property
    def environment(self) -> dict[str, str]:
        """What has programs send their spans here, soon."""
        url = f"http://127.0.0.1:{self._server.server_port}"
        return {"OTEL_EXPORTER_OTLP_ENDPOINT": url, "OTEL_BSP_SCHEDULE_DELAY": "50"}

    def wait_for(self, *names: str) -> list[Collected]:
        """The first span of each of these *names*, when all of them have come."""
        with self._came:
            found = self._came.wait_for(lambda: set(names) <= {span.name for span in self._spans}, PATIENCE)
            assert found, f"only {[span.name for span in self._spans]} came, not {names}"
            return [next(span for span in self._spans if span.name == name) for name in names]

    @property
    def spans(self) -> Sequence[Collected]:
        return tuple(self._spans)

    def close(self) -> None:
        self._server.shutdown()
        self._server.server_close()
        self._thread.join(PATIENCE)

    def _handler(self) -> type[BaseHTTPRequestHandler]:
        collector = self

        class Handler(BaseHTTPRequestHandler):
            def do_POST(self) -> None:
                body = self.rfile.read(int(self.headers["Content-Length"]))
                collector.take(gzip.decompress(body) if self.headers["Content-Encoding"] == "gzip" else body)
                self.send_response(200)
                self.send_header("Content-Length", "0")
                self.end_headers()

            def log_message(self, format: str, *args: object) -> None:
                pass

        return Handler

    def take(self, body: bytes) -> None:
        with self._came:
            self._spans.extend(read_export(body))
            self._came.notify_all()


@contextmanager
def collecting_spans() -> Iterator[Collector]:
    collector = Collector()
    try:
        yield collector
    finally:
        collector.close()


def read_export(body: bytes) -> Iterator[Collected]:
    """The spans of one request."""
    request = ExportTraceServiceRequest.FromString(body)
    for resource in request.resource_spans:
        (service,) = [told.value.string_value for told in resource.resource.attributes if told.key == "service.name"]
        for scope in resource.scope_spans:
            assert scope.scope.name == "bus"
            for span in scope.spans:
                yield _collected(service, span)


def _collected(service: str, span: Span) -> Collected:
    return Collected(
        service=service,
        name=span.name,
        trace=span.trace_id.hex(),
        id=span.span_id.hex(),
        parent=span.parent_span_id.hex(),
        kind=span.kind,
        failed=span.status.code == span.status.STATUS_CODE_ERROR,
        facts={told.key: told.value.string_value or told.value.int_value for told in span.attributes},
    )
