"""A key lets an event in once: the window, what is answered to the others, and who wins a race."""

from __future__ import annotations

from concurrent.futures import ThreadPoolExecutor

import msgspec
import pytest

from tests.conftest import StartServer
from tests.server.support import draft, post, publish, read, upload
from tests.support import Answer, ServerProcess

pytestmark = pytest.mark.every_engine

RECEIPT = ("x-bus-event-id", "x-bus-event-created-at", "x-bus-event-index")


def _receipt(answer: Answer) -> list[str]:
    return [answer.headers[name] for name in RECEIPT]


def test_a_second_event_is_refused_with_the_receipt_of_the_first(bus: ServerProcess, subject: str) -> None:
    first = publish(bus, subject, 1, key="k")
    second = publish(bus, subject, 2, key="k")
    assert (second.status, second.text.strip()) == (409, "key was processed before")
    assert _receipt(second) == _receipt(first)
    assert [event["payload"] for event in read(bus, subject)] == [1]


def test_the_refusal_has_the_headers_as_a_problem_too(bus: ServerProcess, subject: str) -> None:
    first = publish(bus, subject, 1, key="k")
    second = post(bus, draft(subject, 2, key="k"), Accept="application/json")
    assert msgspec.json.decode(second.body)["code"] == "duplicate-key"
    assert _receipt(second) == _receipt(first)


def test_a_key_counts_together_with_its_subject(bus: ServerProcess, subject: str) -> None:
    assert [publish(bus, name, key="k").status for name in (subject, subject + ".other")] == [202, 202]


def test_no_key_is_no_key(bus: ServerProcess, subject: str) -> None:
    assert [publish(bus, subject, key="").status for _ in range(2)] == [202, 202]


@pytest.mark.parametrize(
    "event", [b'{"subject":"%b","key":"k","payload":NaN}', b'{"subject":"%b","key":"k","id":"a b"}']
)
def test_a_refused_event_uses_no_key(bus: ServerProcess, subject: str, event: bytes) -> None:
    assert post(bus, event % subject.encode()).status == 400
    assert publish(bus, subject, key="k").status == 202


@pytest.mark.embedded_only("windows that count keys")
@pytest.mark.parametrize("fsync", ["always", "never"])
def test_of_concurrent_publishers_of_one_key_exactly_one_is_stored(start_server: StartServer, fsync: str) -> None:
    server = start_server(flags=["--fsync", fsync])
    with ThreadPoolExecutor(32) as publishers:
        answers = list(publishers.map(lambda number: publish(server, "app.a", number, key="k"), range(32)))
    assert sorted(answer.status for answer in answers) == [202] + [409] * 31
    (event,) = read(server, "app.a")
    assert {answer.headers["x-bus-event-id"] for answer in answers} == {event["id"]}


def test_one_upload_with_a_key_twice_stores_it_once(bus: ServerProcess, subject: str) -> None:
    answer = upload(bus, [draft(subject, number, key=f"k{number % 5}") for number in range(50)])
    assert [line.get("status", 202) for line in answer] == [202] * 5 + [409] * 45
    assert [line["receipt"]["index"] for line in answer[5:]] == [answer[n % 5]["index"] for n in range(5, 50)]


@pytest.mark.parametrize("crash", [True, False])
def test_the_window_survives_a_restart(server: ServerProcess, crash: bool) -> None:
    first = publish(server, "app.a", key="k")
    publish(server, "app.a")
    if crash:
        server.kill()
    else:
        server.stop()
    server.start()
    second = publish(server, "app.a", key="k")
    assert (second.status, _receipt(second)) == (409, _receipt(first))


@pytest.mark.embedded_only("windows that count keys")
@pytest.mark.parametrize("restarted", [False, True])
def test_a_publisher_may_send_again_however_many_keys_came_in_between(
    start_server: StartServer, restarted: bool
) -> None:
    server = start_server(env={"BUS_DUP_SIZE": "3"})
    assert publish(server, "app.a", key="mine").status == 202
    assert {line.get("status", 202) for line in upload(server, [draft("app.a", key=f"k{n}") for n in range(500)])} == {
        202
    }
    if restarted:
        server.restart()
    assert publish(server, "app.a", key="mine").status == 409


@pytest.mark.embedded_only("windows of less than 100 ms")
def test_the_window_holds_keys_for_so_long(start_server: StartServer) -> None:
    server = start_server(env={"BUS_DUP_TTL": "1h"})
    assert [publish(server, "app.a", key="k").status for _ in range(2)] == [202, 409]
    server.stop()
    brief = start_server(env={"BUS_DUP_TTL": "1ns"})
    assert [publish(brief, "app.a", key="k").status for _ in range(2)] == [202, 202]


@pytest.mark.embedded_only("windows that count keys")
def test_a_window_of_no_keys_refuses_nothing(start_server: StartServer) -> None:
    server = start_server(env={"BUS_DUP_SIZE": "0"})
    assert [publish(server, "app.a", key="k").status for _ in range(2)] == [202, 202]
