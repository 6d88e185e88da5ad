"""What a connection carries: one request after the other, pipelines, deadlines, and too many of them."""

from __future__ import annotations

import pytest

from bus.server.http import limits
from tests.conftest import StartServer
from tests.server.support import acknowledge, dial, draft, read, with_limits
from tests.support import ServerProcess, raw, subscribe


def _post(body: bytes, *headers: bytes, path: bytes = b"/") -> bytes:
    length = b"Content-Length: %d" % len(body)
    return b"\r\n".join([b"POST %b HTTP/1.1" % path, b"Host: bus", length, *headers, b"", body])


def test_a_connection_is_kept(bus: ServerProcess, subject: str) -> None:
    with dial(bus) as peer:
        for number in range(10):
            peer.send(_post(draft(subject, number)))
            answer = peer.answer()
            assert (answer.status, "connection" in answer.headers) == (202, False)


@pytest.mark.parametrize(
    "data",
    [
        b"GET /healthz HTTP/1.1\r\nHost: bus\r\nConnection: close\r\n\r\n",
        b"GET /healthz HTTP/1.1\r\nHost: bus\r\nConnection: x, Close\r\n\r\n",
        b"GET /healthz HTTP/1.0\r\n\r\n",
        b"GET /healthz HTTP/1.0\r\nConnection: keep-alive\r\n\r\n",
        b"BREW / HTTP/1.1\r\nHost: bus\r\n\r\n",
    ],
)
@pytest.mark.over_tls
def test_a_connection_is_closed_when_the_client_says_so(bus: ServerProcess, data: bytes) -> None:
    assert b"\r\nConnection: close\r\n" in raw(bus.port, data)


@pytest.mark.over_tls
def test_answers_come_in_the_order_of_the_requests(bus: ServerProcess, subject: str) -> None:
    """Memory is faster than the disk, and a refusal faster than both; none may overtake."""
    pipeline = [
        (_post(draft(subject, 1)), 202),
        (_post(draft("_bus_.pipeline")), 202),
        (_post(b"{"), 400),
        (b"GET /healthz HTTP/1.1\r\nHost: bus\r\n\r\n", 200),
        (_post(draft(subject, 2), b"Content-Type: application/x-ndjson"), 202),
        (_post(draft("nowhere.a")), 404),
        (_post(draft(subject, 3)), 202),
    ]
    with dial(bus) as peer:
        peer.send(b"".join(data for data, _ in pipeline))
        assert [peer.answer().status for _ in pipeline] == [status for _, status in pipeline]
    assert [event["payload"] for event in read(bus, subject)] == [1, 2, 3]


@pytest.mark.over_tls
def test_a_pipeline_deeper_than_the_server_takes_at_once_is_answered_whole(bus: ServerProcess, subject: str) -> None:
    with dial(bus) as peer:
        peer.send(b"".join(_post(draft(subject, number)) for number in range(500)))
        indexes = [int(peer.answer().headers["x-bus-event-index"]) for _ in range(500)]
    assert indexes == sorted(indexes)
    assert [event["payload"] for event in read(bus, subject)] == list(range(500))


def test_a_pipeline_as_deep_as_the_server_takes_at_once_can_be_followed_by_more(
    bus: ServerProcess, subject: str
) -> None:
    with dial(bus) as peer:
        for _ in range(2):
            peer.send(b"".join(_post(draft(subject)) for _ in range(limits.PIPELINE_DEPTH)))
            assert {peer.answer().status for _ in range(limits.PIPELINE_DEPTH)} == {202}


@pytest.mark.over_tls
def test_an_answer_that_takes_time_holds_up_those_behind_it(bus: ServerProcess, subject: str) -> None:
    with subscribe(bus, subject) as service, dial(bus) as peer:
        peer.send(_post(draft(subject), path=b"/?wait=reply"), b"GET /healthz HTTP/1.1\r\nHost: bus\r\n\r\n")
        (event,) = service.take(1)
        acknowledge(bus, service.headers["x-bus-consumer-id"], event.id, body=b'"first"')
        assert [peer.answer().body for _ in range(2)] == [b'"first"', b"alive\n"]


@pytest.mark.over_tls
def test_a_stream_may_follow_other_requests(bus: ServerProcess, subject: str) -> None:
    with dial(bus) as peer:
        stream = b"GET /?subject=%b&limit=1&start=oldest HTTP/1.1\r\nHost: bus\r\n\r\n" % subject.encode()
        peer.send(_post(draft(subject)) + stream)
        assert peer.answer().status == 202
        assert b"event: msg\n" in peer.answer().body


def test_a_client_that_is_done_sending_gets_its_answers(bus: ServerProcess, subject: str) -> None:
    with dial(bus) as peer:
        peer.send(b"".join(_post(draft(subject, number)) for number in range(5)))
        peer.finish_sending()
        assert peer.rest().count(b"HTTP/1.1 202 ") == 5


def test_a_body_that_ends_early_is_refused(bus: ServerProcess, subject: str) -> None:
    with dial(bus) as peer:
        peer.send(_post(draft(subject)), _post(draft(subject))[:-1])
        peer.finish_sending()
        assert peer.answer().status == 202
        assert "ended before it was complete" in peer.answer().text
    assert len(read(bus, subject)) == 1


@pytest.mark.parametrize("upload", [False, True])
@pytest.mark.over_tls
def test_a_client_that_asks_first_is_told_to_go_on(bus: ServerProcess, subject: str, upload: bool) -> None:
    body = draft(subject)
    kind = [b"Content-Type: application/x-ndjson"] if upload else []
    head, _, _ = _post(body, b"Expect: 100-Continue", *kind).partition(b"\r\n\r\n")
    with dial(bus) as peer:
        for _ in range(2):
            peer.send(head + b"\r\n\r\n")
            assert peer.answer().status == 100
            peer.send(body)
            assert peer.answer().status == 202


@pytest.mark.over_tls
def test_a_client_that_asks_first_is_spared_a_body_that_is_too_large(bus: ServerProcess) -> None:
    with dial(bus) as peer:
        peer.send(b"POST / HTTP/1.1\r\nHost: bus\r\nContent-Length: 9999999\r\nExpect: 100-continue\r\n\r\n")
        assert peer.answer().status == 413
        assert peer.rest() == b""


def test_a_client_that_does_not_wait_is_not_told(bus: ServerProcess, subject: str) -> None:
    with dial(bus) as peer:
        peer.send(_post(draft(subject), b"Expect: 100-continue"))
        assert peer.answer().status == 202


# -- deadlines


@pytest.mark.over_tls
def test_a_head_that_takes_too_long_is_408(start_server: StartServer) -> None:
    server = start_server(wrapper=with_limits(HEAD_SECONDS=0.3))
    with dial(server) as peer:
        peer.send(b"GET / HTTP/1.1\r\nHost:")
        answer = peer.answer()
        assert (answer.status, answer.headers["connection"]) == (408, "close")
        assert peer.rest() == b""


def test_a_byte_now_and_then_does_not_put_the_deadline_off(start_server: StartServer) -> None:
    server = start_server(wrapper=with_limits(HEAD_SECONDS=0.3, SWEEP_SECONDS=0.05))
    with dial(server) as peer:
        peer.send(b"GET / HTTP/1.1\r\n")
        while not peer.has_answer(within=0.05):
            peer.send(b"X: 1\r\n")
        assert peer.answer().status == 408


@pytest.mark.over_tls
def test_a_body_that_takes_too_long_is_408(start_server: StartServer) -> None:
    server = start_server(wrapper=with_limits(BODY_SECONDS=0.3))
    with dial(server) as peer:
        peer.send(_post(draft("app.a"))[:-1])
        assert peer.answer().status == 408
        assert peer.rest() == b""
    assert read(server, "app.a") == []


def test_a_connection_nobody_uses_is_closed(start_server: StartServer) -> None:
    server = start_server(wrapper=with_limits(IDLE_SECONDS=0.3, HEAD_SECONDS=0.3))
    with dial(server) as unused, dial(server) as used:
        used.send(_post(draft("app.a")))
        assert used.answer().status == 202
        assert (used.rest(), unused.rest()) == (b"", b"")


def test_a_request_that_waits_is_not_idle(start_server: StartServer) -> None:
    server = start_server(wrapper=with_limits(IDLE_SECONDS=0.2, HEAD_SECONDS=0.2, BODY_SECONDS=0.2, SWEEP_SECONDS=0.1))
    with dial(server) as peer:
        peer.send(_post(draft("app.a"), path=b"/?wait=reply&timeout=1s"))
        assert peer.answer().status == 504


def test_a_refused_client_that_never_stops_sending_is_cut_off(start_server: StartServer) -> None:
    server = start_server(wrapper=with_limits(LINGER_SECONDS=0.3))
    with dial(server) as peer:
        peer.send(b"nonsense\r\n\r\n")
        assert peer.answer().status == 400
        with pytest.raises(OSError, match=r"reset|pipe"):
            while True:
                peer.send(b"x" * 65536)


# -- too many


@pytest.mark.over_tls
def test_one_connection_too_many_is_told_to_come_back(start_server: StartServer) -> None:
    server = start_server(env={"BUS_MAX_CONNECTIONS": "2"})
    with dial(server) as one, dial(server) as two:
        for peer in (one, two):
            peer.send(_post(draft("app.a")))
            assert peer.answer().status == 202
        with dial(server) as third:
            answer = third.answer()
            assert (answer.status, answer.headers["retry-after"], answer.headers["connection"]) == (503, "1", "close")
            assert third.rest() == b""
        one.send(_post(draft("app.a")))
        assert one.answer().status == 202
