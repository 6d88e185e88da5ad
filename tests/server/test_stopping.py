"""The end of a server, gentle or not, and two servers where there is room for one."""

from __future__ import annotations

import signal
import subprocess
import threading
from collections import Counter
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

import msgspec
import pytest

from bus.wire import NDJSON, SSE
from tests.conftest import StartServer
from tests.server.support import dial, draft, publish, read, stored, target
from tests.support import PATIENCE, ServerProcess, request, run_bus, subscribe

pytestmark = pytest.mark.every_engine


@pytest.mark.embedded_only("a directory of its own")
def test_streams_break_off_so_that_nobody_takes_them_for_complete(server: ServerProcess) -> None:
    with (
        subscribe(server, "app.>") as plain,
        subscribe(server, "app.>", ack="manual") as manual,
        subscribe(server, "app.>", ack="manual", consumer="c") as durable,
        subscribe(server, "_bus_.x") as inbox,
    ):
        assert server.stop() == 0
        for stream in (plain, manual, durable, inbox):
            assert [event.kind for event in stream.rest()] == ["open"]
            assert stream.broken


@pytest.mark.parametrize("accept", [SSE, NDJSON])
@pytest.mark.parametrize("end", ["stop", "kill"])
@pytest.mark.parametrize("version", ["--http1.1", "--http1.0"])
def test_curl_fails_when_a_stream_breaks_off(server: ServerProcess, accept: str, end: str, version: str) -> None:
    stored(server, "app.a")
    url = f"{server.url}{target('app.a', start='oldest')}"
    command = ["curl", version, "--silent", "--no-buffer", "--header", f"Accept: {accept}", url]
    with subprocess.Popen(command, stdout=subprocess.PIPE, bufsize=0) as curl:
        assert curl.stdout
        heard = b""
        while b'"index":1' not in heard:
            heard += curl.stdout.read(65536)
        getattr(server, end)()
        curl.stdout.read()
        assert curl.wait(PATIENCE) != 0


@pytest.mark.parametrize("number", [signal.SIGTERM, signal.SIGINT])
@pytest.mark.over_tls
def test_an_idle_server_stops_at_once(server: ServerProcess, number: signal.Signals) -> None:
    with dial(server) as idle:
        server.signal(number)
        assert idle.rest() == b""
    assert server.wait() == 0


@pytest.mark.over_tls
def test_a_publisher_that_waits_is_answered(server: ServerProcess) -> None:
    with subscribe(server, "app.a") as stream, ThreadPoolExecutor(1) as asker:
        asked = asker.submit(request, server, "POST", "/?wait=reply&timeout=1s", draft("app.a"))
        stream.take(1)
        assert server.stop() == 0
        assert asked.result().status == 504


def test_nothing_acknowledged_is_lost_when_the_server_stops_under_load(server: ServerProcess) -> None:
    acknowledged: list[str] = []
    begun = threading.Barrier(9)

    def publish_on(worker: int) -> int:
        """Publish until the server is gone; returns the last status."""
        begun.wait()
        while True:
            try:
                answer = publish(server, f"app.worker{worker}", worker)
            except OSError:
                return 0
            if answer.status != 202:
                return answer.status
            acknowledged.append(answer.headers["x-bus-event-id"])

    with ThreadPoolExecutor(8) as publishers:
        statuses = [publishers.submit(publish_on, worker) for worker in range(8)]
        begun.wait()
        with subscribe(server, "app.>") as stream:
            stream.take(200)
            assert server.stop() == 0
    assert {status.result() for status in statuses} <= {0, 503}
    server.start()
    counts = Counter(event["id"] for event in read(server, "app.>"))
    assert len(acknowledged) >= 200
    assert {counts[event_id] for event_id in acknowledged} == {1}


def test_a_crash_loses_nothing_acknowledged(server: ServerProcess) -> None:
    ids = [stored(server, "app.a", number) for number in range(50)]
    server.kill()
    server.restart()
    assert [event["id"] for event in read(server, "app.a")] == ids


@pytest.mark.over_tls
def test_an_upload_in_progress_is_told_that_the_server_stops(start_server: StartServer) -> None:
    server = start_server(env={"BUS_DRAIN": "2s"})
    with dial(server) as peer, ThreadPoolExecutor(1) as stopping:
        line = draft("app.a") + b"\n"
        peer.send(b"POST / HTTP/1.1\r\nHost: bus\r\nContent-Type: application/x-ndjson\r\n")
        peer.send(b"Transfer-Encoding: chunked\r\n\r\n%x\r\n%b\r\n" % (len(line), line))
        peer.answer(has_body=False)
        chunks = peer.chunks()
        assert "index" in msgspec.json.decode(next(chunks))
        stopped = stopping.submit(server.stop)
        server.wait_for_log("stopping")
        peer.send(b"%x\r\n%b\r\n" % (len(line), line))
        assert msgspec.json.decode(next(chunks))["code"] == "stopping"
        peer.send(b"0\r\n\r\n")
        assert list(chunks) == []
        assert stopped.result() == 0


@pytest.mark.over_tls
def test_a_client_that_does_not_let_go_can_not_hold_the_server_up(start_server: StartServer) -> None:
    server = start_server(env={"BUS_DRAIN": "200ms"})
    with dial(server) as peer:
        peer.send(b"POST / HTTP/1.1\r\nHost: bus\r\nContent-Length: 100\r\n\r\n{")
        publish(server, "app.a")
        assert server.stop() == 0
        assert "1 connections still open" in server.log


@pytest.mark.embedded_only("a directory of its own")
def test_a_second_server_on_the_same_directory_is_refused(server: ServerProcess) -> None:
    refused = run_bus("server", "--addr", "127.0.0.1:0", "--path", server.path, "--namespaces", "app")
    assert refused.returncode == 1
    (line,) = refused.stderr.decode().splitlines()
    assert str(server.path) in line
    assert publish(server, "app.a").status == 202


def test_an_address_in_use_is_refused(server: ServerProcess, tmp_path: Path) -> None:
    address = f"127.0.0.1:{server.port}"
    refused = run_bus("server", "--addr", address, "--path", tmp_path / "other", "--namespaces", "app")
    assert refused.returncode == 1
    (line,) = refused.stderr.decode().splitlines()
    assert address in line


def test_a_server_starts_again_where_it_stopped(server: ServerProcess) -> None:
    for turn in range(1, 4):
        assert publish(server, "app.a").headers["x-bus-event-index"] == str(turn)
        assert server.stop() == 0
        server.start()
