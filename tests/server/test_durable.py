"""Durable consumers: what a name keeps over connections and restarts, and how connections share it."""

from __future__ import annotations

from contextlib import AbstractContextManager
from typing import Any

import msgspec
import pytest

from tests.server.support import acknowledge, publish, refusal, stored
from tests.support import ServerProcess, Stream, request, subscribe

ABOUT = {"name", "namespace", "patterns", "next_index", "behind", "pending", "in_flight", "dead", "connections", "why"}


def _join(server: ServerProcess, subject: str, name: str, **parameters: object) -> AbstractContextManager[Stream]:
    wanted: dict[str, Any] = {"start": "oldest", "redelivery": "1m", **parameters}
    return subscribe(server, subject, consumer=name, ack="manual", **wanted)


def _take(stream: Stream, count: int = 1) -> list[dict[str, Any]]:
    return [msgspec.json.decode(event.data) for event in stream.take(count)]


def _settle(server: ServerProcess, stream: Stream, *ids: str, **parameters: Any) -> None:
    answer = acknowledge(server, stream.headers["x-bus-consumer-id"], *ids, **parameters)
    assert answer.status == 202, answer


def _about(server: ServerProcess, name: str) -> dict[str, Any]:
    answer = request(server, "GET", f"/v1/consumers/{name}")
    assert answer.status == 200, answer
    found: dict[str, Any] = msgspec.json.decode(answer.body)
    return found


def test_a_name_goes_on_where_it_was(bus: ServerProcess, subject: str) -> None:
    ids = [stored(bus, subject) for _ in range(4)]
    with _join(bus, subject, "keeps") as stream:
        for event_id in ids[:2]:
            assert _take(stream)[0]["id"] == event_id
            _settle(bus, stream, event_id)
    with _join(bus, subject, "keeps", start="newest") as stream:
        assert [_take(stream)[0]["id"]] == ids[2:3]


def test_what_was_in_flight_comes_again_with_its_attempts(bus: ServerProcess, subject: str) -> None:
    ids = [stored(bus, subject) for _ in range(3)]
    with _join(bus, subject, "again", prefetch=2, redelivery_count=0) as stream:
        _take(stream, 2)
    with _join(bus, subject, "again", prefetch=3, redelivery_count=0) as stream:
        assert [(event["id"], event["attempts"]) for event in _take(stream, 3)] == [
            (ids[0], 2),
            (ids[1], 2),
            (ids[2], 1),
        ]


def test_an_anonymous_consumer_begins_anew(bus: ServerProcess, subject: str) -> None:
    event_id = stored(bus, subject)
    for _ in range(2):
        with subscribe(bus, subject, start="oldest", ack="manual") as stream:
            assert stream.take(1)[0].id == event_id
            acknowledge(bus, stream.headers["x-bus-consumer-id"], event_id)


@pytest.mark.parametrize("crash", [True, False])
def test_a_name_survives_a_restart(server: ServerProcess, crash: bool) -> None:
    ids = [stored(server, "app.a") for _ in range(4)]
    with _join(server, "app.a", "survivor", prefetch=2) as stream:
        _take(stream, 2)
        _settle(server, stream, ids[0])
        _take(stream, 1)
        if crash:
            server.kill()
        else:
            assert server.stop() == 0
    server.start()
    with _join(server, "app.a", "survivor", prefetch=4) as stream:
        found = [event["id"] for event in _take(stream, 3)]
    assert found[-3:] == ids[1:] or found == ids[:3], "a crash may repeat a delivery and never skips one"
    if not crash:
        assert found == ids[1:]


def test_connections_share_the_work(bus: ServerProcess, subject: str) -> None:
    with _join(bus, subject, "shared") as one, _join(bus, subject, "shared") as two:
        ids = [stored(bus, subject) for _ in range(2)]
        assert {_take(one)[0]["id"], _take(two)[0]["id"]} == set(ids)
        assert _about(bus, "shared")["connections"] == 2


def test_when_a_connection_dies_the_others_get_its_events_at_once(bus: ServerProcess, subject: str) -> None:
    ids = [stored(bus, subject) for _ in range(4)]
    with _join(bus, subject, "heirs", prefetch=4, redelivery="1h", redelivery_count=0) as dying:
        _take(dying, 4)
        with _join(bus, subject, "heirs", prefetch=4, redelivery="1h", redelivery_count=0) as heir:
            dying.connection.close()
            assert [(event["id"], event["attempts"]) for event in _take(heir, 4)] == [(event_id, 2) for event_id in ids]


def test_a_delivery_that_went_to_another_connection_is_409(bus: ServerProcess, subject: str) -> None:
    with _join(bus, subject, "handed-on") as one, _join(bus, subject, "handed-on") as two:
        ids = [stored(bus, subject) for _ in range(2)]
        first, second = _take(one)[0]["id"], _take(two)[0]["id"]
        assert {first, second} == set(ids)
        _settle(bus, one, first, action="nack", delay="1s")
        stored(bus, subject)
        _take(one)
        _settle(bus, two, second)
        assert _take(two)[0]["id"] == first, "the window of the other connection is full"
        status, text = refusal(acknowledge(bus, one.headers["x-bus-consumer-id"], first))
        assert (status, "delivered again" in text) == (409, True)
        _settle(bus, two, first)


def test_other_patterns_under_the_same_name_are_409(bus: ServerProcess, subject: str) -> None:
    with _join(bus, subject, "mismatch"):
        pass
    answer = request(bus, "GET", f"/?subject={subject}.other&consumer=mismatch&ack=manual")
    status, text = refusal(answer)
    assert (status, "delete it" in text) == (409, True)
    with _join(bus, f"{subject},{subject}", "mismatch") as stream:
        assert stream.status == 200


def test_a_name_is_one_consumer_on_the_whole_server(bus: ServerProcess, subject: str) -> None:
    with _join(bus, subject, "one"):
        assert request(bus, "GET", "/?subject=orders.a&consumer=one&ack=manual").status == 409


def test_limit_is_of_the_connection_not_of_the_name(bus: ServerProcess, subject: str) -> None:
    ids = [stored(bus, subject) for _ in range(3)]
    for event_id in ids:
        with _join(bus, subject, "by-one", limit=1) as stream:
            assert _take(stream)[0]["id"] == event_id
            _settle(bus, stream, event_id)
            assert stream.rest()[-1].data == b'{"reason":"limit"}'


def test_a_job_can_work_off_what_there_is_and_end(bus: ServerProcess, subject: str) -> None:
    for _ in range(2):
        ids = [stored(bus, subject) for _ in range(3)]
        with _join(bus, subject, "job", follow="false", prefetch=10) as stream:
            assert [event["id"] for event in _take(stream, 3)] == ids
            _settle(bus, stream, *ids)
            assert stream.rest()[-1].data == b'{"reason":"tail"}'


def test_consumers_are_listed(bus: ServerProcess, subject: str) -> None:
    publish(bus, subject)
    with _join(bus, subject, "listed") as stream:
        _take(stream)
        consumers = msgspec.json.decode(request(bus, "GET", "/v1/consumers").body)["consumers"]
        (found,) = [consumer for consumer in consumers if consumer["name"] == "listed"]
        assert found.keys() >= ABOUT
        assert (found["patterns"], found["pending"], found["in_flight"], found["connections"]) == ([subject], 1, 1, 1)
        assert _about(bus, "listed")["namespace"] == "app"


def test_a_deleted_consumer_ends_its_streams_and_begins_anew(bus: ServerProcess, subject: str) -> None:
    event_id = stored(bus, subject)
    with _join(bus, subject, "deleted") as stream:
        _take(stream)
        assert request(bus, "DELETE", "/v1/consumers/deleted").status == 204
        assert stream.rest()[-1].kind == "done"
    assert request(bus, "GET", "/v1/consumers/deleted").status == 404
    with _join(bus, subject, "deleted") as stream:
        assert [(event["id"], event["attempts"]) for event in _take(stream)] == [(event_id, 1)]


@pytest.mark.parametrize("method", ["GET", "DELETE"])
@pytest.mark.parametrize("path", ["nobody", "nobody/dead", "a%20b", "%00"])
def test_an_unknown_consumer_is_404(bus: ServerProcess, method: str, path: str) -> None:
    assert refusal(request(bus, method, f"/v1/consumers/{path}"))[0] == 404


def test_why_says_why_nothing_is_delivered(bus: ServerProcess, subject: str) -> None:
    def why() -> str:
        answer = request(bus, "GET", "/v1/consumers/whys/why")
        assert answer.status == 200
        return answer.text.strip()

    with _join(bus, subject, "whys") as stream:
        event_id = stored(bus, subject)
        _take(stream)
        assert why().startswith("window full since ") and event_id in why()
        _settle(bus, stream, event_id, action="nack", delay="1h")
        assert "nacked" in why()
    other_id = stored(bus, subject + ".other")
    with _join(bus, subject + ".other", "idle") as stream:
        assert _take(stream)[0]["id"] == other_id
        _settle(bus, stream, other_id)
        assert request(bus, "GET", "/v1/consumers/idle/why").text.strip() == "caught up"
    assert refusal(request(bus, "GET", "/v1/consumers/nobody/why"))[0] == 404


def test_events_of_one_key_are_never_in_flight_at_once(bus: ServerProcess, subject: str) -> None:
    keys = ["a", "a", "b", "a", "b", ""]
    ids = [stored(bus, subject + f".{number}", key=key) for number, key in enumerate(keys)]
    # Each event has a subject of its own, for a key would not let the same subject in twice.
    with _join(bus, subject + ".*", "by-key", prefetch=10, order="key") as stream:
        assert [event["id"] for event in _take(stream, 3)] == [ids[0], ids[2], ids[5]]
        for settled, next_id in ((ids[0], ids[1]), (ids[2], ids[4]), (ids[1], ids[3])):
            _settle(bus, stream, settled)
            assert _take(stream)[0]["id"] == next_id
