"""NDJSON: independent events streamed in, a receipt or a refusal for each line, in order."""

from __future__ import annotations

from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

import msgspec
import pytest

from bus.event import Receipt
from bus.wire import NDJSON
from tests.conftest import StartServer
from tests.server.support import Peer, dial, draft, post, read, upload, with_limits
from tests.support import ServerProcess

pytestmark = pytest.mark.every_engine

HEAD = b"POST / HTTP/1.1\r\nHost: bus\r\nContent-Type: application/x-ndjson\r\n"


@pytest.mark.over_tls
def test_each_line_has_its_receipt_in_order(bus: ServerProcess, subject: str) -> None:
    receipts = upload(bus, [draft(subject, number) for number in range(50)])
    events = read(bus, subject)
    assert [event["payload"] for event in events] == list(range(50))
    assert receipts == [{name: event[name] for name in ("id", "created_at", "index")} for event in events]


@pytest.mark.over_tls
def test_bad_lines_are_refused_where_they_stand(bus: ServerProcess, subject: str) -> None:
    good = [draft(subject, number) for number in range(4)]
    key = draft(subject, "k", key="k")
    huge = b'{"subject":"%b","payload":1e400}' % subject.encode()
    lines = [good[0], b"{", good[1], b'{"subject":"app"}', b'{"subject":"none.a"}', key, key, good[2], huge, good[3]]
    answer = upload(bus, lines)
    assert [line.get("status", 202) for line in answer] == [202, 400, 202, 400, 404, 202, 409, 202, 400, 202]
    assert [line.get("code") for line in answer if "code" in line] == [
        "invalid-event", "invalid-subject", "unknown-namespace", "duplicate-key", "invalid-event",
    ]  # fmt: skip
    assert answer[6]["receipt"] == answer[5], "a refused key comes with the receipt of the first"
    assert [event["payload"] for event in read(bus, subject)] == [0, 1, "k", 2, 3]


def test_events_of_several_namespaces_go_in_one_upload(server: ServerProcess) -> None:
    answer = upload(server, [draft(name) for name in ("app.a", "orders.a", "app.a", "_bus_.x", "orders.b")])
    assert [line["index"] for line in answer] == [1, 1, 2, 1, 2]


@pytest.mark.parametrize("body", [b"", b"\n", b" \r\n\n\t\n"])
def test_blank_lines_are_passed_over(bus: ServerProcess, body: bytes) -> None:
    answer = post(bus, body, Content_Type=NDJSON)
    assert (answer.status, answer.body) == (202, b"")


def test_the_last_line_needs_no_break_and_lines_may_end_in_crlf(bus: ServerProcess, subject: str) -> None:
    body = draft(subject, 1) + b"\r\n" + draft(subject, 2)
    answer = post(bus, body, Content_Type="application/x-ndjson; charset=utf-8")
    assert len(answer.body.splitlines()) == 2
    assert [event["payload"] for event in read(bus, subject)] == [1, 2]


@pytest.mark.over_tls
def test_an_upload_may_be_cut_anywhere(bus: ServerProcess, subject: str) -> None:
    body = draft(subject, "ä") + b"\n" + b"{\n" + draft(subject, "b")
    framed = HEAD + b"Content-Length: %d\r\n\r\n%b" % (len(body), body)
    with dial(bus) as peer:
        for at in range(1, len(framed)):
            peer.send(framed[:at], framed[at:])
            lines = peer.answer().body.splitlines()
            assert [b"error" in line for line in lines] == [False, True, False], at
    assert [event["payload"] for event in read(bus, subject)] == ["ä", "b"] * (len(framed) - 1)


@pytest.mark.over_tls
def test_receipts_come_while_the_body_is_still_being_sent(bus: ServerProcess, subject: str) -> None:
    with dial(bus) as peer:
        peer.send(HEAD + b"Transfer-Encoding: chunked\r\n\r\n")
        line = draft(subject, 1) + b"\n"
        peer.send(b"%x\r\n%b\r\n" % (len(line), line))
        peer.answer(has_body=False)
        chunks = peer.chunks()
        assert len(next(chunks).splitlines()) == 1
        assert [event["payload"] for event in read(bus, subject)] == [1], "stored before the body has ended"
        peer.send(b"0\r\n\r\n")
        assert list(chunks) == []


def _send_many(peer: Peer, count: int) -> None:
    line = draft("app.many", "x" * 100) + b"\n"
    for _ in range(count // 1000):
        peer.send(b"%x\r\n%b\r\n" % (1000 * len(line), 1000 * line))
    peer.send(b"0\r\n\r\n")


def _memory(pid: int) -> int:
    """Most memory the process has ever held, in bytes."""
    lines = Path(f"/proc/{pid}/status").read_text().splitlines()
    return next(int(line.split()[1]) * 1024 for line in lines if line.startswith("VmHWM"))


def test_a_hundred_thousand_lines_take_bounded_memory(start_server: StartServer) -> None:
    server = start_server(flags=["--fsync", "never"])
    upload(server, [draft("app.warm")])
    before = _memory(server.pid)
    with dial(server) as peer, ThreadPoolExecutor(1) as sending:
        peer.send(HEAD + b"Transfer-Encoding: chunked\r\n\r\n")
        sent = sending.submit(_send_many, peer, 100_000)
        receipts = msgspec.json.Decoder(Receipt).decode_lines(peer.answer().body)
        sent.result()
    assert [receipt.index for receipt in receipts] == list(range(2, 100_002))
    assert _memory(server.pid) - before < 64 * 1024 * 1024


@pytest.mark.over_tls
def test_a_line_longer_than_a_body_may_be_ends_the_upload(start_server: StartServer) -> None:
    server = start_server(env={"BUS_MAX_BODY": "1KiB"})
    with dial(server) as peer:
        body = draft("app.a", 1) + b"\n" + b"x" * 5000
        peer.send(HEAD + b"Content-Length: 100000\r\n\r\n" + body)
        answer = peer.answer()
        first, last = map(msgspec.json.decode, answer.body.splitlines())
        assert (answer.status, first["index"], last["status"], last["code"]) == (202, 1, 413, "too-large")
        assert peer.rest() == b"", "the rest of the body can't be told from a request"


def test_a_whole_line_that_is_too_long_is_refused_by_itself(start_server: StartServer) -> None:
    server = start_server(env={"BUS_MAX_BODY": "1KiB"})
    answer = upload(server, [draft("app.a", 1), draft("app.a", "x" * 1020), draft("app.a", 2)])
    assert [line.get("status", 202) for line in answer] == [202, 413, 202]


def test_an_upload_that_breaks_off_keeps_its_whole_lines(bus: ServerProcess, subject: str) -> None:
    with dial(bus) as peer:
        lines = draft(subject, 1) + b"\n" + draft(subject, 2) + b"\n" + draft(subject, 3)[:-1]
        peer.send(HEAD + b"Content-Length: 100000\r\n\r\n" + lines)
        peer.finish_sending()
        statuses = [msgspec.json.decode(line).get("status", 202) for line in peer.answer().body.splitlines()]
        assert statuses == [202, 202, 400]
    assert [event["payload"] for event in read(bus, subject)] == [1, 2]


@pytest.mark.over_tls
def test_a_malformed_chunk_ends_the_upload_with_a_refusal(bus: ServerProcess, subject: str) -> None:
    with dial(bus) as peer:
        line = draft(subject, 1) + b"\n"
        peer.send(HEAD + b"Transfer-Encoding: chunked\r\n\r\n%x\r\n%b\r\n" % (len(line), line))
        peer.answer(has_body=False)
        chunks = peer.chunks()
        receipt = msgspec.json.decode(next(chunks))
        peer.send(b"zz\r\n")
        refusal = msgspec.json.decode(b"".join(chunks))
        assert (refusal["status"], refusal["code"]) == (400, "malformed")
        assert peer.rest() == b""
    assert [event["index"] for event in read(bus, subject)] == [receipt["index"]]


@pytest.mark.over_tls
def test_an_upload_that_falls_silent_is_ended(start_server: StartServer) -> None:
    server = start_server(wrapper=with_limits(UPLOAD_IDLE_SECONDS=0.2))
    with dial(server) as peer:
        peer.send(HEAD + b"Content-Length: 1000\r\n\r\n" + draft("app.a", 1) + b"\n")
        lines = [msgspec.json.decode(line) for line in peer.answer().body.splitlines()]
        assert [line.get("status", 202) for line in lines] == [202, 408]
        assert peer.rest() == b""


@pytest.mark.over_tls
def test_an_http_1_0_client_gets_its_receipts_without_chunks(bus: ServerProcess, subject: str) -> None:
    body = draft(subject, 1) + b"\n" + draft(subject, 2)
    with dial(bus) as peer:
        peer.send(
            b"POST / HTTP/1.0\r\nContent-Type: %b\r\nContent-Length: %d\r\n\r\n%b" % (NDJSON.encode(), len(body), body)
        )
        answer = peer.answer()
        assert "transfer-encoding" not in answer.headers
        assert len(answer.body.splitlines()) == 2
