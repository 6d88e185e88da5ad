"""What ``/metrics`` tells beyond the counts: how long things take, what was refused, what the server is."""

from __future__ import annotations

import platform
from collections.abc import Mapping

import pytest
from prometheus_client.parser import text_string_to_metric_families

from bus import __version__
from bus.build import COMPILED
from bus.wire import NDJSON
from tests.server.support import acknowledge, draft, post, publish, stored
from tests.support import ServerProcess, request, subscribe

pytestmark = pytest.mark.every_engine

Samples = Mapping[tuple[str, str], float]


def metrics(server: ServerProcess) -> Samples:
    """The value of each sample, by its name and its first label but for the namespace of a consumer."""
    families = text_string_to_metric_families(request(server, "GET", "/metrics").text)
    return {
        (sample.name, next(iter(sample.labels.values()), "")): sample.value
        for family in families for sample in family.samples if "le" not in sample.labels
    }  # fmt: skip


@pytest.mark.embedded_only("how long the disk takes")
def test_how_long_things_take(server: ServerProcess) -> None:
    with subscribe(server, "app.>") as live, subscribe(server, "app.a", ack="manual", consumer="billing") as consumer:
        event_id = stored(server, "app.a")
        live.take(1), consumer.take(1)
        assert acknowledge(server, consumer.headers["x-bus-consumer-id"], event_id).status == 202
        found = metrics(server)
    for what in ("publish", "sync", "delivery", "ack"):
        assert found[f"bus_{what}_seconds_count", "app"] == 1, what
        assert 0 <= found[f"bus_{what}_seconds_sum", "app"] < 60
        assert found[f"bus_{what}_seconds_count", "orders"] == 0


def test_buckets_add_up(server: ServerProcess) -> None:
    for _ in range(3):
        stored(server, "app.a")
    text = request(server, "GET", "/metrics").text
    (histogram,) = [found for found in text_string_to_metric_families(text) if found.name == "bus_publish_seconds"]
    buckets = [one.value for one in histogram.samples if one.labels.get("le") and one.labels["namespace"] == "app"]
    assert buckets == sorted(buckets)
    (count,) = [
        one.value for one in histogram.samples if one.name.endswith("count") and one.labels["namespace"] == "app"
    ]
    assert 1 <= buckets[-1] == count <= 3


def test_refusals_of_all_kinds_count_by_their_code(server: ServerProcess) -> None:
    assert publish(server, "nowhere.a").status == 404
    assert request(server, "GET", "/?subject=app").status == 400
    lines = b"\n".join([draft("nowhere.a"), draft("app.a"), b"{", draft("nowhere.b")])
    assert post(server, lines, Content_Type=NDJSON).status == 202
    found = metrics(server)
    assert found["bus_refusals_total", "unknown-namespace"] == 3
    assert found["bus_refusals_total", "invalid-subject"] == 1
    assert found["bus_refusals_total", "invalid-event"] == 1


def test_what_is_delivered_again_counts(server: ServerProcess) -> None:
    event_id = stored(server, "app.a")
    with subscribe(server, "app.a", start="oldest", ack="manual", consumer="billing") as consumer:
        consumer.take(1)
        assert acknowledge(server, consumer.headers["x-bus-consumer-id"], event_id, action="nack").status == 202
        consumer.take(1)
        found = metrics(server)
    assert found["bus_consumer_delivered_events_total", "billing"] == 2
    assert found["bus_consumer_redelivered_events_total", "billing"] == 1
    assert found["bus_consumer_in_flight_events", "billing"] == 1
    assert found["bus_delivered_events_total", "app"] == 2


def test_what_the_server_is(bus: ServerProcess) -> None:
    text = request(bus, "GET", "/metrics").text
    (build,) = [found for found in text_string_to_metric_families(text) if found.name == "bus_build_info"]
    assert build.samples[0].labels == {
        "version": __version__,
        "python": platform.python_version(),
        "compiled": "yes" if COMPILED else "no",
    }
    assert metrics(bus)["process_resident_memory_bytes", ""] > 1 << 20
