"""Letting go of old events, and what those who wanted them are told."""

from __future__ import annotations

import msgspec
import pytest

from tests.conftest import StartServer
from tests.server.support import acknowledge, stored, with_limits
from tests.support import ServerProcess, subscribe

OFTEN = with_limits(RETENTION_SECONDS=0.1)
SMALL = ["--segment-size", "8KB", "--namespaces", "app"]


def fill(server: ServerProcess, events: int = 40) -> list[str]:
    return [stored(server, "app.a", "x" * 1000) for _ in range(events)]


def first_index(server: ServerProcess) -> int:
    with subscribe(server, "app.a", follow="false") as stream:
        first: int = msgspec.json.decode(stream.rest()[0].data)["first_index"]
        return first


@pytest.mark.parametrize("limit", ["app=20KB", "app=15", "*=1ms", "app=20KB,1000"])
def test_old_segments_are_let_go_of(start_server: StartServer, limit: str) -> None:
    server = start_server(flags=SMALL)
    fill(server)
    assert server.stop() == 0
    server = start_server(flags=[*SMALL, "--retention", limit])
    server.wait_for_log("let go of")
    assert first_index(server) > 1
    assert len(list(server.path.glob("app/*.log"))) < 6


def test_nothing_is_let_go_of_that_a_durable_consumer_needs(start_server: StartServer) -> None:
    server = start_server(wrapper=OFTEN, flags=[*SMALL, "--retention", "app=1"])
    with subscribe(server, "app.a", ack="manual", consumer="billing", redelivery="60s") as stream:
        ids = fill(server)
        consumer = stream.headers["x-bus-consumer-id"]
        for _ in range(20):
            acknowledge(server, consumer, msgspec.json.decode(stream.take(1)[0].data)["id"])
        server.wait_for_log("let go of")
        assert 1 < first_index(server) <= 21
    with subscribe(server, "app.a", ack="manual", consumer="billing", prefetch=40) as stream:
        left = [msgspec.json.decode(event.data)["id"] for event in stream.take(20)]
    assert left == ids[20:]


def test_it_is_let_go_of_all_the_same_when_told_so(start_server: StartServer) -> None:
    server = start_server(wrapper=OFTEN, flags=[*SMALL, "--retention", "app=1", "--retention-force", "true"])
    with subscribe(server, "app.a", ack="manual", consumer="billing", redelivery="60s"):
        fill(server)
        server.wait_for_log("let go of")
    assert server.stop() == 0
    server.start()
    with subscribe(server, "app.a", ack="manual", consumer="billing") as stream:
        gap = msgspec.json.decode(stream.take(1, "gap")[0].data)
        assert gap["reason"] == "expired"
        assert gap["next_index"] == first_index(server)


def test_a_damaged_batch_is_a_gap_and_the_rest_is_delivered(start_server: StartServer) -> None:
    server = start_server(flags=["--namespaces", "app"])
    fill(server, 10)
    assert server.stop() == 0
    (segment,) = server.path.glob("app/*.log")
    data = bytearray(segment.read_bytes())
    data[len(data) // 2] ^= 1
    segment.write_bytes(data)
    server.start()
    with subscribe(server, "app.a", start="oldest", follow="false") as stream:
        _, *told, done = stream.rest()
    gaps = [msgspec.json.decode(event.data) for event in told if event.kind == "gap"]
    read = [msgspec.json.decode(event.data)["index"] for event in told if event.kind == "msg"]
    assert [gap["reason"] for gap in gaps] == ["damaged"]
    missing = list(range(gaps[0]["first_missing"], gaps[0]["last_missing"] + 1))
    assert len(missing) == 1
    assert sorted(read + missing) == list(range(1, 11))
    assert msgspec.json.decode(done.data) == {"reason": "tail"}
    server.wait_for_log("can't be read")
