"""What the server does comes through each proxy as it is: publishing, streams, resuming, the end."""

from __future__ import annotations

import subprocess
from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from threading import Event

import msgspec
import pytest

from bus.sse import PING
from bus.wire import NDJSON, SSE, TEXT
from tests.conftest import StartServer
from tests.proxies.conftest import StartProxy
from tests.proxies.support import KINDS, Proxy
from tests.server.support import acknowledge, draft, post, read, stored, target, upload
from tests.support import PATIENCE, ServerProcess, Stream, connect, request, subscribe


@pytest.fixture
def proxy(server: ServerProcess, start_proxy: StartProxy) -> Proxy:
    """A proxy in front of `server`."""
    return start_proxy(server)


def _ids(stream: Stream, count: int) -> list[str]:
    return [event.id for event in stream.take(count)]


def test_events_arrive_one_by_one(proxy: Proxy) -> None:
    """Each event is published once the one before it was heard, so none may be held back on the way."""
    with subscribe(proxy, "app.>") as stream:
        assert stream.next().kind == "open"
        for number in range(5):
            event_id = stored(proxy, "app.test", number)
            assert _ids(stream, 1) == [event_id]


def test_a_batch_and_lines_are_published(proxy: Proxy) -> None:
    assert post(proxy, b"[" + draft("app.a", 1) + b"," + draft("app.b", 2) + b"]").status == 202
    assert [receipt["index"] for receipt in upload(proxy, [draft("app.c", 3), draft("app.d", 4)])] == [3, 4]
    assert [event["payload"] for event in read(proxy, "app.>")] == [1, 2, 3, 4]


def test_lines_are_published_while_more_are_coming(proxy: Proxy) -> None:
    heard = Event()

    def lines() -> Iterator[bytes]:
        yield draft("app.first") + b"\n"
        assert heard.wait(PATIENCE), "the first line is held back"
        yield draft("app.second") + b"\n"

    with subscribe(proxy, "app.>") as stream, ThreadPoolExecutor(1) as background:
        answer = background.submit(post, proxy, lines(), Content_Type=NDJSON)
        stream.take(1)
        heard.set()
        stream.take(1)
        receipts = answer.result(PATIENCE).body.splitlines()
    assert [msgspec.json.decode(line)["index"] for line in receipts] == [1, 2]


@pytest.mark.parametrize("start_proxy", ["nginx", "haproxy"], indirect=True)
def test_a_receipt_comes_before_the_next_line_is_sent(proxy: Proxy) -> None:
    with connect(proxy.port) as connection:
        connection.sendall(f"POST / HTTP/1.1\r\nHost: bus\r\nContent-Type: {NDJSON}\r\n".encode())
        connection.sendall(b"Transfer-Encoding: chunked\r\n\r\n")
        received = b""
        for index in (1, 2):
            line = draft("app.test") + b"\n"
            connection.sendall(b"%x\r\n%s\r\n" % (len(line), line))
            while b'"index":%d' % index not in received:
                received += connection.recv(65536)
        connection.sendall(b"0\r\n\r\n")
    assert received.startswith(b"HTTP/1.1 202")


def test_what_was_acknowledged_is_not_delivered_again(proxy: Proxy) -> None:
    ids = [stored(proxy, "app.work", number) for number in range(2)]
    with subscribe(proxy, "app.work", start="oldest", ack="manual", redelivery="60s") as stream:
        consumer_id = stream.headers["x-bus-consumer-id"]
        for event_id in ids:
            assert _ids(stream, 1) == [event_id]
            assert acknowledge(proxy, consumer_id, event_id).status == 202


def test_a_refusal_is_the_servers_own(proxy: Proxy) -> None:
    answer = request(proxy, "GET", "/?subject=nobody.knows")
    assert (answer.status, answer.headers["content-type"]) == (404, TEXT)
    assert "nobody" in answer.text


def test_a_silent_stream_is_kept_open_by_heartbeats(start_server: StartServer, start_proxy: StartProxy) -> None:
    """The heartbeat is shorter than the proxy's patience, and the silence longer."""
    proxy = start_proxy(start_server(flags=["--heartbeat", "500ms"]), timeout="2s")
    with subscribe(proxy, "app.>") as stream:
        pings = 0
        while pings < 4:
            received = stream.connection.recv(65536)
            assert received, "the proxy has closed the stream"
            pings += received.count(PING)
        event_id = stored(proxy, "app.test")
        assert _ids(stream, 1) == [event_id]


@pytest.mark.parametrize("broken", ["proxy", "server"])
def test_a_subscriber_resumes_after_a_crash(server: ServerProcess, proxy: Proxy, broken: str) -> None:
    ids = [stored(proxy, "app.test", number) for number in range(3)]
    with subscribe(proxy, "app.>", start="oldest") as stream:
        heard = _ids(stream, 2)
        _crash(proxy if broken == "proxy" else server)
    ids.append(stored(server, "app.test", 3))
    with subscribe(proxy, "app.>", last_event_id=heard[-1]) as stream:
        heard += _ids(stream, 2)
        ids.append(stored(proxy, "app.test", 4))
        heard += _ids(stream, 1)
    assert heard == ids


def _crash(what: Proxy | ServerProcess) -> None:
    if isinstance(what, Proxy):
        what.stop()
        what.start()
    else:
        what.restart()


@pytest.mark.parametrize("accept", [SSE, NDJSON])
def test_a_stream_of_a_stopping_server_breaks_off_behind_a_proxy_too(
    server: ServerProcess, proxy: Proxy, accept: str
) -> None:
    stored(server, "app.a")
    url = f"http://127.0.0.1:{proxy.port}{target('app.a', start='oldest')}"
    command = ["curl", "--silent", "--no-buffer", "--header", f"Accept: {accept}", url]
    with subprocess.Popen(command, stdout=subprocess.PIPE, bufsize=0) as curl:
        assert curl.stdout
        heard = b""
        while b'"index":1' not in heard:
            heard += curl.stdout.read(65536)
        assert server.stop() == 0
        assert b"done" not in curl.stdout.read()
        assert (curl.wait(PATIENCE) == 0) == (proxy.kind == KINDS["caddy"]), "Caddy completes what broke off"
