"""Publishing one event: what is answered, what is stored, and what the existing clients leave out."""

from __future__ import annotations

import re
import time
from typing import Any

import msgspec
import pytest

from bus.units import parse_time
from tests.conftest import StartServer
from tests.server.support import Peer, dial, draft, post, publish, read, read_lines, upload
from tests.support import ServerProcess

pytestmark = [pytest.mark.every_engine, pytest.mark.over_tls]

CREATED = "2026-01-31T12:00:00.000000001Z"
MADE_ID = re.compile(r"e_[0-9a-f]{12}[0-9a-z]{10}")


@pytest.mark.embedded_only("what its receipts say")
def test_the_answer_says_what_was_stored(bus: ServerProcess, subject: str) -> None:
    before = time.time_ns()
    answer = publish(bus, subject, {"name": "Alice"})
    assert (answer.status, answer.body) == (202, b"")
    (event,) = read(bus, subject)
    assert answer.headers["x-bus-event-id"] == event["id"]
    assert answer.headers["x-bus-event-created-at"] == event["created_at"]
    assert answer.headers["x-bus-event-index"] == str(event["index"])
    assert answer.headers["x-bus-durability"] == "fsync"
    assert MADE_ID.fullmatch(event["id"])
    assert before <= parse_time(event["created_at"]) <= time.time_ns()


def test_every_field_comes_back(bus: ServerProcess, subject: str) -> None:
    fields = {"id": "my-id_1", "key": "k1", "trace_id": "req-1", "response_subject": "_bus_.r1", "created_at": CREATED}
    assert publish(bus, subject, [1], **fields).headers["x-bus-event-id"] == "my-id_1"
    (event,) = read(bus, subject)
    assert event == {"subject": subject, "payload": [1], "index": event["index"], **fields}


def test_headers_come_back_however_they_were_published(bus: ServerProcess, subject: str) -> None:
    headers = {"traceparent": "00-4bf9-00f0-01", "X-~!": 'é\n"\u2028', "case": "a", "Case": "b"}
    line = draft(subject, headers=headers)
    post(bus, line)
    post(bus, b"[%b,%b]" % (line, draft(subject, headers={})))
    upload(bus, [line])
    assert [event.get("headers") for event in read(bus, subject)] == [headers, headers, None, headers]


def test_a_reply_has_headers(bus: ServerProcess, subject: str) -> None:
    inbox = f"_bus_.{subject.replace('.', '-')}"
    publish(bus, inbox, 1, headers={"a": "b"})
    (reply,) = read(bus, inbox)
    assert reply["headers"] == {"a": "b"}


def test_an_event_is_one_line_with_its_id_first_and_nothing_that_was_not_given(
    bus: ServerProcess, subject: str
) -> None:
    publish(bus, subject, {"a": 1})
    (line,) = read_lines(bus, subject)
    shape = rb'\{"id":"e_\w+","subject":"%b","payload":\{"a":1\},"created_at":"[^"]+Z","index":\d+\}'
    assert re.fullmatch(shape % subject.encode(), line)


GO_CLIENT = b'{"id":"","subject":"%b","created_at":"0001-01-01T00:00:00Z"%b}'


@pytest.mark.parametrize(
    ("rest", "payload"),
    [
        (b"", None),
        (b',"payload":null', None),
        (b',"payload":{"hello":"world"},"index":0', {"hello": "world"}),
        (b',"trace_id":"","key":"","response_subject":"","payload":"text"', "text"),
    ],
)
def test_what_the_go_client_sends_empty_counts_as_not_given(
    bus: ServerProcess, subject: str, rest: bytes, payload: Any
) -> None:
    body = GO_CLIENT % (subject.encode(), rest)
    answer = post(bus, iter([body[:7], body[7:]]))
    assert answer.status == 202, answer
    (event,) = read(bus, subject)
    assert event["payload"] == payload
    assert MADE_ID.fullmatch(event["id"])
    assert not event["created_at"].startswith("0001")
    assert set(event) == {"id", "subject", "payload", "created_at", "index"}


def test_a_chunked_body_without_content_type_is_an_event(bus: ServerProcess, subject: str) -> None:
    body = draft(subject, 1)
    with dial(bus) as peer:
        peer.send(b"POST / HTTP/1.1\r\nHost: bus\r\nTransfer-Encoding: chunked\r\n\r\n")
        peer.send(b"%x\r\n%b\r\n0\r\n\r\n" % (len(body), body))
        assert peer.answer().status == 202
    assert [event["payload"] for event in read(bus, subject)] == [1]


@pytest.mark.parametrize(
    ("given", "kept"),
    [
        ("2026-01-31T12:00:00Z", "2026-01-31T12:00:00.000000000Z"),
        ("2026-01-31T12:00:00.5Z", "2026-01-31T12:00:00.500000000Z"),
        ("2026-01-31T14:30:00.123456789+02:30", "2026-01-31T12:00:00.123456789Z"),
        ("1969-12-31T23:59:59Z", "1969-12-31T23:59:59.000000000Z"),
        ("0999-06-01T00:00:00Z", "0999-06-01T00:00:00.000000000Z"),
        ("9999-12-31T23:59:59.999999999Z", "9999-12-31T23:59:59.999999999Z"),
    ],
)
def test_a_time_that_is_given_is_kept_in_utc(bus: ServerProcess, subject: str, given: str, kept: str) -> None:
    assert publish(bus, subject, created_at=given).headers["x-bus-event-created-at"] == kept
    assert [event["created_at"] for event in read(bus, subject)] == [kept]


def test_indexes_have_no_holes_and_each_namespace_has_its_own(server: ServerProcess) -> None:
    indexes = [publish(server, subject).headers["x-bus-event-index"] for subject in ("app.a", "orders.a", "app.b")]
    assert indexes == ["1", "1", "2"]


@pytest.mark.embedded_only("what its receipts say")
@pytest.mark.parametrize(("fsync", "durability"), [("always", "fsync"), ("interval", "os"), ("never", "os")])
def test_durability_says_what_the_answer_stands_for(start_server: StartServer, fsync: str, durability: str) -> None:
    answer = publish(start_server(flags=["--fsync", fsync]), "app.a")
    assert answer.headers["x-bus-durability"] == durability


def test_a_reply_is_kept_in_memory_and_the_answer_says_so(bus: ServerProcess) -> None:
    assert publish(bus, "_bus_.inbox1", 1).headers["x-bus-durability"] == "memory"


def test_subjects_are_of_any_script(bus: ServerProcess) -> None:
    subject = "app.größe.数量"
    assert publish(bus, subject, "ü").status == 202
    (line,) = read_lines(bus, subject)
    assert msgspec.json.decode(line)["subject"] == subject
    assert subject.encode() in line


def test_an_id_is_not_a_key(bus: ServerProcess, subject: str) -> None:
    assert [publish(bus, subject, n, id="twice").status for n in (1, 2)] == [202, 202]
    assert [event["payload"] for event in read(bus, subject)] == [1, 2]


def test_a_restart_finds_everything(server: ServerProcess) -> None:
    for number in range(20):
        publish(server, "app.a", number)
    before = read_lines(server, "app.>")
    server.kill()
    server.restart()
    assert read_lines(server, "app.>") == before
    assert publish(server, "app.a").headers["x-bus-event-index"] == "21"


def _send_slowly(peer: Peer, message: bytes) -> None:
    peer.send(*(message[at : at + 1] for at in range(len(message))))


def test_a_request_may_come_byte_by_byte(bus: ServerProcess, subject: str) -> None:
    body = draft(subject, "slow")
    with dial(bus) as peer:
        _send_slowly(peer, b"POST / HTTP/1.1\r\nHost: bus\r\nContent-Length: %d\r\n\r\n%b" % (len(body), body))
        assert peer.answer().status == 202
    assert [event["payload"] for event in read(bus, subject)] == ["slow"]
