"""Stored events over HTTP: as streams have them, one by one or the newest first, and only for who may read them."""

from __future__ import annotations

from pathlib import Path
from typing import Any
from urllib.parse import urlencode

import msgspec
import pytest

from tests.conftest import StartServer
from tests.server.access import Rights, TokenFile, ask
from tests.server.support import draft, publish, refusal, stored, upload
from tests.support import ServerProcess, request, subscribe

pytestmark = pytest.mark.every_engine


def test_an_event_is_what_a_stream_has(bus: ServerProcess, subject: str) -> None:
    made, own = stored(bus, subject, "made"), stored(bus, subject, "own", id=f"own-{subject.split('.')[1]}")
    with subscribe(bus, subject, start="oldest") as stream:
        events = stream.take(2)
    for event, event_id in zip(events, (made, own), strict=True):
        answer = request(bus, "GET", f"/v1/events/{event_id}")
        assert (answer.status, answer.headers["content-type"]) == (200, "application/json")
        assert answer.body == event.data


@pytest.mark.parametrize(("event_id", "status"), [("e_never", 404), ("e_00000000ffffaaaaaaaaaa", 404), ("a%20b", 400)])
def test_an_event_that_is_not_there_is_refused(bus: ServerProcess, event_id: str, status: int) -> None:
    assert refusal(request(bus, "GET", f"/v1/events/{event_id}"))[0] == status


def test_what_may_not_be_read_is_as_if_it_were_not_there(tmp_path: Path, start_server: StartServer) -> None:
    file = TokenFile(tmp_path / "tokens.toml", None, reader={"subscribe": ["app.a"]}, root={"admin": True})
    server = start_server(flags=["--auth", str(file.path)])
    for name in ("a", "b"):
        assert ask(server, file.tokens["root"], "POST", "/", draft(f"app.{name}", id=f"id-{name}")).status == 202
    found, hidden, missing = (
        ask(server, file.tokens["reader"], "GET", f"/v1/events/id-{name}") for name in ("a", "b", "c")
    )
    assert found.status == 200
    assert (hidden.status, hidden.body.replace(b"id-b", b"id-c")) == (missing.status, missing.body)
    assert missing.status == 404


# -- one id in several namespaces


@pytest.fixture
def two(start_server: StartServer) -> ServerProcess:
    """A server with an event of the id ``same`` in two of its three namespaces."""
    server = start_server(namespaces=["app", "orders", "other"])
    for name in ("orders", "app"):
        stored(server, f"{name}.a", name, id="same")
    return server


@pytest.mark.embedded_only("deletion, memory, encryption")
@pytest.mark.parametrize("method", ["GET", "DELETE"])
def test_none_of_several_is_picked_unless_its_namespace_is_said(two: ServerProcess, method: str) -> None:
    refused = request(two, method, "/v1/events/same", Accept="application/problem+json")
    problem = msgspec.json.decode(refused.body)
    assert (refused.status, problem["code"], problem["namespaces"]) == (409, "ambiguous-event", ["app", "orders"])
    assert problem["detail"].endswith("say which is meant with namespace=: app, orders")
    assert request(two, method, "/v1/events/same?namespace=orders").status == 200
    left = [request(two, "GET", f"/v1/events/same?namespace={name}").status for name in ("app", "orders", "other")]
    assert left == [200, 404 if method == "DELETE" else 200, 404]


@pytest.mark.embedded_only("deletion, memory, encryption")
@pytest.mark.parametrize("method", ["GET", "DELETE"])
def test_what_is_left_in_one_namespace_needs_no_more_words(two: ServerProcess, method: str) -> None:
    assert request(two, "DELETE", "/v1/events/same?namespace=app").status == 200
    assert request(two, method, "/v1/events/same").status == 200
    assert refusal(request(two, method, "/v1/events/same?namespace=nowhere"))[0] == 404
    assert refusal(request(two, method, "/v1/events/same?namespace=app&namespace=orders"))[0] == 400


def test_an_id_of_the_server_that_another_namespace_has_too(start_server: StartServer) -> None:
    server = start_server(namespaces=["app", "orders"])
    made = stored(server, "orders.a", "made")
    stored(server, "app.a", "copied", id=made)
    assert refusal(request(server, "GET", f"/v1/events/{made}"))[0] == 409
    assert b"made" in request(server, "GET", f"/v1/events/{made}?namespace=orders").body
    assert b"copied" in request(server, "GET", f"/v1/events/{made}?namespace=app").body


RIGHTS: dict[str, Rights] = {
    "root": {"admin": True},
    "one": {"subscribe": ["app.*"], "manage": ["app.>"]},
    "both": {"subscribe": ["app.*", "orders.a"], "manage": ["app.*", "orders.>"]},
    "none": {"subscribe": ["other.*", "app.b"], "manage": ["other.*", "app.b"]},
}


@pytest.mark.embedded_only("deletion, memory, encryption")
def test_only_those_learn_of_an_event_who_may_know_of_it(tmp_path: Path, start_server: StartServer) -> None:
    """Who may know of one of several gets that one; who may know of none hears what they would if there was none."""
    file = TokenFile(tmp_path / "tokens.toml", None, **RIGHTS)
    server = start_server(namespaces=["app", "orders", "other"], flags=["--auth", str(file.path)])
    for name in ("app", "orders"):
        assert ask(server, file.tokens["root"], "POST", "/", draft(f"{name}.a", name, id="same")).status == 202

    def told(who: str, method: str, target: str) -> tuple[int, bytes]:
        answer = ask(server, file.tokens[who], method, f"/v1/events/{target}")
        return answer.status, answer.body

    for method in ("GET", "DELETE"):
        assert b"app, orders" in told("both", method, "same")[1] and told("both", method, "same")[0] == 409
        for namespace in ("", "?namespace=app", "?namespace=other"):
            hidden, missing = told("none", method, f"same{namespace}"), told("none", method, f"same-not{namespace}")
            assert hidden == (missing[0], missing[1].replace(b"same-not", b"same"))
            assert hidden[0] == (404 if method == "GET" else 403)
        hidden, missing = (told("none", method, f"same?namespace={name}") for name in ("orders", "absent"))
        assert (hidden[0], hidden[1].replace(b"orders", b"absent")) == missing and missing[0] == 403
        assert told("one", method, "same")[0] == 200
    assert told("both", "GET", "same")[0] == 200


# -- pages, the newest first


def page(server: ServerProcess, pattern: str, **parameters: object) -> tuple[list[Any], int | None]:
    """The payloads of a page, and where the next one begins."""
    query = urlencode({"subject": pattern, **parameters})
    answer = request(server, "GET", f"/v1/events?{query}")
    assert (answer.status, answer.headers["content-type"]) == (200, "application/json"), answer
    found = msgspec.json.decode(answer.body)
    return [event["payload"] for event in found["events"]], found.get("next")


def pages(server: ServerProcess, pattern: str, **parameters: object) -> list[Any]:
    """The payloads of all pages."""
    found, before = page(server, pattern, **parameters)
    while before is not None:
        more, before = page(server, pattern, **{**parameters, "before": before})
        found += more
    return found


def test_a_page_has_the_newest_first_as_streams_have_them(bus: ServerProcess, subject: str) -> None:
    for number in range(5):
        publish(bus, subject, number, key=f"k{number}-{subject}")
        publish(bus, f"{subject}.other", "other")
    with subscribe(bus, subject, start="oldest") as stream:
        events = [event.data for event in stream.take(5)]
    answer = request(bus, "GET", f"/v1/events?subject={subject}&limit=5")
    assert answer.body.startswith(b'{"events":[%b]' % b",".join(events[::-1]))
    assert page(bus, subject, limit=2)[0] == [4, 3]
    assert pages(bus, subject, limit=2) == [4, 3, 2, 1, 0]
    assert pages(bus, f"{subject}.*") == ["other"] * 5
    assert pages(bus, f"{subject},{subject}.other", limit=1) == [x for n in (4, 3, 2, 1, 0) for x in ("other", n)]


def test_a_page_ends_before_an_index_or_a_time(bus: ServerProcess, subject: str) -> None:
    first, second = publish(bus, subject, 1), publish(bus, subject, 2)
    assert pages(bus, subject, before=second.headers["x-bus-event-index"]) == [1]
    assert pages(bus, subject, before=first.headers["x-bus-event-created-at"]) == []
    assert pages(bus, subject, before="2099-01-01T00:00:00Z") == pages(bus, subject, before=10**12) == [2, 1]


@pytest.mark.embedded_only("deletion, memory, encryption")
def test_what_was_deleted_or_has_expired_is_not_on_a_page(bus: ServerProcess, subject: str) -> None:
    publish(bus, subject, "stays")
    gone = stored(bus, subject, "gone")
    publish(bus, subject, "expired", ttl="1ms", created_at="2020-01-01T00:00:00Z")
    publish(bus, subject, "lives", ttl="1h")
    assert request(bus, "DELETE", f"/v1/events/{gone}").status == 200
    assert pages(bus, subject) == ["lives", "stays"]


def test_large_events_fill_a_page_before_its_limit(bus: ServerProcess, subject: str) -> None:
    for number in range(4):
        publish(bus, subject, str(number) * 600_000)
    found, before = page(bus, subject)
    assert [payload[0] for payload in found] == ["3", "2"] and before
    assert [payload[0] for payload in pages(bus, subject)] == ["3", "2", "1", "0"]


@pytest.mark.embedded_only("deletion, memory, encryption")
def test_few_among_many_are_found_on_several_pages(start_server: StartServer) -> None:
    """The page ends with the events it has and a place to go on from, and all pages together miss nothing."""
    server = start_server(flags=["--segment-size", "8MiB"])
    publish(server, "app.rare", "first")
    for _ in range(50):
        upload(server, [draft("app.many", "x" * 100_000)] * 10)
    publish(server, "app.rare", "last")
    found, before = page(server, "app.rare", limit=2)
    assert found == ["last"] and before
    assert pages(server, "app.rare") == ["last", "first"]
    assert page(server, "app.never", before=2) == ([], None)


@pytest.mark.embedded_only("deletion, memory, encryption")
@pytest.mark.parametrize("namespace", ["live:memory", "sealed"])
def test_every_kind_of_namespace_has_pages(start_server: StartServer, namespace: str) -> None:
    env = {"BUS_SECRET_KEY": "a secret"} if namespace == "sealed" else {}
    server, name = start_server(namespaces=[namespace], env=env), namespace.partition(":")[0]
    for number in range(4):
        publish(server, f"{name}.n{number}", number)
    assert pages(server, f"{name}.>", limit=3) == [3, 2, 1, 0]


def test_pages_go_on_over_a_restart(start_server: StartServer) -> None:
    server = start_server()
    for number in range(6):
        publish(server, "app.a", number)
    found, before = page(server, "app.>", limit=3)
    server.restart()
    assert found + pages(server, "app.>", before=before) == [5, 4, 3, 2, 1, 0]


@pytest.mark.parametrize(
    ("query", "status", "text"),
    [
        ("", 400, "subject is required"),
        ("?subject=app", 400, "has no dot"),
        ("?subject=app.a&before=0", 400, "from 1 to"),
        ("?subject=app.a&before=yesterday", 400, "can't be read"),
        ("?subject=app.a&limit=0", 400, "from 1 to 1000"),
        ("?subject=app.a&limit=1001", 400, "from 1 to 1000"),
        ("?subject=app.a&start=1", 400, "not known here"),
        ("?subject=nowhere.a", 404, "not declared"),
        ("?subject=_bus_.a", 404, "not declared"),
    ],
)
def test_a_page_that_cannot_be_meant_is_refused(bus: ServerProcess, query: str, status: int, text: str) -> None:
    found, said = refusal(request(bus, "GET", f"/v1/events{query}"))
    assert found == status and text in said
