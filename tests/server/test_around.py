"""What is around the events: health, metrics, the description of the API, and the lists."""

from __future__ import annotations

import re
from typing import Any

import msgspec
import pytest
from openapi_spec_validator import validate
from prometheus_client.parser import text_string_to_metric_families

from tests.server.support import Peer, acknowledge, dial, publish, stored
from tests.support import ServerProcess, request, subscribe

pytestmark = pytest.mark.every_engine


@pytest.mark.parametrize(
    ("method", "path", "status"),
    [
        ("GET", "/", 400),
        ("HEAD", "/", 200),
        ("GET", "/healthz", 200),
        ("HEAD", "/healthz", 200),
        ("GET", "/readyz", 200),
        ("HEAD", "/readyz", 200),
    ],
)
def test_health_checks(bus: ServerProcess, method: str, path: str, status: int) -> None:
    assert request(bus, method, path).status == status


@pytest.mark.parametrize("path", ["/", "/healthz", "/metrics", "/openapi.json", "/v1/consumers/nobody", "/nowhere"])
def test_the_answer_to_head_has_the_headers_of_get_and_no_body(bus: ServerProcess, path: str) -> None:
    with dial(bus) as peer:
        heads = [_answer(peer, method, path) for method in (b"HEAD", b"HEAD")]
        assert heads[0].keys() == heads[1].keys() >= {"date", "content-length"}
        if path != "/":
            assert heads[0].keys() == _answer(peer, b"GET", path).keys()


def _answer(peer: Peer, method: bytes, path: str) -> dict[str, str]:
    peer.send(b"%b %b HTTP/1.1\r\nHost: bus\r\n\r\n" % (method, path.encode()))
    return peer.answer(has_body=method != b"HEAD").headers


def _metrics(server: ServerProcess) -> dict[tuple[str, str], float]:
    """The value of each sample, by its name and its namespace or consumer."""
    text = request(server, "GET", "/metrics").text
    samples = [sample for family in text_string_to_metric_families(text) for sample in family.samples]
    return {
        (found.name, found.labels.get("consumer") or found.labels.get("namespace", "")): found.value
        for found in samples
    }  # fmt: skip


@pytest.mark.embedded_only("how many keys are remembered")
def test_metrics_can_be_read_and_count(server: ServerProcess) -> None:
    for _ in range(3):
        publish(server, "app.a", key="")
    publish(server, "orders.a", key="k")
    with (
        subscribe(server, "app.>") as plain,
        subscribe(server, "app.>", ack="manual", consumer="c", start="oldest") as one,
    ):
        plain.next()
        one.take(1)
        metrics = _metrics(server)
    assert metrics["bus_published_events_total", "app"] == 3
    assert metrics["bus_log_events", "app"] == 3
    assert metrics["bus_log_next_index", "orders"] == 2
    assert metrics["bus_duplicate_keys", "orders"] == 1
    assert metrics["bus_writable", "app"] == 1
    assert metrics["bus_streams", ""] == 2
    assert metrics["bus_consumer_pending_events", "c"] == 1
    assert metrics["bus_consumer_behind_events", "c"] == 2
    assert metrics["bus_log_bytes", "app"] > 0


def test_metrics_are_in_the_text_format(bus: ServerProcess) -> None:
    answer = request(bus, "GET", "/metrics")
    assert answer.headers["content-type"].startswith("text/plain; version=")


def test_the_description_of_the_api_is_valid_and_nothing_in_it_is_unknown(bus: ServerProcess) -> None:
    answer = request(bus, "GET", "/openapi.json")
    assert answer.headers["content-type"] == "application/json"
    api = msgspec.json.decode(answer.body)
    validate(api)
    for path, methods in api["paths"].items():
        for method in {"get", "delete"} & methods.keys():
            query = "?follow=false" if path == "/v1/watch" else ""
            assert request(bus, method.upper(), re.sub(r"{\w+}", "nobody", path) + query).status != 501


def test_the_namespaces_say_how_far_they_are(server: ServerProcess) -> None:
    publish(server, "orders.a")
    found: list[dict[str, Any]] = msgspec.json.decode(request(server, "GET", "/v1/namespaces").body)["namespaces"]
    assert [(one["namespace"], one["first_index"], one["next_index"], one["events"]) for one in found] == [
        ("app", 1, 1, 0), ("orders", 1, 2, 1), ("github", 1, 1, 0),
    ]  # fmt: skip


def test_a_stream_counts_until_it_ends(server: ServerProcess) -> None:
    event_id = stored(server, "app.a")
    with subscribe(server, "app.a", start="oldest", ack="manual", limit=1) as stream:
        stream.take(1)
        assert _metrics(server)["bus_streams", ""] == 1
        assert acknowledge(server, stream.headers["x-bus-consumer-id"], event_id).status == 202
        assert stream.rest()[-1].kind == "done"
    assert _metrics(server)["bus_streams", ""] == 0
