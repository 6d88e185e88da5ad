"""Durable consumers: what a name keeps over connections and restarts, and how connections share it."""

from __future__ import annotations

import re
from contextlib import AbstractContextManager
from typing import Any

import msgspec
import pytest

from tests.server.support import acknowledge, publish, refusal, stored, target
from tests.support import ServerProcess, Stream, request, subscribe

pytestmark = [pytest.mark.every_engine]

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


def test_what_was_in_flight_by_itself_comes_again_with_its_attempts(bus: ServerProcess, subject: str) -> None:
    ids = [stored(bus, subject) for _ in range(2)]
    for attempt in (1, 2, 3):
        with _join(bus, subject, "again", redelivery_count=0) as stream:
            assert [(event["id"], event["attempts"]) for event in _take(stream)] == [(ids[0], attempt)]


def test_what_was_lost_beside_others_comes_alone_and_is_not_charged(bus: ServerProcess, subject: str) -> None:
    ids = [stored(bus, subject) for _ in range(4)]
    with _join(bus, subject, "crowd", prefetch=3, redelivery_count=1) as stream:
        _take(stream, 3)
    with _join(bus, subject, "crowd", prefetch=3, redelivery_count=1) as stream:
        for event_id in ids[:3]:
            (event,) = _take(stream)
            assert (event["id"], event["attempts"]) == (event_id, 1)
            assert _about(bus, "crowd")["in_flight"] == 1
            assert _about(bus, "crowd")["why"].startswith("alone since ")
            _settle(bus, stream, event_id)
        assert _take(stream)[0]["id"] == ids[3]


def test_a_worker_that_comes_back_goes_on_with_its_attempts(bus: ServerProcess, subject: str) -> None:
    ids = [stored(bus, subject) for _ in range(3)]
    for _ in range(4):
        with _join(bus, subject, "back", worker="w-1", prefetch=3, redelivery_count=1) as stream:
            assert [(event["id"], event["attempts"]) for event in _take(stream, 3)] == [(found, 1) for found in ids]
    assert _about(bus, "back")["dead"] == 0


CRASH = pytest.param(True, marks=pytest.mark.embedded_only("leases that outlive a crash"))


@pytest.mark.parametrize("crash", [CRASH, False])
def test_a_restart_of_the_server_costs_no_attempt(server: ServerProcess, crash: bool) -> None:
    ids = [stored(server, "app.a") for _ in range(2)]
    for _ in range(3):
        with _join(server, "app.a", "long", worker="w-1", prefetch=2, redelivery_count=1) as stream:
            assert [(event["id"], event["attempts"]) for event in _take(stream, 2)] == [(found, 1) for found in ids]
            if crash:
                server.kill()
            else:
                assert server.stop() == 0
        server.start()
    assert _about(server, "long")["dead"] == 0


def test_a_worker_whose_last_attempt_was_lost_is_awaited(bus: ServerProcess, subject: str) -> None:
    event_id = stored(bus, subject)
    with _join(bus, subject, "last", worker="w-1", redelivery_count=1) as stream:
        _take(stream)
    with _join(bus, subject, "last", worker="w-2", redelivery_count=1) as other:
        assert _about(bus, "last")["why"].startswith("1 wait for the worker that was lost in their last attempt")
        with _join(bus, subject, "last", worker="w-1", redelivery_count=1) as stream:
            assert [(event["id"], event["attempts"]) for event in _take(stream)] == [(event_id, 1)]
        # Now it doesn't come back.
        next_id = stored(bus, subject)
        assert _take(other)[0]["id"] == next_id
        _settle(bus, other, next_id)
        with subscribe(bus, "app._dead_.last", start="oldest") as letters:
            letter = msgspec.json.decode(letters.take(1)[0].data)
    assert (letter["dead"]["id"], letter["dead"]["reason"]) == (event_id, "connection lost")


def test_a_silent_connection_gets_nothing_while_there_is_another(bus: ServerProcess, subject: str) -> None:
    """It is asked again when it is the only one, one event at a time, and gets no new ones."""
    ids = [stored(bus, subject) for _ in range(3)]
    with _join(bus, subject, "silent", worker="w-1", prefetch=2, redelivery="400ms", redelivery_count=1) as silent:
        taken = [(event["id"], event["attempts"]) for event in _take(silent, 4)]
        assert taken == [(ids[0], 1), (ids[1], 1), (ids[0], 1), (ids[0], 1)]
        assert _about(bus, "silent")["why"].startswith("silent: 1 connection let a delivery time out")
        with _join(bus, subject, "silent", worker="w-2", prefetch=2, redelivery="400ms", redelivery_count=1) as well:
            found = []
            for _ in ids:
                (event,) = _take(well)
                found.append((event["id"], event["attempts"]))
                _settle(bus, well, event["id"])
            assert sorted(found) == [(event_id, 1) for event_id in ids]
    assert _about(bus, "silent")["dead"] == 0


@pytest.mark.parametrize("worker", ["a b", "x" * 129, "a.b", "é"])
def test_a_malformed_worker_is_400(bus: ServerProcess, subject: str, worker: str) -> None:
    answer = request(bus, "GET", target(subject, ack="manual", worker=worker))
    assert refusal(answer)[0] == 400


@pytest.mark.embedded_only("when what was nacked before a restart is due")
def test_a_delay_goes_on_over_a_restart(server: ServerProcess) -> None:
    ids = [stored(server, "app.a") for _ in range(2)]
    with _join(server, "app.a", "delayed") as stream:
        _take(stream)
        _settle(server, stream, ids[0], action="nack", delay="1h")
        assert server.stop() == 0
    server.start()
    with _join(server, "app.a", "delayed") as stream:
        assert _take(stream)[0]["id"] == ids[1]
        _settle(server, stream, ids[1])
        why = _about(server, "delayed")["why"]
        assert re.fullmatch("caught up, 1 nacked, the next due in (1h|5.m.*)", why), "an hour, not a new one nor none"


def test_events_of_one_id_are_different_events(bus: ServerProcess, subject: str) -> None:
    """In flight together, named together, given up and sent back: each is settled by itself."""
    for number in range(4):
        stored(bus, subject, number, id="twice")
    with _join(bus, subject, "twins", prefetch=4) as stream:
        assert [event["payload"] for event in _take(stream, 4)] == [0, 1, 2, 3]
        _settle(bus, stream, "twice", "twice", action="reject", reason="bad")
        assert _about(bus, "twins")["dead"] == 2
        _settle(bus, stream, "twice", action="nack")
        assert [(event["payload"], event["attempts"]) for event in _take(stream)] == [(2, 2)]
        _settle(bus, stream, "twice", "twice")
        assert msgspec.json.decode(request(bus, "POST", "/v1/consumers/twins/dead").body) == {"redriven": 2}
        assert [(event["payload"], event["attempts"]) for event in _take(stream, 2)] == [(0, 1), (1, 1)]
        assert request(bus, "GET", "/metrics").status == 200
        _settle(bus, stream, "twice", "twice")
        assert _about(bus, "twins")["why"] == "caught up"


def test_an_anonymous_consumer_begins_anew(bus: ServerProcess, subject: str) -> None:
    event_id = stored(bus, subject)
    for _ in range(2):
        with subscribe(bus, subject, start="oldest", ack="manual") as stream:
            assert stream.take(1)[0].id == event_id
            acknowledge(bus, stream.headers["x-bus-consumer-id"], event_id)


@pytest.mark.parametrize("crash", [CRASH, False])
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
        found = []
        for _ in range(3):
            found.append(_take(stream)[0]["id"])
            _settle(server, stream, found[-1])
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
            for event_id in ids:
                assert [(event["id"], event["attempts"]) for event in _take(heir)] == [(event_id, 1)]
                _settle(bus, heir, event_id)


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
    assert (status, "bus consumers edit mismatch" in text) == (409, True)
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
        assert why().startswith("caught up, 1 nacked, the next due in 1h")
    other_id = stored(bus, subject + ".other")
    with _join(bus, subject + ".other", "idle") as stream:
        assert _take(stream)[0]["id"] == other_id
        _settle(bus, stream, other_id)
        assert request(bus, "GET", "/v1/consumers/idle/why").text.strip() == "caught up"
    assert refusal(request(bus, "GET", "/v1/consumers/nobody/why"))[0] == 404


@pytest.mark.embedded_only("order=key")
def test_events_of_one_key_are_never_in_flight_at_once(bus: ServerProcess, subject: str) -> None:
    keys = ["a", "a", "b", "a", "b", ""]
    ids = [stored(bus, subject + f".{number}", key=key) for number, key in enumerate(keys)]
    # Each event has a subject of its own, for a key would not let the same subject in twice.
    with _join(bus, subject + ".*", "by-key", prefetch=10, order="key") as stream:
        assert [event["id"] for event in _take(stream, 3)] == [ids[0], ids[2], ids[5]]
        for settled, next_id in ((ids[0], ids[1]), (ids[2], ids[4]), (ids[1], ids[3])):
            _settle(bus, stream, settled)
            assert _take(stream)[0]["id"] == next_id
