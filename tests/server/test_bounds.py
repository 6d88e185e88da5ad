"""What one client may make the server hold or do: counted in bytes, lines and connections, never in time."""

from __future__ import annotations

import socket
import threading
from collections import Counter
from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from contextlib import ExitStack, contextmanager, suppress
from pathlib import Path

import msgspec
import pytest

from bus.event import Receipt
from bus.wire import NDJSON
from tests.conftest import StartServer
from tests.server.support import Peer, dial, draft, metric, post, publish, read, refusal, upload, with_limits
from tests.support import ServerProcess, request, subscribe

MIB = 1024 * 1024
HEAD = b"POST / HTTP/1.1\r\nHost: bus\r\n"
UPLOAD = HEAD + b"Content-Type: application/x-ndjson\r\n"


def _memory(server: ServerProcess, name: str = "VmRSS") -> int:
    """Memory the server holds now, in bytes."""
    lines = Path(f"/proc/{server.pid}/status").read_text().splitlines()
    return next(int(line.split()[1]) * 1024 for line in lines if line.startswith(name))


def _peak(server: ServerProcess) -> int:
    """The most memory the server has held, in bytes."""
    return _memory(server, "VmHWM")


@contextmanager
def _peers(server: ServerProcess, count: int) -> Iterator[list[Peer]]:
    with ExitStack() as opened:
        yield [opened.enter_context(dial(server)) for _ in range(count)]


def _held(server: ServerProcess, at_least: int) -> float:
    """What the server counts as held, once it is *at_least* so much."""
    while (held := metric(server, "bus_body_memory_bytes")) < at_least:
        pass
    return held


# -- uploads


def test_a_client_may_send_all_of_an_upload_before_it_reads_a_receipt(start_server: StartServer) -> None:
    server = start_server(flags=["--fsync", "never"])
    lines = draft("app.a") + b"\n"
    body = lines * 100_000
    with dial(server) as peer:
        peer.send(UPLOAD + b"Content-Length: %d\r\n\r\n" % len(body), body)
        assert metric(server, "bus_body_memory_bytes") < 8 * MIB
        assert peer.answer().body.count(b'"id"') == 100_000
    assert metric(server, "bus_body_memory_bytes") == 0


def test_receipts_nobody_takes_are_bounded_and_the_rest_of_the_body_waits(start_server: StartServer) -> None:
    server = start_server(flags=["--fsync", "never", "--max-body-memory", "1MiB"])
    lines = (draft("app.a") + b"\n") * 1000
    chunk = b"%x\r\n%b\r\n" % (len(lines), lines)
    with dial(server) as peer:
        peer.send(UPLOAD + b"Transfer-Encoding: chunked\r\n\r\n")
        sent = 0
        while sent < 40 * MIB and peer.is_writable(within=1):
            sent += peer.send_some(chunk[sent % len(chunk) :])
        assert sent < 40 * MIB, "the server goes on reading"
        assert metric(server, "bus_body_memory_bytes") < MIB
        assert publish(server, "app.b").status == 202
        assert upload(server, [draft("app.b")])[0]["index"] > 0
        with ThreadPoolExecutor(1) as pool:
            pool.submit(peer.send, chunk[len(chunk) - -sent % len(chunk) :] + b"0\r\n\r\n")
            receipts = peer.answer().body
        chunks = -(-sent // len(chunk))
        assert receipts.count(b'"index"') == receipts.count(b"\n") == 1000 * chunks, "each line has its receipt"


def test_refused_lines_cost_no_more_than_others(start_server: StartServer) -> None:
    server = start_server(flags=["--fsync", "never"])
    publish(server, "app.a")
    before = _peak(server)
    with _peers(server, 8) as peers:
        for peer in peers:
            peer.send(UPLOAD + b"Content-Length: 10001\r\n\r\n", b"x\n" * 5_000)
        for peer in peers:
            peer.send(b"\n")
            assert peer.answer().body.count(b'"code":"invalid-event"') == 5_000
    assert _peak(server) - before < 32 * MIB


@pytest.mark.over_tls
def test_an_upload_is_published_by_turns(start_server: StartServer) -> None:
    """The events of one turn have one time, so the times tell how many lines a turn took."""
    server = start_server(flags=["--fsync", "never"], wrapper=with_limits(UPLOAD_LINES_A_TURN=4))
    with dial(server) as one, dial(server) as two:
        body = (draft("app.a") + b"\n") * 1000
        for peer in (one, two):
            peer.send(UPLOAD + b"Content-Length: %d\r\n\r\n%b" % (len(body), body))
        for peer in (one, two):
            receipts = msgspec.json.Decoder(Receipt).decode_lines(peer.answer().body)
            times = Counter(receipt.created_at for receipt in receipts)
            assert len(receipts) == 1000
            assert max(times.values()) <= 4


def test_a_line_in_many_pieces_is_put_together_once(server: ServerProcess) -> None:
    line = draft("app.a", "x" * 100_000)
    with dial(server) as peer:
        peer.send(UPLOAD + b"Content-Length: %d\r\n\r\n" % len(line))
        peer.send(*(line[at : at + 100] for at in range(0, len(line), 100)))
        assert b'"index":1' in peer.answer().body
    assert len(read(server, "app.a")[0]["payload"]) == 100_000


def test_events_keep_the_order_of_requests_behind_an_upload(bus: ServerProcess, subject: str) -> None:
    lines = b"\n".join(draft(subject, number) for number in range(3000))
    last = draft(subject, 3000)
    with dial(bus) as peer:
        peer.send(
            UPLOAD + b"Content-Length: %d\r\n\r\n%b" % (len(lines), lines)
            + HEAD + b"Content-Length: %d\r\n\r\n%b" % (len(last), last)
        )  # fmt: skip
        assert [peer.answer().status, peer.answer().status] == [202, 202]
    assert [event["payload"] for event in read(bus, subject)] == list(range(3001))


# -- bodies


KNOWN = b"Content-Length: 1000000\r\n\r\n"
CHUNKED = b"Transfer-Encoding: chunked\r\n\r\nf4240\r\n"


@pytest.mark.parametrize("framing", [KNOWN, CHUNKED])
@pytest.mark.over_tls
def test_bodies_that_come_in_have_one_sum(start_server: StartServer, framing: bytes) -> None:
    server = start_server(flags=["--max-body-memory", "4MiB"])
    body = draft("app.a", "x" * 999_000).ljust(1_000_000)
    end = b"\r\n0\r\n\r\n" if framing is CHUNKED else b""
    with _peers(server, 4) as peers, dial(server) as one_more:
        for peer in peers:
            peer.send(HEAD + framing + body[:-1])
        _held(server, 3_999_996)
        one_more.send(HEAD + framing + body[:500_000])
        answer = one_more.answer()
        assert (answer.status, answer.headers["retry-after"]) == (503, "1")
        for peer in peers:
            peer.send(body[-1:] + end)
            assert peer.answer().status == 202
    assert metric(server, "bus_body_memory_bytes") == 0


def test_small_bodies_find_room_when_large_ones_have_used_it_up(start_server: StartServer) -> None:
    server = start_server(flags=["--max-body-memory", "2MiB"])
    with _peers(server, 2) as peers:
        for peer in peers:
            peer.send(HEAD + b"Content-Length: 1048576\r\n\r\n" + b"x" * 1_048_575)
        _held(server, 2 * 1_048_575)
        pieces = iter([draft("app.a", "x" * 100)[:50], draft("app.a", "x" * 100)[50:]])
        assert post(server, pieces).status == 202
        assert upload(server, [draft("app.b")])[0]["index"] == 2
        assert sum(peer.has_answer(within=0.2) for peer in peers) == 1, "one large body gave way"


def test_lines_that_never_end_count_as_bodies(start_server: StartServer) -> None:
    server = start_server(flags=["--max-body-memory", "4MiB"])
    with _peers(server, 6) as peers:
        for peer in peers:
            peer.send(UPLOAD + b"Content-Length: 9000000\r\n\r\n" + b"x" * 1_000_000)
        refused = [peer for peer in peers if peer.has_answer(within=1)]
        assert {refusal(peer.answer())[0] for peer in refused} == {503}
        # Four fit. One that has only begun may have the largest give way, and then be refused itself.
        assert 2 <= len(refused) < len(peers)
        assert metric(server, "bus_body_memory_bytes") <= 4 * MIB
        assert publish(server, "app.a").status == 202


@pytest.mark.over_tls
def test_a_request_that_waits_holds_no_payload(start_server: StartServer) -> None:
    server = start_server(flags=["--fsync", "never"])
    body = draft("app.a", "x" * 3_000_000)
    publish(server, "app.a")
    before = _memory(server)
    with _peers(server, 60) as peers:
        for number, peer in enumerate(peers, 2):
            peer.send(b"POST /?wait=reply HTTP/1.1\r\nHost: bus\r\nContent-Length: %d\r\n\r\n%b" % (len(body), body))
            while (
                msgspec.json.decode(request(server, "GET", "/v1/namespaces").body)["namespaces"][0]["events"] < number
            ):
                pass
        assert _memory(server) - before < 60 * len(body) / 2


@contextmanager
def _sending(peer: Peer, head: bytes, body: bytes) -> Iterator[None]:
    """Send *head*, and *body* again and again as long as it is taken, until the block ends."""
    done = threading.Event()

    def send() -> None:
        with suppress(OSError):
            peer.send(head)
            while not done.is_set():
                peer.send(body)

    sender = threading.Thread(target=send)
    sender.start()
    try:
        yield
    finally:
        done.set()
        with suppress(OSError):
            peer.finish_sending()
        sender.join()


@pytest.mark.parametrize("body", [b"1\r\nx\r\n" * 40_000, b"GET /healthz HTTP/1.1\r\nHost: bus\r\n\r\n" * 5000])
def test_small_chunks_and_small_requests_give_way_to_others(start_server: StartServer, body: bytes) -> None:
    server = start_server(wrapper=with_limits(CHUNKS_A_TURN=1, REQUESTS_A_TURN=1))
    head = HEAD + b"Transfer-Encoding: chunked\r\n\r\n" if body.startswith(b"1") else b""
    with dial(server) as peer, _sending(peer, head, body):
        assert publish(server, "app.a").status == 202
        while not metric(server, "bus_body_memory_bytes"):
            """There is something to give way from only while some of it is in hand."""


# -- connections


@pytest.mark.over_tls
def test_health_is_told_when_the_connections_are_used_up(start_server: StartServer) -> None:
    server = start_server(flags=["--max-connections", "2"])
    with subscribe(server, "app.>"), subscribe(server, "app.>"):
        for path in ("/healthz", "/readyz", "/metrics"):
            answer = request(server, "GET", path)
            assert (answer.status, answer.headers["connection"]) == (200, "close")
        for refused in (publish(server, "app.a"), request(server, "GET", "/v1/namespaces")):
            assert (refused.status, refused.headers["retry-after"]) == (503, "1")
        assert post(server, draft("app.a"), Content_Type=NDJSON).status == 503


@pytest.mark.over_tls
def test_nobody_can_keep_the_reserve(start_server: StartServer) -> None:
    server = start_server(flags=["--max-connections", "1"], wrapper=with_limits(RESERVED_SECONDS=60))
    with subscribe(server, "app.>"), _peers(server, 40):
        assert request(server, "GET", "/healthz").status == 200


def test_an_address_holds_so_many_connections(start_server: StartServer) -> None:
    server = start_server(flags=["--max-connections-per-address", "2"])
    with subscribe(server, "app.>"):
        with subscribe(server, "app.>"):
            status, text = refusal(publish(server, "app.a"))
            assert (status, "2 connections of 127.0.0.1" in text) == (503, True)
            assert request(server, "GET", "/healthz").status == 200
            with socket.create_connection(("127.0.0.1", server.port), source_address=("127.0.0.2", 0)) as other:
                other.sendall(b"HEAD / HTTP/1.1\r\nHost: bus\r\nConnection: close\r\n\r\n")
                assert other.recv(4096).startswith(b"HTTP/1.1 200")
        while metric(server, "bus_connections") > 2:
            pass
        assert publish(server, "app.a").status == 202


def test_the_kernel_looks_after_dead_peers(server: ServerProcess) -> None:
    """What the kernel says of an idle stream: a keepalive timer that runs out within so many seconds."""
    with subscribe(server, "app.>") as stream:
        local, remote = stream.connection.getsockname()[1], stream.connection.getpeername()[1]
        rows = [line.split() for line in Path("/proc/net/tcp").read_text().splitlines()[1:]]
        (timer,) = [row[5] for row in rows if row[1].endswith(f":{remote:04X}") and row[2].endswith(f":{local:04X}")]
        kind, left = timer.split(":")
        assert kind == "02"
        assert int(left, 16) <= 30 * 100


@pytest.mark.over_tls
def test_answers_nobody_takes_are_bounded(start_server: StartServer) -> None:
    """Replies that wait behind a request that isn't answered yet are no way around it."""
    server = start_server(flags=["--fsync", "never"])
    asked = b"GET /openapi.json HTTP/1.1\r\nHost: bus\r\n\r\n"
    waiting = draft("app.a")
    size = len(request(server, "GET", "/openapi.json").body)
    before = _peak(server)
    with _peers(server, 20) as peers:
        for peer in peers:
            peer.send(
                b"POST /?wait=reply HTTP/1.1\r\nHost: bus\r\nContent-Length: %d\r\n\r\n%b" % (len(waiting), waiting)
                + asked * 60
            )
        assert publish(server, "app.b").status == 202
        assert _peak(server) - before < 20 * min(60 * size, MIB) + 16 * MIB


def test_a_refusal_names_the_limit(start_server: StartServer) -> None:
    server = start_server(flags=["--max-body-memory", "1MiB"])
    answer = post(server, b"x" * 2_000_000)
    assert refusal(answer) == (503, "the server holds bodies of 1048576 bytes already: try again shortly")
    assert msgspec.json.decode(post(server, b"x" * 2_000_000, Accept="application/json").body)["code"] == "overloaded"
