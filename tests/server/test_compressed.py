"""Bodies that come compressed: as good as those that don't, and no way around the limits."""

from __future__ import annotations

import asyncio
import gzip
import zlib
from collections.abc import Callable, Iterator
from pathlib import Path

import msgspec
import pytest
from hypothesis import given
from hypothesis import strategies as st

from bus.errors import BusError
from bus.server.http import limits
from bus.server.http.decompression import Inflater
from bus.wire import NDJSON
from tests.conftest import StartServer
from tests.server.support import Peer, dial, draft, post, read, refusal, stored
from tests.support import ServerProcess, request, subscribe

ZEROS = gzip.compress(bytes(1 << 24))
"""16 MiB in 16 kB."""


def _request(body: bytes, *headers: bytes) -> bytes:
    named = (b"Host: bus", b"Content-Encoding: gzip", b"Content-Length: %d" % len(body), *headers)
    return b"\r\n".join([b"POST / HTTP/1.1", *named, b"", body])


@pytest.mark.parametrize("coding", ["gzip", "GZIP", "x-gzip", "identity, gzip", "gzip, identity"])
def test_an_event_may_come_compressed(bus: ServerProcess, subject: str, coding: str) -> None:
    assert post(bus, gzip.compress(draft(subject, "x")), Content_Encoding=coding).status == 202
    assert [event["payload"] for event in read(bus, subject)] == ["x"]


@pytest.mark.parametrize("coding", ["identity", "", "identity, identity"])
def test_a_coding_may_be_none(bus: ServerProcess, subject: str, coding: str) -> None:
    assert post(bus, draft(subject), Content_Encoding=coding).status == 202


@pytest.mark.parametrize("coding", ["br", "deflate", "zstd", "gzip, gzip", "gzip, br", "xx-gzip", "gzip;q=1"])
@pytest.mark.parametrize("content_type", ["application/json", NDJSON])
def test_another_coding_is_refused(bus: ServerProcess, subject: str, coding: str, content_type: str) -> None:
    answer = post(bus, draft(subject), Content_Encoding=coding, Content_Type=content_type)
    assert refusal(answer)[0] == 415
    assert answer.headers["accept-encoding"] == "gzip, identity"
    assert read(bus, subject) == []


def _damaged(body: bytes) -> bytes:
    """With another checksum."""
    return body[:-6] + bytes([body[-6] ^ 1]) + body[-5:]


BROKEN: dict[str, tuple[Callable[[bytes], bytes], int]] = {
    "not compressed": (lambda body: body, 415),
    "zlib": (zlib.compress, 415),
    "another checksum": (lambda body: _damaged(gzip.compress(body)), 415),
    "something behind": (lambda body: gzip.compress(body) + b"more", 415),
    "cut short": (lambda body: gzip.compress(body)[:-9], 400),
    "half of a second member": (lambda body: gzip.compress(body) + gzip.compress(b" ")[:12], 400),
    "nothing": (lambda body: b"", 400),
    "compressed nothing": (lambda body: gzip.compress(b""), 400),
    "compressed twice": (lambda body: gzip.compress(gzip.compress(body)), 400),
}


@pytest.mark.parametrize(("spoil", "status"), BROKEN.values(), ids=BROKEN)
def test_what_is_not_as_it_says_is_refused(
    bus: ServerProcess, subject: str, spoil: Callable[[bytes], bytes], status: int
) -> None:
    assert refusal(post(bus, spoil(draft(subject)), Content_Encoding="gzip"))[0] == status
    assert read(bus, subject) == []


def test_a_batch_and_lines_may_come_compressed(bus: ServerProcess, subject: str) -> None:
    batch = b"[%b,%b]" % (draft(subject, 1), draft(subject, 2))
    assert post(bus, gzip.compress(batch), Content_Encoding="gzip").status == 202
    lines = b"\n".join(draft(subject, n) for n in range(3, 40_003))
    answer = post(bus, gzip.compress(lines), Content_Encoding="gzip", Content_Type=NDJSON)
    assert (answer.status, answer.body.count(b"\n")) == (202, 40_000)
    assert [event["payload"] for event in read(bus, subject)] == list(range(1, 40_003))


def test_members_and_chunks_may_be_cut_anywhere(bus: ServerProcess, subject: str) -> None:
    lines = draft(subject, 1) + b"\n" + draft(subject, 2) + b"\n" + draft(subject, 3)
    packed = gzip.compress(lines[:30]) + gzip.compress(b"") + gzip.compress(lines[30:])
    for size in (1, 7, len(packed)):
        pieces: Iterator[bytes] = (packed[at : at + size] for at in range(0, len(packed), size))
        assert post(bus, pieces, Content_Encoding="gzip", Content_Type=NDJSON).body.count(b'"id"') == 3


def test_a_reply_may_come_compressed(bus: ServerProcess, subject: str) -> None:
    event_id = stored(bus, subject, response_subject=f"_bus_.{subject}")
    with subscribe(bus, subject, start="oldest") as stream:
        stream.take(1)
        target = f"/?consumer_id={stream.headers['x-bus-consumer-id']}&event_id={event_id}"
        assert request(bus, "PUT", target, gzip.compress(b"42"), Content_Encoding="gzip").status == 202
    assert [event["payload"] for event in read(bus, f"_bus_.{subject}", limit=1, follow="true")] == [42]


def test_the_connection_goes_on_after_a_compressed_body(bus: ServerProcess, subject: str) -> None:
    large = gzip.compress(draft(subject, "x" * 1_000_000))
    with dial(bus) as peer:
        lines = _request(gzip.compress(draft(subject) * 20_000)[:-9], b"Content-Type: " + NDJSON.encode())
        for _ in range(10):
            peer.send(_request(large) + _request(large[:-9]) + _request(large) + lines)
            assert [peer.answer().status for _ in range(3)] == [202, 400, 202]
            assert b"cut short" in peer.answer().body
        peer.send(_request(gzip.compress(draft(subject))))
        assert peer.answer().status == 202
        assert not peer.has_answer(within=0.1)


def test_a_bomb_takes_no_more_memory_than_a_body_may(start_server: StartServer) -> None:
    server = start_server(flags=["--max-body", "1MiB", "--fsync", "never"])
    before = _memory(server.pid)
    for content_type in ("application/json", NDJSON):
        answer = post(server, ZEROS * 32, Content_Encoding="gzip", Content_Type=content_type)
        assert refusal(answer)[0] == 413
    assert {post(server, ZEROS, Content_Encoding="gzip").status for _ in range(20)} == {413}
    assert _memory(server.pid) - before < 8 << 20


def _memory(pid: int) -> int:
    """Most memory the process has ever held, in bytes."""
    lines = Path(f"/proc/{pid}/status").read_text().splitlines()
    return next(int(line.split()[1]) * 1024 for line in lines if line.startswith("VmHWM"))


def test_a_client_that_goes_stops_what_it_left_to_unpack(bus: ServerProcess, subject: str) -> None:
    lines = gzip.compress(b"\n" * (1 << 24) + draft(subject))
    with dial(bus) as peer:
        peer.send(_request(lines, b"Content-Type: " + NDJSON.encode()))
    assert read(bus, subject) == []


# -- by itself


class _Taker:
    """Takes what is unpacked, and pauses after every so many pieces."""

    def __init__(self, resume: Callable[[], None], *, pause_after: int, loop: asyncio.AbstractEventLoop) -> None:
        self.pieces: list[bytes] = []
        self.turns: list[int] = []
        self.turn = 0
        self.ended: asyncio.Future[BusError | None] = loop.create_future()
        self._resume = resume
        self._pause_after = pause_after
        self._loop = loop
        loop.call_soon(self._count)

    def _count(self) -> None:
        self.turn += 1
        if not self.ended.done():
            self._loop.call_soon(self._count)

    def feed(self, data: bytes) -> bool:
        self.pieces.append(data)
        self.turns.append(self.turn)
        if self._pause_after and len(self.pieces) % self._pause_after == 0:
            self._loop.call_soon(self._resume)
            return False
        return True

    def finish(self) -> None:
        self.ended.set_result(None)

    def fail(self, error: BusError) -> None:
        self.ended.set_result(error)


class _Open(asyncio.Transport):
    def is_closing(self) -> bool:
        return False


class _Sender:
    """Hands a body to an upload in pieces, as fast as that takes it."""

    def __init__(self, pieces: list[bytes], loop: asyncio.AbstractEventLoop) -> None:
        self.transport: asyncio.Transport = _Open()
        self.upload: Inflater
        self._pieces = pieces
        self._loop = loop
        self._over = False

    def send(self) -> None:
        while self._pieces:
            if not self.upload.feed(self._pieces.pop(0)):
                break
        if not self._pieces and not self._over:
            self._over = True
            self.upload.finish()

    def read_on(self) -> None:
        if not self._over:
            self._loop.call_soon(self.send)

    def give_way(self, error: BusError) -> None:
        self.upload.fail(error)


def _unpack(pieces: list[bytes], *, pause_after: int) -> tuple[_Taker, BusError | None]:
    async def run() -> tuple[_Taker, BusError | None]:
        loop = asyncio.get_running_loop()
        sender = _Sender(pieces, loop)
        takers: list[_Taker] = []

        def make(resume: Callable[[], None]) -> _Taker:
            takers.append(_Taker(resume, pause_after=pause_after, loop=loop))
            return takers[0]

        sender.upload = Inflater(make, sender, loop=loop)
        sender.send()
        async with asyncio.timeout(20):
            return takers[0], await takers[0].ended

    return asyncio.run(run())


@given(
    members=st.lists(st.binary(max_size=200) | st.integers(0, 200_000).map(bytes), min_size=1, max_size=4),
    places=st.lists(st.integers(0, 10_000), max_size=6),
    pause_after=st.integers(0, 3),
)
def test_any_members_cut_anywhere_come_back(members: list[bytes], places: list[int], pause_after: int) -> None:
    packed = b"".join(map(gzip.compress, members))
    ends = sorted({place % len(packed) for place in places} - {0})
    pieces = [packed[begin:end] for begin, end in zip([0, *ends], [*ends, len(packed)], strict=True)]
    taker, error = _unpack(pieces, pause_after=pause_after)
    assert error is None
    assert b"".join(taker.pieces) == b"".join(members)


def test_a_turn_of_the_loop_unpacks_one_piece() -> None:
    taker, _ = _unpack([ZEROS], pause_after=0)
    assert max(map(len, taker.pieces)) <= limits.UNPACKED_BYTES
    assert len(set(taker.turns)) == len(taker.turns) == (1 << 24) // limits.UNPACKED_BYTES


def test_members_of_nothing_take_turns_as_well() -> None:
    taker, error = _unpack([gzip.compress(b"") * 50], pause_after=0)
    assert (error, taker.pieces) == (None, [])
    assert taker.turn >= 49


def test_what_a_receiver_of_the_answer_reads(bus: ServerProcess, subject: str) -> None:
    """A refusal in the middle of compressed lines comes after the receipts of those before."""
    lines = b"".join(draft(subject, n) + b"\n" for n in range(20_000))
    with dial(bus) as peer:
        answer = _ask(peer, gzip.compress(lines)[:-100])
    *receipts, refused = [msgspec.json.decode(line) for line in answer.splitlines()]
    assert len(receipts) == len(read(bus, subject))
    assert (refused["status"], refused["code"]) == (400, "invalid-event")


def _ask(peer: Peer, body: bytes) -> bytes:
    peer.send(_request(body, b"Content-Type: " + NDJSON.encode()))
    return peer.answer().body
