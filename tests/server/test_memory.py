"""A namespace in memory: all that one on disk does, until the server stops, in so much memory."""

from __future__ import annotations

import subprocess
from pathlib import Path

import msgspec
import pytest

from bus.wire import NDJSON
from tests.conftest import StartServer
from tests.server.support import acknowledge, dial, draft, post, publish
from tests.support import BUS, ServerProcess, Stream, clean_environment, request, run_bus, subscribe

pytestmark = [pytest.mark.every_engine, pytest.mark.embedded_only("namespaces in memory")]

NAMESPACES = ["app", "live:memory"]


@pytest.fixture
def both(start_server: StartServer) -> ServerProcess:
    """A server with a namespace of each kind."""
    return start_server(namespaces=NAMESPACES)


def stats(server: ServerProcess) -> dict[str, dict[str, object]]:
    found = msgspec.json.decode(request(server, "GET", "/v1/namespaces").body)["namespaces"]
    return {about["namespace"]: about for about in found}


def consumer_of(stream: Stream) -> str:
    return stream.headers["x-bus-consumer-id"]


def test_receipts_and_statistics_say_where_events_are(both: ServerProcess) -> None:
    for namespace, durability, storage in (("app", "fsync", "disk"), ("live", "memory", "memory")):
        assert publish(both, f"{namespace}.a", 1).headers["x-bus-durability"] == durability
        about = stats(both)[namespace]
        assert (about["storage"], about["events"], about["writable"]) == (storage, 1, True)
    assert not (both.path / "live").exists()


def test_events_are_delivered_by_pattern_live_and_replayed(both: ServerProcess) -> None:
    with subscribe(both, "live.*.b") as stream:
        lines = b'{"subject":"live.a.b"}\n{"subject":"live.a.c"}\n{"subject":"live.c.b"}'
        assert len(post(both, lines, Content_Type=NDJSON).body.splitlines()) == 3
        assert [msgspec.json.decode(event.data)["index"] for event in stream.take(2)] == [1, 3]
    with subscribe(both, "live.>", start="oldest", follow="false") as stream:
        assert [msgspec.json.decode(event.data)["index"] for event in stream.take(3)] == [1, 2, 3]


def test_keys_are_refused_a_second_time(both: ServerProcess) -> None:
    assert publish(both, "live.a", key="k").status == 202
    assert publish(both, "live.a", key="k").status == 409


def test_a_durable_consumer_goes_on_where_it_was_and_gives_up_what_is_rejected(both: ServerProcess) -> None:
    for number in range(2):
        publish(both, "live.a", number)
    with subscribe(both, "live.a", ack="manual", consumer="worker", start="oldest") as stream:
        first = stream.take(1)[0].id
        assert acknowledge(both, consumer_of(stream), first, action="reject", reason="bad").status == 202
    with subscribe(both, "live.a", ack="manual", consumer="worker") as stream:
        assert msgspec.json.decode(stream.take(1)[0].data)["index"] == 2
    dead = msgspec.json.decode(request(both, "GET", "/v1/consumers/worker/dead").body)
    assert [(letter["index"], letter["reason"]) for letter in dead["dead"]] == [(1, "bad")]


def test_a_request_is_answered(both: ServerProcess) -> None:
    with subscribe(both, "live.ask", ack="manual") as service, dial(both) as requester:
        body = draft("live.ask", "ping")
        requester.send(b"POST /?wait=reply HTTP/1.1\r\nHost: bus\r\nContent-Length: %d\r\n\r\n%b" % (len(body), body))
        (asked,) = service.take(1)
        assert acknowledge(both, consumer_of(service), asked.id, body=b'"pong"').status == 202
        answer = requester.answer()
    assert (answer.status, answer.body) == (200, b'"pong"')


def test_a_restart_forgets_events_and_consumers_of_memory_alone(both: ServerProcess) -> None:
    for namespace in ("app", "live"):
        publish(both, f"{namespace}.a", 1)
        with subscribe(both, f"{namespace}.a", ack="manual", consumer=f"of-{namespace}"):
            pass
    both.stop()
    both.restart()
    assert {name: about["events"] for name, about in stats(both).items()} == {"app": 1, "live": 0}
    consumers = msgspec.json.decode(request(both, "GET", "/v1/consumers").body)["consumers"]
    assert [consumer["name"] for consumer in consumers] == ["of-app"]
    assert publish(both, "live.a", 1).headers["x-bus-event-index"] == "1"


def test_a_consumer_on_disk_is_not_taken_for_one_in_memory(both: ServerProcess, start_server: StartServer) -> None:
    with subscribe(both, "app.a", ack="manual", consumer="worker"):
        pass
    both.stop()
    moved = start_server(both.path, namespaces=["app:memory", "live"])
    answer = request(moved, "GET", "/?subject=app.a&ack=manual&consumer=worker")
    assert (answer.status, answer.text.strip()) == (409, "consumer worker is of namespace app, which is in memory now")


def test_memory_is_bounded_whatever_a_consumer_needs(start_server: StartServer) -> None:
    server = start_server(namespaces=NAMESPACES, flags=["--retention", "live=1MiB"])
    with subscribe(server, "live.a", ack="manual", consumer="slow", start="oldest"):
        pass
    line = b'{"subject":"live.a","payload":"%b"}\n' % (b"x" * 10_000)
    for _ in range(4):
        post(server, line * 100, Content_Type=NDJSON)
    about = stats(server)["live"]
    assert about["next_index"] == 401
    size, first = about["bytes"], about["first_index"]
    assert isinstance(size, int) and isinstance(first, int)
    assert size <= (1 << 20) + (512 << 10), "all but what one commit brought"
    assert first > 200
    with subscribe(server, "live.a", start="1", follow="false") as stream:
        assert msgspec.json.decode(stream.take(1)[0].data)["index"] == first


def test_a_server_with_memory_alone_needs_no_directory(tmp_path: Path) -> None:
    command = [*BUS, "server", "--addr", "127.0.0.1:0", "--namespaces", "live:memory"]
    with subprocess.Popen(command, cwd=tmp_path, env=clean_environment(), stderr=subprocess.PIPE, text=True) as server:
        assert server.stderr
        line = next(line for line in server.stderr if "listening on" in line)
        assert "namespaces=live:memory path=none" in line
        url = line.partition("listening on ")[2].split()[0]
        run_bus("put", "--subject", "live.a", "--data", "1", "--host", url)
        found = run_bus("get", "--subject", "live.>", "--start", "oldest", "--limit", "1", "--host", url)
        server.terminate()
        server.stderr.read()
    assert (server.returncode, found.stdout.count(b"live.a")) == (0, 1)
    assert not list(tmp_path.iterdir())


@pytest.mark.parametrize(
    ("text", "line"),
    [
        ("live:ram", "--namespaces: 'ram' is not among disk, memory"),
        ("live,live:memory", "--namespaces: namespace 'live' is declared on disk and in memory: choose one"),
    ],
)
def test_a_declaration_that_can_not_be_read(text: str, line: str) -> None:
    answer = run_bus("server", "--namespaces", text)
    assert answer.returncode == 2
    assert line in answer.stderr.decode()
