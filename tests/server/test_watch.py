"""``/v1/watch``: all there is at first, then what has changed, to each as much as it may see."""

from __future__ import annotations

import socket
import time
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import msgspec
import pytest

from bus.wire import NDJSON
from tests.conftest import StartServer
from tests.server.access import TokenFile, ask
from tests.server.support import publish, refusal, stored, with_mistakes
from tests.support import ServerProcess, Stream, connect, request, subscribe

pytestmark = pytest.mark.every_engine

Change = Mapping[str, Any]


@contextmanager
def watch(server: ServerProcess, token: str = "", *, query: str = "interval=100ms") -> Iterator[Stream]:
    """``GET /v1/watch``, its header block read; closed on leaving."""
    bearer = f"Authorization: Bearer {token}\r\n" if token else ""
    with connect(server.port) as connection:
        head = f"GET /v1/watch?{query} HTTP/1.1\r\nHost: bus\r\nConnection: close\r\n"
        connection.sendall(f"{head}{bearer}\r\n".encode())
        found = Stream(connection)
        found._read_head()
        yield found


def changes(found: Stream) -> Iterator[Change]:
    """What is told, one after the other."""
    while True:
        (event,) = found.take(1, "counts")
        yield msgspec.json.decode(event.data)


def rows(change: Change, what: str) -> dict[str, Any]:
    """The rows of ``namespaces`` or ``consumers``, by their names."""
    return {row["name" if what == "consumers" else "namespace"]: row for row in change.get(what, [])}


def make_consumer(server: ServerProcess, name: str, pattern: str) -> None:
    body = msgspec.json.encode({"patterns": [pattern], "start": "oldest"})
    assert request(server, "PUT", f"/v1/consumers/{name}", body).status == 201


def test_the_first_has_everything_and_the_others_what_has_changed(server: ServerProcess) -> None:
    make_consumer(server, "c", "app.>")
    with watch(server) as found:
        opening = found.next()
        assert (opening.kind, opening.retry_ms) == ("open", 1000)
        assert msgspec.json.decode(opening.data) == {"interval": 0.1, "heartbeat": 15.0}
        told = changes(found)
        first = next(told)
        assert first["full"]
        assert list(rows(first, "namespaces")) == ["app", "orders", "github"]
        assert rows(first, "consumers")["c"]["why"] == "no connection"
        assert first["server"]["streams"] == 1
        publish(server, "orders.a")
        changed = next(change for change in told if "namespaces" in change)
        assert "full" not in changed
        assert rows(changed, "namespaces").keys() == {"orders"}
        assert rows(changed, "namespaces")["orders"]["published"] == 1
        assert "consumers" not in changed


def test_consumers_come_and_go(server: ServerProcess) -> None:
    with watch(server) as found:
        told = changes(found)
        next(told)
        make_consumer(server, "c", "app.>")
        assert rows(next(change for change in told if "consumers" in change), "consumers")["c"]["behind"] == 0
        assert request(server, "DELETE", "/v1/consumers/c").status == 204
        assert next(change for change in told if "gone" in change)["gone"] == {"consumers": ["c"]}


def test_what_a_consumer_has_in_flight_is_told(server: ServerProcess) -> None:
    stored(server, "app.a")
    with (
        subscribe(server, "app.a", start="oldest", ack="manual", consumer="c", redelivery="10ms") as stream,
        watch(server) as found,
    ):
        stream.take(2)
        told = (rows(change, "consumers")["c"] for change in changes(found) if "consumers" in change)
        row = next(row for row in told if row["redelivered"])
        assert row["delivered"] > row["redelivered"]
        assert row["oldest_in_flight"] is None or row["oldest_in_flight"] <= _later(60)


def _later(seconds: float) -> str:
    return time.strftime("%Y-%m-%dT%H:%M:%SZ", time.gmtime(time.time() + seconds))


def test_deliveries_of_all_kinds_count(server: ServerProcess) -> None:
    for _ in range(3):
        stored(server, "app.a")
    with subscribe(server, "app.a", start="oldest") as live, subscribe(server, "app.a", ack="manual") as consumer:
        live.take(3)
        stored(server, "app.a")
        live.take(1), consumer.take(1)
        with watch(server, query="follow=false") as found:
            assert rows(next(changes(found)), "namespaces")["app"]["delivered"] == 5


def test_one_look_is_enough_if_one_does_not_follow(server: ServerProcess) -> None:
    with watch(server, query="follow=false") as found:
        assert [event.kind for event in found.rest()] == ["open", "counts", "done"]
        assert not found.broken


def test_lines(bus: ServerProcess) -> None:
    answer = request(bus, "GET", "/v1/watch?follow=false", Accept=NDJSON)
    assert answer.headers["content-type"] == NDJSON
    (line,) = answer.body.splitlines()
    assert line.startswith(b'{"event":"counts","time":"')
    assert msgspec.json.decode(line)["full"]


@pytest.mark.parametrize("query", ["interval=99ms", "interval=61s", "interval=often", "follow=perhaps", "intreval=1s"])
def test_what_can_not_be_asked_is_refused(bus: ServerProcess, query: str) -> None:
    assert refusal(request(bus, "GET", f"/v1/watch?{query}"))[0] == 400


def test_the_head_alone(bus: ServerProcess) -> None:
    answer = request(bus, "HEAD", "/v1/watch")
    assert (answer.status, answer.headers["content-type"]) == (200, "text/event-stream")


# -- who may see what


@pytest.fixture
def tokens(tmp_path: Path) -> TokenFile:
    return TokenFile(
        tmp_path / "tokens.toml",
        root={"admin": True},
        meter={"metrics": True},
        reader={"subscribe": ["app.>"], "consumers": ["c"]},
    )


@pytest.fixture
def guarded(start_server: StartServer, tokens: TokenFile) -> ServerProcess:
    server = start_server(flags=["--auth", str(tokens.path)])
    for name in ("c", "d"):
        body = b'{"patterns": ["orders.>"]}'
        assert ask(server, tokens.tokens["root"], "PUT", f"/v1/consumers/{name}", body).status == 201
    return server


@pytest.mark.parametrize(
    ("who", "namespaces", "consumers", "measures"),
    [
        ("root", {"app", "orders", "github"}, {"c", "d"}, True),
        ("meter", set(), set(), True),
        ("reader", {"app"}, {"c"}, False),
    ],
)
def test_each_sees_what_it_may(
    guarded: ServerProcess, tokens: TokenFile, who: str, namespaces: set[str], consumers: set[str], measures: bool
) -> None:
    with watch(guarded, tokens.tokens[who]) as found:
        first = next(changes(found))
    assert rows(first, "namespaces").keys() == namespaces
    assert rows(first, "consumers").keys() == consumers
    assert ("server" in first) == measures


def test_nobody_is_told_of_the_end_of_what_it_may_not_see(guarded: ServerProcess, tokens: TokenFile) -> None:
    with watch(guarded, tokens.tokens["reader"]) as found:
        told = changes(found)
        next(told)
        for name in ("d", "c"):
            assert ask(guarded, tokens.tokens["root"], "DELETE", f"/v1/consumers/{name}").status == 204
        assert next(change for change in told if "gone" in change)["gone"] == {"consumers": ["c"]}


def test_other_rights_show_something_else_from_the_beginning(guarded: ServerProcess, tokens: TokenFile) -> None:
    with watch(guarded, tokens.tokens["reader"]) as found:
        told = changes(found)
        assert rows(next(told), "namespaces").keys() == {"app"}
        tokens.rights["reader"] = {"subscribe": ["orders.>"]}
        tokens.write()
        again = next(change for change in told if change.get("full"))
        assert rows(again, "namespaces").keys() == {"orders"}
        assert not rows(again, "consumers")


def test_it_ends_when_the_token_is_revoked(guarded: ServerProcess, tokens: TokenFile) -> None:
    with watch(guarded, tokens.tokens["reader"]) as found:
        next(changes(found))
        tokens.revoke("reader")
        assert b"it was revoked" in found.take(1, "error")[0].data
        found.rest()
        assert found.broken


def test_it_counts_among_the_streams_of_its_token(start_server: StartServer, tmp_path: Path) -> None:
    file = TokenFile(tmp_path / "limited.toml", a={"subscribe": ["app.>"], "limits": {"streams": 1}})
    server = start_server(flags=["--auth", str(file.path)])
    with watch(server, file.tokens["a"]) as found:
        found.next()
        assert ask(server, file.tokens["a"], "GET", "/v1/watch").status == 429


def test_a_ticket_stands_for_a_token(guarded: ServerProcess, tokens: TokenFile) -> None:
    ticket = msgspec.json.decode(ask(guarded, tokens.tokens["reader"], "POST", "/v1/tickets").body)["ticket"]
    with watch(guarded, query=f"follow=false&ticket={ticket}") as found:
        assert rows(next(changes(found)), "namespaces").keys() == {"app"}
    assert request(guarded, "GET", f"/v1/watch?follow=false&ticket={ticket}").status == 401


# -- how it ends, and what goes wrong


def test_it_breaks_off_when_the_server_stops(server: ServerProcess) -> None:
    with watch(server) as found:
        next(changes(found))
        server.stop()
        assert {event.kind for event in found.rest()} <= {"counts"}
        assert found.broken


@pytest.mark.embedded_only("counts that are taken in one turn")
def test_nothing_is_counted_while_nobody_watches(start_server: StartServer) -> None:
    server = start_server(wrapper=with_mistakes("bus.server.api.counting:Counting.count@3"))
    with watch(server, query="follow=false") as found:
        assert found.rest()[-1].kind == "done"
    with watch(server, query="interval=1m") as found:
        next(changes(found))
        with watch(server, query="interval=1m") as second:
            assert second.take(1, "error"), "the third count, which is the first that isn't for the first two who watch"
    assert publish(server, "app.a").status == 202
    server.stop()


def test_who_reads_slowly_is_told_less_and_misses_nothing(server: ServerProcess) -> None:
    for number in range(900):
        make_consumer(server, f"{'long-' * 20}{number}", "app.>")
    with connect(server.port) as connection:
        connection.setsockopt(socket.SOL_SOCKET, socket.SO_RCVBUF, 32 * 1024)
        connection.sendall(b"GET /v1/watch?interval=100ms HTTP/1.1\r\nHost: bus\r\nConnection: close\r\n\r\n")
        with watch(server) as quick:
            told = changes(quick)
            next(told)
            for _ in range(3):
                stored(server, "app.a")
                next(change for change in told if "consumers" in change)
        slow = Stream(connection)
        slow._read_head()
        seen: dict[str, Any] = {}
        for change in changes(slow):
            seen |= rows(change, "consumers")
            if all(row["behind"] == 3 for row in seen.values()):
                break
    assert len(seen) == 900
