"""Durable consumers as they are managed: made, changed, paused and listed."""

from __future__ import annotations

from typing import Any

import msgspec
import pytest

from tests.conftest import StartServer
from tests.server.support import acknowledge, publish, refusal, stored, target, with_limits
from tests.support import Answer, ServerProcess, request, subscribe

pytestmark = [pytest.mark.every_engine]


def put(server: ServerProcess, name: str, **said: Any) -> Answer:
    return request(server, "PUT", f"/v1/consumers/{name}", msgspec.json.encode(said))


def change(server: ServerProcess, name: str, **said: Any) -> dict[str, Any]:
    """Change a consumer that is there; what is said of it then."""
    return answered(put(server, name, **said))


def about(server: ServerProcess, name: str, what: str = "") -> dict[str, Any]:
    return answered(request(server, "GET", f"/v1/consumers/{name}{what}"))


def answered(answer: Answer, status: int = 200) -> dict[str, Any]:
    assert answer.status == status, answer
    found: dict[str, Any] = msgspec.json.decode(answer.body)
    return found


@pytest.mark.embedded_only("order=key")
def test_a_consumer_is_made_with_its_terms_and_kept(server: ServerProcess) -> None:
    ids = [stored(server, "app.a") for _ in range(2)]
    terms = {"redelivery": "1m,5m", "redelivery_count": 7, "order": "key", "expires": "7d", "paused": True}
    made = answered(put(server, "made", patterns=["app.a", "app.b"], start="oldest", **terms), 201)
    assert made | terms == made
    assert (made["patterns"], made["next_index"], made["behind"]) == (["app.a", "app.b"], 1, 2)
    server.kill()
    server.restart()
    assert about(server, "made") == made
    assert change(server, "made", paused=False) == made | {"paused": False, "why": "no connection"}
    with subscribe(server, "app.a,app.b", ack="manual", consumer="made") as stream:
        assert [event.id for event in stream.take(1)] == ids[:1]


@pytest.mark.embedded_only("expires")
def test_what_is_left_out_stays_as_it_is(bus: ServerProcess, subject: str) -> None:
    made = answered(put(bus, "left-out", patterns=[subject], redelivery=["1s", "5s"]), 201)
    assert (made["redelivery"], made["expires"], made["paused"], made["order"]) == ("1s,5s", None, False, None)
    assert change(bus, "left-out", expires="1h") == made | {"expires": "1h"}
    assert change(bus, "left-out", redelivery_count=-1)["redelivery_count"] == 0
    assert change(bus, "left-out", expires="0")["expires"] == "0"
    assert change(bus, "left-out", expires=None, start="oldest") == made | {"redelivery_count": 0}
    assert change(bus, "left-out") == made | {"redelivery_count": 0}


@pytest.mark.parametrize(
    ("body", "said"),
    [
        (b"", "the body is empty: send JSON with patterns"),
        (b"{", "the body is not JSON"),
        (b"[]", "not what goes here: Expected `object`"),
        (b'{"pattern": ["app.a"]}', "field 'pattern' is not known here: did you mean patterns?"),
        (b'{"patterns": []}', "subject"),
        (b'{"patterns": ["app..a"]}', "app..a"),
        (b'{"patterns": ["app.a", "orders.a"]}', "namespace"),
        (b'{"paused": "yes"}', "Expected `bool`"),
        (b'{"redelivery": "soon"}', "duration 'soon' can't be read"),
        (b'{"redelivery": "0s"}', "redelivery is no time"),
        (b'{"redelivery_count": 1e3}', "redelivery_count"),
        (b'{"order": "time"}', "the only order is key"),
        (b'{"expires": "soon"}', "duration 'soon' can't be read"),
        (b'{"patterns": ["app.a"], "start": "!"}', "start '!' can't be read"),
        (b'{"paused": "\xff"}', ""),
    ],
)
def test_what_cannot_be_read_is_refused_in_a_line(bus: ServerProcess, body: bytes, said: str) -> None:
    status, text = refusal(request(bus, "PUT", "/v1/consumers/unread", body))
    assert (status, said in text) == (400, True), text
    assert request(bus, "GET", "/v1/consumers/unread").status == 404


@pytest.mark.parametrize(
    ("name", "body", "status", "said"),
    [
        ("nobody", {"paused": True}, 404, "consumer 'nobody' doesn't exist: say which patterns"),
        ("a%20b", {"patterns": "app.a"}, 400, "malformed"),
        ("elsewhere", {"patterns": "nowhere.a"}, 404, "namespace 'nowhere' is not declared"),
        ("inbox", {"patterns": "_bus_.a"}, 404, "not declared"),
        ("ahead", {"patterns": "app.a", "start": "e_00ffffffffff0000000000"}, 404, "never existed"),
    ],
)
def test_what_cannot_be_made_is_refused(
    bus: ServerProcess, name: str, body: dict[str, Any], status: int, said: str
) -> None:
    found, text = refusal(put(bus, name, **body))
    assert (found, said in text) == (status, True), text


def test_a_consumer_stays_in_its_namespace(bus: ServerProcess, subject: str) -> None:
    answered(put(bus, "stays", patterns=[subject]), 201)
    status, text = refusal(put(bus, "stays", patterns="orders.a", paused=True))
    assert (status, "is of namespace app" in text) == (409, True), text
    assert not about(bus, "stays")["paused"]


def test_who_gives_other_terms_is_told_how_to_change_them(bus: ServerProcess, subject: str) -> None:
    answered(put(bus, "given-others", patterns=[subject], redelivery="1m"), 201)
    wanted = target(subject, ack="manual", consumer="given-others", redelivery="2m")
    status, text = refusal(request(bus, "GET", wanted))
    assert (status, "bus consumers edit given-others" in text) == (409, True), text
    change(bus, "given-others", redelivery="2m")
    with subscribe(bus, subject, ack="manual", consumer="given-others", redelivery="2m") as stream:
        assert stream.status == 200


def test_a_new_redelivery_counts_from_the_next_attempt(bus: ServerProcess, subject: str) -> None:
    answered(put(bus, "sooner", patterns=[subject], redelivery="1h"), 201)
    with subscribe(bus, subject, ack="manual", consumer="sooner") as stream:
        event_id = stored(bus, subject)
        stream.take(1)
        change(bus, "sooner", redelivery="10ms", redelivery_count=0)
        acknowledge(bus, stream.headers["x-bus-consumer-id"], event_id, action="nack")
        for attempts in (2, 3):
            (event,) = stream.take(1)
            assert msgspec.json.decode(event.data)["attempts"] == attempts
            if attempts == 2:
                acknowledge(bus, stream.headers["x-bus-consumer-id"], event_id, action="nack")


def test_nothing_is_handed_out_while_it_is_paused(bus: ServerProcess, subject: str) -> None:
    answered(put(bus, "on-hold", patterns=[subject]), 201)
    with subscribe(bus, subject, ack="manual", consumer="on-hold", prefetch=2) as stream:
        first = stored(bus, subject)
        stream.take(1)
        assert change(bus, "on-hold", paused=True)["why"].startswith("paused: nothing is handed out")
        later = [stored(bus, subject) for _ in range(3)]
        acknowledge(bus, stream.headers["x-bus-consumer-id"], first)
        found = about(bus, "on-hold")
        assert (found["pending"], found["behind"], found["connections"]) == (0, 3, 1)
        change(bus, "on-hold", paused=False)
        assert [event.id for event in stream.take(2)] == later[:2]


def test_what_times_out_while_it_is_paused_waits_until_it_is_resumed(bus: ServerProcess, subject: str) -> None:
    answered(put(bus, "leased", patterns=[subject], redelivery="50ms", redelivery_count=0), 201)
    with subscribe(bus, subject, ack="manual", consumer="leased") as stream:
        event_id = stored(bus, subject)
        stream.take(1)
        change(bus, "leased", paused=True)
        while about(bus, "leased", "/pending")["pending"][0]["state"] != "ready":
            pass
        found = about(bus, "leased")
        assert (found["in_flight"], found["why"].startswith("paused")) == (0, True)
        change(bus, "leased", paused=False)
        (event,) = stream.take(1)
        assert (event.id, msgspec.json.decode(event.data)["attempts"]) == (event_id, 2)


@pytest.mark.embedded_only("that what doesn't match any more is settled at once")
def test_who_reads_other_patterns_is_interrupted_and_the_rest_goes_on(bus: ServerProcess, subject: str) -> None:
    other, wide = f"{subject}.other", f"{subject}.>"
    answered(put(bus, "narrowed", patterns=[wide], redelivery="1h"), 201)
    with subscribe(bus, wide, ack="manual", consumer="narrowed", prefetch=9) as stream:
        ids = [stored(bus, name) for name in (other, f"{subject}.a", other, f"{subject}.a")]
        stream.take(4)
        acknowledge(bus, stream.headers["x-bus-consumer-id"], ids[0])
        found = change(bus, "narrowed", patterns=[other])
        assert (found["pending"], found["connections"], found["patterns"]) == (1, 0, [other])
        assert [event.kind for event in stream.rest()] == [], "it breaks off without a word"
    assert refusal(request(bus, "GET", target(wide, ack="manual", consumer="narrowed")))[0] == 409
    with subscribe(bus, other, ack="manual", consumer="narrowed") as stream:
        assert [event.id for event in stream.take(1)] == ids[2:3]


@pytest.mark.embedded_only("order=key")
def test_order_by_key_holds_from_when_it_is_asked_for(bus: ServerProcess, subject: str) -> None:
    answered(put(bus, "keyed", patterns=[f"{subject}.>"], start="newest"), 201)
    for number in range(2):
        publish(bus, f"{subject}.{number}", key="same")
    with subscribe(bus, f"{subject}.>", ack="manual", consumer="keyed", prefetch=9) as stream:
        stream.take(2)
        assert change(bus, "keyed", order="key")["order"] == "key"
        stream.rest()
    states = [found["state"] for found in about(bus, "keyed", "/pending")["pending"]]
    assert states == ["ready", "held"]
    assert change(bus, "keyed", order=None)["order"] is None
    assert [found["state"] for found in about(bus, "keyed", "/pending")["pending"]] == ["ready", "ready"]


def test_what_is_in_flight_and_with_whom_is_listed(bus: ServerProcess, subject: str) -> None:
    wanted: dict[str, Any] = {"consumer": "in-flight", "redelivery": "1h", "prefetch": 2, "worker": "w-1"}
    with subscribe(bus, subject, ack="manual", **wanted) as stream:
        ids = [stored(bus, subject) for _ in range(3)]
        stream.take(2)
        acknowledge(bus, stream.headers["x-bus-consumer-id"], ids[1], action="nack", delay="1h")
        stream.take(1)
        connection_id = stream.headers["x-bus-consumer-id"]
        listed = about(bus, "in-flight", "/pending")
        states = [(found["event_id"], found["state"], found["attempts"]) for found in listed["pending"]]
        assert (listed["count"], states) == (
            3, [(ids[0], "in flight", 1), (ids[1], "delayed", 1), (ids[2], "in flight", 1)],
        )  # fmt: skip
        assert all(found["connection"] == connection_id for found in listed["pending"])
        assert all(found["since"] < found["due"] for found in listed["pending"])
        assert len(about(bus, "in-flight", "/pending?limit=1")["pending"]) == 1
        (found,) = about(bus, "in-flight", "/connections")["connections"]
        assert found.pop("since").startswith("20")
        assert found == {
            "consumer_id": connection_id, "address": "127.0.0.1", "worker": "w-1", "in_flight": 2, "prefetch": 2,
            "silent": False,
        }  # fmt: skip
    assert refusal(request(bus, "GET", "/v1/consumers/nobody/pending"))[0] == 404
    assert refusal(request(bus, "GET", "/v1/consumers/nobody/connections"))[0] == 404
    assert refusal(request(bus, "GET", "/v1/consumers/in-flight/pending?limit=0"))[0] == 400


@pytest.mark.embedded_only("expires")
def test_one_that_nobody_is_connected_to_expires(start_server: StartServer) -> None:
    server = start_server(flags=["--consumer-ttl", "1h"], wrapper=with_limits(RETENTION_SECONDS=0.05))
    answered(put(server, "kept", patterns="app.>"), 201)
    with subscribe(server, "app.a", ack="manual", consumer="connected"):
        change(server, "connected", expires="10ms")
        answered(put(server, "idle", patterns="app.>", expires="10ms"), 201)
        server.wait_for_log("consumer idle is forgotten: nobody was connected for 10ms")
        assert about(server, "connected")["connections"] == 1
    server.wait_for_log("consumer connected is forgotten")
    assert request(server, "GET", "/v1/consumers/idle").status == 404
    server.kill()
    server.restart()
    listed = msgspec.json.decode(request(server, "GET", "/v1/consumers").body)["consumers"]
    assert [found["name"] for found in listed] == ["kept"]


@pytest.mark.embedded_only("namespaces in memory")
def test_a_consumer_in_memory_is_changed_as_well(start_server: StartServer) -> None:
    server = start_server(namespaces=["live:memory"])
    answered(put(server, "live", patterns="live.>"), 201)
    assert change(server, "live", paused=True, patterns=["live.a"])["paused"]
    server.stop()
    server.start()
    assert request(server, "GET", "/v1/consumers/live").status == 404
