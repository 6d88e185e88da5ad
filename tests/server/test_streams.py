"""What a subscriber reads from its socket: the head, the open event, frames, heartbeats and the end."""

from __future__ import annotations

import re
from collections.abc import Iterable, Iterator
from pathlib import Path
from ssl import SSLEOFError
from typing import Any

import msgspec
import pytest

from bus.sse import EventReader, ServerSentEvent
from bus.wire import NDJSON, SSE
from tests.server.support import dial, publish, stored, target
from tests.support import ServerProcess, connect, raw, request, subscribe

pytestmark = [pytest.mark.every_engine, pytest.mark.over_tls]


def _get(path: str, *headers: bytes) -> bytes:
    return b"\r\n".join([b"GET %b HTTP/1.1" % path.encode(), b"Host: bus", *headers, b"", b""])


def test_the_wire_bytes_of_a_stream(bus: ServerProcess, subject: str) -> None:
    event_id = stored(bus, subject, {"a": 1}, created_at="2026-01-31T12:00:00Z")
    request = _get(target(subject, start="oldest", limit=1), b"Connection: close")
    head, body = raw(bus.port, request).split(b"\r\n\r\n", 1)
    first, *lines = head.decode().split("\r\n")
    assert first == "HTTP/1.1 200 OK"
    headers = dict(line.split(": ", 1) for line in lines)
    consumer_id = headers.pop("X-BUS-CONSUMER-ID")
    assert headers.pop("Date")
    assert headers == {
        "Content-Type": "text/event-stream",
        "Cache-Control": "no-store",
        "X-Accel-Buffering": "no",
        "Connection": "close",
    }
    event = (
        f'{{"id":"{event_id}","subject":"{subject}","payload":{{"a":1}},'
        f'"created_at":"2026-01-31T12:00:00.000000000Z","index":{int(event_id[2:14], 16)}}}'
    )
    opened = rf'{{"consumer_id":"{consumer_id}","namespace":"app","first_index":1,"next_index":\d+,"heartbeat":1}}'
    shape = (
        rf"retry: 1000\nevent: open\ndata: {opened}\n\n"
        rf"id: {event_id}\nevent: msg\ndata: {re.escape(event)}\n\n"
        r'event: done\ndata: {"reason":"limit"}\n\n'
    )
    assert re.fullmatch(shape, body.decode())
    assert re.fullmatch("c_[A-Za-z0-9]{8,}", consumer_id)


def test_a_stream_goes_in_chunks_unless_the_client_says_that_it_closes(bus: ServerProcess, subject: str) -> None:
    for _ in range(3):
        publish(bus, subject)
    with dial(bus) as peer:
        peer.send(_get(target(subject, start="oldest", limit=3)))
        answer = peer.answer()
        assert (answer.headers["transfer-encoding"], answer.headers["connection"]) == ("chunked", "close")
        assert [event.kind for event in EventReader().feed(answer.body)] == ["open", "msg", "msg", "msg", "done"]
        assert peer.rest() == b""


@pytest.mark.parametrize("kind", [SSE, NDJSON])
def test_a_stream_that_breaks_off_does_not_look_like_one_that_ended(server: ServerProcess, kind: str) -> None:
    stored(server, "app.a")
    with dial(server) as peer:
        peer.send(_get(target("app.a", start="oldest"), b"Accept: " + kind.encode()))
        peer.answer(has_body=False)
        chunks = peer.chunks()
        next(chunks)
        server.kill()
        with pytest.raises((EOFError, SSLEOFError)):
            list(chunks)


def test_the_open_event_comes_first_and_says_where_the_stream_is(server: ServerProcess) -> None:
    stored(server, "app.a")
    with subscribe(server, "app.a") as stream:
        opened = stream.next()
        assert (opened.kind, opened.retry_ms) == ("open", 1000)
        about = msgspec.json.decode(opened.data)
        consumer_id = stream.headers["x-bus-consumer-id"]
        assert about == {
            "consumer_id": consumer_id, "namespace": "app", "first_index": 1, "next_index": 2, "heartbeat": 15,
        }  # fmt: skip


def test_events_arrive_as_they_are_published(bus: ServerProcess, subject: str) -> None:
    with subscribe(bus, subject) as stream:
        for number in range(3):
            event_id = stored(bus, subject, number)
            (event,) = stream.take(1)
            assert event.id == event_id
            assert msgspec.json.decode(event.data)["payload"] == number


def test_every_subscriber_gets_every_event_in_order(bus: ServerProcess, subject: str) -> None:
    with subscribe(bus, subject) as first, subscribe(bus, subject) as second, subscribe(bus, "app.>") as third:
        ids = [stored(bus, subject, number) for number in range(20)]
        for stream in (first, second, third):
            mine = (event for event in _events(stream.take(20)) if event["subject"] == subject)
            assert [event["id"] for event in mine] == ids


def _events(taken: Iterable[ServerSentEvent]) -> Iterator[dict[str, Any]]:
    return (msgspec.json.decode(event.data) for event in taken)


def test_a_heartbeat_is_a_field_of_one_line(bus: ServerProcess, subject: str) -> None:
    with dial(bus) as peer:
        peer.send(_get(target(subject), b"Connection: close"))
        peer.answer(has_body=False)
        opening = b""
        while not opening.endswith(b"\n\n"):
            opening += peer.read(1)
        assert peer.read(12) == b"retry: 1000\n"
        publish(bus, subject)
        assert peer.read(4) in (b"id: ", b"retr")


def test_ndjson_is_the_events_and_nothing_else(bus: ServerProcess, subject: str) -> None:
    ids = [stored(bus, subject, number) for number in range(3)]
    answer = request(bus, "GET", target(subject, start="oldest", limit=3), Accept=NDJSON)
    assert answer.headers["content-type"] == NDJSON
    assert answer.headers["x-bus-consumer-id"]
    assert [msgspec.json.decode(line)["id"] for line in answer.body.splitlines()] == ids
    assert answer.body.count(b"\n") == 3


def test_ndjson_and_sse_carry_the_same_json(bus: ServerProcess, subject: str) -> None:
    for number in range(5):
        publish(bus, subject, {"n": number})
    parameters: dict[str, Any] = {"start": "oldest", "follow": "false"}
    lines = request(bus, "GET", target(subject, **parameters), Accept=NDJSON).body.splitlines()
    with subscribe(bus, subject, **parameters) as stream:
        assert [event.data for event in stream.rest() if event.kind == "msg"] == lines


@pytest.mark.parametrize("accept", [SSE, NDJSON])
def test_live_events_come_in_either_form(bus: ServerProcess, subject: str, accept: str) -> None:
    with dial(bus) as peer:
        peer.send(_get(target(subject, limit=2), b"Accept: " + accept.encode()))
        peer.answer(has_body=False)
        ids = [stored(bus, subject) for _ in range(2)]
        assert [found.decode() for found in re.findall(rb'"id":"([^"]+)"', b"".join(peer.chunks()))] == ids


def test_limit_counts_the_events_that_match(bus: ServerProcess, subject: str) -> None:
    wanted, other = subject + ".wanted", subject + ".other"
    for _ in range(3):
        publish(bus, other)
        publish(bus, wanted)
    with subscribe(bus, wanted, start="oldest", limit=2) as stream:
        _, *events, done = stream.rest()
        assert [event.kind for event in events] == ["msg", "msg"]
        assert (done.kind, done.data) == ("done", b'{"reason":"limit"}')


def test_without_follow_the_stream_ends_at_what_was_the_tail(bus: ServerProcess, subject: str) -> None:
    for number in range(3):
        publish(bus, subject, number)
    with subscribe(bus, subject, start="oldest", follow="false") as stream:
        assert [event.kind for event in stream.rest()] == ["open", "msg", "msg", "msg", "done"]


def test_without_follow_an_empty_stream_ends_at_once(server: ServerProcess) -> None:
    with subscribe(server, "app.a", follow="false") as stream:
        assert [event.kind for event in stream.rest()] == ["open", "done"]
    assert request(server, "GET", target("app.a", follow="false", start="oldest"), Accept=NDJSON).body == b""


def test_limit_and_follow_end_at_whichever_is_first(bus: ServerProcess, subject: str) -> None:
    for number in range(3):
        publish(bus, subject, number)
    for limit, reason in ((2, b"limit"), (9, b"tail")):
        with subscribe(bus, subject, start="oldest", follow="false", limit=limit) as stream:
            assert reason in stream.rest()[-1].data


def test_what_the_go_client_leaves_empty_counts_as_not_given(bus: ServerProcess, subject: str) -> None:
    with subscribe(bus, subject, start="", ack="", redelivery="0s", redelivery_count="0", limit=1) as stream:
        event_id = stored(bus, subject)
        assert stream.take(1)[0].id == event_id


def test_a_subscriber_that_leaves_is_forgotten(server: ServerProcess) -> None:
    with subscribe(server, "app.a") as stream:
        consumer_id = stream.headers["x-bus-consumer-id"]
    with subscribe(server, "app.a", follow="false") as stream:
        stream.rest()
    assert request(server, "PUT", f"/?consumer_id={consumer_id}&event_id=e_1").status == 404


def test_a_large_replay_arrives_whole_and_in_order(server: ServerProcess) -> None:
    line = b'{"subject":"app.a","payload":"' + b"x" * 1000 + b'"}\n'
    assert request(server, "POST", "/", line * 10_000, Content_Type=NDJSON).status == 202
    with subscribe(server, "app.a", start="oldest") as stream:
        events = stream.take(10_000)
    assert [msgspec.json.decode(event.data)["index"] for event in events] == list(range(1, 10_001))


@pytest.mark.parametrize("accept", [SSE, NDJSON])
def test_the_kernel_looks_whether_a_subscriber_is_still_there(bus: ServerProcess, subject: str, accept: str) -> None:
    """The timer of the server's end of the connection is that of keepalive (2), as /proc/net/tcp has it."""
    with connect(bus.port) as connection:
        mine = connection.getsockname()[1]
        connection.sendall(_get(target(subject), b"Accept: " + accept.encode()))
        assert connection.recv(65536)
        timers = {0, 1}
        while timers & {0, 1}:
            lines = [line.split() for line in Path("/proc/net/tcp").read_text().splitlines()[1:]]
            ends = [line for line in lines if line[2].endswith(f":{mine:04X}") and line[1].endswith(f":{bus.port:04X}")]
            timers = {int(line[5].partition(":")[0]) for line in ends}
        assert timers == {2}
