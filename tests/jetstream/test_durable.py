"""Durable consumers that several Bus servers share: one place, one count of attempts, one set of dead letters."""

from __future__ import annotations

import time
from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from contextlib import suppress
from typing import Any

import msgspec
import pytest

from tests.jetstream.conftest import StartBus
from tests.nats.servers import Servers
from tests.server.support import acknowledge, read, stored
from tests.support import ServerProcess, Stream, request, subscribe

Pair = tuple[ServerProcess, ServerProcess]
WORKER: dict[str, Any] = {"ack": "manual", "consumer": "c", "start": "oldest", "redelivery": "1m"}
SOON = 5.0
"""Seconds, of which a lease has twice as many: what comes within them didn't wait for its end."""


@pytest.fixture
def pair(node: Servers, start_bus: StartBus) -> Iterator[Pair]:
    yield start_bus(node), start_bus(node)


def _take(stream: Stream, count: int = 1) -> list[tuple[str, int]]:
    events = [msgspec.json.decode(event.data) for event in stream.take(count)]
    return [(event["id"], event["attempts"]) for event in events]


def _settle(server: ServerProcess, stream: Stream, *ids: str, **said: Any) -> None:
    answer = acknowledge(server, stream.headers["x-bus-consumer-id"], *ids, **said)
    assert answer.status == 202, answer


def _work_off(server: ServerProcess, stream: Stream) -> list[tuple[str, int]]:
    """Acknowledge all that comes until the stream ends; returns it."""
    found = []
    with suppress(EOFError):
        while True:
            found += _take(stream)
            _settle(server, stream, found[-1][0])
    return found


def _about(server: ServerProcess) -> dict[str, Any]:
    found: dict[str, Any] = msgspec.json.decode(request(server, "GET", "/v1/consumers/c").body)
    return found


def test_two_servers_hand_out_each_event_once(pair: Pair) -> None:
    ids = [stored(pair[0], "app.a") for _ in range(40)]
    wanted = WORKER | {"follow": "false"}
    with (
        subscribe(pair[0], "app.a", prefetch=5, **wanted) as one,
        subscribe(pair[1], "app.a", **wanted) as other,
        ThreadPoolExecutor(2) as pool,
    ):
        jobs = [pool.submit(_work_off, server, stream) for server, stream in zip(pair, (one, other), strict=True)]
        got = [found for job in jobs for found in job.result()]
    assert sorted(got) == [(event_id, 1) for event_id in ids]
    for server in pair:
        assert (_about(server)["behind"], _about(server)["pending"]) == (0, 0)


def test_a_name_is_one_consumer_for_all_servers(pair: Pair) -> None:
    """Ten race to make it, with patterns of their own: those of one hold."""
    with ThreadPoolExecutor(10) as pool:
        targets = [f"/v1/consumers/c?n={number}" for number in range(10)]
        bodies = [msgspec.json.encode({"patterns": [f"app.{number % 2}"]}) for number in range(10)]
        jobs = [pool.submit(request, pair[n % 2], "PUT", "/v1/consumers/c", bodies[n]) for n in range(len(targets))]
        answers = [job.result().status for job in jobs]
    assert answers.count(201) == 1, answers
    assert _about(pair[0])["patterns"] == _about(pair[1])["patterns"]


def test_what_a_worker_leaves_at_one_server_comes_at_the_other_at_once(pair: Pair) -> None:
    event_id = stored(pair[0], "app.a")
    with subscribe(pair[1], "app.a", **WORKER) as other:
        assert _take(other) == [(event_id, 1)]
        with subscribe(pair[0], "app.a", **WORKER) as one:
            other.connection.close()
            began = time.monotonic()
            assert _take(one) == [(event_id, 2)]
    assert time.monotonic() - began < SOON


def test_attempts_are_counted_over_servers(pair: Pair) -> None:
    event_id = stored(pair[0], "app.a")
    for attempts, server in ((1, pair[0]), (3, pair[1]), (5, pair[0])):
        with subscribe(server, "app.a", redelivery_count=0, **WORKER) as stream:
            assert _take(stream) == [(event_id, attempts)]
            _settle(server, stream, event_id, action="nack")
            assert _take(stream) == [(event_id, attempts + 1)]


def test_what_was_lost_beside_others_comes_alone_at_the_other_server(pair: Pair) -> None:
    ids = [stored(pair[0], "app.a") for _ in range(3)]
    with subscribe(pair[0], "app.a", prefetch=3, redelivery_count=1, **WORKER) as stream:
        _take(stream, 3)
    with subscribe(pair[1], "app.a", prefetch=3, redelivery_count=1, **WORKER) as stream:
        for event_id in ids:
            assert _take(stream) == [(event_id, 1)]
            _settle(pair[1], stream, event_id)


def test_what_a_silent_worker_has_goes_to_one_at_the_other_server(pair: Pair) -> None:
    event_id = stored(pair[0], "app.a")
    wanted = WORKER | {"redelivery": "500ms", "redelivery_count": 2}
    with subscribe(pair[0], "app.a", **wanted) as silent:
        assert _take(silent) == [(event_id, 1)]
        with subscribe(pair[1], "app.a", **wanted) as well:
            assert _take(well) == [(event_id, 2)]
            _settle(pair[1], well, event_id)
        while _about(pair[1])["connections"]:
            """Until it knows that nobody is left there, it may fetch an event for whoever was, which is an attempt."""
        event_id = stored(pair[0], "app.a")
        assert _take(silent) == [(event_id, 1)], "when nobody else is left, it is asked anew after a while"


def test_what_a_killed_server_had_comes_after_its_lease(pair: Pair) -> None:
    event_id = stored(pair[0], "app.a")
    with subscribe(pair[0], "app.a", **WORKER) as stream:
        assert _take(stream) == [(event_id, 1)]
        pair[0].kill()
    with subscribe(pair[1], "app.a", **WORKER) as stream:
        assert _take(stream) == [(event_id, 2)]
        _settle(pair[1], stream, event_id)


def test_a_lease_is_extended_until_the_deadline(pair: Pair) -> None:
    """The lease would be over after 10 s; the worker has a minute, and another one waits at the other server."""
    event_id = stored(pair[0], "app.a")
    with subscribe(pair[0], "app.a", **WORKER) as one, subscribe(pair[1], "app.a", **WORKER) as other:
        (event,) = _take(one)
        other.connection.settimeout(12)
        with pytest.raises(TimeoutError):
            other.take(1)
        _settle(pair[0], one, event_id)
        assert event == (event_id, 1)


def test_an_acknowledgement_may_go_to_any_server(pair: Pair) -> None:
    ids = [stored(pair[0], "app.a") for _ in range(2)]
    with subscribe(pair[0], "app.a", **WORKER) as stream:
        for event_id in ids:
            assert _take(stream) == [(event_id, 1)]
            _settle(pair[1], stream, event_id)
    assert _about(pair[1])["pending"] == 0


def test_what_is_given_up_is_known_and_sent_back_at_every_server(pair: Pair) -> None:
    ids = [stored(pair[0], "app.a", number) for number in range(2)]
    with subscribe(pair[0], "app.a", prefetch=2, **WORKER) as stream:
        _take(stream, 2)
        _settle(pair[0], stream, *ids, action="reject", reason="bad")
    assert _about(pair[1])["pending"] == 0, "NATS has taken them back as well"
    assert len(read(pair[1], "app._dead_.c")) == 2
    assert request(pair[1], "POST", "/v1/consumers/c/dead").body == b'{"redriven":2}'
    with subscribe(pair[1], "app.a", prefetch=2, **WORKER) as stream:
        assert sorted(_take(stream, 2)) == [(event_id, 1) for event_id in ids]
        _settle(pair[1], stream, *ids, action="reject", reason="bad")
    assert len(read(pair[0], "app._dead_.c")) == 4, "what dies again leaves another letter"
    assert request(pair[0], "DELETE", "/v1/consumers/c/dead").body == b'{"dropped":2}'
    assert _about(pair[1])["dead"] == 0


def test_a_change_at_one_holds_at_the_other(pair: Pair) -> None:
    with subscribe(pair[0], "app.a", **WORKER) as stream:
        request(pair[1], "PUT", "/v1/consumers/c", b'{"paused": true}')
        event_id = stored(pair[0], "app.a")
        assert _about(pair[0])["why"].startswith("paused")
        request(pair[1], "PUT", "/v1/consumers/c", b'{"paused": false}')
        assert _take(stream) == [(event_id, 1)]


def test_deleted_at_one_it_ends_at_the_other(pair: Pair) -> None:
    stored(pair[0], "app.a")
    with subscribe(pair[0], "app.a", **WORKER) as stream:
        _take(stream)
        assert request(pair[1], "DELETE", "/v1/consumers/c").status == 204
        assert stream.rest()[-1].kind == "done"
    assert request(pair[0], "GET", "/v1/consumers/c").status == 404


def test_moved_at_one_it_goes_on_there_at_the_other(pair: Pair) -> None:
    ids = [stored(pair[0], "app.a") for _ in range(3)]
    with subscribe(pair[0], "app.a", prefetch=2, **WORKER) as stream:
        _take(stream, 2)
        _settle(pair[0], stream, ids[0], action="reject")
        moved = request(pair[1], "POST", "/v1/consumers/c/position", b'{"to": "oldest"}')
        assert msgspec.json.decode(moved.body)["to"] == 1
        assert {event.kind for event in stream.rest()} <= {"msg"}, "it breaks off, so that it is opened again"
    with subscribe(pair[0], "app.a", prefetch=3, **WORKER) as stream:
        assert _take(stream, 3) == [(event_id, 1) for event_id in ids]
    assert _about(pair[0])["dead"] == 1


def test_a_stopped_server_costs_no_attempt(pair: Pair) -> None:
    ids = [stored(pair[0], "app.a") for _ in range(2)]
    with subscribe(pair[0], "app.a", prefetch=2, redelivery_count=1, **WORKER) as stream:
        _take(stream, 2)
        assert pair[0].stop() == 0
    began = time.monotonic()
    with subscribe(pair[1], "app.a", prefetch=2, redelivery_count=1, **WORKER) as stream:
        assert _take(stream, 2) == [(event_id, 1) for event_id in ids]
    assert time.monotonic() - began < SOON
