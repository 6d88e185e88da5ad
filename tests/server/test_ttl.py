"""Events that are of no use after a while: nobody gets them then, whoever asks and however."""

from __future__ import annotations

from typing import Any

import msgspec
import pytest

from bus.wire import NDJSON
from tests.conftest import StartServer
from tests.server.support import acknowledge, draft, post, publish, read, refusal, stored, target, upload
from tests.support import ServerProcess, request, subscribe

pytestmark = pytest.mark.every_engine

OVER = {"ttl": "15m", "created_at": "2020-01-31T12:00:00Z"}
ALIVE = {"ttl": "1h"}
SOON = "100ms"
"""Less than a redelivery takes."""


def _payloads(events: list[bytes]) -> list[object]:
    return [msgspec.json.decode(event)["payload"] for event in events]


@pytest.mark.parametrize("form", ["*/*", NDJSON, None], ids=["sse", "ndjson", "go"])
def test_what_is_over_is_left_out_of_a_replay(bus: ServerProcess, subject: str, form: str | None) -> None:
    lines = [draft(subject, number, **(OVER if number % 2 else ALIVE)) for number in range(4)]
    post(bus, b"[%b]" % b",".join(lines))
    upload(bus, [draft(subject, 4), draft(subject, 5, **OVER)])
    stored(bus, subject, 6, **OVER)
    accept: dict[str, Any] = {"Accept": form} if form else {}
    answer = request(bus, "GET", target(subject, start="oldest", follow="false"), **accept)
    found = [line[line.index(b"{") :] for line in answer.body.splitlines() if b'"payload"' in line]
    assert _payloads(found) == [0, 2, 4]


def test_live_subscribers_do_not_get_what_is_over_when_it_is_published(bus: ServerProcess, subject: str) -> None:
    with subscribe(bus, subject) as plain, subscribe(bus, subject, limit=1) as bounded:
        publish(bus, subject, 1, **OVER)
        publish(bus, subject, 2, **ALIVE)
        assert _payloads([event.data for event in plain.take(1) + bounded.take(1)]) == [2, 2]


def test_a_copy_gets_all_of_them(bus: ServerProcess, subject: str) -> None:
    publish(bus, subject, 1, **OVER)
    publish(bus, subject, 2, **ALIVE)
    first, second = read(bus, subject, expired="true")
    assert (first["ttl"], second["ttl"]) == ("15m", "1h")
    assert first["created_at"] == "2020-01-31T12:00:00.000000000Z"
    for wanted in ({"follow": "true"}, {"follow": "false", "ack": "manual"}):
        status, text = refusal(request(bus, "GET", target(subject, expired="true", **wanted)))
        assert status == 400 and "expired events are for copies" in text


def test_for_a_consumer_it_is_settled(bus: ServerProcess, subject: str) -> None:
    name = subject.replace(".", "-")
    for number in range(4):
        stored(bus, subject, number, **(OVER if number % 2 else {}))
    with subscribe(bus, subject, ack="manual", consumer=name, start="oldest", follow="false", prefetch=3) as stream:
        events = stream.take(2)
        assert _payloads([event.data for event in events]) == [0, 2]
        acknowledge(bus, stream.headers["x-bus-consumer-id"], *[event.id for event in events])
        assert b"tail" in stream.take(1, "done")[0].data
    about = msgspec.json.decode(request(bus, "GET", f"/v1/consumers/{name}").body)
    assert (about["behind"], about["pending"], about["dead"]) == (0, 0, 0)


def test_what_expires_while_it_is_delivered_does_not_come_again(bus: ServerProcess, subject: str) -> None:
    wanted: dict[str, Any] = {"ack": "manual", "redelivery": "200ms", "redelivery_count": 0, "prefetch": 2}
    with subscribe(bus, subject, **wanted) as stream:
        publish(bus, subject, "soon over", ttl=SOON)
        publish(bus, subject, "stays")
        found = _payloads([event.data for event in stream.take(5)])
    assert found.count("soon over") <= 1, "a slow machine may not deliver it at all"


def test_it_is_over_after_a_restart_as_well(start_server: StartServer) -> None:
    server = start_server()
    publish(server, "app.a", 1, **OVER)
    last = publish(server, "app.a", 2, **ALIVE)
    server.kill()
    server.start()
    assert [event["payload"] for event in read(server, "app.a")] == [2]
    assert last.headers["x-bus-event-index"] == "2", "indexes go on"
