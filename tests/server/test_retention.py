"""Letting go of old events, and what those who wanted them are told."""

from __future__ import annotations

import msgspec
import pytest

from tests.conftest import StartServer
from tests.server.support import acknowledge, stored, with_limits
from tests.support import ServerProcess, request, subscribe

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
    server.wait_for_log("retention deleted")
    assert first_index(server) > 1
    assert len(list(server.path.glob("app/*.log"))) < 6


def test_nothing_is_let_go_of_that_a_durable_consumer_needs(start_server: StartServer) -> None:
    server = start_server(wrapper=OFTEN, flags=[*SMALL, "--retention", "app=1"])
    with subscribe(server, "app.a", ack="manual", consumer="billing", redelivery="60s") as stream:
        ids = fill(server)
        consumer = stream.headers["x-bus-consumer-id"]
        for _ in range(20):
            acknowledge(server, consumer, msgspec.json.decode(stream.take(1)[0].data)["id"])
        server.wait_for_log("retention deleted")
        assert 1 < first_index(server) <= 21
    with subscribe(server, "app.a", ack="manual", consumer="billing", prefetch=40) as stream:
        left = [msgspec.json.decode(event.data)["id"] for event in stream.take(20)]
    assert left == ids[20:]


def test_it_is_let_go_of_all_the_same_when_told_so(start_server: StartServer) -> None:
    server = start_server(wrapper=OFTEN, flags=[*SMALL, "--retention", "app=1", "--retention-force", "true"])
    with subscribe(server, "app.a", ack="manual", consumer="billing", redelivery="60s"):
        pass
    fill(server)
    server.wait_for_log("retention deleted")
    assert server.stop() == 0
    server.start()
    with subscribe(server, "app.a", ack="manual", consumer="billing") as stream:
        gap = msgspec.json.decode(stream.take(1, "gap")[0].data)
        assert gap["reason"] == "expired"
        assert 1 < gap["next_index"] <= first_index(server), "retention may have gone on meanwhile"


def test_what_is_let_go_of_by_force_is_told_listed_and_logged(start_server: StartServer) -> None:
    server = start_server(wrapper=OFTEN, flags=[*SMALL, "--retention", "app=1", "--retention-force", "true"])
    with (
        subscribe(server, "app.a", ack="manual", consumer="billing", redelivery="1h", prefetch=3) as durable,
        subscribe(server, "app.a", ack="manual", redelivery="1h", prefetch=2) as anonymous,
    ):
        ids = fill(server)
        line = server.wait_for_log("before consumer billing settled them")
        durable_gap, anonymous_gap = (msgspec.json.decode(s.take(1, "gap")[0].data) for s in (durable, anonymous))
        assert "events 1 to " in line
        assert "3 pending" in line
        for gap in (durable_gap, anonymous_gap):
            assert (gap["reason"], gap["first_missing"]) == ("expired", 1)
            assert gap["last_missing"] == gap["next_index"] - 1 > 3
        dropped = [msgspec.json.decode(event.data) for event in anonymous.take(2, "dropped")]
        assert [(one["id"], one["reason"]) for one in dropped] == [(ids[n], "deleted by retention") for n in (0, 1)]
        dead = msgspec.json.decode(request(server, "GET", "/v1/consumers/billing/dead").body)["dead"]
        assert [(one["event_id"], one["subject"], one["reason"]) for one in dead[:3]] == [
            (event_id, "app.a", "deleted by retention") for event_id in ids[:3]
        ]
        assert not any("letter" in one for one in dead)
        late = acknowledge(server, durable.headers["x-bus-consumer-id"], ids[0])
        assert late.status == 202, "who has the event may finish it"
        left = [msgspec.json.decode(event.data)["index"] for event in durable.take(1)]
        assert left[0] >= durable_gap["next_index"]


def test_what_is_gone_stays_listed_until_it_is_dropped(start_server: StartServer) -> None:
    server = start_server(wrapper=OFTEN, flags=[*SMALL, "--retention", "app=1", "--retention-force", "true"])
    with subscribe(server, "app.b", ack="manual", consumer="billing", redelivery="1h") as stream:
        stored(server, "app.b")
        event_id = stream.take(1)[0].id
        assert acknowledge(server, stream.headers["x-bus-consumer-id"], event_id, action="reject").status == 202
        fill(server)
        server.wait_for_log("retention deleted")
        answer = request(server, "POST", "/v1/consumers/billing/dead")
        assert msgspec.json.decode(answer.body) == {"redriven": 0, "gone": [1]}
        assert msgspec.json.decode(request(server, "GET", "/v1/consumers/billing/dead").body)["count"] == 1
        assert msgspec.json.decode(request(server, "DELETE", "/v1/consumers/billing/dead").body) == {"dropped": 1}


def test_what_was_pending_and_is_gone_at_the_start_is_dead(start_server: StartServer) -> None:
    server = start_server(flags=SMALL)
    with subscribe(server, "app.a", ack="manual", consumer="billing", redelivery="1h", prefetch=2) as stream:
        fill(server)
        stream.take(2)
    assert server.stop() == 0
    oldest = min(server.path.glob("app/*.log"))
    oldest.with_suffix(".idx").unlink()
    oldest.unlink()
    server.start()
    dead = msgspec.json.decode(request(server, "GET", "/v1/consumers/billing/dead").body)["dead"]
    assert [(one["index"], one["reason"]) for one in dead] == [(n, "deleted by retention") for n in (1, 2)]


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
