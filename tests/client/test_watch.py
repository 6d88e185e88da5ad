"""Both clients watch a server: all it counts, again and again, whatever becomes of the connection."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path

import pytest

from bus import Counts, ForbiddenError, ServerDescription, UnauthorizedError
from bus.client.core.retry import NotBusError
from bus.client.core.watch import WatchState
from tests.client.conftest import Connect
from tests.client.support import Peer, Wire, answered, cuts, streaming
from tests.conftest import StartServer
from tests.server.access import TokenFile
from tests.support import ServerProcess

SERVER = (
    b'"server":{"uptime":1.0,"connections":1,"streams":1,"body_memory":0,"inboxes":0,"inbox_bytes":0,"memory":1,'
    b'"sync_p50":null,"sync_p99":null}'
)
ROW = (
    b'{"namespace":"%b","first_index":1,"next_index":%d,"events":0,"bytes":0,"segments":0,"published":0,'
    b'"subscribers":0,"delivered_bytes":0,"keys":0,"writable":true,"storage":"disk","quota":null}'
)
OPEN = b'retry: 10\nevent: open\ndata: {"interval":1.0,"heartbeat":15}\n\n'
DONE = b'event: done\ndata: {"reason":"tail"}\n\n'
BROKEN = b"event: error\ndata: token a is not known any more\n\n"


def counted(more: bytes) -> bytes:
    return b'event: counts\ndata: {"time":"2026-01-31T12:00:00Z",%b}\n\n' % more


FULL = counted(b'"full":true,%b,"namespaces":[%b,%b]' % (SERVER, ROW % (b"app", 1), ROW % (b"orders", 1)))
GONE = b'"gone":{"namespaces":["orders"],"consumers":["c"]}'
CHANGED = counted(b'%b,"namespaces":[%b],%b' % (SERVER, ROW % (b"app", 2), GONE))


def test_the_server_and_its_counts(server: ServerProcess, app: str, connect: Connect) -> None:
    client = connect(server.url)
    about = client.server()
    assert isinstance(about, ServerDescription)
    assert about.may.admin
    assert about.settings and about.settings["log-level"] == "INFO"
    watch = client.watch(interval=0.1)
    first = next(watch)
    assert first.namespaces[app].published == 0
    assert first.server.streams > 0
    client.put(f"{app}.a", 1)
    assert next(counts for counts in watch if counts.namespaces[app].published)
    watch.close()
    assert list(watch) == []


def test_once(server: ServerProcess, connect: Connect) -> None:
    assert len(list(connect(server.url).watch(follow=False))) == 1


@pytest.mark.parametrize("pieces", cuts(OPEN + FULL + CHANGED + DONE)[::97])
def test_what_has_changed_is_added_up(pieces: list[bytes]) -> None:
    state = WatchState(interval=None, follow=True)
    seen: list[Counts] = []
    for piece in pieces:
        state.feed(piece)
        if counts := state.pop():
            seen.append(counts)
    assert state.finished
    assert {name: row.next_index for name, row in seen[-1].namespaces.items()} == {"app": 2}


def test_it_goes_on_when_the_connection_breaks(start_peer: Callable[..., Peer], connect: Connect) -> None:
    def first(wire: Wire) -> bytes:
        return wire.answer(streaming(OPEN + FULL))

    def second(wire: Wire) -> None:
        wire.answer(streaming(OPEN + counted(b'"full":true,"namespaces":[%b]' % (ROW % (b"app", 9)))))
        wire.until_closed()

    peer = start_peer(first, second)
    watch = connect(peer.url).watch(interval="500ms")
    assert next(watch).namespaces.keys() == {"app", "orders"}
    counts = next(watch)
    assert counts.namespaces.keys() == {"app"}
    assert counts.server is None
    watch.close()
    assert b"GET /v1/watch?interval=500ms HTTP/1.1" in peer.result(0)


def test_what_is_no_bus_server_is_told_apart(start_peer: Callable[..., Peer], connect: Connect) -> None:
    peer = start_peer(lambda wire: wire.answer(answered(b"200 OK", b"<html>", b"Content-Type: text/html")))
    with pytest.raises(NotBusError, match="text/html in place of a stream"):
        next(connect(peer.url).watch())


def test_counts_that_can_not_be_read(start_peer: Callable[..., Peer], connect: Connect) -> None:
    peer = start_peer(lambda wire: wire.answer(streaming(OPEN + b'event: counts\ndata: {"time":7}\n\n')))
    with pytest.raises(NotBusError, match="the counts can't be read"):
        next(connect(peer.url).watch())


def test_the_reason_of_its_end_is_told(start_peer: Callable[..., Peer], connect: Connect) -> None:
    peer = start_peer(lambda wire: wire.answer(streaming(OPEN + FULL + BROKEN)))
    watch = connect(peer.url).watch()
    with pytest.raises(Exception, match="not known any more"):
        for _ in range(2):
            next(watch)


def test_what_may_not_be_watched_is_refused(start_server: StartServer, tmp_path: Path, connect: Connect) -> None:
    file = TokenFile(tmp_path / "tokens.toml", nothing={}, some={"subscribe": ["app.>"]})
    server = start_server(flags=["--auth", str(file.path)])
    with pytest.raises(UnauthorizedError):
        next(connect(server.url, token="").watch())
    with pytest.raises(ForbiddenError):
        next(connect(server.url, token=file.tokens["nothing"]).watch())
    client = connect(server.url, token=file.tokens["some"])
    assert next(client.watch()).namespaces.keys() == {"app"}
    assert client.server() == ServerDescription(who="some", may=client.server().may)
