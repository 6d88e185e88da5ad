"""What a durable consumer gave up: kept, readable, countable, sent back or dropped."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager
from typing import Any
from urllib.parse import quote

import msgspec
import pytest

from tests.server.support import acknowledge, read, stored
from tests.support import ServerProcess, Stream, request, subscribe

pytestmark = [pytest.mark.every_engine]


@contextmanager
def _worker(server: ServerProcess, subject: str, name: str) -> Iterator[Stream]:
    with subscribe(
        server, subject, start="oldest", ack="manual", consumer=name, prefetch=10, redelivery="1m", redelivery_count=2
    ) as stream:
        yield stream


def _dead(server: ServerProcess, name: str) -> dict[str, Any]:
    found: dict[str, Any] = msgspec.json.decode(request(server, "GET", f"/v1/consumers/{name}/dead").body)
    return found


def _reject(server: ServerProcess, stream: Stream, count: int, reason: str = "bad") -> None:
    """Reject the next *count* events, and wait until their letters are written."""
    consumer_id = stream.headers["x-bus-consumer-id"]
    subject = f"app._dead_.{reason}"
    with subscribe(server, subject, start="newest") as letters:
        events = stream.take(count)
        acknowledge(server, consumer_id, *(event.id for event in events), action="reject", reason=reason)
        letters.take(count)


def test_a_rejected_event_is_dead_and_says_why(bus: ServerProcess, subject: str) -> None:
    event_id = stored(bus, subject, {"a": 1}, trace_id="t-1")
    with _worker(bus, subject, "r1") as stream:
        _reject(bus, stream, 1, "r1")
    found = _dead(bus, "r1")
    (dead,) = found["dead"]
    assert found["count"] == 1
    assert (dead["reason"], dead["attempts"], dead["subject"]) == ("r1", 1, subject)
    assert event_id in dead.values()


def test_a_dead_letter_is_an_event_like_any_other(bus: ServerProcess, subject: str) -> None:
    event_id = stored(bus, subject, {"a": 1}, trace_id="t-1", headers={"traceparent": "00"})
    with _worker(bus, subject, "r2") as stream:
        _reject(bus, stream, 1, "r2")
    (letter,) = read(bus, "app._dead_.r2")
    assert (letter["payload"], letter["trace_id"]) == ({"a": 1}, "t-1")
    assert letter["headers"] == {"traceparent": "00"}
    about = letter["dead"]
    assert (about["consumer"], about["id"], about["subject"]) == ("r2", event_id, subject)
    assert (about["attempts"], about["reason"]) == (1, "r2")


def test_wildcards_do_not_take_dead_letters(bus: ServerProcess, subject: str) -> None:
    stored(bus, subject)
    with _worker(bus, subject, "r3") as stream:
        _reject(bus, stream, 1, "r3")
    for pattern in ("app.>", "app.*.*", "app.*.r3"):
        assert not [event for event in read(bus, pattern) if "_dead_" in event["subject"]]


@pytest.mark.parametrize("chosen", [[0, 1, 2], [1]])
def test_dead_events_can_be_sent_back(bus: ServerProcess, subject: str, chosen: list[int]) -> None:
    name = f"back-{len(chosen)}"
    ids = [stored(bus, subject, number) for number in range(3)]
    with _worker(bus, subject, name) as stream:
        _reject(bus, stream, 3, name)
        indexes = [dead["index"] for dead in _dead(bus, name)["dead"]]
        query = "" if len(chosen) == 3 else "?index=" + ",".join(str(indexes[number]) for number in chosen)
        answer = request(bus, "POST", f"/v1/consumers/{name}/dead{query}")
        assert msgspec.json.decode(answer.body) == {"redriven": len(chosen)}
        events = [msgspec.json.decode(event.data) for event in stream.take(len(chosen))]
        assert [(event["id"], event["attempts"]) for event in events] == [(ids[number], 1) for number in chosen]
        again = request(bus, "POST", f"/v1/consumers/{name}/dead{query}")
        left = 0 if query else 3 - len(chosen)
        assert msgspec.json.decode(again.body) == {"redriven": left}, "what was sent back is no longer dead"


def test_dead_events_can_be_dropped(bus: ServerProcess, subject: str) -> None:
    for _ in range(3):
        stored(bus, subject)
    with _worker(bus, subject, "drop") as stream:
        _reject(bus, stream, 3, "drop")
    first = _dead(bus, "drop")["dead"][0]["index"]
    assert msgspec.json.decode(request(bus, "DELETE", f"/v1/consumers/drop/dead?index={first}").body) == {"dropped": 1}
    assert _dead(bus, "drop")["count"] == 2
    assert msgspec.json.decode(request(bus, "DELETE", "/v1/consumers/drop/dead").body) == {"dropped": 2}
    assert _dead(bus, "drop")["count"] == 0
    assert len(read(bus, "app._dead_.drop")) == 3, "the letters stay readable"


def test_an_index_given_twice_counts_once(bus: ServerProcess, subject: str) -> None:
    stored(bus, subject)
    with _worker(bus, subject, "twice") as stream:
        _reject(bus, stream, 1, "twice")
        index = _dead(bus, "twice")["dead"][0]["index"]
        answer = request(bus, "POST", f"/v1/consumers/twice/dead?index={index},{index}")
        assert msgspec.json.decode(answer.body) == {"redriven": 1}


@pytest.mark.parametrize("index", ["x", "-1", "1,,2", ",", "0", "01", "+1", "\u0661", "9" * 5000, "1&index=x"])
def test_unreadable_indexes_are_refused(bus: ServerProcess, subject: str, index: str) -> None:
    with _worker(bus, subject, "unreadable"):
        assert request(bus, "POST", f"/v1/consumers/unreadable/dead?index={quote(index, safe=',&=')}").status == 400
    assert request(bus, "DELETE", "/v1/consumers/unreadable").status == 204


def test_attempts_used_up_end_among_the_dead(bus: ServerProcess, subject: str) -> None:
    stored(bus, subject)
    with (
        subscribe(bus, "app._dead_.used-up") as letters,
        subscribe(
            bus, subject, start="oldest", ack="manual", consumer="used-up", redelivery="20ms", redelivery_count=2
        ),
    ):
        letter = msgspec.json.decode(letters.take(1)[0].data)
    assert (letter["dead"]["attempts"], letter["dead"]["reason"]) == (2, "not acknowledged within 20ms")


@pytest.mark.parametrize("crash", [True, False])
def test_the_dead_survive_a_restart(server: ServerProcess, crash: bool) -> None:
    event_id = stored(server, "app.a")
    with _worker(server, "app.a", "dead") as stream:
        _reject(server, stream, 1, "dead")
        if not crash:
            assert server.stop() == 0
    server.restart()
    with _worker(server, "app.a", "dead") as stream:
        # A crash may repeat what the consumer said last, so the event is dead, or is delivered again.
        if not _dead(server, "dead")["count"]:
            assert crash
            assert stream.take(1)[0].id == event_id
