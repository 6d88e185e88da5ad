"""How far a durable consumer is behind, and asking for that while others work."""

from __future__ import annotations

from typing import Any

import msgspec
import pytest

from tests.conftest import StartServer
from tests.server.support import acknowledge, dial, draft, stored, upload
from tests.support import ServerProcess, request, subscribe


def _about(server: ServerProcess, name: str) -> dict[str, Any]:
    found: dict[str, Any] = msgspec.json.decode(request(server, "GET", f"/v1/consumers/{name}").body)
    return found


def _behind(server: ServerProcess, name: str) -> int:
    """What the consumer is behind by each of the ways to ask."""
    listed = msgspec.json.decode(request(server, "GET", "/v1/consumers").body)["consumers"]
    metric = f'bus_consumer_behind_events{{consumer="{name}",namespace="app"}} '
    (line,) = [line for line in request(server, "GET", "/metrics").text.splitlines() if line.startswith(metric)]
    one, (other,) = _about(server, name), [about for about in listed if about["name"] == name]
    assert one["counting"] is False
    assert one["behind"] == other["behind"] == float(line.removeprefix(metric))
    return int(one["behind"])


@pytest.mark.parametrize("start", ["oldest", "newest", "7"])
def test_only_events_that_match_count(server: ServerProcess, start: str) -> None:
    for number in range(10):
        stored(server, "app.mine" if number % 2 else "app.other")
    before = {"oldest": 4, "newest": 0, "7": 1}[start]
    with subscribe(server, "app.mine,app.b.*", ack="manual", consumer="w", start=start) as stream:
        stream.take(0 if start == "newest" else 1)
        assert _behind(server, "w") == before, "one is pending"
    upload(server, [draft("app.mine" if n % 4 else f"app.o{n}") for n in range(1000)])
    upload(server, [draft(f"app.b.{n}") for n in range(7)])
    assert _behind(server, "w") == before + 757


def test_what_is_handed_out_is_not_behind_any_more(server: ServerProcess) -> None:
    upload(server, [draft("app.mine" if n % 2 else "app.other") for n in range(200)])
    with subscribe(server, "app.mine", ack="manual", consumer="w", start="oldest", prefetch=3) as stream:
        for settled in range(0, 90, 3):
            events = stream.take(3)
            assert _behind(server, "w") == 100 - settled - 3
            acknowledge(server, stream.headers["x-bus-consumer-id"], *[event.id for event in events])
        stream.take(1)
    server.stop()
    server.start()
    assert 0 < _behind(server, "w") <= 10


def test_what_is_let_go_of_is_not_behind(start_server: StartServer) -> None:
    flags = ["--segment-size", "8KB", "--retention", "app=1", "--retention-force", "true"]
    server = start_server(flags=flags)
    with subscribe(server, "app.a", ack="manual", consumer="w"):
        pass
    for _ in range(40):
        stored(server, "app.a", "x" * 1000)
    assert _behind(server, "w") >= 7
    server.wait_for_log("retention deleted")
    namespaces = msgspec.json.decode(request(server, "GET", "/v1/namespaces").body)["namespaces"]
    (app,) = [found for found in namespaces if found["namespace"] == "app"]
    assert _behind(server, "w") == app["events"] < 40


def test_answers_to_many_who_ask_come_in_order_and_are_complete(server: ServerProcess) -> None:
    for number in range(60):
        with subscribe(server, "app.a", ack="manual", consumer=f"w{number}"):
            pass
    with dial(server) as one, dial(server) as two:
        for peer in (one, two):
            peer.send(b"GET /v1/consumers HTTP/1.1\r\nHost: bus\r\n\r\nGET /metrics HTTP/1.1\r\nHost: bus\r\n\r\n" * 20)
        for peer in (one, two):
            for _ in range(20):
                assert len(msgspec.json.decode(peer.answer().body)["consumers"]) == 60
                assert peer.answer().body.count(b"bus_consumer_behind_events{") == 60
