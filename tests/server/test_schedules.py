"""Events that are published later: kept until then, published once, cancelled or recurring."""

from __future__ import annotations

import time
from datetime import UTC, datetime, timedelta
from typing import Any

import msgspec
import pytest

from bus.engine.embedded.schedules.schedule import KeptSchedule, Late
from bus.engine.embedded.schedules.store import ScheduleStore
from bus.units import SECOND_NS, format_time, parse_time
from bus.wire import DURABILITY, EVENT_ID, EVENT_INDEX, SCHEDULE_ID
from tests.conftest import StartServer
from tests.server.support import draft, post, read, refusal, stored
from tests.support import ServerProcess, request, subscribe

LATER = "2099-01-01T00:00:00Z"
EVERY_SECOND = "* * * * * *"


def schedule(server: ServerProcess, subject: str, *, query: str = "?delay=1h", **fields: Any) -> str:
    """Schedule one event and return its schedule's id."""
    answer = post(server, draft(subject, **fields), query)
    assert answer.status == 202, answer
    assert EVENT_INDEX.lower() not in answer.headers
    return answer.headers[SCHEDULE_ID.lower()]


def listed(server: ServerProcess, query: str = "") -> dict[str, Any]:
    answer = request(server, "GET", f"/v1/schedules{query}")
    assert answer.status == 200, answer
    found: dict[str, Any] = msgspec.json.decode(answer.body)
    return found


def ids(server: ServerProcess, subject: str) -> list[str]:
    return [found["id"] for found in listed(server, f"?subject={subject}")["schedules"]]


def recur(server: ServerProcess, name: str, subject: str, **fields: Any) -> Any:
    body = draft(subject, **{"cron": EVERY_SECOND, **fields})
    return request(server, "PUT", f"/v1/schedules/{name}", body)


@pytest.mark.embedded_only("schedules")
@pytest.mark.every_engine
@pytest.mark.parametrize("query", ["?delay=1ms", ""], ids=["delay", "deliver_at"])
def test_it_is_published_when_it_is_due(bus: ServerProcess, subject: str, query: str) -> None:
    when = {} if query else {"deliver_at": format_time(time.time_ns())}
    with subscribe(bus, subject) as stream:
        answer = post(bus, draft(subject, {"a": 1}, key="k", trace_id="t", headers={"h": "1"}, **when), query)
        (event,) = stream.take(1)
    assert answer.headers[DURABILITY.lower()] == "fsync"
    assert event.id == answer.headers[EVENT_ID.lower()] == answer.headers[SCHEDULE_ID.lower()]
    fields = msgspec.json.decode(event.data)
    assert (fields["payload"], fields["key"], fields["trace_id"], fields["headers"]) == ({"a": 1}, "k", "t", {"h": "1"})
    assert ids(bus, subject) == []


@pytest.mark.embedded_only("schedules")
@pytest.mark.every_engine
def test_it_waits_until_it_is_due(bus: ServerProcess, subject: str) -> None:
    later = schedule(bus, subject, query="", deliver_at=LATER, payload=[1])
    sooner = schedule(bus, subject, id="mine")
    assert ids(bus, subject) == [sooner, later]
    assert read(bus, subject) == []
    found = msgspec.json.decode(request(bus, "GET", f"/v1/schedules/{later}").body)
    assert found == {
        "id": later, "subject": subject, "deliver_at": LATER.replace("Z", ".000000000Z"), "bytes": 3, "payload": [1],
    }  # fmt: skip


@pytest.mark.embedded_only("schedules")
@pytest.mark.every_engine
def test_it_is_cancelled_and_never_comes(bus: ServerProcess, subject: str) -> None:
    cancelled = schedule(bus, subject)
    assert request(bus, "DELETE", f"/v1/schedules/{cancelled}").status == 204
    assert ids(bus, subject) == []
    for method in ("GET", "DELETE"):
        status, text = refusal(request(bus, method, f"/v1/schedules/{cancelled}"))
        assert (status, text) == (
            404, f"schedule '{cancelled}' doesn't exist: it was delivered or cancelled, or never was",
        )  # fmt: skip


def test_of_cancelling_and_publishing_one_wins(bus: ServerProcess, subject: str) -> None:
    """Cancelled in the moment in which they are due: whatever is answered has to be true."""
    cancelled = set()
    for _ in range(40):
        schedule_id = schedule(bus, subject, query="?delay=3ms")
        answer = request(bus, "DELETE", f"/v1/schedules/{schedule_id}")
        assert answer.status in (204, 404, 409)
        if answer.status == 204:
            cancelled.add(schedule_id)
    with subscribe(bus, subject, start="oldest") as stream:
        published = {event.id for event in stream.take(40 - len(cancelled))}
    assert not published & cancelled


@pytest.mark.embedded_only("schedules")
@pytest.mark.every_engine
def test_an_event_recurs_until_it_is_cancelled(bus: ServerProcess, subject: str) -> None:
    name = f"tick-{subject.split('.')[1]}"
    with subscribe(bus, subject) as stream:
        answer = recur(bus, name, subject, payload="tick", time_zone="Europe/Berlin")
        assert answer.status == 200, answer
        found = msgspec.json.decode(answer.body)
        assert (found["cron"], found["time_zone"], found["late"]) == (EVERY_SECOND, "Europe/Berlin", "once")
        first, second = stream.take(2)
        assert request(bus, "DELETE", f"/v1/schedules/{name}").status in (204, 409)
    assert first.id == f"{name}-{parse_time(found['deliver_at']) // 10**9}"
    assert second.id > first.id


def test_a_name_stands_for_one_thing(bus: ServerProcess, subject: str) -> None:
    name = f"name-{subject.split('.')[1]}"
    assert recur(bus, name, subject, cron="0 0 1 1 *").status == 200
    assert recur(bus, name, subject, cron="0 0 2 1 *", late="skip").status == 200
    assert ids(bus, subject) == [name]
    status, text = refusal(recur(bus, name, "orders.a", cron="0 0 1 1 *"))
    assert (status, text) == (409, f"schedule {name} publishes to namespace app: cancel it there first")


@pytest.mark.parametrize(
    ("query", "body", "text"),
    [
        ("?delay=1h", draft("app"), "has no dot"),
        ("?delay=1h", draft("nowhere.a"), "not declared"),
        ("?delay=1h", draft("_bus_.a"), "can't be scheduled"),
        ("?delay=x", draft("app.a"), "write it like 500ms"),
        ("?delay=100y", draft("app.a"), "write it like 500ms"),
        ("?delay=1h", draft("app.a", deliver_at=LATER), "give one of them"),
        ("", draft("app.a", deliver_at="tomorrow"), "write it like 2026"),
        ("", draft("app.a", deliver_at="9999-01-01T00:00:00Z"), "100 years from now"),
        ("?delay=1h", b"[%b,%b]" % (draft("app.a"), draft("app.a")), "send each event by itself"),
        ("", b"[%b,%b]" % (draft("app.a"), draft("app.a", deliver_at=LATER)), "one event by itself"),
        ("?delay=1h&wait=reply", draft("app.a"), "give delay or wait"),
        ("?wait=confirm", draft("app.a", deliver_at=LATER), "one event by itself"),
        ("?delay=1h", draft("app.a", id="a b"), "malformed"),
    ],
)
def test_what_cannot_be_scheduled_is_refused(bus: ServerProcess, query: str, body: bytes, text: str) -> None:
    answer = post(bus, body, query)
    assert answer.status in (400, 404) and text in answer.text, answer


def test_lines_are_not_scheduled(bus: ServerProcess) -> None:
    answer = post(bus, draft("app.a", deliver_at=LATER), Content_Type="application/x-ndjson")
    assert b"one event by itself" in answer.body


@pytest.mark.parametrize(
    ("name", "fields", "text"),
    [
        ("x", {"cron": "61 * * * *"}, "write minute, hour, day, month and weekday"),
        ("x", {"time_zone": "Mars"}, "isn't known"),
        ("x", {"late": "never"}, "once, skip"),
        ("x", {"id": "mine"}, "can't have an id"),
        ("x", {"colour": "red"}, "colour"),
        ("s_x", {}, "no s_ at its beginning"),
        ("x" * 65, {}, "1 to 64"),
        ("%C3%A9", {}, "1 to 64"),
    ],
)
def test_what_cannot_recur_is_refused(bus: ServerProcess, name: str, fields: dict[str, Any], text: str) -> None:
    status, said = refusal(recur(bus, name, "app.recurring", **fields))
    assert status == 400 and text in said


def test_pages_have_each_schedule_once(start_server: StartServer) -> None:
    server = start_server(namespaces=["app", "live:memory"])
    made = {schedule(server, f"{name}.a{number}") for number in range(7) for name in ("app", "live")}
    found: list[str] = []
    after = ""
    while True:
        page = listed(server, f"?limit=3{after}")
        found += [one["id"] for one in page["schedules"]]
        if "next" not in page:
            break
        after = f"&after={page['next']}"
    assert (len(found), set(found)) == (14, made)
    assert len(listed(server, "?subject=live.*")["schedules"]) == 7
    assert "begin without it" in refusal(request(server, "GET", "/v1/schedules?after=x"))[1]


def test_a_namespace_in_memory_schedules_in_memory(start_server: StartServer) -> None:
    server = start_server(namespaces=["live:memory"])
    with subscribe(server, "live.a") as stream:
        assert post(server, draft("live.a"), "?delay=1ms").headers[DURABILITY.lower()] == "memory"
        assert len(stream.take(1)) == 1


# -- restarts


def _keep(server: ServerProcess, *schedules: KeptSchedule) -> None:
    """Have a server that is stopped find *schedules* when it starts."""
    store = ScheduleStore(server.path / "app" / "schedules.db", key=None, sync=True)
    with store.transaction():
        for found in schedules:
            store.put(found)
    store.close()


def _ago(**time_ago: int) -> int:
    return round((datetime.now(UTC) - timedelta(**time_ago)).timestamp()) * SECOND_NS


def test_what_was_due_while_the_server_was_down_is_published_when_it_is_back(start_server: StartServer) -> None:
    server = start_server()
    waiting = schedule(server, "app.a")
    server.kill()
    _keep(server, KeptSchedule("s_missed", _ago(hours=2), draft("app.a")))
    server.start()
    with subscribe(server, "app.a", start="oldest") as stream:
        assert [event.id for event in stream.take(1)] == ["s_missed"]
    assert ids(server, "app.a") == [waiting]


@pytest.mark.parametrize(("late", "count"), [(Late.ONCE, 1), (Late.SKIP, 0)])
def test_what_recurs_and_was_missed_often_is_published_once_or_not(
    start_server: StartServer, late: Late, count: int
) -> None:
    server = start_server()
    server.stop()
    _keep(
        server,
        KeptSchedule("hourly", _ago(hours=5), draft("app.a"), "0 * * * *", "UTC", late),
        KeptSchedule("s_behind", _ago(hours=1), draft("app.b")),
    )
    server.start()
    with subscribe(server, "app.*", start="oldest") as stream:
        found = [msgspec.json.decode(event.data)["subject"] for event in stream.take(count + 1)]
    assert found == ["app.a"] * count + ["app.b"]
    (left,) = listed(server)["schedules"]
    assert parse_time(left["deliver_at"]) > time.time_ns()


def test_a_key_counts_from_when_the_event_is_published(start_server: StartServer) -> None:
    server = start_server()
    with subscribe(server, "app.a") as stream:
        stored(server, "app.a", key="k")
        schedule(server, "app.a", query="?delay=1ms", key="k")
        schedule(server, "app.a", query="?delay=2ms", key="other")
        keys = [msgspec.json.decode(event.data)["key"] for event in stream.take(2)]
    assert keys == ["k", "other"]
    server.wait_for_log("isn't stored: key was processed before")


def test_an_encrypted_server_has_no_schedule_in_clear(start_server: StartServer) -> None:
    server = start_server(env={"BUS_SECRET_KEY": "a secret"})
    schedule(server, "app.hidden", payload="hidden words")
    server.stop()
    for file in server.path.rglob("*"):
        assert not file.is_file() or b"hidden" not in file.read_bytes()
