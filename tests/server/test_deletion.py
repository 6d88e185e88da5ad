"""Events that are deleted are gone: from the disk, from memory, from streams, consumers and dead letters."""

from __future__ import annotations

from typing import Any

import msgspec
import pytest

from tests.conftest import StartServer
from tests.server.support import acknowledge, metric, post, publish, read, refusal, stored
from tests.support import ServerProcess, request, run_bus, subscribe

SECRET = "a word that is to be forgotten"


def delete(server: ServerProcess, target: str) -> int:
    """Delete what *target* names; returns how many events that were."""
    answer = request(server, "DELETE", f"/v1/events{target}")
    assert answer.status == 200, answer
    deleted: int = msgspec.json.decode(answer.body)["deleted"]
    return deleted


def payloads(server: ServerProcess, pattern: str) -> list[Any]:
    return [event["payload"] for event in read(server, pattern)]


def is_somewhere(server: ServerProcess, text: str) -> bool:
    """Whether some file of the server's directory holds *text*."""
    return any(text.encode() in file.read_bytes() for file in server.path.rglob("*") if file.is_file())


def test_what_a_pattern_takes_is_deleted_and_its_bytes_are_nowhere(start_server: StartServer) -> None:
    server = start_server()
    for number in range(10):
        publish(server, f"app.user{number % 2}", f"{SECRET} {number % 2}")
    assert is_somewhere(server, f"{SECRET} 1")
    assert delete(server, "?subject=app.user1") == 5
    assert not is_somewhere(server, f"{SECRET} 1")
    assert payloads(server, "app.>") == [f"{SECRET} 0"] * 5
    assert delete(server, "?subject=app.user1") == 0
    server.restart()
    assert payloads(server, "app.>") == [f"{SECRET} 0"] * 5
    assert publish(server, "app.user1").headers["x-bus-event-index"] == "11"


def test_only_what_is_left_counts(start_server: StartServer) -> None:
    server = start_server(flags=["--segment-size", "64KiB"])
    lines = [msgspec.json.encode({"subject": f"app.user{number % 2}", "payload": "x" * 100}) for number in range(2000)]
    assert post(server, b"\n".join(lines), Content_Type="application/x-ndjson").status == 202
    assert delete(server, "?subject=app.user1&before=1001") == 500
    for _ in range(2):
        about = msgspec.json.decode(request(server, "GET", "/v1/namespaces/app").body)
        assert (about["events"], about["first_index"], about["next_index"]) == (1500, 1, 2001)
        assert metric(server, 'bus_log_events{namespace="app"}') == 1500
        server.restart()


def test_one_event_is_deleted_by_its_id(bus: ServerProcess, subject: str) -> None:
    made, own = stored(bus, subject, "made"), stored(bus, subject, "own", id=f"mine-{subject.split('.')[1]}")
    left = stored(bus, subject, "left")
    assert delete(bus, f"/{made}") == delete(bus, f"/{own}") == 1
    assert payloads(bus, subject) == ["left"]
    for gone in (made, own, "e_never"):
        assert refusal(request(bus, "DELETE", f"/v1/events/{gone}")) == (
            404, f"event {gone} isn't stored here: it was deleted, or never was",
        )  # fmt: skip
    assert delete(bus, f"/{left}") == 1


def test_only_what_is_before_an_index_or_a_time_is_deleted(bus: ServerProcess, subject: str) -> None:
    first, second = publish(bus, subject, 1), publish(bus, subject, 2)
    publish(bus, subject, 3)
    assert delete(bus, f"?subject={subject}&before={second.headers['x-bus-event-index']}") == 1
    assert payloads(bus, subject) == [2, 3]
    assert delete(bus, f"?subject={subject}&before={first.headers['x-bus-event-created-at']}") == 0
    assert delete(bus, f"?subject={subject}&before=2099-01-01T00:00:00Z") == 2


def test_a_subscriber_passes_by(bus: ServerProcess, subject: str) -> None:
    ids = [stored(bus, subject, number) for number in range(6)]
    for gone in ids[1:4]:
        delete(bus, f"/{gone}")
    with subscribe(bus, subject, start="oldest", limit=3) as stream:
        assert [event.id for event in stream.take(3)] == [ids[0], ids[4], ids[5]]
    with subscribe(bus, subject, last_event_id=ids[0]) as stream:
        assert [event.id for event in stream.take(2)] == ids[4:]


def test_a_consumer_need_not_settle_it(bus: ServerProcess, subject: str) -> None:
    """Neither what is in flight, nor what was read ahead, nor what is yet to be read."""
    name = f"c-{subject.split('.')[1]}"
    ids = [stored(bus, subject, number) for number in range(5)]
    with subscribe(
        bus, subject, start="oldest", ack="manual", consumer=name, prefetch=2, redelivery="50ms", redelivery_count=9
    ) as stream:
        stream.take(2)
        for gone in ids[:4]:
            delete(bus, f"/{gone}")
        for expected in (ids[4], stored(bus, subject, "later")):
            while stream.take(1)[0].id != expected:
                """What came before it was deleted, or came again before that."""
            acknowledge(bus, stream.headers["x-bus-consumer-id"], expected)
        while (about := _consumer(bus, name))["pending"]:
            """What was in flight is settled when its time is over."""
    assert (about["behind"], about["dead"]) == (0, 0)


def _consumer(server: ServerProcess, name: str) -> dict[str, Any]:
    found: dict[str, Any] = msgspec.json.decode(request(server, "GET", f"/v1/consumers/{name}").body)
    return found


def test_the_dead_letter_of_an_event_goes_with_it(start_server: StartServer) -> None:
    server = start_server()
    event_id = stored(server, "app.a", SECRET)
    kept = stored(server, "app.b", "kept")
    with (
        subscribe(server, "app.*", start="oldest", ack="manual", consumer="c", prefetch=2) as stream,
        subscribe(server, "app._dead_.c", start="newest") as letters,
    ):
        stream.take(2)
        acknowledge(server, stream.headers["x-bus-consumer-id"], event_id, kept, action="reject")
        letters.take(2)
    assert delete(server, f"/{event_id}") == 2
    assert not is_somewhere(server, SECRET)
    assert payloads(server, "app._dead_.c") == ["kept"]
    answer = request(server, "POST", "/v1/consumers/c/dead")
    assert msgspec.json.decode(answer.body) == {"redriven": 1, "gone": [1]}


def test_a_key_that_was_used_stays_used(start_server: StartServer) -> None:
    server = start_server()
    event_id = stored(server, "app.a", SECRET, key="k")
    stored(server, "app.a", "other", key="other")
    delete(server, f"/{event_id}")
    assert publish(server, "app.a", key="k").status == 409
    server.restart()
    assert publish(server, "app.a", key="other").status == 409


@pytest.mark.parametrize("namespace", ["live:memory", "sealed"])
def test_in_every_kind_of_namespace(start_server: StartServer, namespace: str) -> None:
    env = {"BUS_SECRET_KEY": "a secret"} if namespace == "sealed" else {}
    server, name = start_server(namespaces=[namespace], env=env), namespace.partition(":")[0]
    for number in range(4):
        publish(server, f"{name}.n{number}", number)
    assert delete(server, f"?subject={name}.n1,{name}.n2") == 2
    assert payloads(server, f"{name}.>") == [0, 3]


def test_publishers_go_on_meanwhile(start_server: StartServer) -> None:
    server = start_server(flags=["--segment-size", "64KiB"])
    lines = b"\n".join(
        msgspec.json.encode({"subject": f"app.n{number % 10}", "payload": "x" * 100}) for number in range(5000)
    )
    assert post(server, lines, Content_Type="application/x-ndjson").status == 202
    assert delete(server, "?subject=app.n3") == 500
    assert publish(server, "app.n3").headers["x-bus-event-index"] == "5001"
    assert len(read(server, "app.>")) == 4501


@pytest.mark.parametrize(
    ("target", "text"),
    [
        ("", "subject is required"),
        ("?subject=app", "has no dot"),
        ("?subject=app.a&before=0", "from 1 to"),
        ("?subject=app.a&before=yesterday", "can't be read"),
        ("?subject=app.a&after=1", "not known here"),
        ("/a%20b", "malformed"),
    ],
)
def test_what_cannot_be_meant_is_refused(bus: ServerProcess, target: str, text: str) -> None:
    status, said = refusal(request(bus, "DELETE", f"/v1/events{target}"))
    assert status == 400 and text in said


def test_a_copy_and_a_check_know_of_it(start_server: StartServer) -> None:
    server = start_server()
    ids = [stored(server, "app.a", number) for number in range(4)]
    for gone in (ids[0], ids[2], ids[3]):
        delete(server, f"/{gone}")
    assert run_bus("verify", "--path", server.path).returncode == 0
    copied = run_bus("copy", "--from", server.path, "--to", server.path.with_name("copy"))
    assert copied.returncode == 0, copied.stderr
    again = start_server(server.path.with_name("copy"))
    assert [event["index"] for event in read(again, "app.a")] == [2]
    assert publish(again, "app.a").headers["x-bus-event-index"] == "5"
