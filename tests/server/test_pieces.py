"""Large events for those who don't read: little of them is kept, and what comes is whole."""

from __future__ import annotations

from contextlib import ExitStack
from functools import partial
from pathlib import Path

import pytest

from bus.server.api.large_writes import LARGE_PIECE, KeptPieces, Pieces
from bus.wire import NDJSON, SSE
from tests.server.support import dial, publish, stored, target
from tests.support import ServerProcess, subscribe

LARGE = "x" * (3 << 20)


def resident(server: ServerProcess) -> int:
    """Bytes of memory the server has in use."""
    line = next(line for line in Path(f"/proc/{server.pid}/status").read_text().splitlines() if "VmRSS" in line)
    return int(line.split()[1]) * 1024


def test_pieces_are_kept_while_they_move_and_made_again_when_they_had_to_go() -> None:
    made: list[int] = []

    def make(number: int) -> bytes:
        made.append(number)
        return bytes([number]) * (2 * LARGE_PIECE + 1)

    kept = KeptPieces(most=5 * LARGE_PIECE)
    writes = [Pieces(make(number), partial(make, number), kept) for number in range(4)]
    made.clear()
    sent = [b"".join(write.next() for _ in range(3)) for write in writes]
    assert sent == [bytes([number]) * (2 * LARGE_PIECE + 1) for number in range(4)]
    assert (kept.bytes, made) == (0, [])
    together = [Pieces(make(number), partial(make, number), kept) for number in range(4)]
    made.clear()
    halves = [write.next() for write in together]
    assert kept.bytes <= 5 * LARGE_PIECE
    assert [half + write.next() + write.next() for half, write in zip(halves, together, strict=True)] == sent
    assert made[:2] == [0, 1]


@pytest.mark.parametrize("parameters", [{}, {"ack": "manual", "prefetch": 10}], ids=["plain", "manual"])
@pytest.mark.parametrize("live", [False, True], ids=["replayed", "live"])
def test_streams_that_are_not_read_cost_little(
    server: ServerProcess, parameters: dict[str, object], live: bool
) -> None:
    wanted = target("app.a", start="newest" if live else "oldest", **parameters).encode()
    if not live:
        stored(server, "app.a", LARGE)
    with ExitStack() as stack:
        before = resident(server)
        for _ in range(60):
            peer = stack.enter_context(dial(server))
            peer.send(b"GET %b HTTP/1.1\r\nHost: bus\r\n\r\n" % wanted)
            peer.answer(has_body=False)
        if live:
            stored(server, "app.a", LARGE)
        with subscribe(server, "app.a", start="oldest") as stream:
            (event,) = stream.take(1)
        assert len(event.data) > len(LARGE)
        assert resident(server) - before < 60 * len(LARGE) / 2


@pytest.mark.parametrize("accept", [SSE, NDJSON])
@pytest.mark.parametrize("parameters", [{}, {"ack": "manual", "prefetch": 10}], ids=["plain", "manual"])
def test_a_large_event_arrives_whole_however_slowly_it_is_read(
    server: ServerProcess, parameters: dict[str, object], accept: str
) -> None:
    for number in range(4):
        publish(server, "app.a", f"{number}{LARGE}")
    with dial(server) as peer:
        peer.send(b"GET %b HTTP/1.1\r\nHost: bus\r\nAccept: %b\r\n\r\n" % (
            target("app.a", start="oldest", **parameters).encode(), accept.encode(),
        ))  # fmt: skip
        peer.answer(has_body=False)
        body = b""
        chunks = peer.chunks()
        while body.count(b'"index":4') < 1:
            body += next(chunks)
    payloads = body.split(b'"payload":"')[1:]
    assert [payload[: len(LARGE) + 2] for payload in payloads] == [f'{number}{LARGE}"'.encode() for number in range(4)]
