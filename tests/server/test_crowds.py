"""Many clients, and clients that never read: memory stays bounded, and nobody else notices."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import ExitStack, contextmanager
from pathlib import Path

import pytest

from tests.conftest import StartServer
from tests.server.support import dial, draft, publish, stored, target, upload
from tests.support import ServerProcess, Stream, subscribe

pytestmark = pytest.mark.every_engine

MIB = 1024 * 1024


def _memory(server: ServerProcess) -> int:
    """Memory the server holds now, in bytes."""
    lines = Path(f"/proc/{server.pid}/status").read_text().splitlines()
    return next(int(line.split()[1]) * 1024 for line in lines if line.startswith("VmRSS"))


@contextmanager
def _streams(server: ServerProcess, count: int) -> Iterator[list[Stream]]:
    with ExitStack() as opened:
        yield [opened.enter_context(subscribe(server, "app.>")) for _ in range(count)]


def test_a_thousand_streams_are_held_and_all_get_the_event(server: ServerProcess) -> None:
    publish(server, "app.warm")
    before = _memory(server)
    with _streams(server, 1000) as streams:
        assert _memory(server) - before < 1000 * 20 * 1024
        event_id = stored(server, "app.all")
        assert {stream.take(1)[0].id for stream in streams} == {event_id}


def test_clients_that_never_read_cost_no_memory_and_harm_nobody(start_server: StartServer) -> None:
    server = start_server(flags=["--fsync", "never"])
    line = draft("app.a", "x" * 1000)
    upload(server, [line] * 4000)
    before = _memory(server)
    with ExitStack() as opened:
        for start in ("oldest", "newest") * 10:
            peer = opened.enter_context(dial(server))
            peer.send(b"GET %b HTTP/1.1\r\nHost: bus\r\n\r\n" % target("app.>", start=start).encode())
        with subscribe(server, "app.>") as reader:
            upload(server, [line] * 4000)
            assert len(reader.take(4000)) == 4000
        assert publish(server, "app.a").status == 202
        assert _memory(server) - before < 40 * MIB


def test_a_client_that_reads_slowly_gets_everything_in_the_end(start_server: StartServer) -> None:
    server = start_server(flags=["--fsync", "never"])
    with subscribe(server, "app.>") as stream:
        ids: list[str] = []
        for _ in range(8):
            ids += [line["id"] for line in upload(server, [draft("app.a", "x" * 1000)] * 1000)]
        assert [event.id for event in stream.take(8000)] == ids


def test_a_publisher_that_never_reads_its_answers_is_not_read_from(server: ServerProcess) -> None:
    request = b"POST / HTTP/1.1\r\nHost: bus\r\nContent-Length: 1\r\nX: y\r\n\r\n{"
    before = _memory(server)
    with dial(server) as peer:
        sent = 0
        while peer.is_writable(within=0.2) and sent < 200 * MIB:
            sent += peer.send_some(request * 1000)
        assert sent < 200 * MIB, "the server goes on reading"
        assert _memory(server) - before < 16 * MIB
        assert publish(server, "app.a").status == 202


def test_a_low_soft_limit_of_open_files_does_not_limit_the_server(start_server: StartServer) -> None:
    server = start_server(wrapper=["sh", "-c", 'ulimit -Sn 64; exec "$@"', "sh"])
    with _streams(server, 100) as streams:
        assert {stream.next().kind for stream in streams} == {"open"}


def test_a_server_without_file_descriptors_left_recovers(start_server: StartServer) -> None:
    server = start_server(wrapper=["sh", "-c", 'ulimit -n 64; exec "$@"', "sh"])
    with ExitStack() as opened:
        for _ in range(100):
            opened.enter_context(dial(server))
    # Until the server has noticed that they left, it has no room for one more.
    assert any(_publishes(server) for _ in range(1000))


def _publishes(server: ServerProcess) -> bool:
    try:
        return publish(server, "app.a").status == 202
    except OSError:
        return False
