"""What a durable consumer was promised, when the server is killed or retention deletes."""

from __future__ import annotations

from typing import Any

import msgspec
import pytest

from tests.conftest import StartServer
from tests.server.support import with_limits
from tests.support import ServerProcess, Stream, request, subscribe

pytestmark = pytest.mark.timeout(120)

DURABLE: dict[str, Any] = {"ack": "manual", "consumer": "billing", "redelivery": "1m", "redelivery_count": 0}


def publish(server: ServerProcess, *payloads: int, namespace: str = "app") -> None:
    for payload in payloads:
        draft = {"subject": f"{namespace}.a", "payload": payload, "trace_id": "x" * 200}
        assert request(server, "POST", "/", msgspec.json.encode(draft)).status == 202


def take(stream: Stream, count: int) -> list[tuple[str, int]]:
    """Ids and payloads of the next events."""
    return [(event.id, msgspec.json.decode(event.data)["payload"]) for event in stream.take(count)]


def acknowledge(server: ServerProcess, stream: Stream, event_id: str) -> None:
    consumer_id = stream.headers["x-bus-consumer-id"]
    assert request(server, "PUT", f"/?consumer_id={consumer_id}&event_id={event_id}").status == 202


def test_where_a_consumer_begins_is_known_before_it_gets_anything(server: ServerProcess) -> None:
    publish(server, 1, 2)
    with subscribe(server, "app.a", start="newest", **DURABLE) as stream:
        publish(server, 3)
        assert [payload for _, payload in take(stream, 1)] == [3]
        server.kill()
    server.restart()
    with subscribe(server, "app.a", start="newest", prefetch=2, **DURABLE) as stream:
        publish(server, 4)
        for expected in (3, 4):
            assert take(stream, 1)[0][1] == expected


def test_what_is_settled_ahead_of_what_is_not_skips_nothing(server: ServerProcess) -> None:
    publish(server, *range(1, 7))
    with subscribe(server, "app.a", start="oldest", prefetch=4, **DURABLE) as stream:
        events = take(stream, 4)
        for event_id, payload in events:
            if payload != 1:
                acknowledge(server, stream, event_id)
        take(stream, 2)
        assert server.stop() == 0
    server.restart()
    publish(server, 7)
    with subscribe(server, "app.a", prefetch=4, **DURABLE) as stream:
        for expected in (1, 5, 6, 7):
            assert take(stream, 1)[0][1] == expected


@pytest.mark.parametrize("force", ["false", "true"])
def test_retention_keeps_what_a_consumer_needs_unless_told_not_to(start_server: StartServer, force: str) -> None:
    """The other namespace has no consumer, and shows that retention was at work."""
    flags = ["--segment-size", "2KiB", "--retention", "*=2", "--retention-force", force]
    server = start_server(flags=flags, wrapper=with_limits(RETENTION_SECONDS=0.1))
    with subscribe(server, "app.a", start="oldest", **DURABLE) as stream:
        publish(server, *range(1, 41))
        for _ in range(5):
            ((event_id, _),) = take(stream, 1)
            acknowledge(server, stream, event_id)
        publish(server, *range(1, 41), namespace="orders")
        server.wait_for_log("namespace orders: retention deleted")
    if force == "true":
        server.wait_for_log("namespace app: retention deleted")
    server.kill()
    server.restart()
    oldest = first_index(server, "app")
    assert (oldest > 6) if force == "true" else (oldest <= 6)
    assert first_index(server, "orders") > 6


def first_index(server: ServerProcess, namespace: str) -> int:
    listed = msgspec.json.decode(request(server, "GET", "/v1/namespaces").body)["namespaces"]
    return int(next(found["first_index"] for found in listed if found["namespace"] == namespace))
