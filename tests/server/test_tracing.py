"""``bus server --otel``: its spans reach a collector, and are part of the traces of publishers and workers."""

from __future__ import annotations

import subprocess
import sys
from collections.abc import Iterator

import msgspec
import pytest
from opentelemetry.proto.trace.v1.trace_pb2 import Span

from bus import Client
from tests.collector import Collected, Collector, collecting_spans
from tests.conftest import StartServer
from tests.support import PATIENCE, ServerProcess, clean_environment, request, subscribe
from tests.tracing import Recorded, context_of

CALLER = "00-0af7651916cd43dd8448eb211c80319c-b7ad6b7169203331-01"
TRACE, PARENT = CALLER.split("-")[1:3]

WORKER = """
import sys
from opentelemetry import trace
from opentelemetry.exporter.otlp.proto.http.trace_exporter import OTLPSpanExporter
from opentelemetry.sdk.trace import TracerProvider
from opentelemetry.sdk.trace.export import BatchSpanProcessor
from bus import Client

trace.set_tracer_provider(TracerProvider())
trace.get_tracer_provider().add_span_processor(BatchSpanProcessor(OTLPSpanExporter()))
with Client(sys.argv[1]) as client:
    worker = client.worker("app.*", lambda event: worker.stop(), consumer="billing")
    worker.run()
trace.get_tracer_provider().shutdown()
"""


@pytest.fixture
def collector() -> Iterator[Collector]:
    with collecting_spans() as found:
        yield found


@pytest.fixture
def server(start_server: StartServer, collector: Collector) -> ServerProcess:
    return start_server(flags=["--otel"], env=collector.environment)


def publish(server: ServerProcess, draft: object, *, caller: str = "") -> str:
    """Publish one event, or several, by a request that may be traced itself; returns the last one's id."""
    headers = {"traceparent": caller} if caller else {}
    answer = request(server, "POST", "/", msgspec.json.encode(draft), timeout=PATIENCE, **headers)
    assert answer.status == 202
    return answer.headers["x-bus-event-id"]


def stored_headers(server: ServerProcess, event_id: str) -> dict[str, str]:
    with Client(server.url, tracing=False) as client:
        return client.events.get(event_id).headers


def carried(span: Collected) -> str:
    """The trace and the span that a header would name."""
    return f"00-{span.trace}-{span.id}"


def test_publisher_server_and_worker_are_one_trace(server: ServerProcess, collector: Collector) -> None:
    recorded = Recorded()
    with Client(server.url, tracing=recorded.provider) as client:
        receipt = client.put("app.a", 1)
    environment = clean_environment(**collector.environment, OTEL_SERVICE_NAME="billing-worker")
    subprocess.run([sys.executable, "-c", WORKER, server.url], env=environment, check=True, timeout=PATIENCE)
    published, delivered, handled = collector.wait_for("publish app.a", "deliver app.a", "process app.*")
    sent = context_of(recorded.one("publish app.a"))
    assert {span.trace for span in (published, delivered, handled)} == {f"{sent.trace_id:032x}"}
    assert {span.parent for span in (published, delivered, handled)} == {f"{sent.span_id:016x}"}
    assert [span.service for span in (published, delivered, handled)] == ["bus", "bus", "billing-worker"]
    assert {span.facts["messaging.message.id"] for span in (published, delivered, handled)} == {receipt.id}
    assert delivered.facts["messaging.consumer.group.name"] == "billing"
    assert delivered.facts["messaging.bus.event.attempts"] == 1
    assert [span.kind for span in (published, delivered, handled)] == [
        Span.SPAN_KIND_SERVER,
        Span.SPAN_KIND_CLIENT,
        Span.SPAN_KIND_CONSUMER,
    ]


def test_the_trace_of_a_request_goes_on_with_its_event(server: ServerProcess, collector: Collector) -> None:
    event_id = publish(server, {"subject": "app.a", "headers": {"x": "y"}}, caller=CALLER)
    (span,) = collector.wait_for("publish app.a")
    assert (span.trace, span.parent) == (TRACE, PARENT)
    headers = stored_headers(server, event_id)
    assert headers.pop("traceparent").startswith(carried(span))
    assert headers == {"x": "y"}


def test_the_trace_of_an_event_comes_before_that_of_its_request(server: ServerProcess, collector: Collector) -> None:
    own = CALLER.replace("0af765", "1af765")
    event_id = publish(server, {"subject": "app.a", "headers": {"traceparent": own}}, caller=CALLER)
    (span,) = collector.wait_for("publish app.a")
    assert span.trace == own.split("-")[1]
    assert stored_headers(server, event_id) == {"traceparent": own}


@pytest.mark.parametrize("caller", ["", "00-nonsense"], ids=["none", "unreadable"])
def test_an_event_without_a_trace_begins_one(server: ServerProcess, collector: Collector, caller: str) -> None:
    event_id = publish(server, {"subject": "app.a"}, caller=caller)
    (span,) = collector.wait_for("publish app.a")
    assert span.parent == ""
    assert stored_headers(server, event_id)["traceparent"].startswith(carried(span))


def test_a_batch_is_one_span(server: ServerProcess, collector: Collector) -> None:
    publish(server, [{"subject": "app.a"}, {"subject": "app.b"}], caller=CALLER)
    (span,) = collector.wait_for("publish")
    assert (span.trace, span.facts["messaging.batch.message_count"]) == (TRACE, 2)
    with Client(server.url, tracing=False) as client:
        carriers = {event.headers["traceparent"][:-3] for event in client.events.page("app.>").events}
    assert carriers == {carried(span)}


def test_each_line_is_a_span_and_says_what_became_of_it(server: ServerProcess, collector: Collector) -> None:
    lines = b'{"subject": "app.a", "key": "k"}\n{"subject": "app.a", "key": "k"}\n{"subject": "app.b"}'
    request(server, "POST", "/", lines, Content_Type="application/x-ndjson", traceparent=CALLER)
    collector.wait_for("publish app.a", "publish app.b")
    assert [(span.name, span.failed, span.parent) for span in collector.spans] == [
        ("publish app.a", False, PARENT),
        ("publish app.a", True, PARENT),
        ("publish app.b", False, PARENT),
    ]
    assert collector.spans[1].facts["error.type"] == "duplicate-key"


def test_what_is_refused_at_once_is_a_span_that_failed(server: ServerProcess, collector: Collector) -> None:
    assert request(server, "POST", "/", b'{"subject": "nowhere.a"}').status == 404
    (span,) = collector.wait_for("publish nowhere.a")
    assert (span.failed, span.facts["error.type"]) == (True, "unknown-namespace")


def test_a_delayed_event_keeps_the_trace_of_its_request(server: ServerProcess, collector: Collector) -> None:
    with subscribe(server, "app.a") as stream:
        request(server, "POST", "/?delay=1ms", b'{"subject": "app.a"}', traceparent=CALLER)
        (event,) = stream.take(1)
    (span,) = collector.wait_for("publish app.a")
    assert msgspec.json.decode(event.data)["headers"]["traceparent"].startswith(carried(span))


def test_who_waits_for_a_reply_is_traced(server: ServerProcess, collector: Collector) -> None:
    answer = request(server, "POST", "/?wait=reply&timeout=10ms", b'{"subject": "app.a"}', traceparent=CALLER)
    assert answer.status == 504
    (span,) = collector.wait_for("publish app.a")
    assert (span.trace, span.failed) == (TRACE, False)


@pytest.mark.parametrize("accept", ["text/event-stream", "application/x-ndjson"])
def test_each_attempt_is_delivered_within_a_span(server: ServerProcess, collector: Collector, accept: str) -> None:
    publish(server, {"subject": "app.a", "payload": '"traceparent":'}, caller=CALLER)
    query = "subject=app.*&start=oldest&ack=manual&redelivery=10ms&redelivery_count=2&limit=2"
    assert request(server, "GET", f"/?{query}", Accept=accept).status == 200
    server.stop()
    attempts = [span.facts["messaging.bus.event.attempts"] for span in collector.spans if span.name == "deliver app.a"]
    assert attempts == [1, 2]


def test_a_plain_subscription_is_not_traced(server: ServerProcess, collector: Collector) -> None:
    with subscribe(server, "app.a") as stream:
        publish(server, {"subject": "app.a"})
        stream.take(1)
        publish(server, {"subject": "app.b"})
    collector.wait_for("publish app.b")
    assert {span.name for span in collector.spans} == {"publish app.a", "publish app.b"}


def test_what_is_left_is_sent_at_the_end(start_server: StartServer, collector: Collector) -> None:
    server = start_server(flags=["--otel"], env={**collector.environment, "OTEL_BSP_SCHEDULE_DELAY": "600000"})
    publish(server, {"subject": "app.a"})
    assert not collector.spans
    server.stop()
    collector.wait_for("publish app.a")


def test_the_variables_say_what_is_sent(start_server: StartServer, collector: Collector) -> None:
    env = {**collector.environment, "BUS_OTEL": "true", "OTEL_SERVICE_NAME": "orders-bus"}
    server = start_server(env={**env, "OTEL_TRACES_SAMPLER": "parentbased_always_off"})
    publish(server, {"subject": "app.a"})
    publish(server, {"subject": "app.b"}, caller=CALLER)
    (span,) = collector.wait_for("publish app.b")
    assert [found.name for found in collector.spans] == ["publish app.b"]
    assert span.service == "orders-bus"


def test_without_the_flag_nothing_is_added_or_sent(start_server: StartServer, collector: Collector) -> None:
    server = start_server(env=collector.environment)
    event_id = publish(server, {"subject": "app.a"}, caller=CALLER)
    assert stored_headers(server, event_id) == {}
    server.stop()
    assert not collector.spans


def test_a_server_goes_on_without_its_collector(start_server: StartServer) -> None:
    server = start_server(flags=["--otel"], env={"OTEL_EXPORTER_OTLP_ENDPOINT": "http://127.0.0.1:1"})
    publish(server, {"subject": "app.a"})
    assert server.stop() == 0


def test_without_the_extra_a_server_does_not_start(start_server: StartServer) -> None:
    blocked = "import sys; sys.modules['opentelemetry'] = None; from bus.__main__ import main; sys.exit(main())"
    with pytest.raises(AssertionError, match=r"bus: --otel .* is not installed: pip install 'busd\[otel\]'\n$"):
        start_server(flags=["--otel"], bus=[sys.executable, "-c", blocked])
