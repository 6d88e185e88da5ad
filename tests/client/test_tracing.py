"""Traces of both clients, against a real server: one trace from whoever publishes to whoever handles."""

from __future__ import annotations

import asyncio
import subprocess
import sys
from queue import SimpleQueue
from typing import Any

import pytest
from opentelemetry.sdk.trace import ReadableSpan
from opentelemetry.trace import SpanKind, StatusCode, get_current_span

from bus import AsyncClient, Client, RejectError
from bus.errors import DuplicateKeyError, ServiceError
from bus.event import Draft
from tests.client.conftest import Connect
from tests.client.workers import StartWorker
from tests.support import PATIENCE, ServerProcess, clean_environment
from tests.tracing import Recorded, context_of, fact, linked, parent_of, traceparent

OWN = "00-0af7651916cd43dd8448eb211c80319c-b7ad6b7169203331-01"


@pytest.fixture
def recorded() -> Recorded:
    return Recorded()


def messaging(span: ReadableSpan) -> dict[str, object]:
    """What *span* says by the conventions for messaging."""
    return {name.removeprefix("messaging."): value for name, value in (span.attributes or {}).items()}


def failure_of(span: ReadableSpan) -> tuple[object, str | None]:
    """What kind of failure *span* has ended in, and why."""
    assert span.status.status_code is StatusCode.ERROR
    return fact(span, "error.type"), span.status.description


# -- publishing


def test_a_put_is_a_span_whose_context_goes_along(
    server: ServerProcess, app: str, connect: Connect, recorded: Recorded
) -> None:
    client = connect(server.url, tracing=recorded.provider)
    receipt = client.put(f"{app}.a", 1, headers={"x": "y"})
    (span,) = recorded.spans
    assert (span.name, span.kind) == (f"publish {app}.a", SpanKind.PRODUCER)
    assert messaging(span) == {
        "system": "bus",
        "operation.name": "publish",
        "operation.type": "send",
        "destination.name": f"{app}.a",
        "message.id": receipt.id,
        "bus.event.index": receipt.index,
        "server.address": "127.0.0.1",
        "server.port": server.port,
    }
    assert client.events.get(receipt.id).headers == {"x": "y", "traceparent": traceparent(span)}


def test_a_put_is_part_of_the_span_that_is_current(server: ServerProcess, app: str, recorded: Recorded) -> None:
    async def put() -> None:
        async with AsyncClient(server.url, tracing=recorded.provider) as client:
            await client.put(f"{app}.b")

    with recorded.provider.get_tracer("test").start_as_current_span("order"):
        with Client(server.url, tracing=recorded.provider) as client:
            client.put(f"{app}.a")
        asyncio.run(put())
    order = context_of(recorded.one("order")).span_id
    assert [parent_of(recorded.one(f"publish {app}.{name}")) for name in "ab"] == [order, order]


@pytest.mark.parametrize("name", ["traceparent", "Traceparent"])
def test_a_context_of_the_publishers_own_is_left_alone(
    server: ServerProcess, app: str, connect: Connect, recorded: Recorded, name: str
) -> None:
    client = connect(server.url, tracing=recorded.provider)
    receipt = client.put(f"{app}.a", headers={name: OWN})
    client.put_many([{"subject": f"{app}.b", "headers": {name: OWN}}])
    assert client.events.get(receipt.id).headers == {name: OWN}
    assert recorded.names == [f"publish {app}.a", f"publish {app}.b"]
    assert [span.kind for span in recorded.spans] == [SpanKind.CLIENT, SpanKind.CLIENT]


def test_a_span_links_to_the_publishers_own_context(
    server: ServerProcess, app: str, connect: Connect, recorded: Recorded
) -> None:
    connect(server.url, tracing=recorded.provider).put(f"{app}.a", headers={"traceparent": OWN})
    assert [f"{found:x}" for found in linked(recorded.spans[0])] == ["b7ad6b7169203331"]


def test_headers_that_are_full_stay_as_they_are(
    server: ServerProcess, app: str, connect: Connect, recorded: Recorded
) -> None:
    client = connect(server.url, tracing=recorded.provider)
    headers = {f"x{number}": "" for number in range(64)}
    receipt = client.put(f"{app}.a", headers=headers)
    assert client.events.get(receipt.id).headers == headers


@pytest.mark.parametrize("options", [{"expect": 0}, {"delay": "1h"}, {}], ids=["expected", "delayed", "plain"])
def test_every_way_to_put_is_a_span(
    server: ServerProcess, app: str, connect: Connect, recorded: Recorded, options: dict[str, Any]
) -> None:
    connect(server.url, tracing=recorded.provider).put(f"{app}.a", **options)
    assert recorded.names == [f"publish {app}.a"]


def test_a_put_that_is_refused_fails(server: ServerProcess, app: str, connect: Connect, recorded: Recorded) -> None:
    client = connect(server.url, tracing=recorded.provider)
    client.put(f"{app}.a", key="k")
    with pytest.raises(DuplicateKeyError):
        client.put(f"{app}.a", key="k")
    assert failure_of(recorded.spans[1]) == ("DuplicateKeyError", "key was processed before")


@pytest.mark.parametrize("atomic", [True, False])
def test_each_of_many_has_a_context_of_its_own(
    server: ServerProcess, app: str, connect: Connect, recorded: Recorded, atomic: bool
) -> None:
    client = connect(server.url, tracing=recorded.provider)
    client.put_many([{"subject": f"{app}.a"}, Draft(subject=f"{app}.b")], atomic=atomic)
    first, second, publish = recorded.spans
    assert [(span.name, span.kind) for span in recorded.spans] == [
        (f"create {app}.a", SpanKind.PRODUCER),
        (f"create {app}.b", SpanKind.PRODUCER),
        ("publish", SpanKind.CLIENT),
    ]
    assert linked(publish) == [context_of(first).span_id, context_of(second).span_id]
    assert fact(publish, "messaging.batch.message_count") == 2
    stored = client.events.page(f"{app}.>").events
    assert {event.subject: event.headers["traceparent"] for event in stored} == {
        f"{app}.a": traceparent(first),
        f"{app}.b": traceparent(second),
    }


def test_a_span_says_how_many_of_many_were_refused(
    server: ServerProcess, app: str, connect: Connect, recorded: Recorded
) -> None:
    client = connect(server.url, tracing=recorded.provider)
    client.put_many([{"subject": f"{app}.a", "key": "k"}] * 2, atomic=False)
    kind, why = failure_of(recorded.one(f"publish {app}.a"))
    assert (kind, why) == ("DuplicateKeyError", "1 of 2 events were not stored, the first: key was processed before")


# -- from whoever publishes to whoever handles


def test_a_worker_is_part_of_the_publishers_trace(
    server: ServerProcess, app: str, connect: Connect, start_worker: StartWorker, recorded: Recorded
) -> None:
    current: SimpleQueue[int] = SimpleQueue()
    worker = start_worker(
        server, f"{app}.*", lambda event: current.put(get_current_span().get_span_context().span_id),
        tracing=recorded.provider, consumer=f"billing-{app}",
    )  # fmt: skip
    receipt = connect(server.url, tracing=recorded.provider).put(f"{app}.a")
    inside = current.get(timeout=PATIENCE)
    worker.end()
    publish, process = recorded.one(f"publish {app}.a"), recorded.one(f"process {app}.*")
    assert context_of(process).trace_id == context_of(publish).trace_id
    assert parent_of(process) == context_of(publish).span_id
    assert linked(process) == [context_of(publish).span_id]
    assert inside == context_of(process).span_id
    assert (process.kind, process.status.status_code) == (SpanKind.CONSUMER, StatusCode.UNSET)
    told = messaging(process)
    assert str(told.pop("client.id")).startswith("c_")
    assert told == {
        "system": "bus",
        "operation.name": "process",
        "operation.type": "process",
        "destination.name": f"{app}.a",
        "destination.template": f"{app}.*",
        "consumer.group.name": f"billing-{app}",
        "message.id": receipt.id,
        "bus.event.index": receipt.index,
        "bus.event.attempts": 1,
        "bus.settlement": "ack",
        "server.address": "127.0.0.1",
        "server.port": server.port,
    }


def test_a_handler_that_fails_and_then_does_not(
    server: ServerProcess, app: str, start_worker: StartWorker, recorded: Recorded
) -> None:
    done: SimpleQueue[int] = SimpleQueue()

    def handle(event: Any) -> None:
        if event.attempts == 1:
            raise ValueError("not yet")
        done.put(event.attempts)

    worker = start_worker(server, f"{app}.a", handle, tracing=recorded.provider, backoff=["1ms"])
    with Client(server.url, tracing=recorded.provider) as client:
        client.put(f"{app}.a")
    done.get(timeout=PATIENCE)
    worker.end()
    publish, failed, handled = recorded.as_begun
    assert {context_of(span).trace_id for span in recorded.spans} == {context_of(publish).trace_id}
    assert failure_of(failed) == ("ValueError", "not yet")
    assert [event.name for event in failed.events] == ["exception"]
    assert [fact(span, "messaging.bus.event.attempts") for span in (failed, handled)] == [1, 2]
    assert [fact(span, "messaging.bus.settlement") for span in (failed, handled)] == ["nack", "ack"]
    assert handled.status.status_code is StatusCode.UNSET


def test_a_request_and_its_service_are_one_trace(
    server: ServerProcess, app: str, connect: Connect, start_worker: StartWorker, recorded: Recorded
) -> None:
    def handle(event: Any) -> int:
        if not event.payload:
            raise RejectError("there is nothing to double")
        return int(event.payload) * 2

    worker = start_worker(server, f"{app}.double", handle, tracing=recorded.provider)
    client = connect(server.url, tracing=recorded.provider)
    assert client.request(f"{app}.double", 21) == 42
    with pytest.raises(ServiceError):
        client.request(f"{app}.double", 0)
    worker.end()
    requests = [span for span in recorded.spans if span.name == f"request {app}.double"]
    handled = [span for span in recorded.spans if span.name == f"process {app}.double"]
    assert [parent_of(span) for span in handled] == [context_of(span).span_id for span in requests]
    assert failure_of(handled[1]) == ("RejectError", "there is nothing to double")
    assert failure_of(requests[1]) == ("ServiceError", "there is nothing to double")


# -- handling by hand


def settled(server: ServerProcess, app: str, connect: Connect, recorded: Recorded, action: str) -> ReadableSpan:
    """The span of an event that *action* is said of."""
    client = connect(server.url, tracing=recorded.provider)
    client.put(f"{app}.a")
    for event in client.get(f"{app}.a", start="oldest", ack="manual"):
        event.extend()
        assert recorded.names == [f"publish {app}.a"]
        getattr(event, action)(**({} if action == "ack" else {"reason": "because"}))
        break
    return recorded.spans[1]


def test_handling_ends_when_the_event_is_acknowledged(
    server: ServerProcess, app: str, connect: Connect, recorded: Recorded
) -> None:
    span = settled(server, app, connect, recorded, "ack")
    assert (span.name, span.status.status_code) == (f"process {app}.a", StatusCode.UNSET)
    assert parent_of(span) == context_of(recorded.spans[0]).span_id


@pytest.mark.parametrize("action", ["nack", "reject"])
def test_handling_fails_when_the_event_is_given_back(
    server: ServerProcess, app: str, connect: Connect, recorded: Recorded, action: str
) -> None:
    assert failure_of(settled(server, app, connect, recorded, action)) == (action, "because")


def test_handling_fails_when_nothing_is_said(
    server: ServerProcess, app: str, connect: Connect, recorded: Recorded
) -> None:
    client = connect(server.url, tracing=recorded.provider)
    client.put(f"{app}.a")
    events = client.get(f"{app}.a", start="oldest", ack="manual")
    next(events)
    events.close()
    kind, why = failure_of(recorded.one(f"process {app}.a"))
    assert (kind, why) == ("unsettled", "the subscription ended before anything was said of the event")


def test_what_is_delivered_again_is_handled_again(
    server: ServerProcess, app: str, connect: Connect, recorded: Recorded
) -> None:
    client = connect(server.url, tracing=recorded.provider)
    client.put(f"{app}.a")
    events = client.get(f"{app}.a", start="oldest", ack="manual", redelivery="10ms")
    next(events)
    next(events)
    assert failure_of(recorded.one(f"process {app}.a"))[0] == "redelivered"


def test_what_is_settled_past_its_stream_has_ended_with_the_next(
    server: ServerProcess, app: str, connect: Connect, recorded: Recorded
) -> None:
    client = connect(server.url, tracing=recorded.provider)
    client.put_many([{"subject": f"{app}.a", "payload": number} for number in range(2)])
    events = client.get(f"{app}.a", start="oldest", ack="manual")
    first = next(events)
    client.ack(first.consumer_id, first.id)
    next(events)
    assert recorded.one(f"process {app}.a").status.status_code is StatusCode.UNSET


def test_an_event_that_nobody_traced_begins_a_trace(
    server: ServerProcess, app: str, connect: Connect, recorded: Recorded
) -> None:
    client = connect(server.url, tracing=recorded.provider)
    with Client(server.url, tracing=False) as other:
        other.put(f"{app}.a")
    with recorded.provider.get_tracer("test").start_as_current_span("loop"):
        next(client.get(f"{app}.a", start="oldest", ack="manual")).ack()
    process = recorded.one(f"process {app}.a")
    assert process.parent is None
    assert not process.links


def test_a_plain_subscription_has_no_spans(
    server: ServerProcess, app: str, connect: Connect, recorded: Recorded
) -> None:
    client = connect(server.url, tracing=recorded.provider)
    client.put(f"{app}.a")
    assert next(client.get(f"{app}.a", start="oldest")).headers["traceparent"] == traceparent(recorded.spans[0])
    assert recorded.names == [f"publish {app}.a"]


# -- whether it traces


def test_a_client_that_is_told_not_to_trace_does_not(
    server: ServerProcess, app: str, connect: Connect, recorded: Recorded
) -> None:
    client = connect(server.url, tracing=False)
    receipt = client.put(f"{app}.a")
    assert client.events.get(receipt.id).headers == {}


PROGRAM = """
import sys
from bus import Client
{setting_up}
with Client(sys.argv[1]{option}) as client:
    receipt = client.put(sys.argv[2])
    print("traceparent" in client.events.get(receipt.id).headers, "opentelemetry" in sys.modules)
"""
CONFIGURED = """
from opentelemetry import trace
from opentelemetry.sdk.trace import TracerProvider
trace.set_tracer_provider(TracerProvider())
"""


@pytest.mark.parametrize(
    ("setting_up", "option", "told"),
    [
        (CONFIGURED, "", "True True"),
        (CONFIGURED, ", tracing=False", "False True"),
        ("from opentelemetry import trace", "", "False True"),
        ("from opentelemetry import trace", ", tracing=True", "False True"),
        ("", "", "False False"),
    ],
    ids=["configured", "told not to", "loaded", "not yet configured", "not loaded"],
)
def test_who_has_set_a_provider_traces(
    server: ServerProcess, app: str, setting_up: str, option: str, told: str
) -> None:
    program = PROGRAM.format(setting_up=setting_up, option=option)
    found = subprocess.run(
        [sys.executable, "-c", program, server.url, f"{app}.a"], capture_output=True, text=True, timeout=PATIENCE
    )
    assert (found.stdout.strip(), found.stderr) == (told, "")


def test_without_the_extra_a_client_says_what_to_install() -> None:
    program = "import sys; sys.modules['opentelemetry'] = None; from bus import Client; Client(tracing=True)"
    found = subprocess.run([sys.executable, "-c", program], capture_output=True, text=True, env=clean_environment())
    told = "a client can't trace: OpenTelemetry is not installed: pip install 'busd[otel]'"
    assert found.stderr.strip().endswith(f"bus.errors.InvalidParameterError: {told}")
