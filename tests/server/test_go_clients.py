"""The wire as the Go server's clients need it: no comments, no fields they don't know, no end that is none."""

from __future__ import annotations

from pathlib import Path

import msgspec
import pytest

from bus.wire import NDJSON, SSE
from tests.conftest import StartServer
from tests.server.go_clients import READERS, GoEvent, go_subscribe
from tests.server.support import acknowledge, draft, post, publish, stored, target
from tests.support import ServerProcess, request, run_bus, subscribe

pytestmark = pytest.mark.parametrize("release", READERS)

INBOX = "_bus_.go"


@pytest.fixture
def quick(start_server: StartServer) -> ServerProcess:
    """A server with a short heartbeat."""
    return start_server(flags=["--heartbeat", "100ms"])


def test_a_heartbeat_costs_no_event(quick: ServerProcess, release: str) -> None:
    with go_subscribe(quick, release, "app.a") as stream:
        for number in range(3):
            stream.wait_for_heartbeat()
            event_id = stored(quick, "app.a", number)
            (event,) = stream.take(1)
            assert (event.id, bytes(event.payload)) == (event_id, msgspec.json.encode(number))


def test_an_event_has_all_the_fields_they_know(bus: ServerProcess, subject: str, release: str) -> None:
    fields = {"key": "k", "trace_id": "t", "response_subject": INBOX}
    publish(bus, subject, {"error": 1, "dead": {"attempts": [1.50, "é"]}}, **fields)
    with go_subscribe(bus, release, subject, start="oldest") as stream:
        (event,) = stream.take(1)
    assert (event.key, event.trace_id, event.response_subject) == ("k", "t", INBOX)
    assert bytes(event.payload) == '{"error":1,"dead":{"attempts":[1.5,"é"]}}'.encode()


def test_the_bytes_of_an_event_are_those_others_get(bus: ServerProcess, subject: str, release: str) -> None:
    """A payload may hold the names of younger fields; with it nothing else changes."""
    post(bus, b'{"subject":"%b","payload":{"attempts": 1.50, "x":"\\u00e9\\/"},"key":"\\u00e9"}' % subject.encode())
    publish(bus, subject)
    with subscribe(bus, subject, start="oldest") as stream:
        theirs = [event.data for event in stream.take(2)]
    with go_subscribe(bus, release, subject, start="oldest") as stream:
        stream.take(2)
        mine = [line[6:-1] for line in stream.lines if line.startswith(b'data: {"id"')]
    assert mine == theirs


def test_headers_and_ttl_are_left_out(bus: ServerProcess, subject: str, release: str) -> None:
    with go_subscribe(bus, release, subject) as live:
        event_id = stored(bus, subject, {"headers": {"a": 1}}, headers={"traceparent": "00", "key": "x"}, ttl="1h")
        (event,) = live.take(1)
    assert (event.id, bytes(event.payload), event.key) == (event_id, b'{"headers":{"a":1}}', "")
    with go_subscribe(bus, release, subject, start="oldest") as replayed:
        assert replayed.take(1) == [event]


def test_they_are_left_out_of_a_copy_as_well(start_server: StartServer, tmp_path: Path, release: str) -> None:
    """Copying joins batches, of which one has fields that they don't know."""
    server = start_server()
    stored(server, "app.a", 1)
    stored(server, "app.a", 2, headers={"traceparent": "00"})
    server.stop()
    assert run_bus("copy", "--from", server.path, "--to", tmp_path / "copy").returncode == 0
    with go_subscribe(start_server(tmp_path / "copy"), release, "app.a", start="oldest") as stream:
        assert [bytes(event.payload) for event in stream.take(2)] == [b"1", b"2"]


@pytest.mark.parametrize("live", [True, False], ids=["live", "replayed"])
def test_deliveries_do_not_count_their_attempts(bus: ServerProcess, subject: str, release: str, live: bool) -> None:
    event_id = "" if live else stored(bus, subject)
    wanted = {"ack": "manual", "redelivery": "50ms", "start": "newest" if live else "oldest"}
    with go_subscribe(bus, release, subject, **wanted) as stream:
        event_id = event_id or stored(bus, subject)
        assert [event.id for event in stream.take(2)] == [event_id] * 2
        assert acknowledge(bus, stream.consumer_id, event_id).status == 202


def test_dead_letters_come_without_what_befell_them(bus: ServerProcess, subject: str, release: str) -> None:
    name = subject.replace(".", "-")
    event_id = stored(bus, subject, {"a": 1})
    letters = f"app._dead_.{name}"
    with (
        subscribe(bus, subject, ack="manual", consumer=name, start="oldest") as worker,
        go_subscribe(bus, release, letters) as live,
        subscribe(bus, letters) as ours,
    ):
        worker.take(1)
        acknowledge(bus, worker.headers["x-bus-consumer-id"], event_id, action="reject")
        (letter,) = live.take(1)
        assert bytes(letter.payload) == b'{"a":1}'
        assert b'"dead":{' in ours.take(1)[0].data
    with go_subscribe(bus, release, letters, start="oldest") as replayed:
        assert replayed.take(1) == [letter]


def test_a_rejected_request_is_a_reply_with_the_reason(bus: ServerProcess, subject: str, release: str) -> None:
    inbox = f"_bus_.{subject.replace('.', '-')}"
    stored(bus, subject, response_subject=inbox)
    with subscribe(bus, subject, ack="manual", start="oldest") as service:
        (asked,) = service.take(1)
        acknowledge(bus, service.headers["x-bus-consumer-id"], asked.id, action="reject", reason='no "tea"')
    with go_subscribe(bus, release, inbox, start="oldest") as stream:
        (reply,) = stream.take(1)
    assert msgspec.json.decode(reply.payload) == 'no "tea"'
    line = request(bus, "GET", target(inbox, start="oldest", limit=1), Accept=NDJSON).body
    assert msgspec.json.decode(line)["error"] == msgspec.json.decode(line)["payload"] == 'no "tea"'


def test_a_stream_that_breaks_off_is_taken_up_again(start_server: StartServer, release: str) -> None:
    server = start_server()
    ids = [stored(server, "app.a", number) for number in range(3)]
    heard: list[GoEvent] = []
    for end in (server.stop, server.kill):
        with go_subscribe(server, release, "app.a", start=heard[-1].id if heard else "oldest") as stream:
            heard += stream.take(len(ids) - len(heard))
            end()
            assert b"done" not in [kind for kind, _ in stream.messages()]
        server.start()
        ids.append(stored(server, "app.a"))
    with go_subscribe(server, release, "app.a", start=heard[-1].id) as stream:
        heard += stream.take(len(ids) - len(heard))
    assert [event.id for event in heard] == ids


@pytest.mark.parametrize("accept", [SSE, "*/*", NDJSON])
def test_who_says_what_it_accepts_gets_all_fields(bus: ServerProcess, subject: str, release: str, accept: str) -> None:
    post(bus, draft(subject))
    wanted = target(subject, start="oldest", ack="manual", limit=1, redelivery="10ms", redelivery_count=1)
    assert b'"attempts":1' in request(bus, "GET", wanted, Accept=accept).body
