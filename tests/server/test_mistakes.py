"""The server makes a mistake: whoever is concerned is told, nobody else notices, and the log has it once."""

from __future__ import annotations

from typing import Any

import msgspec
import pytest

from bus.wire import NDJSON, SSE
from tests.conftest import StartServer
from tests.server.support import dial, draft, post, publish, stored, target, with_mistakes
from tests.support import ServerProcess, request, subscribe

ENGINE = "bus.engine.embedded.engine:EmbeddedEngine."
NAMESPACE = "bus.engine.namespace:Namespace."
BATCH = "bus.engine.embedded.batch_builder:BatchBuilder."
ACCEPTING = "bus.server.api.publish:Accepting."
LINE = "a mistake of the server's; its log has the details"
HOSTED = b" HTTP/1.1\r\nHost: bus\r\n"


@pytest.fixture
def broken(start_server: StartServer) -> Any:
    """A function that starts a server with mistakes at some places."""
    return lambda *places: start_server(wrapper=with_mistakes(*places), flags=["--heartbeat", "200ms"])


def check_log(server: ServerProcess, what: str, times: int = 1) -> None:
    """The traceback is in the log, with what failed and without what may be secret."""
    line = server.wait_for_log("failed by a mistake")
    assert what in line
    server.stop()
    assert server.log.count("RuntimeError: on purpose") == times
    assert "secret" not in server.log


def get(path: str, *headers: bytes) -> bytes:
    return b"\r\n".join([b"GET " + path.encode() + b" HTTP/1.1", b"Host: bus", *headers, b"", b""])


@pytest.mark.parametrize("accept", [SSE, NDJSON])
def test_a_subscription_that_can_not_be_opened_is_answered(broken: Any, accept: str) -> None:
    server = broken(ENGINE + "subscribe")
    with dial(server) as peer:
        peer.send(get(target("app.secret"), b"Accept: " + accept.encode()) + get("/healthz"))
        refused, healthy = peer.answer(), peer.answer()
    assert (refused.status, refused.text.strip(), healthy.status) == (500, LINE, 200)
    check_log(server, "GET '/'")


@pytest.mark.parametrize(
    ("place", "path", "method", "body"),
    [
        ("publish", "/", "POST", draft("app.secret")),
        ("publish", "/", "POST", b"[" + draft("app.secret") + b"]"),
        ("publish", "/?wait=reply", "POST", draft("app.secret")),
        ("publish", "/?wait=confirm", "POST", draft("app.secret")),
        ("await_reply", "/?wait=reply", "POST", draft("app.secret")),
        ("await_confirmations", "/?wait=confirm", "POST", draft("app.secret")),
        ("acknowledge", "/?consumer_id=c_secret&event_id=e_1", "PUT", b""),
        ("namespaces@2", "/v1/namespaces", "GET", b""),  # the first is for the line that says what is listened for
    ],
)
def test_every_way_in_is_answered(broken: Any, place: str, path: str, method: str, body: bytes) -> None:
    server = broken(ENGINE + place)
    answer = request(server, method, path, body)
    assert (answer.status, answer.text.strip()) == (500, LINE)
    assert request(server, "GET", "/healthz").status == 200
    check_log(server, f"{method} '/")


def test_the_lines_of_an_upload_are_answered(broken: Any) -> None:
    server = broken(ENGINE + "publish@2")
    lines = post(server, b"\n".join([draft("app.a"), draft("orders.a"), draft("app.a")]), Content_Type=NDJSON).body
    first, second, third = map(msgspec.json.decode, lines.splitlines())
    assert first["index"] == 1
    assert second == third == {"error": LINE, "code": "internal", "status": 500}
    check_log(server, "a line of NDJSON", times=2)


@pytest.mark.parametrize("fsync", ["always", "interval", "never"])
@pytest.mark.parametrize(
    "place",
    [
        ACCEPTING + "stored",
        "bus.engine.embedded.duplicates:Duplicates.store",
        BATCH + "build",
        "bus.storage.log:Log.append",
        "bus.server.http.responder:Responder.respond",
    ],
)
def test_publishers_of_a_commit_that_fails_are_told(start_server: StartServer, place: str, fsync: str) -> None:
    server = start_server(wrapper=with_mistakes(f"{place}@2"), flags=["--fsync", fsync])
    with subscribe(server, "app.>") as stream:
        assert publish(server, "app.a", key="first").status == 202
        assert stream.take(1)
        with dial(server) as peer:
            body = draft("app.a", key="second")
            peer.send(b"POST /%bContent-Length: %d\r\n\r\n%b" % (HOSTED, len(body), body))
            if place.endswith("respond"):
                assert peer.rest() == b""
            else:
                assert peer.answer().status in (500, 503)
        assert server.process.poll() is None
        assert "on purpose" in server.wait_for_log("on purpose")


def test_what_was_stored_is_delivered_although_its_publisher_can_not_be_told(broken: Any) -> None:
    server = broken(ACCEPTING + "stored")
    with subscribe(server, "app.>") as stream:
        for index in (1, 2):
            assert publish(server, "app.a", key=str(index)).status == 500
            assert msgspec.json.decode(stream.take(1)[0].data)["index"] == index
    assert publish(server, "app.a", key="1").status == 409


@pytest.mark.parametrize("parameters", [{}, {"ack": "manual"}, {"ack": "manual", "consumer": "c"}], ids=str)
@pytest.mark.parametrize("accept", [SSE, NDJSON])
def test_a_stream_that_can_not_go_on_says_so_and_breaks_off(
    broken: Any, parameters: dict[str, str], accept: str
) -> None:
    server = broken(NAMESPACE + "read")
    for _ in range(2):
        stored(server, "app.a")
    with dial(server) as peer:
        peer.send(get(target("app.a", start="oldest", **parameters), b"Accept: " + accept.encode()))
        peer.answer(has_body=False)
        body = b""
        with pytest.raises(EOFError):
            for chunk in peer.chunks():
                body += chunk
    assert LINE.encode() in body
    assert b"done" not in body


@pytest.mark.parametrize("accept", [SSE, NDJSON])
def test_an_inbox_that_can_not_be_read_does_not_hinder_who_replies(broken: Any, accept: str) -> None:
    server = broken("bus.engine.inboxes:InboxSubscription._send")
    with dial(server) as peer:
        peer.send(get(target("_bus_.a"), b"Accept: " + accept.encode()))
        peer.answer(has_body=False)
        assert publish(server, "_bus_.a", "secret").status == 202
        with pytest.raises(EOFError):
            list(peer.chunks())
    check_log(server, "_bus_.a")


def test_one_follower_that_fails_does_not_hinder_the_others(broken: Any) -> None:
    server = broken("bus.server.api.stream_sink:StreamSink.write@2")
    with subscribe(server, "app.a") as first, subscribe(server, "app.a") as second:
        first.next(), second.next()
        event_id = stored(server, "app.a")
        assert first.take(1)[0].id == event_id
        assert [event.kind for event in second.rest()] == ["error"]
        assert second.broken


@pytest.mark.parametrize("chore", ["bus.server.api.stream_sink:StreamSink.ping", ENGINE + "retain"])
def test_a_chore_that_fails_is_done_again(broken: Any, chore: str) -> None:
    server = broken(chore)
    with subscribe(server, "app.a") as stream:
        server.wait_for_log("on purpose")
        if chore.endswith("ping"):
            stream.rest()
    assert request(server, "GET", "/healthz").status == 200
    assert publish(server, "app.a").status == 202
