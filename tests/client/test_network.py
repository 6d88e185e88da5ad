"""Both clients on networks that break, played connection by connection."""

from __future__ import annotations

import socket
import threading
from collections.abc import Callable
from contextlib import suppress
from typing import Any

import pytest

from bus.errors import (
    ConnectionFailedError,
    DuplicateKeyError,
    InvalidSubjectError,
    OverloadedError,
    TimedOutError,
    UnknownConsumerError,
    UnknownNamespaceError,
)
from bus.event import Receipt
from bus.sse import encode_event
from bus.wire import encode_problem
from tests.client.conftest import Connect
from tests.client.streams import OPEN, frame
from tests.client.support import Peer, Wire, accepted, answered, streaming
from tests.support import PATIENCE

StartPeer = Callable[..., Peer]

FIRST = Receipt("e_1", "2026-01-31T12:00:00Z", 1)
QUICK_OPEN = OPEN.replace(b"retry: 1000", b"retry: 10")


def closed_port() -> int:
    with socket.create_server(("127.0.0.1", 0)) as listener:
        port: int = listener.getsockname()[1]
        return port


def test_requests_share_a_connection(start_peer: StartPeer, connect: Connect) -> None:
    peer = start_peer(lambda wire: [wire.answer(accepted(index)) for index in (1, 2, 3)])
    client = connect(peer.url)
    assert [client.put("app.a", index).index for index in range(3)] == [1, 2, 3]
    assert [request.rpartition(b'"payload":')[2] for request in peer.result(0)] == [b"0}", b"1}", b"2}"]


def test_an_answer_in_single_bytes_is_read(start_peer: StartPeer, connect: Connect) -> None:
    def dribble(wire: Wire) -> None:
        wire.request()
        for byte in accepted(1):
            wire.send(bytes([byte]))

    assert connect(start_peer(dribble).url).put("app.a") == FIRST


def test_an_idle_connection_that_was_closed_is_not_used_again(start_peer: StartPeer, connect: Connect) -> None:
    peer = start_peer(lambda wire: wire.answer(accepted(1)), lambda wire: wire.answer(accepted(2)))
    client = connect(peer.url)
    assert client.put("app.a").index == 1
    peer.result(0)
    assert client.put("app.a").index == 2


def test_a_connection_the_server_means_to_close_is_not_used_again(start_peer: StartPeer, connect: Connect) -> None:
    closing = accepted(1).replace(b"\r\n\r\n", b"\r\nConnection: close\r\n\r\n")
    peer = start_peer(
        lambda wire: (wire.answer(closing), wire.until_closed()), lambda wire: wire.answer(accepted(2))
    )  # fmt: skip
    client = connect(peer.url)
    assert [client.put("app.a").index, client.put("app.a").index] == [1, 2]


def test_a_put_that_broke_after_it_was_sent_is_not_repeated(start_peer: StartPeer, connect: Connect) -> None:
    peer = start_peer(Wire.request, lambda wire: wire.answer(accepted(1)))
    with pytest.raises(ConnectionFailedError, match="may or may not be done"):
        connect(peer.url).put("app.a")


def test_a_put_with_a_key_is_repeated_and_its_duplicate_is_success(start_peer: StartPeer, connect: Connect) -> None:
    duplicate = answered(
        b"409 Conflict",
        encode_problem(DuplicateKeyError()),
        b"X-BUS-EVENT-ID: e_1",
        b"X-BUS-EVENT-CREATED-AT: 2026-01-31T12:00:00Z",
        b"X-BUS-EVENT-INDEX: 1",
    )
    peer = start_peer(Wire.request, lambda wire: (wire.answer(duplicate), wire.answer(duplicate)))
    client = connect(peer.url)
    assert client.put("app.a", key="k") == FIRST
    with pytest.raises(DuplicateKeyError) as caught:
        client.put("app.a", key="k")
    assert caught.value.receipt == FIRST


def test_an_overloaded_server_is_asked_again(start_peer: StartPeer, connect: Connect) -> None:
    busy = answered(b"503 Service Unavailable", encode_problem(OverloadedError("too much")))
    peer = start_peer(lambda wire: (wire.answer(busy), wire.answer(accepted(1))))
    assert connect(peer.url).put("app.a") == FIRST


def test_an_unreachable_server_is_named(connect: Connect) -> None:
    port = closed_port()
    with pytest.raises(ConnectionFailedError, match=f"can't reach http://127.0.0.1:{port}"):
        connect(f"http://127.0.0.1:{port}", timeout=0.1).put("app.a")


def test_a_server_that_never_answers_is_given_up(start_peer: StartPeer, connect: Connect) -> None:
    peer = start_peer(lambda wire: (wire.request(), wire.until_closed()))
    with pytest.raises(TimedOutError, match="may or may not be done"):
        connect(peer.url).put("app.a", timeout=0.1)
    peer.result(0)


def test_an_answer_of_something_else_is_named(start_peer: StartPeer, connect: Connect) -> None:
    peer = start_peer(lambda wire: wire.answer(b"SSH-2.0-OpenSSH_9.2\r\n"))
    with pytest.raises(ConnectionFailedError, match="is this a Bus server"):
        connect(peer.url).put("app.a")


def test_a_refusal_is_raised_as_its_class(start_peer: StartPeer, connect: Connect) -> None:
    refusal = answered(b"400 Bad Request", encode_problem(InvalidSubjectError("subject 'a' has no dot")))
    peer = start_peer(lambda wire: wire.answer(refusal))
    with pytest.raises(InvalidSubjectError, match="has no dot"):
        connect(peer.url).put("a")


def test_an_acknowledgement_is_repeated(start_peer: StartPeer, connect: Connect) -> None:
    peer = start_peer(Wire.request, lambda wire: wire.answer(accepted(1)))
    connect(peer.url).ack("c_1", ["e_1", "e_2"])
    assert b"PUT /?consumer_id=c_1&event_id=e_1,e_2 " in peer.result(1)


def test_a_broken_stream_is_taken_up_after_its_last_event(start_peer: StartPeer, connect: Connect) -> None:
    peer = start_peer(
        lambda wire: wire.answer(streaming(QUICK_OPEN + frame(5) + frame(6)[:20])),
        lambda wire: wire.answer(streaming(QUICK_OPEN + frame(6) + encode_event("done", {"reason": "limit"}))),
    )
    assert [event.index for event in connect(peer.url).get("app.*")] == [5, 6]
    assert b"Last-Event-ID: e_5" in peer.result(1)


def test_a_stream_of_newest_loses_nothing_before_its_first_event(start_peer: StartPeer, connect: Connect) -> None:
    peer = start_peer(
        lambda wire: wire.answer(streaming(QUICK_OPEN)),
        lambda wire: wire.answer(streaming(frame(5) + encode_event("done", {"reason": "limit"}))),
    )
    assert [event.index for event in connect(peer.url).get("app.*")] == [5]
    assert b"start=5" in peer.result(1)


def test_a_server_that_shuts_down_is_waited_for(start_peer: StartPeer, connect: Connect) -> None:
    busy = answered(b"503 Service Unavailable", b"starting")
    peer = start_peer(
        lambda wire: wire.answer(streaming(QUICK_OPEN + frame(5) + encode_event("done", {"reason": "shutdown"}))),
        lambda wire: wire.answer(busy),
        lambda wire: wire.answer(streaming(frame(6) + encode_event("done", {"reason": "tail"}))),
    )
    assert [event.index for event in connect(peer.url).get("app.*")] == [5, 6]


def test_a_refused_subscription_is_raised(start_peer: StartPeer, connect: Connect) -> None:
    refusal = answered(b"404 Not Found", encode_problem(UnknownNamespaceError("no namespace nope")))
    with pytest.raises(UnknownNamespaceError, match="no namespace nope"):
        connect(start_peer(lambda wire: wire.answer(refusal)).url).get("nope.*")


def test_a_refusal_to_take_up_a_stream_ends_it(start_peer: StartPeer, connect: Connect) -> None:
    refusal = answered(b"404 Not Found", encode_problem(UnknownNamespaceError("no namespace app")))
    peer = start_peer(
        lambda wire: wire.answer(streaming(QUICK_OPEN + frame(5))), lambda wire: wire.answer(refusal)
    )  # fmt: skip
    events = connect(peer.url).get("app.*")
    assert next(events).index == 5
    with pytest.raises(UnknownNamespaceError):
        next(events)
    assert list(events) == []


def test_a_stream_through_a_proxy_that_chunks_is_read(start_peer: StartPeer, connect: Connect) -> None:
    data = QUICK_OPEN + frame(5) + encode_event("done", {"reason": "limit"})
    chunks = b"".join(b"1\r\n%c\r\n" % byte for byte in data) + b"0\r\n\r\n"
    head = b"HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\nX-BUS-CONSUMER-ID: c_1\r\n\r\n"
    peer = start_peer(lambda wire: wire.answer(head + chunks))
    assert [event.index for event in connect(peer.url).get("app.*")] == [5]


def test_waiting_for_an_event_can_be_limited_and_gone_on_with(start_peer: StartPeer, connect: Connect) -> None:
    go_on = threading.Event()

    def play(wire: Wire) -> None:
        wire.answer(streaming(QUICK_OPEN))
        go_on.wait(PATIENCE)
        wire.send(frame(5))

    events = connect(start_peer(play).url).get("app.*", timeout=0.05)
    with pytest.raises(TimedOutError, match=r"no event on app\.\* within 0\.05s"):
        next(events)
    go_on.set()
    assert next(event for event in iter(lambda: _next_or_none(events), 0) if event).index == 5
    events.close()


def _next_or_none(events: Any) -> Any:
    with suppress(TimedOutError):
        return next(events)


def test_an_acknowledgement_after_a_break_is_made_good(start_peer: StartPeer, connect: Connect) -> None:
    gone = answered(b"404 Not Found", encode_problem(UnknownConsumerError("consumer c_1 is gone")))
    acked = threading.Event()

    def stream(wire: Wire) -> None:
        wire.answer(streaming(QUICK_OPEN + frame(5, attempts=1)))
        acked.wait(PATIENCE)

    peer = start_peer(
        stream,
        lambda wire: (wire.answer(gone), wire.until_closed()),
        lambda wire: wire.answer(streaming(frame(6, attempts=1) + encode_event("done", {"reason": "limit"}))),
    )
    events = connect(peer.url).get("app.*", ack="manual")
    next(events).ack()
    acked.set()
    assert [event.index for event in events] == [6]
    assert b"Last-Event-ID: e_5" in peer.result(2)


def test_a_closed_client_says_so(connect: Connect) -> None:
    client: Any = connect(f"http://127.0.0.1:{closed_port()}")
    client.close()
    with pytest.raises(Exception, match="the client is closed: make a new one"):
        client.put("app.a")
