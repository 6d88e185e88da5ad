"""Both clients and servers that are none, or send without end: an error of Bus, in time and in little memory."""

from __future__ import annotations

import json
import socket
import threading
from collections.abc import Callable, Iterator
from contextlib import contextmanager, suppress
from itertools import pairwise
from typing import Any

import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from bus.client.core import response
from bus.client.core.delivery import Delivered
from bus.client.core.get_options import GetOptions
from bus.client.core.outcomes import OutcomeReader, check, payload_in, receipt_in
from bus.client.core.request import Endpoint
from bus.client.core.response import Response, ResponseReader
from bus.client.core.retry import NotBusError
from bus.client.core.stream import StreamState
from bus.errors import BusError, ConnectionFailedError, InvalidParameterError, TimedOutError
from tests.client.conftest import Connect
from tests.client.streams import HEAD, OPEN, frame
from tests.client.support import Peer, Wire, accepted, answered, streaming

StartPeer = Callable[..., Peer]

HTML = b"HTTP/1.1 200 OK\r\nContent-Type: text/html; charset=utf-8\r\n"


def endless(beginning: bytes, piece: bytes) -> Callable[[Wire], None]:
    """A server that answers with *beginning* and then *piece* for as long as anybody listens."""

    def play(wire: Wire) -> None:
        wire.request()
        with suppress(OSError):
            wire.send(beginning)
            while True:
                wire.send(piece)

    return play


def ask(client: Any) -> Any:
    return client.put("app.a", 1)


def ask_for_health(client: Any) -> Any:
    return client.health()


def subscribe(client: Any) -> Any:
    return next(client.get("app.a", timeout=0.3))


ENDLESS = {
    "body": (b"HTTP/1.1 200 OK\r\n\r\n", b"x" * 65536),
    "refusal": (b"HTTP/1.1 500 Oh\r\n\r\n", b"x" * 65536),
    "head": (b"HTTP/1.1 200 OK\r\n", b"X-A: aaaaaaaaaaaaaaaaaaaaaaaa\r\n" * 100),
    "header": (b"HTTP/1.1 200 OK\r\nX-A: ", b"a" * 4096),
    "interim": (b"", b"HTTP/1.1 100 Continue\r\n\r\n" * 100),
    "chunk extension": (b"HTTP/1.1 202 OK\r\nTransfer-Encoding: chunked\r\n\r\n1;", b"a" * 4096),
    "trailers": (b"HTTP/1.1 202 OK\r\nTransfer-Encoding: chunked\r\n\r\n0\r\n", b"X-A: aaaaaaaaaa\r\n" * 100),
    "comments": (streaming(OPEN), b":\n\n" * 1000),
    "event": (streaming(OPEN), b"data: " + b"x" * 4096),
    "web page": (HTML + b"\r\n", b"<p>" * 4096),
}


@pytest.mark.parametrize("call", [ask, ask_for_health, subscribe])
@pytest.mark.parametrize("name", ENDLESS)
def test_a_server_that_sends_without_end_is_given_up(
    start_peer: StartPeer, connect: Connect, monkeypatch: pytest.MonkeyPatch, name: str, call: Callable[[Any], Any]
) -> None:
    monkeypatch.setattr(response, "LONGEST_BODY", 1 << 20)
    monkeypatch.setattr("bus.sse.LONGEST_BLOCK", 1 << 20)
    client = connect(start_peer(*[endless(*ENDLESS[name])] * 8).url, timeout=0.3)
    with pytest.raises(BusError):
        call(client)


@pytest.mark.parametrize("name", ["body", "refusal", "head", "header", "interim", "web page"])
def test_no_more_of_an_answer_is_held_than_one_can_have(monkeypatch: pytest.MonkeyPatch, name: str) -> None:
    monkeypatch.setattr(response, "LONGEST_BODY", 1 << 17)
    beginning, piece = ENDLESS[name]
    reader = ResponseReader()
    reader.feed(beginning)
    with pytest.raises(NotBusError, match="longer than any of ours"):
        for _ in range((1 << 20) // len(piece)):
            reader.feed(piece)


def test_trailers_are_not_held() -> None:
    beginning, piece = ENDLESS["trailers"]
    reader = ResponseReader()
    reader.feed(beginning)
    reader.feed(piece)
    assert reader.head is not None
    assert list(reader.head.headers) == [b"transfer-encoding"]


@pytest.mark.parametrize(
    "answer",
    [
        HTML + b"Content-Length: 5\r\n\r\n<html",
        HTML + b"Content-Length: 1000000\r\n\r\n<html",
        answered(b"200 OK", b"{}", b"Content-Type: application/json"),
        answered(b"200 OK", b"hello"),
        b"HTTP/1.1 200 OK\r\nContent-Type: text/event-stream\r\n\r\nevent: tick\ndata: 1\n\n",
        b"HTTP/1.1 200 OK\r\nContent-Type: text/event-stream\r\n\r\n" + frame(1),
        b"HTTP/1.1 200 OK\r\nContent-Type: text/event-stream\r\n\r\nevent: open\ndata: hello\n\n",
        b"HTTP/1.1 101 Switching Protocols\r\nUpgrade: websocket\r\nConnection: Upgrade\r\n\r\n",
    ],
)
def test_what_is_no_stream_of_bus_is_an_error_at_once(start_peer: StartPeer, connect: Connect, answer: bytes) -> None:
    peer = start_peer(lambda wire: (wire.answer(answer), wire.until_closed()))
    with pytest.raises(NotBusError, match="is this a Bus server"):
        next(connect(peer.url).get("app.a"))


@pytest.mark.parametrize(
    "head",
    [
        b"HTTP/1.1 200 OK\r\nX-BUS-CONSUMER-ID: c_1\r\n\r\n",  # the Go server: the header, and no open
        b"HTTP/1.1 200 OK\r\nContent-Type: text/event-stream\r\nX-BUS-CONSUMER-ID: c_1\r\n\r\n",
        b"HTTP/1.1 200 OK\r\nContent-Type: text/event-stream;charset=utf-8\r\n\r\n"
        + OPEN,  # a proxy that takes headers away
    ],
)
def test_a_stream_is_known_by_its_header_or_its_first_event(
    start_peer: StartPeer, connect: Connect, head: bytes
) -> None:
    peer = start_peer(lambda wire: (wire.answer(head + frame(1)), wire.until_closed()))
    events = connect(peer.url).get("app.a")
    event = next(events)
    assert (event.index, event.consumer_id) == (1, "c_1")
    events.close()


@pytest.mark.parametrize(
    "url", ["", "localhost:2021", "ftp://a", "http://", "http://a..b", "http://" + "a" * 64, "http://a:99999", "http://a:0",
            "http://a:x", "http://[::1", "http://\ud800", "http://a/?q", "http://a b"],
)  # fmt: skip
def test_a_url_that_can_not_be_one_is_refused(url: str) -> None:
    with pytest.raises(InvalidParameterError, match="write it like http://localhost:2021"):
        Endpoint.parse(url)


@pytest.mark.parametrize("host", ["nothing.invalid", "[::1%25nope]"])
def test_a_host_that_is_not_there_is_named(connect: Connect, host: str) -> None:
    with pytest.raises(ConnectionFailedError, match="can't reach"):
        connect(f"http://{host}:1", timeout=0.2).put("app.a")


def test_halves_of_characters_are_refused_before_anything_is_sent(connect: Connect) -> None:
    client = connect("http://127.0.0.1:1", timeout=0.1)
    calls: list[Callable[[], Any]] = [
        lambda: client.put("app.a", "\ud800"),
        lambda: client.put("app.\ud800"),
        lambda: client.put_many([{"subject": "app.a", "payload": {"\ud800": 1}}]),
        lambda: client.get("app.\ud800"),
        lambda: client.ack("c_\ud800", "e_1"),
        lambda: client.request("app.\ud800"),
    ]
    for call in calls:
        with pytest.raises(BusError):
            call()


def test_errors_are_pythons_own_as_well(connect: Connect, start_peer: StartPeer) -> None:
    with pytest.raises(ConnectionError):
        connect("http://127.0.0.1:1", timeout=0.1).put("app.a")
    peer = start_peer(lambda wire: (wire.request(), wire.until_closed()))
    with pytest.raises(TimeoutError):
        connect(peer.url).put("app.a", timeout=0.05)


# -- bytes of any kind

GOOD = [
    accepted(1),
    answered(
        b"202 Accepted", b'{"id":"e_1","created_at":"","index":1}\n{"error":"no","code":"conflict","status":409}\n'
    ),
    answered(
        b"409 Conflict", b'{"detail":"no","code":"duplicate-key"}', b"X-BUS-EVENT-ID: e_1", b"X-BUS-EVENT-INDEX: 1"
    ),
    b"HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\n5\r\nhello\r\n0\r\n\r\n",
    streaming(OPEN + frame(5) + b'event: gap\ndata: {}\n\nevent: done\ndata: {"reason":"limit"}\n\n'),
]


@st.composite
def broken(draw: st.DrawFn) -> bytes:
    """A good answer with some of its bytes changed, taken out or put in; or none at all."""
    data = bytearray(draw(st.sampled_from(GOOD)))
    for _ in range(draw(st.integers(0, 4))):
        at = draw(st.integers(0, len(data)))
        data[at : at + draw(st.integers(0, 6))] = draw(st.binary(max_size=6))
    return bytes(data) if draw(st.integers(0, 9)) else draw(st.binary(max_size=100))


def pieces(data: bytes, cuts: list[int]) -> Iterator[bytes]:
    edges = [0, *sorted(cut % (len(data) + 1) for cut in cuts), len(data)]
    return (data[begin:end] for begin, end in pairwise(edges))


@given(broken(), st.lists(st.integers(0, 500), max_size=4))
def test_any_answer_is_read_or_refused(data: bytes, cuts: list[int]) -> None:
    reader = ResponseReader()
    with suppress(BusError):
        for piece in pieces(data, cuts):
            reader.feed(piece)
        reader.feed_eof()
    if reader.head is not None:
        for read in (receipt_in, payload_in, check):
            with suppress(BusError):
                read(Response(reader.head.status, reader.head.headers, b"".join(reader._parts)))
    assert not reader.complete or reader.head is not None


@given(broken(), st.lists(st.integers(0, 500), max_size=4))
def test_any_receipts_are_read_or_refused(data: bytes, cuts: list[int]) -> None:
    reader = OutcomeReader()
    with suppress(BusError):
        for piece in pieces(data.partition(b"\r\n\r\n")[2], cuts):
            reader.feed(piece)


@given(broken(), st.lists(st.integers(0, 500), max_size=4), st.sampled_from(["none", "manual"]), st.booleans())
def test_any_stream_is_read_or_refused(data: bytes, cuts: list[int], ack: Any, trusted: bool) -> None:
    state = StreamState(GetOptions(subjects=("app.*",), ack=ack, on_gap=lambda gap: None), Delivered)
    state.connected(HEAD if trusted else Response(200, {b"content-type": b"text/event-stream"}))
    with suppress(BusError):
        for piece in pieces(data.partition(b"\r\n\r\n")[2], cuts):
            state.feed(piece)
            while state.waiting:
                with suppress(BusError):
                    state.pop()
    state.disconnected()
    _, last_event_id = state.target()
    assert "\n" not in last_event_id


ODD = [None, True, 0, -1, 1 << 70, 1.5, 1e308, "", "text", "\n", "é", [], [1], {}, {"id": 1}]
FIELDS = ["id", "subject", "payload", "created_at", "index", "key", "attempts", "error", "dead", "other"]


@given(st.dictionaries(st.sampled_from(FIELDS), st.sampled_from(ODD)), st.sampled_from(["none", "manual"]))
def test_an_event_of_odd_fields_is_taken_or_named(fields: dict[str, Any], ack: Any) -> None:
    state = StreamState(GetOptions(subjects=("app.*",), ack=ack), Delivered)
    state.connected(HEAD)
    state.feed(b"id: e_odd\nevent: msg\ndata: %b\n\n" % json.dumps(fields).encode() + frame(1 << 40))
    taken, odd = [], []
    while state.waiting:
        try:
            event = state.pop()
        except BusError as error:
            odd.append(error)
        else:
            taken.append(event)
    assert len(taken) + len(odd) == 2
    assert all(error.message.startswith("event ") for error in odd)


@contextmanager
def _server(data: bytes) -> Iterator[str]:
    """Answers every connection with *data*, and closes it."""
    listener = socket.create_server(("127.0.0.1", 0))

    def serve() -> None:
        while True:
            try:
                connection, _ = listener.accept()
            except OSError:
                return
            with connection, suppress(OSError):
                connection.recv(65536)
                connection.sendall(data)

    thread = threading.Thread(target=serve, daemon=True)
    thread.start()
    try:
        yield f"http://127.0.0.1:{listener.getsockname()[1]}"
    finally:
        listener.shutdown(socket.SHUT_RDWR)
        listener.close()
        thread.join()


@settings(max_examples=15, suppress_health_check=[HealthCheck.function_scoped_fixture])
@given(broken())
def test_every_call_ends_in_an_answer_or_an_error_of_bus(connect: Connect, data: bytes) -> None:
    with _server(data) as url:
        client = connect(url, timeout=0.05)
        for call in (
            lambda: client.put("app.a", 1),
            lambda: client.put("app.a", 1, key="k"),
            lambda: client.put_many([{"subject": "app.a"}, {"subject": "app.b"}]),
            lambda: client.put_many([{"subject": "app.a"}, {"subject": "app.b"}], atomic=False),
            lambda: client.request("app.a", 1),
            lambda: client.ack("c_1", ["e_1", "e_2"]),
            lambda: client.health(),
            lambda: list(client.get("app.a", timeout=0.02)),
        ):
            with suppress(BusError):
                call()


def test_a_time_that_is_up_ends_a_stream_that_only_keeps_alive(start_peer: StartPeer, connect: Connect) -> None:
    events = connect(start_peer(endless(streaming(OPEN), b"retry: 1000\n" * 100)).url, timeout=0.2).get(
        "app.a", timeout=0.2
    )
    with pytest.raises(TimedOutError, match="no event on app"):
        next(events)
    events.close()
