"""Publishing only if the log ends where the publisher expects: what is refused, and who wins a race."""

from __future__ import annotations

import threading
from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor
from functools import partial
from http.client import HTTPException
from queue import Queue
from typing import Any

import msgspec
import pytest

from tests.conftest import StartServer
from tests.server.support import acknowledge, draft, post, publish, read, refusal
from tests.support import PATIENCE, Answer, ServerProcess, request, subscribe

PUBLISHERS = 32


def publish_if(server: ServerProcess, subject: str, payload: Any = None, *, events: int = 1, **query: object) -> Answer:
    """Publish one event, or an array, with parameters."""
    written = "&".join(f"{name}={value}" for name, value in query.items())
    event = draft(subject, payload)
    return post(server, event if events == 1 else b"[%b]" % b",".join([event] * events), f"?{written}")


def index_of(answer: Answer) -> int:
    assert answer.status in (200, 202), answer
    return int(answer.headers["x-bus-event-index"])


def actual(answer: Answer) -> int:
    """Where a refusal says that the log ends."""
    assert answer.status == 412, answer
    return int(answer.headers["x-bus-event-index"])


@pytest.mark.every_engine
def test_an_event_is_stored_if_its_subject_ends_where_it_is_expected(bus: ServerProcess, subject: str) -> None:
    first = index_of(publish_if(bus, subject, 1, expect_subject=0))
    publish(bus, f"{subject}.other")
    assert actual(publish_if(bus, subject, 2, expect_subject=0)) == first
    assert actual(publish_if(bus, subject, 2, expect_subject=first + 1)) == first
    second = index_of(publish_if(bus, subject, 2, events=3, expect_subject=first))
    assert actual(publish_if(bus, subject, 3, expect_subject=second - 1)) == second
    assert actual(publish_if(bus, f"{subject}.never", expect_subject=second)) == 0
    assert [event["payload"] for event in read(bus, subject)] == [1, 2, 2, 2]


@pytest.mark.parametrize("namespace", ["app", "live:memory", "sealed"])
@pytest.mark.parametrize("fsync", ["always", "interval", "never"])
def test_an_event_is_stored_if_its_namespace_ends_where_it_is_expected(
    start_server: StartServer, namespace: str, fsync: str
) -> None:
    env = {"BUS_SECRET_KEY": "a secret"} if namespace == "sealed" else {}
    server, name = start_server(namespaces=[namespace], flags=["--fsync", fsync], env=env), namespace.partition(":")[0]
    assert index_of(publish_if(server, f"{name}.a", expect=0)) == 1
    assert index_of(publish_if(server, f"{name}.b", expect=1, expect_subject=0)) == 2
    assert actual(publish_if(server, f"{name}.b", expect=1)) == 2
    assert actual(publish_if(server, f"{name}.b", expect=2, expect_subject=1)) == 2
    assert actual(publish_if(server, f"{name}.a", expect=1, expect_subject=1)) == 2
    array = post(server, b"[%b,%b]" % (draft(f"{name}.a"), draft(f"{name}.b")), "?expect=2")
    assert index_of(array) == 4


def test_the_refusal_says_what_is_wrong(start_server: StartServer) -> None:
    server = start_server()
    publish(server, "app.a")
    publish(server, "app.b")
    for query, of, ends, expected in (("expect=7", "namespace app", 2, 7), ("expect_subject=0", "app.a", 1, 0)):
        text = f"the last index of {of} is {ends}, not {expected}: look at what came, and publish again"
        assert refusal(post(server, draft("app.a"), f"?{query}")) == (412, text)
        problem = msgspec.json.decode(post(server, draft("app.a"), f"?{query}", Accept="application/json").body)
        assert (problem["code"], problem["status"], problem["actual"]) == ("wrong-index", 412, ends)


@pytest.mark.every_engine
def test_a_key_that_was_used_is_said_first(bus: ServerProcess, subject: str) -> None:
    """A publisher that got no answer sends again, and learns that its event is stored."""
    event = draft(subject, key="k")
    first = post(bus, event, "?expect_subject=0")
    again = post(bus, event, "?expect_subject=0")
    assert (again.status, again.headers["x-bus-event-index"]) == (409, str(index_of(first)))
    refused = post(bus, draft(subject, key="other"), "?expect_subject=0")
    assert actual(refused) == index_of(first)
    assert post(bus, draft(subject, key="other"), f"?expect_subject={actual(refused)}").status == 202


@pytest.mark.every_engine
def test_it_goes_with_waiting(bus: ServerProcess, subject: str) -> None:
    with subscribe(bus, subject, ack="manual") as stream, ThreadPoolExecutor() as pool:
        waiting = pool.submit(publish_if, bus, subject, 1, wait="confirm", timeout="20s", expect_subject=0)
        (event,) = stream.take(1)
        acknowledge(bus, stream.headers["x-bus-consumer-id"], event.id)
        first = index_of(waiting.result())
        assert actual(publish_if(bus, subject, 2, wait="confirm", expect_subject=0)) == first
        assert actual(publish_if(bus, subject, 2, wait="reply", expect_subject=0)) == first


@pytest.mark.parametrize(
    ("query", "body", "text"),
    [
        ("expect=x", draft("app.a"), "expect 'x' is not a whole number"),
        ("expect_subject=-1", draft("app.a"), "expect_subject '-1' is not a whole number"),
        ("expect=1&expect=1", draft("app.a"), "expect"),
        ("expect=0&delay=1h", draft("app.a"), "nobody knows yet where the log will end"),
        ("expect=0", draft("app.a", deliver_at="2099-01-01T00:00:00Z"), "nobody knows yet where the log will end"),
        ("expect_subject=0", b"[%b,%b]" % (draft("app.a"), draft("app.b")), "events of one subject"),
        ("expect=0", draft("_bus_.a"), "an inbox keeps no indexes"),
    ],
)
def test_what_cannot_be_meant_is_refused(bus: ServerProcess, query: str, body: bytes, text: str) -> None:
    status, said = refusal(post(bus, body, f"?{query}"))
    assert status == 400 and text in said


def test_lines_cannot_expect_anything(bus: ServerProcess) -> None:
    answer = post(bus, draft("app.a"), "?expect=0", Content_Type="application/x-ndjson")
    assert refusal(answer) == (400, "expect goes with one event or an array, not with NDJSON")


def test_what_was_deleted_is_not_the_last(start_server: StartServer) -> None:
    server = start_server()
    publish(server, "app.a", 1)
    publish(server, "app.a", 2, id="second")
    assert request(server, "DELETE", "/v1/events/second").status == 200
    assert actual(publish_if(server, "app.a", expect_subject=2)) == 1
    assert index_of(publish_if(server, "app.a", expect=2, expect_subject=1)) == 3


# -- races


def race(publish: Callable[[int], Answer]) -> list[Answer]:
    """Have all publishers do it at once."""
    start = threading.Barrier(PUBLISHERS)

    def run(number: int) -> Answer:
        start.wait()
        return publish(number)

    with ThreadPoolExecutor(PUBLISHERS) as pool:
        return list(pool.map(run, range(PUBLISHERS)))


@pytest.mark.every_engine
@pytest.mark.parametrize("events", [1, 3])
def test_of_those_who_expect_the_same_end_of_a_subject_one_wins_each_time(
    bus: ServerProcess, subject: str, events: int
) -> None:
    last = 0
    for _ in range(8):
        answers = race(partial(publish_if, bus, subject, events=events, expect_subject=last))
        (won,) = (answer for answer in answers if answer.status == 202)
        last = index_of(won)
        assert {actual(answer) for answer in answers if answer is not won} == {last}
    assert len(read(bus, subject)) == 8 * events


def test_of_those_who_expect_the_same_end_of_the_namespace_one_wins_each_time_over_restarts(
    start_server: StartServer,
) -> None:
    server = start_server()
    for last in range(5):
        answers = race(partial(publish_if, server, "app.a", expect=last))
        (won,) = (answer for answer in answers if answer.status == 202)
        assert index_of(won) == last + 1
        assert {actual(answer) for answer in answers if answer is not won} == {last + 1}
        server.kill()
        server.start()


def test_others_beside_a_race_are_stored_undisturbed(bus: ServerProcess, subject: str) -> None:
    def publish_some(number: int) -> Answer:
        if number % 2:
            return publish_if(bus, subject, "raced", expect_subject=0)
        return publish(bus, f"{subject}.other", number)

    answers = race(publish_some)
    assert sorted(answer.status for answer in answers) == [202] * 17 + [412] * 15
    assert len(read(bus, f"{subject}.other")) == 16


@pytest.mark.parametrize("fsync", ["always", "never"])
def test_a_history_holds_together_whenever_the_server_is_killed(start_server: StartServer, fsync: str) -> None:
    """Publishers add to what they know as fast as they can; each event says which one it was to follow."""
    server = start_server(flags=["--fsync", fsync])
    told: Queue[int] = Queue()
    receipts: list[int] = []
    for _ in range(3):
        with ThreadPoolExecutor(PUBLISHERS) as pool:
            running = [pool.submit(add_to_history, server, told) for _ in range(PUBLISHERS)]
            receipts += [told.get(timeout=PATIENCE) for _ in range(40)]
            server.kill()
            for one in running:
                one.result()
        server.start()
    receipts += [told.get() for _ in range(told.qsize())]
    events = read(server, "app.history")
    indexes = [event["index"] for event in events]
    assert [event["payload"] for event in events] == [0, *indexes[:-1]], "each follows the one that its publisher knew"
    assert len(set(receipts)) == len(receipts) and set(receipts) <= set(indexes)


def add_to_history(server: ServerProcess, told: Queue[int]) -> None:
    """Add events that say which one they follow, until the server is gone."""
    last = 0
    try:
        while True:
            answer = publish_if(server, "app.history", last, expect_subject=last)
            last = int(answer.headers["x-bus-event-index"])
            if answer.status == 202:
                told.put(last)
    except (OSError, HTTPException):
        return
